// The shape of an LSM-tree: size ratio, runs per level, and the memory given to memtable and
// filters.
//
// Level 0 is the first below the memtable. Level i takes batches of memtable * T^i; it holds up to
// T-1 of them in at most K_i runs, and the T-th batch merges with all of them straight into level
// i+1 (the engine's spill rule). K = 1 is leveling, K = T-1 tiering; lazy leveling is tiering with
// one run at the last level. Plain values.
#ifndef LAMINA_TUNER_TREE_SHAPE_H_
#define LAMINA_TUNER_TREE_SHAPE_H_

#include <array>
#include <cstdint>
#include <string>

namespace lamina::tuner {

inline constexpr uint32_t kMaxLevels = 20;
inline constexpr uint32_t kMinSizeRatio = 2;
inline constexpr uint32_t kMaxSizeRatio = 64;

struct TreeShape {
  uint32_t size_ratio = 10;                      // T
  std::array<uint8_t, kMaxLevels> upper_runs{};  // K_i of a level that is not the last; 1 to T-1
  uint8_t last_runs = 1;                         // K of the last level (Z); 1 to T-1
  uint64_t memtable_bytes = uint64_t{32} << 20;  // of all memtables together
  uint64_t filter_bits = 0;                      // budget over all runs

  // K_i: the most runs that level `level` of a tree of `level_count` levels may hold.
  [[nodiscard]] uint32_t RunsAt(uint32_t level, uint32_t level_count) const noexcept {
    return level + 1 >= level_count ? last_runs : upper_runs[level];
  }
  friend bool operator==(const TreeShape&, const TreeShape&) = default;
};

// A shape with the same K for all upper levels. K and Z are clipped to [1, T-1].
TreeShape UniformShape(uint32_t size_ratio, uint32_t upper_runs, uint32_t last_runs) noexcept;
TreeShape LevelingShape(uint32_t size_ratio) noexcept;
TreeShape TieringShape(uint32_t size_ratio) noexcept;
TreeShape LazyShape(uint32_t size_ratio) noexcept;

// `shape` with memtable and filter budget of `memory`.
TreeShape WithMemory(TreeShape shape, const TreeShape& memory) noexcept;

// True when T and every K are in range.
bool IsValid(const TreeShape& shape) noexcept;

// "leveling T=10", "lazy T=10", "tiering T=4", "T=10 K=3 Z=1", "T=10 K=3,3,1 Z=1".
std::string ShapeName(const TreeShape& shape, uint32_t level_count) noexcept;

// A valid shape from pseudo-random numbers (`state` is advanced), with the memory of `memory`. For
// tests that want every shape to give the same answers.
TreeShape RandomShape(uint64_t* state, const TreeShape& memory) noexcept;

// Entries of one batch into `level`: memtable entries * T^level.
double BatchEntries(const TreeShape& shape, double entry_bytes, uint32_t level) noexcept;
// Entries that `level` holds before it spills: (T-1) batches.
double LevelCapacity(const TreeShape& shape, double entry_bytes, uint32_t level) noexcept;
// Levels needed for `entries`, at least 1 and at most kMaxLevels.
uint32_t LevelCount(const TreeShape& shape, double entry_bytes, double entries) noexcept;

// How many batches each of `runs` runs takes when `batches` of them come in, the first (oldest) run
// first: as even as possible, larger ones first. What a compaction that follows the model asks for
// "may another batch merge into the newest run?".
uint32_t BatchesOfRun(uint32_t batches, uint32_t runs, uint32_t run) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_TREE_SHAPE_H_
