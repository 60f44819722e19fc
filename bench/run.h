// A replay of one workload on one or several engines in turn, each in a directory of its own.
#ifndef LAMINA_BENCH_RUN_H_
#define LAMINA_BENCH_RUN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/capacity.h"
#include "bench/engine.h"
#include "bench/policy_yardsticks.h"
#include "bench/replay.h"
#include "bench/report.h"
#include "bench/workloads.h"

namespace lamina::bench {

struct RunConfig {
  std::vector<std::string> engines;
  // The engines' `dir` is not used.
  EngineConfig engine;
  ReplayConfig replay;
  // Of the lamina engine, which gets it as an option; the other engines have none.
  CapacityChoice capacity;
  // The policy that a bounded store is compared with. It is the store's own only if the store is
  // told so in its options.
  PolicyChoice policy;
  // Requests [skip, skip + limit) of the workload; a limit of 0 is all the rest.
  size_t skip = 0;
  size_t limit = 0;
  // Exists. With several engines, a directory for each in it.
  std::string dir;
  // Progress goes to stderr.
  bool show_progress = false;
};

// The policy alone, at each of the capacities, without an engine.
Result<std::vector<PolicyReport>> RunPolicyOnly(const Workload& workload, const RunConfig& config,
                                                std::span<const CapacityChoice> capacities);

// One summary an engine, in the order of the engines. When an engine finds pages wrong it says so
// on stderr, and the run goes on. Errors: too little space on the file system, an engine's.
Result<std::vector<Summary>> RunWorkload(const Workload& workload, const RunConfig& config);

// "64K" is 65536: digits with an optional K, M or G (powers of 1024).
Result<uint64_t> ParseBytes(std::string_view text);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_RUN_H_
