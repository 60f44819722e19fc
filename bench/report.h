// What a replay is reported as: one summary per engine, as JSON and as a table.
#ifndef LAMINA_BENCH_REPORT_H_
#define LAMINA_BENCH_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/bounded.h"
#include "bench/replay.h"
#include "bench/workloads.h"

namespace lamina::bench {

// The conditions of a run.
struct RunConditions {
  std::string engine;
  std::string workload;
  size_t page_bytes = 0;
  unsigned threads = 1;
  bool verified = true;
  bool page_cache_dropped = true;
  double prefill_tokens_per_s = 0;
  std::vector<double> stage_hit_rates;  // targets of the workload; may be empty
};

// Throughput is bytes over the time spent in the engine's calls, times the threads that call.
struct Summary {
  RunConditions conditions;
  uint64_t requests = 0;
  uint64_t pages_total = 0;
  uint64_t pages_hit = 0;
  uint64_t pages_rejected = 0;
  double hit_rate = 0;
  uint64_t wrong_pages = 0;
  double put_mb_per_s = 0;  // with the final sync; a megabyte is 10^6 bytes
  double restore_mb_per_s = 0;
  double probe_us_p50 = 0;
  double probe_us_p99 = 0;
  double get_ms_p50 = 0;
  double get_ms_p99 = 0;
  double put_ms_p50 = 0;
  double put_ms_p99 = 0;
  double cpu_cores = 0;                       // busy while the engine's calls run
  uint64_t disk_bytes = 0;                    // allocated in the engine's directory after the flush
  std::optional<double> write_amplification;  // bytes written over payload bytes put
  double ttft_ms_mean = 0;                    // modelled
  double ttft_ms_p99 = 0;                     // modelled
  double open_ms = 0;
  double wall_s = 0;
  bool stopped = false;
  std::vector<StageCounts> stages;
  BoundedFigures bounded;
  std::string engine_stats;  // JSON of the engine's own; may be empty
};

Summary Summarize(const RunConditions& conditions, const ReplayResult& result);

nlohmann::json ToJson(const Summary& summary);

// A row a quantity, a column an engine; then the stages, if there are any; then what the numbers
// mean. Ends with a newline.
std::string FormatTable(std::span<const Summary> summaries);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_REPORT_H_
