#include "engine/store/filter_budget.h"

#include <algorithm>
#include <vector>

#include "engine/index/filter_fpr.h"
#include "tuner/filter_allocation.h"
#include "tuner/filter_plan.h"
#include "tuner/fpr_curve.h"
#include "tuner/tree_shape.h"

namespace lamina {
namespace {

const tuner::FprCurve& MeasuredCurve() {
  static const tuner::FprCurve curve = [] {
    std::vector<tuner::FprPoint> points;
    for (const FilterFprPoint& point : kFilterFpr)
      points.push_back({point.bits_per_key, point.false_positive_rate});
    auto measured = tuner::FprCurve::FromPoints(points);
    return measured.ok() ? std::move(*measured) : tuner::FprCurve::Ideal();
  }();
  return curve;
}

// The tuner counts levels from 0 and sizes in bytes; an entry of one byte makes them entries.
tuner::TreeShape TunerShape(const Shape& shape, double batch_entries) {
  tuner::TreeShape converted;
  converted.size_ratio = shape.size_ratio;
  for (uint32_t level = 0; level < tuner::kMaxLevels; ++level)
    converted.upper_runs[level] = static_cast<uint8_t>(shape.RunCap(level + 1, kMaxLevels));
  converted.last_runs =
      static_cast<uint8_t>(shape.last_run_cap != 0 ? shape.last_run_cap : shape.run_caps.back());
  converted.memtable_bytes = static_cast<uint64_t>(std::max(1.0, batch_entries));
  return converted;
}

}  // namespace

double FilterBitsForNewRun(const FilterBudget& budget, const Tree& tree, const Shape& shape,
                           double batch_entries, uint32_t level, uint64_t entries,
                           std::span<const RunPtr> leaving) noexcept {
  if (budget.fixed_bits_per_key >= 0) return budget.fixed_bits_per_key;
  if (entries == 0) return 0;
  std::vector<tuner::WrittenFilterRun> remaining;
  // Level 0 waits for level 1: the two count as one, as in the tuner's tree.
  std::vector<uint64_t> level_entries(std::max<size_t>(1, std::max(tree.last_level(), level)));
  const auto slot_of = [](uint32_t l) { return l == 0 ? 0u : l - 1; };
  uint64_t total = entries;
  for (const RunPtr& run : tree.RunsNewestFirst()) {
    if (std::any_of(leaving.begin(), leaving.end(),
                    [&](const RunPtr& gone) { return gone->id == run->id; }))
      continue;
    remaining.push_back({{run->entries, 1.0}, run->filter_bits});
    level_entries[slot_of(run->level)] += run->entries;
    total += run->entries;
  }
  level_entries[slot_of(level)] += entries;

  const auto to_come =
      tuner::RunsToCome(TunerShape(shape, batch_entries), 1.0, level_entries, UINT64_MAX);
  // The budget grows with the entries that the present tree and what is expected above it will
  // have.
  for (const tuner::FilterRun& run : to_come) total += run.entries;
  const double wanted = budget.bits_per_entry * static_cast<double>(total);
  const uint64_t bits = std::min(budget.memory_bits, static_cast<uint64_t>(wanted));
  const tuner::FilterRun fresh{entries, 1.0};
  const auto shares =
      tuner::AllocateNewFilters(remaining, std::span(&fresh, 1), to_come, bits, MeasuredCurve());
  return shares.shares.front().bits_per_key;
}

}  // namespace lamina
