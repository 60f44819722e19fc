// Drives tree and picker without files: what the rules cost, before any disk is touched.
//
// Flushes of equal size go into level 0 and every job that the picker asks for is carried out at
// once, on sizes alone. Deterministic. Tests hold the outcome against the closed forms of picker.h;
// benches print it beside what was measured.
#ifndef LAMINA_COMPACTION_SIMULATE_H_
#define LAMINA_COMPACTION_SIMULATE_H_

#include <cstdint>
#include <vector>

#include "compaction/levels.h"
#include "compaction/picker.h"
#include "compaction/shape.h"

namespace lamina {

// A tree that is fed flushes. The shape may be changed between them.
class CompactionSimulator {
 public:
  // `start`: what is there at first. Its runs' flush numbers must be below 2^32.
  CompactionSimulator(const Shape& shape, const PickerOptions& options,
                      TreePtr start = nullptr) noexcept;

  struct LevelCosts {
    // Entries written into the level by merges, and entries of runs moved into it as they were. A
    // run that begins as a move into level 1 was written by its flush.
    uint64_t merged_entries = 0;
    uint64_t moved_entries = 0;
    // Sum over flushes of the runs that the level held once the flush was absorbed.
    uint64_t run_samples = 0;
  };
  struct Costs {
    uint64_t flushes = 0;
    uint64_t flushed_entries = 0;
    std::vector<LevelCosts> levels;  // by number; [0] is what lay unabsorbed in level 0

    // x_i, as the cost model counts it: what came into the level, merged or as a flush moved in,
    // per entry flushed.
    [[nodiscard]] double CopiesPerEntry(uint32_t level) const noexcept;
    [[nodiscard]] double MeanRuns(uint32_t level) const noexcept;
    // Entries really written per entry flushed, the flush included.
    [[nodiscard]] double WritesPerEntry() const noexcept;
  };

  // A flush of so many entries, and every compaction that follows from it.
  void Flush(uint64_t entries) noexcept;
  // Carries out one job (of any picker) on the tree. Its inputs must be in it.
  void Execute(const Job& job) noexcept;

  void set_shape(const Shape& shape) noexcept { shape_ = shape; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] const Tree& tree() const noexcept { return *tree_; }
  [[nodiscard]] const Costs& costs() const noexcept { return costs_; }
  // Starts counting anew; the tree stays.
  void ResetCosts() noexcept { costs_ = {}; }

  // A table that spans all keys, so that any two overlap.
  static TableMeta FullRangeTable(uint64_t number, uint64_t entries) noexcept;

 private:
  LevelCosts& CostsOf(uint32_t level) noexcept;

  Shape shape_;
  PickerOptions options_;
  TreePtr tree_;
  Costs costs_;
  uint64_t next_flush_ = uint64_t{1} << 32;
  uint64_t next_id_ = uint64_t{1} << 32;
};

}  // namespace lamina

#endif  // LAMINA_COMPACTION_SIMULATE_H_
