// What a bounded store's hit rate is compared with: an exact LRU, the offline optimum, and the
// eviction policy alone, without payloads. Behind `lamina-replay --capacity` and `--policy-only`.
#ifndef LAMINA_BENCH_POLICY_YARDSTICKS_H_
#define LAMINA_BENCH_POLICY_YARDSTICKS_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench/trace.h"

namespace lamina::bench {

struct PolicyChoice {
  std::string eviction = "prhd";     // one of EvictionNames()
  std::string admission = "policy";  // one of AdmissionNames()
  // The policy samples; its figures are means over the seeds 1 to `seeds`.
  unsigned seeds = 4;
  // Pages that make the 512 tokens in which the policy counts a path's length (PagesPerUnit).
  uint32_t pages_per_unit = 1;
  // Of the simulated layer (policy_sim.h): live pages over slots, and slots in a row to overwrite.
  double live_share = 1;
  uint32_t run_pages = 1;
};

uint32_t PagesPerUnit(uint32_t page_tokens);

std::vector<std::string> EvictionNames();
std::vector<std::string> AdmissionNames();

struct Yardsticks {
  uint64_t slots = 0;
  double lru_hit_rate = 0;
  double opt_hit_rate = 0;
  double policy_hit_rate = 0;
  std::vector<double> policy_hit_rates;  // of each seed
  // Means over the seeds.
  double pages_written = 0;
  double pages_rejected = 0;
  double evicted_pages = 0;
  double condemned_hits = 0;
  double stranded_pages = 0;
  double restored_in_runs_share = 0;
  uint64_t lru_pages_written = 0;
  double seconds_per_seed = 0;
};

// Serves all requests, starting empty, and counts those from `first_counted` on. `slots` is at
// least 1.
Yardsticks ComputeYardsticks(std::span<const Request> requests, size_t first_counted,
                             uint64_t slots, const PolicyChoice& choice);

// A run of the policy alone, as it is reported.
struct PolicyReport {
  std::string workload;
  PolicyChoice choice;
  uint64_t requests = 0;
  uint64_t pages_total = 0;
  uint64_t distinct_pages = 0;
  double capacity_percent = 0;  // slots over distinct pages
  Yardsticks yardsticks;
};

nlohmann::json ToJson(const PolicyReport& report);
// A line a report. All are of one workload and policy.
std::string FormatTable(std::span<const PolicyReport> reports);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_POLICY_YARDSTICKS_H_
