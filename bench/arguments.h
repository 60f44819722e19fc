// The command line of lamina-replay.
#ifndef LAMINA_BENCH_ARGUMENTS_H_
#define LAMINA_BENCH_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "bench/run.h"
#include "bench/workloads.h"
#include "engine/lamina.h"

namespace lamina::bench {

struct Arguments {
  std::string trace;  // a file; empty: `workload`
  std::string workload = "conversation";
  size_t workload_requests = 0;  // 0: the workload's default
  uint64_t seed = 1;
  uint32_t page_tokens = 0;  // 0: the workload's
  std::string dir;           // empty: a new one
  bool keep = false;
  std::string json;  // a file; may be empty
  bool policy_only = false;
  // At least one if policy_only; otherwise at most one, which is also in `run`.
  std::vector<CapacityChoice> capacities;
  // Blocks of the workload are so many pages.
  uint32_t pages_per_block = 1;
  // Its `dir` is left to the program.
  RunConfig run;
};

// What the program ends with when there is nothing to run (help) or the usage is wrong; the text
// has been printed.
struct ExitCode {
  int value = 0;
};

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

// `arguments` without the program's name.
std::variant<Arguments, ExitCode> ParseArguments(std::vector<std::string> arguments);

// Reads the trace or makes the workload.
Result<Workload> LoadWorkload(const Arguments& arguments);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_ARGUMENTS_H_
