// How many filter bits per key a run gets that is about to be written.
//
// With a fixed number of bits every run gets that. Otherwise the bits of all runs share a budget
// (so many bits per entry, bounded by memory), divided so that a lookup that finds nothing reads
// the fewest blocks (tuner/filter_allocation.h). Filters are fixed when a run is written, so bits
// are set aside for runs that will come before the large ones are written again. Pure.
#ifndef LAMINA_ENGINE_STORE_FILTER_BUDGET_H_
#define LAMINA_ENGINE_STORE_FILTER_BUDGET_H_

#include <cstdint>
#include <span>

#include "compaction/levels.h"
#include "compaction/shape.h"

namespace lamina {

struct FilterBudget {
  // Negative: allocate within the two bounds below.
  double fixed_bits_per_key = -1;
  double bits_per_entry = 10;
  uint64_t memory_bits = UINT64_MAX;
};

// A run of `entries` is to be written into `level`, in place of `leaving` (runs of `tree`).
double FilterBitsForNewRun(const FilterBudget& budget, const Tree& tree, const Shape& shape,
                           double batch_entries, uint32_t level, uint64_t entries,
                           std::span<const RunPtr> leaving) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_FILTER_BUDGET_H_
