// How many filter bits per key a run gets that is about to be written.
//
// With a fixed number of bits every run gets that. Otherwise the bits of all runs share a budget
// (so many bits per entry, bounded by memory), divided so that a lookup that finds nothing reads
// the fewest blocks (tuner/filter_allocation.h). Memory is a limit in every version; bits per entry
// are a measure, which written filters exceed for a while after dead entries were dropped. Filters
// are fixed when a run is written, so bits are set aside for runs that will come before the large
// ones are written again. Pure.
#ifndef LAMINA_ENGINE_STORE_FILTER_BUDGET_H_
#define LAMINA_ENGINE_STORE_FILTER_BUDGET_H_

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "compaction/levels.h"
#include "compaction/shape.h"

namespace lamina {

struct FilterBudget {
  // Negative: allocate within the two bounds below. What is fixed is bounded by the memory alone.
  double fixed_bits_per_key = -1;
  double bits_per_entry = 10;
  uint64_t memory_bits = UINT64_MAX;  // of all runs
};

// A run that somebody is writing.
struct PendingFilter {
  uint32_t level = 0;
  uint64_t entries = 0;
  uint64_t bits = 0;           // the more of what it gets and what the runs that it replaces have
  std::vector<RunId> leaving;  // which it replaces
};

// A run of `entries` is to be written into `level`, in place of `leaving` (runs of `tree`), while
// others write `pending`.
double FilterBitsForNewRun(const FilterBudget& budget, const Tree& tree, const Shape& shape,
                           double batch_entries, uint32_t level, uint64_t entries,
                           std::span<const RunPtr> leaving,
                           std::span<const PendingFilter> pending = {}) noexcept;

// Remembers what runs that are being written were given, so that several flushes and jobs at a time
// do not each take what is left. A plain value, guarded by its owner.
class FilterLedger {
 public:
  // As FilterBitsForNewRun, beside all other writers. A writer may ask again: for each table.
  double Allot(uint64_t writer, const FilterBudget& budget, const Tree& tree, const Shape& shape,
               double batch_entries, uint32_t level, uint64_t entries,
               std::span<const RunPtr> leaving) noexcept;
  // The writer's run is in the tree, or will never be.
  void Forget(uint64_t writer) noexcept { pending_.erase(writer); }
  // Of all runs that are being written.
  [[nodiscard]] uint64_t pending_bits() const noexcept;

 private:
  std::map<uint64_t, PendingFilter> pending_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_FILTER_BUDGET_H_
