// The shape of the index: how many runs each level may hold, and how much larger each level is than
// the one above it. A plain value; pure.
//
// Levels count from 1; what was flushed and not yet taken into level 1 waits in level 0, which has
// no place in the shape. With size ratio T, level i takes in batches of T^(i-1) memtables and
// holds T - 1 of them, in at most K_i runs: K = 1 is leveling, K = T - 1 tiering. The T-th batch
// merges straight through to level i + 1 together with all that level i held (picker.h). K-LSM and
// Dostoevsky describe the same family; research names are T for the size ratio, K for the upper
// levels and Z for the last one.
#ifndef LAMINA_COMPACTION_SHAPE_H_
#define LAMINA_COMPACTION_SHAPE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace lamina {

// No tree gets deeper: with T = 2 and one entry a memtable that is 2^40 entries.
inline constexpr uint32_t kMaxLevels = 40;

struct Shape {
  static constexpr uint32_t kMinSizeRatio = 2;
  static constexpr uint32_t kMaxSizeRatio = 64;

  // T.
  uint32_t size_ratio = 10;
  // K_1, K_2, ...; the last one stands for all deeper levels too. 1 to T - 1 each.
  std::vector<uint32_t> run_caps = {9};
  // Z: the cap of the tree's last level, whichever that is at the time; 0: as run_caps says.
  uint32_t last_run_cap = 1;

  // The named shapes: one run per level; T - 1 runs per level; T - 1 runs above the last level and
  // one in it.
  static Shape Leveling(uint32_t size_ratio) noexcept;
  static Shape Tiering(uint32_t size_ratio) noexcept;
  static Shape Lazy(uint32_t size_ratio) noexcept;

  // kInvalidArgument naming the field and its range.
  [[nodiscard]] Status Validate() const noexcept;

  // K of a level (1-based) in a tree whose last level is `last_level`.
  [[nodiscard]] uint32_t RunCap(uint32_t level, uint32_t last_level) const noexcept;
  // C_i = (T-1) T^(i-1) * batch_entries, in entries. A double: 2^53 is beyond any index, and deep
  // levels of a wide tree must not wrap round.
  [[nodiscard]] double CapacityEntries(uint32_t level, double batch_entries) const noexcept;
  // What one batch into a level weighs: T^(i-1) * batch_entries.
  [[nodiscard]] double BatchEntries(uint32_t level, double batch_entries) const noexcept;
  // The smallest level that holds this many entries; at most kMaxLevels.
  [[nodiscard]] uint32_t LevelFor(double entries, double batch_entries) const noexcept;

  // "leveling:10", "tiering:4", "lazy:10", else "custom:10:9,9,3" or, with a cap for the last
  // level, "custom:10:9,9,3/1". Parse reads what ToString writes, and validates.
  [[nodiscard]] std::string ToString() const noexcept;
  static Result<Shape> Parse(std::string_view text) noexcept;

  // Trailing repetitions in run_caps do not count.
  friend bool operator==(const Shape& a, const Shape& b) noexcept;
};

// How a level's T - 1 batches split over K runs, as evenly as can be, the older (first filled) runs
// taking the remainder, since that leaves fewer runs for longer: how many batches the oldest
// `runs` runs hold together.
[[nodiscard]] uint32_t CumulativeQuota(uint32_t size_ratio, uint32_t run_cap,
                                       uint32_t runs) noexcept;

}  // namespace lamina

#endif  // LAMINA_COMPACTION_SHAPE_H_
