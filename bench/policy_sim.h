// Replays a trace through an eviction policy without payloads: the library behind
// `lamina-replay --policy-only`.
//
// The simulated store has `capacity_pages` slots in 64 segments, one cursor and a logical capacity,
// as the tensor log has; pages carry nothing but their heat.
#ifndef LAMINA_BENCH_POLICY_SIM_H_
#define LAMINA_BENCH_POLICY_SIM_H_

#include <cstdint>
#include <span>

#include "bench/optimum.h"
#include "tensorlog/eviction/policy.h"

namespace lamina::bench {

struct PolicySimOptions {
  PolicyOptions policy;          // capacity_pages in it is set by the simulation
  uint64_t slots = 0;            // physical capacity, pages
  double logical_share = 1;      // live pages over slots: 63/64 for large pages, .95 for small
  uint32_t run_pages = 1;        // shortest run of slots the cursor takes: ceil(256 KiB / page)
  uint32_t pages_per_block = 1;  // every block of the trace becomes so many pages
  uint32_t pages_per_unit = 0;   // 0: pages_per_block
  enum class Admission : uint8_t { kPolicy, kAll, kSecondUse } admission = Admission::kPolicy;
  bool flat = false;  // pages as flat keys
};

struct PolicySimResult {
  uint64_t requests = 0;
  uint64_t pages = 0;
  uint64_t hits = 0;  // leading pages that were readable
  uint64_t written = 0;
  uint64_t rejected = 0;          // new pages that were not written
  uint64_t evictions = 0;         // pages condemned
  uint64_t condemned_hits = 0;    // pages used again after they were condemned
  uint64_t stranded = 0;          // pages condemned while a page behind them stayed live
  uint64_t restored_in_runs = 0;  // hits that lay in runs of at least run_pages slots
  uint64_t max_live = 0;
  uint64_t max_readable = 0;
  double seconds = 0;  // processor time of the policy and the bookkeeping
  [[nodiscard]] double hit_rate() const noexcept {
    return pages == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(pages);
  }
};

PolicySimResult SimulatePolicy(std::span<const TraceRequest> trace,
                               const PolicySimOptions& options);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_POLICY_SIM_H_
