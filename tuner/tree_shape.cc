#include "tuner/tree_shape.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {

TreeShape UniformShape(uint32_t size_ratio, uint32_t upper_runs, uint32_t last_runs) noexcept {
  TreeShape shape;
  shape.size_ratio = std::clamp(size_ratio, kMinSizeRatio, kMaxSizeRatio);
  const uint32_t most = shape.size_ratio - 1;
  shape.upper_runs.fill(static_cast<uint8_t>(std::clamp(upper_runs, 1u, most)));
  shape.last_runs = static_cast<uint8_t>(std::clamp(last_runs, 1u, most));
  return shape;
}

TreeShape LevelingShape(uint32_t size_ratio) noexcept { return UniformShape(size_ratio, 1, 1); }

TreeShape TieringShape(uint32_t size_ratio) noexcept {
  return UniformShape(size_ratio, kMaxSizeRatio, kMaxSizeRatio);
}

TreeShape LazyShape(uint32_t size_ratio) noexcept {
  return UniformShape(size_ratio, kMaxSizeRatio, 1);
}

TreeShape WithMemory(TreeShape shape, const TreeShape& memory) noexcept {
  shape.memtable_bytes = memory.memtable_bytes;
  shape.filter_bits = memory.filter_bits;
  return shape;
}

bool IsValid(const TreeShape& shape) noexcept {
  if (shape.size_ratio < kMinSizeRatio || shape.size_ratio > kMaxSizeRatio) return false;
  const auto in_range = [&](uint8_t runs) { return runs >= 1 && runs < shape.size_ratio; };
  return in_range(shape.last_runs) && shape.memtable_bytes > 0 &&
         std::all_of(shape.upper_runs.begin(), shape.upper_runs.end(), in_range);
}

std::string ShapeName(const TreeShape& shape, uint32_t level_count) noexcept {
  const std::string ratio = "T=" + std::to_string(shape.size_ratio);
  const uint32_t upper_count = level_count > 0 ? level_count - 1 : 0;
  bool uniform = true;
  for (uint32_t i = 1; i < upper_count; ++i) {
    uniform = uniform && shape.upper_runs[i] == shape.upper_runs[0];
  }
  const uint32_t most = shape.size_ratio - 1;
  const uint32_t upper = upper_count > 0 ? shape.upper_runs[0] : shape.last_runs;
  if (uniform && upper == 1 && shape.last_runs == 1) return "leveling " + ratio;
  if (uniform && upper == most && shape.last_runs == most) return "tiering " + ratio;
  if (uniform && upper == most && shape.last_runs == 1) return "lazy " + ratio;
  std::string name = ratio + " K=" + std::to_string(upper);
  for (uint32_t i = 1; i < upper_count && !uniform; ++i) {
    name += "," + std::to_string(shape.upper_runs[i]);
  }
  return name + " Z=" + std::to_string(shape.last_runs);
}

TreeShape RandomShape(uint64_t* state, const TreeShape& memory) noexcept {
  const auto next = [state](uint32_t below) {
    // splitmix64: any state is a good one.
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<uint32_t>((z ^ (z >> 31)) % below);
  };
  TreeShape shape = memory;
  // Small ratios more often: they make more levels and more merges.
  shape.size_ratio = kMinSizeRatio + next(next(2) == 0 ? 9 : kMaxSizeRatio - kMinSizeRatio + 1);
  const uint32_t most = shape.size_ratio - 1;
  for (uint8_t& runs : shape.upper_runs) runs = static_cast<uint8_t>(1 + next(most));
  shape.last_runs = static_cast<uint8_t>(1 + next(most));
  return shape;
}

double BatchEntries(const TreeShape& shape, double entry_bytes, uint32_t level) noexcept {
  double entries = static_cast<double>(shape.memtable_bytes) / entry_bytes;
  for (uint32_t i = 0; i < level; ++i) entries *= shape.size_ratio;
  return entries;
}

double LevelCapacity(const TreeShape& shape, double entry_bytes, uint32_t level) noexcept {
  return (shape.size_ratio - 1) * BatchEntries(shape, entry_bytes, level);
}

uint32_t LevelCount(const TreeShape& shape, double entry_bytes, double entries) noexcept {
  double capacity = 0;
  double level_capacity = LevelCapacity(shape, entry_bytes, 0);
  for (uint32_t levels = 1; levels < kMaxLevels; ++levels) {
    capacity += level_capacity;
    // A full tree is full, whatever the last digits of its sum are.
    if (entries <= capacity * (1 + 1e-9)) return levels;
    level_capacity *= shape.size_ratio;
  }
  return kMaxLevels;
}

uint32_t BatchesOfRun(uint32_t batches, uint32_t runs, uint32_t run) noexcept {
  return batches / runs + (run < batches % runs ? 1 : 0);
}

}  // namespace lamina::tuner
