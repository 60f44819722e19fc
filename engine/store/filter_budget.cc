#include "engine/store/filter_budget.h"

#include <algorithm>
#include <vector>

#include "engine/store/tuner_tree.h"
#include "tuner/filter_allocation.h"
#include "tuner/filter_plan.h"

namespace lamina {
namespace {

// The filters that will be there beside the new run's.
struct Beside {
  std::vector<tuner::WrittenFilterRun> runs;
  std::vector<uint64_t> level_entries;
  uint64_t entries = 0;
  uint64_t bits = 0;

  void Add(uint32_t level, uint64_t run_entries, uint64_t run_bits) {
    runs.push_back({{run_entries, 1.0}, run_bits});
    level_entries[TunerLevel(level)] += run_entries;
    entries += run_entries;
    bits += run_bits;
  }
};

Beside BesideNewRun(const Tree& tree, uint32_t level, std::span<const RunPtr> leaving,
                    std::span<const PendingFilter> pending) {
  uint32_t deepest = std::max(tree.last_level(), level);
  for (const PendingFilter& other : pending) deepest = std::max(deepest, other.level);
  Beside beside;
  beside.level_entries.resize(TunerLevel(deepest) + 1);
  std::vector<bool> replaces(pending.size());
  for (const RunPtr& run : tree.RunsNewestFirst()) {
    const auto has = [&](const auto& ids) {
      return std::find(ids.begin(), ids.end(), run->id) != ids.end();
    };
    bool leaves = std::any_of(leaving.begin(), leaving.end(),
                              [&](const RunPtr& gone) { return gone->id == run->id; });
    for (size_t i = 0; i < pending.size(); ++i) {
      if (!has(pending[i].leaving)) continue;
      replaces[i] = true;
      leaves = true;
    }
    if (!leaves) beside.Add(run->level, run->entries, run->filter_bits);
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    // What it was to replace is gone: it is in the tree itself.
    if (!replaces[i] && !pending[i].leaving.empty()) continue;
    beside.Add(pending[i].level, pending[i].entries, pending[i].bits);
  }
  return beside;
}

}  // namespace

double FilterBitsForNewRun(const FilterBudget& budget, const Tree& tree, const Shape& shape,
                           double batch_entries, uint32_t level, uint64_t entries,
                           std::span<const RunPtr> leaving,
                           std::span<const PendingFilter> pending) noexcept {
  if (entries == 0) return 0;
  Beside beside = BesideNewRun(tree, level, leaving, pending);
  if (budget.fixed_bits_per_key >= 0) {
    const uint64_t left = budget.memory_bits > beside.bits ? budget.memory_bits - beside.bits : 0;
    return std::min(budget.fixed_bits_per_key,
                    static_cast<double>(left) / static_cast<double>(entries));
  }
  beside.level_entries[TunerLevel(level)] += entries;
  const auto to_come =
      tuner::RunsToCome(TunerShape(shape, batch_entries), 1.0, beside.level_entries, UINT64_MAX);
  // The budget grows with the entries that the present tree and what is expected above it will
  // have.
  uint64_t total = beside.entries + entries;
  for (const tuner::FilterRun& run : to_come) total += run.entries;
  const double wanted = budget.bits_per_entry * static_cast<double>(total);
  const uint64_t bits = std::min(budget.memory_bits, static_cast<uint64_t>(wanted));
  const tuner::FilterRun fresh{entries, 1.0};
  const auto shares = tuner::AllocateNewFilters(beside.runs, std::span(&fresh, 1), to_come, bits,
                                                budget.memory_bits, MeasuredFprCurve());
  return shares.shares.front().bits_per_key;
}

double FilterLedger::Allot(uint64_t writer, const FilterBudget& budget, const Tree& tree,
                           const Shape& shape, double batch_entries, uint32_t level,
                           uint64_t entries, std::span<const RunPtr> leaving) noexcept {
  Forget(writer);
  std::vector<PendingFilter> others;
  for (const auto& [other, filter] : pending_) others.push_back(filter);
  const double bits_per_key =
      FilterBitsForNewRun(budget, tree, shape, batch_entries, level, entries, leaving, others);
  PendingFilter& own = pending_[writer];
  own.level = level;
  own.entries = entries;
  own.bits = static_cast<uint64_t>(bits_per_key * static_cast<double>(entries));
  uint64_t leaving_bits = 0;
  for (const RunPtr& run : leaving) {
    own.leaving.push_back(run->id);
    leaving_bits += run->filter_bits;
  }
  own.bits = std::max(own.bits, leaving_bits);
  return bits_per_key;
}

uint64_t FilterLedger::pending_bits() const noexcept {
  uint64_t bits = 0;
  for (const auto& [writer, filter] : pending_) bits += filter.bits;
  return bits;
}

}  // namespace lamina
