// How large a bounded store is to be: in bytes, or as a share of what a workload needs.
#ifndef LAMINA_BENCH_CAPACITY_H_
#define LAMINA_BENCH_CAPACITY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/lamina.h"

namespace lamina::bench {

// As it was asked for: bytes of the whole store, or a share of the workload's distinct pages, each
// of which takes a slot. Neither: not bounded.
struct CapacityChoice {
  uint64_t bytes = 0;
  double percent = 0;
  [[nodiscard]] bool given() const { return bytes != 0 || percent != 0; }
};

struct CapacityPlan {
  uint64_t slots = 0;           // pages that the segments hold
  uint64_t capacity_bytes = 0;  // the store's option: segments and all that lies beside them
};

// "64M" (as ParseBytes) or "2.5%", which is more than 0 and at most 100.
Result<CapacityChoice> ParseCapacity(std::string_view text);

// `distinct_pages` of the workload, each of `page_bytes`. kInvalidArgument where not a page fits.
Result<CapacityPlan> PlanCapacity(const CapacityChoice& choice, uint64_t distinct_pages,
                                  uint64_t page_bytes);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_CAPACITY_H_
