// Requests, and the trace files that hold them.
//
// A trace is JSONL: one request a line, {"timestamp": ms, "input_length": tokens, "output_length":
// tokens, "hash_ids": [block ids]}. The ids are the request's prefix as a path from the root: two
// requests that share the first n ids share the first n blocks. A block is one page. The last block
// of a request is usually not full; it counts as a page like the others.
#ifndef LAMINA_BENCH_TRACE_H_
#define LAMINA_BENCH_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lamina.h"

namespace lamina::bench {

struct Request {
  double timestamp_ms = 0;
  uint64_t input_tokens = 0;
  uint64_t output_tokens = 0;
  std::vector<uint64_t> blocks;  // from the root of the prefix tree on
  uint32_t stage = 0;            // of a staged workload; 0 otherwise
};

// One line of a trace. `where` ("file:line") starts the message of an error.
Result<Request> ParseRequest(std::string_view line, const std::string& where);

// Reads a trace file request by request, so that its size does not matter.
class TraceReader {
 public:
  static Result<TraceReader> Open(const std::string& file);
  // False at the end of the file. Empty lines are skipped. Errors name file and line.
  Result<bool> Next(Request* request);

 private:
  TraceReader(std::string file, std::ifstream stream)
      : file_(std::move(file)), stream_(std::move(stream)) {}
  std::string file_;
  std::ifstream stream_;
  uint64_t line_number_ = 0;
};

// Reads the requests [0, count) of a trace, all of them where count is 0. A trace without any
// request is an error.
Result<std::vector<Request>> LoadTrace(const std::string& file, size_t count);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_TRACE_H_
