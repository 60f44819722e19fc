#include "tuner/filter_plan.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {
namespace {

// True when the next batch into a level of so many entries starts a run of its own, so that no
// present filter is rewritten for it.
bool NextBatchStartsRun(const TreeShape& shape, double batch_entries, uint64_t entries,
                        uint32_t runs) noexcept {
  const double batches = std::round(static_cast<double>(entries) / batch_entries);
  double of_whole_runs = 0;
  for (uint32_t run = 0; run < runs && of_whole_runs <= batches; ++run) {
    if (of_whole_runs == batches) return true;
    of_whole_runs += BatchesOfRun(shape.size_ratio - 1, runs, run);
  }
  return false;
}

}  // namespace

std::vector<FilterRun> RunsToCome(const TreeShape& shape, double entry_bytes,
                                  std::span<const uint64_t> level_entries) noexcept {
  std::vector<FilterRun> result;
  uint32_t level_count = 0;
  for (uint32_t i = 0; i < level_entries.size() && i < kMaxLevels; ++i) {
    if (level_entries[i] > 0) level_count = i + 1;
  }
  for (uint32_t i = 0; i < level_count; ++i) {
    const uint32_t runs = shape.RunsAt(i, level_count);
    const double batch = BatchEntries(shape, entry_bytes, i);
    const double capacity = LevelCapacity(shape, entry_bytes, i);
    double room = capacity - static_cast<double>(level_entries[i]);
    if (i + 1 == level_count) {
      room = NextBatchStartsRun(shape, batch, level_entries[i], runs) ? batch : 0;
    }
    if (room < 1) continue;
    // The closed form depends on entries / weight, the size of one run: a part of a run counts as
    // that part of its weight.
    result.push_back({.entries = static_cast<uint64_t>(room), .weight = room * runs / capacity});
  }
  return result;
}

}  // namespace lamina::tuner
