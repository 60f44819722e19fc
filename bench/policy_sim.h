// Replays requests through an eviction policy without payloads: the library behind
// `lamina-replay --policy-only`.
//
// The simulated store has slots in 64 segments and one cursor that overwrites what is condemned,
// and keeps to a logical capacity, all as the tensor log does; its pages carry nothing but their
// heat. A request probes and gets what is there and puts the rest, and is one request for the
// policy.
#ifndef LAMINA_BENCH_POLICY_SIM_H_
#define LAMINA_BENCH_POLICY_SIM_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "bench/trace.h"
#include "tensorlog/eviction/policy.h"

namespace lamina::bench {

// How the store tells the policy where the next page of a path lies.
enum class ChildLinks : uint8_t {
  kLinked,    // every slot keeps the slot of its page's last child
  kAdjacent,  // the next slot is guessed
  kNone,
};

struct PolicySimOptions {
  PolicyOptions policy;  // its capacity_pages is set to the logical capacity
  // Slots, or the physical capacity in pages; at least 1.
  uint64_t slots = 1;
  // Live pages over slots: 1, 63/64 for pages of 256 KiB and more, .96 for smaller ones.
  double logical_share = 1;
  // The shortest run of slots that the cursor takes: 256 KiB over the page size, at least 1.
  uint32_t run_pages = 1;
  // Blocks that make a unit of the policy's (RequestShape). A block is a page.
  uint32_t pages_per_unit = 1;
  enum class Admission : uint8_t { kPolicy, kAll, kSecondUse } admission = Admission::kPolicy;
  // Pages are flat keys.
  bool flat = false;
  ChildLinks links = ChildLinks::kLinked;
};

struct PolicySimResult {
  uint64_t requests = 0;
  uint64_t pages = 0;
  uint64_t hits = 0;              // leading pages that were readable
  uint64_t written = 0;           // pages put
  uint64_t rejected = 0;          // new pages that were not
  uint64_t evictions = 0;         // times a page was condemned
  uint64_t condemned_hits = 0;    // times a condemned page was used again
  uint64_t stranded = 0;          // evictions of a page while the one behind it stayed live
  uint64_t restored_in_runs = 0;  // hits in runs of at least run_pages slots
  uint64_t max_live = 0;
  [[nodiscard]] double hit_rate() const {
    return pages == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(pages);
  }
};

class PolicySimulator {
 public:
  explicit PolicySimulator(const PolicySimOptions& options);
  ~PolicySimulator();

  void Step(const Request& request);
  // Counts from here on.
  void ForgetCounts();
  // Opens the store again with a state that the policy saved, now or earlier; empty: it was lost.
  // The slots' heats are kept.
  void Restart(const std::string& policy_state);

  [[nodiscard]] const PolicySimResult& result() const;
  [[nodiscard]] EvictionPolicy& policy();

 private:
  class Store;
  std::unique_ptr<Store> store_;
};

// Serves all requests and counts those from `first_counted` on.
PolicySimResult SimulatePolicy(std::span<const Request> requests, const PolicySimOptions& options,
                               size_t first_counted = 0);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_POLICY_SIM_H_
