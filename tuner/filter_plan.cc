#include "tuner/filter_plan.h"

#include <algorithm>

namespace lamina::tuner {

std::vector<FilterRun> RunsToCome(const TreeShape& shape, double entry_bytes,
                                  std::span<const uint64_t> level_entries,
                                  uint64_t max_entries) noexcept {
  std::vector<FilterRun> result;
  uint32_t level_count = 0;
  double left = static_cast<double>(max_entries);
  for (uint32_t i = 0; i < level_entries.size() && i < kMaxLevels; ++i) {
    if (level_entries[i] > 0) level_count = i + 1;
    left -= static_cast<double>(level_entries[i]);
  }
  for (uint32_t i = 0; i < level_count; ++i) {
    const uint32_t runs = shape.RunsAt(i, level_count);
    const double capacity = LevelCapacity(shape, entry_bytes, i);
    const auto entries = static_cast<double>(level_entries[i]);
    double room = std::min(left, capacity - entries);
    if (i + 1 == level_count) room = runs == 1 ? 0 : std::min(room, 2 * entries);
    if (room < 1) continue;
    left -= room;
    // The closed form depends on entries / weight, the size of one run: a part of a run counts as
    // that part of its weight.
    result.push_back({.entries = static_cast<uint64_t>(room), .weight = room * runs / capacity});
  }
  return result;
}

}  // namespace lamina::tuner
