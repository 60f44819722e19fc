// The tree as values: tables make runs, runs make levels, and an edit turns one tree into the next.
//
// A Tree is immutable and holds its runs by shared pointer, so that a version of the store keeps
// one, readers keep reading the one they hold, and an edit copies pointers only. Pure: no files, no
// locks.
//
// Order. Flushes are numbered from 1 in the order of their checkpoints. A run holds the flushes of
// an interval [oldest_flush, newest_flush], no two runs' intervals meet, and a level's runs lie
// newest first; Apply checks that. What lies in a deeper level is older, except while a job takes
// old runs down past a level into which newer ones have come meanwhile, and for a while after
// such a job has failed: so lookups and merges go by intervals, never by levels.
#ifndef LAMINA_COMPACTION_LEVELS_H_
#define LAMINA_COMPACTION_LEVELS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "compaction/shape.h"
#include "engine/base/status.h"
#include "engine/index/table_builder.h"

namespace lamina {

using RunId = uint64_t;
// TableMeta::number.
using TableNumber = uint64_t;

// A sorted sequence of tables that do not overlap. Immutable once in a tree.
struct Run {
  RunId id = 0;
  uint32_t level = 0;
  uint64_t oldest_flush = 0;
  uint64_t newest_flush = 0;
  std::vector<TableMeta> tables;  // ascending; never empty in a tree

  // Sums over the tables. Summarize computes them; whoever changes `tables` calls it.
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of the files, filters included
  uint64_t filter_bits = 0;

  void Summarize() noexcept;
  // Sorted, no overlap, intervals in order, sums right. kCorruption naming run and table.
  [[nodiscard]] Status Check() const noexcept;
};
using RunPtr = std::shared_ptr<const Run>;

struct Level {
  std::vector<RunPtr> runs;  // newest first

  [[nodiscard]] uint64_t entries() const noexcept;
  [[nodiscard]] uint64_t bytes() const noexcept;
  [[nodiscard]] uint64_t filter_bits() const noexcept;
};

// What one edit changes. A run that moves to another level unchanged is removed and added again
// under the same id.
struct TreeEdit {
  // Rewrites some tables of a run in place; the run keeps its id, level and interval. A run left
  // without tables goes.
  struct TableChange {
    RunId run = 0;
    std::vector<TableNumber> remove;
    std::vector<TableMeta> add;
  };
  std::vector<RunId> remove_runs;
  std::vector<Run> add_runs;  // those without tables are skipped: all their entries were dead
  std::vector<TableChange> change_runs;

  [[nodiscard]] bool empty() const noexcept {
    return remove_runs.empty() && add_runs.empty() && change_runs.empty();
  }
};

class Tree;
using TreePtr = std::shared_ptr<const Tree>;

class Tree {
 public:
  Tree() noexcept = default;

  // levels()[0] holds flushed runs that level 1 has not yet taken in; levels()[i] is level i. No
  // trailing empty levels.
  [[nodiscard]] std::span<const Level> levels() const noexcept { return levels_; }
  // An empty level when there is none of this number.
  [[nodiscard]] const Level& level(uint32_t number) const noexcept;
  // The deepest level with a run; 0 when there is none below level 0.
  [[nodiscard]] uint32_t last_level() const noexcept;
  // All runs by their intervals, newest first: the order in which lookups ask them.
  [[nodiscard]] std::vector<RunPtr> RunsNewestFirst() const noexcept;
  [[nodiscard]] RunPtr FindRun(RunId id) const noexcept;  // nullptr when there is none

  [[nodiscard]] size_t run_count() const noexcept;
  [[nodiscard]] size_t table_count() const noexcept;
  [[nodiscard]] uint64_t entries() const noexcept;
  [[nodiscard]] uint64_t bytes() const noexcept;
  [[nodiscard]] uint64_t filter_bits() const noexcept;

  // The tree after an edit; this one stays as it is. kCorruption, naming run or table, when the
  // edit does not fit this tree (unknown ids, order broken, overlap): edits may come from a
  // manifest.
  [[nodiscard]] Result<TreePtr> Apply(const TreeEdit& edit) const noexcept;

  // Everything that Apply promises, over the whole tree: each run's Check, the order of intervals,
  // levels as the runs say, unique ids of runs and tables.
  [[nodiscard]] Status Check() const noexcept;

 private:
  [[nodiscard]] Status Remove(std::span<const RunId> runs) noexcept;
  [[nodiscard]] Status Change(const TreeEdit::TableChange& change) noexcept;
  [[nodiscard]] Status Add(const Run& run) noexcept;
  [[nodiscard]] Status CheckOrder() const noexcept;

  std::vector<Level> levels_;
};

}  // namespace lamina

#endif  // LAMINA_COMPACTION_LEVELS_H_
