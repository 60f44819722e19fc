// How many filter bits each run gets from one memory budget, so that a lookup that finds nothing
// reads the fewest blocks.
//
// Minimises sum_r weight_r * rate(bits_r) under sum_r entries_r * bits_r = budget (Monkey, Dayan et
// al. 2017, over the runs that really exist). With the ideal curve the answer is the closed form
//   p_r = min(1, theta * entries_r / weight_r),
//   ln theta = -(budget ln^2 2 + sum_S entries_r ln(entries_r / weight_r)) / sum_S entries_r,
// where S are the runs with p_r < 1. The same sweep over sorted breakpoints solves it for any
// measured curve, exactly and in O(R log R): total bits are piecewise linear in ln theta. The runs
// that lose their filter first are the largest.
//
// Pure. Runs may be half full, of any number per level, and in the middle of a change of shape.
#ifndef LAMINA_TUNER_FILTER_ALLOCATION_H_
#define LAMINA_TUNER_FILTER_ALLOCATION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tuner/fpr_curve.h"

namespace lamina::tuner {

struct FilterRun {
  uint64_t entries = 0;
  // Probability that a lookup has to ask this run at all (its key fences cover the key). 1 for
  // hashed keys.
  double weight = 1;
};

struct FilterShare {
  uint64_t bits = 0;               // of the whole run
  double bits_per_key = 0;         // bits / entries; 0 for an empty run
  double false_positive_rate = 1;  // predicted by the curve; 1: no filter
};

struct FilterAllocation {
  std::vector<FilterShare> shares;  // one per run, in the order given
  // Exactly the budget, unless every run has max_bits of the curve already.
  uint64_t total_bits = 0;
  // Expected false positives of a lookup that finds nothing: sum of weight * rate.
  double false_positives_per_lookup = 0;
};

// Divides `budget_bits` over the runs. A writer that needs whole cache lines rounds a run's bits
// down, so that the sum stays within the budget.
FilterAllocation AllocateFilters(std::span<const FilterRun> runs, uint64_t budget_bits,
                                 const FprCurve& curve) noexcept;

// A run whose filter is on disk already.
struct WrittenFilterRun {
  FilterRun run;
  uint64_t bits = 0;
};

// For the runs that a flush or a compaction is about to write. `remaining` are the runs that will
// still be there when it has finished, `to_come` those expected before the new ones are rewritten
// (filter_plan.h): filters are fixed once written, so what is spent on a large run now cannot be
// given to the small ones above it later. Each new run gets its share of the optimum over all three
// groups, and less when the written filters have left less than that. So filters follow the optimum
// as tables are rewritten. Written and new filters together never exceed `limit_bits`: where it is
// the budget, the budget holds in every version. A budget that shrinks (so many bits per entry,
// while dead entries are dropped) has a higher limit, or what is written next would get no filter
// at all.
// The shares are those of `new_runs`; total_bits is their sum; false_positives_per_lookup is that
// of remaining and new runs together.
FilterAllocation AllocateNewFilters(std::span<const WrittenFilterRun> remaining,
                                    std::span<const FilterRun> new_runs,
                                    std::span<const FilterRun> to_come, uint64_t budget_bits,
                                    uint64_t limit_bits, const FprCurve& curve) noexcept;

// The heart of both: fills `bits_per_key` for runs of `entries[i]` and `weights[i]` (same sizes).
// Empty runs and runs of weight 0 get 0. Allocates nothing but two scratch vectors.
void SolveFilterBits(std::span<const double> entries, std::span<const double> weights,
                     double budget_bits, const FprCurve& curve,
                     std::span<double> bits_per_key) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_FILTER_ALLOCATION_H_
