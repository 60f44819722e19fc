// A tree of runs without keys: what the engine's spill rule does to sizes, run by run, and what it
// costs. Formulas are compared with it.
//
// The T-th batch into a level merges with all of it straight into the next; until then a batch
// joins the newest run while that has room, and starts a new one otherwise. Filters are fixed when
// a run is written. The shape may change at any time: it is followed at the next merges, lazily.
#ifndef LAMINA_TESTS_TUNER_GROWING_TREE_H_
#define LAMINA_TESTS_TUNER_GROWING_TREE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tuner/cost_model.h"
#include "tuner/filter_allocation.h"
#include "tuner/filter_plan.h"

namespace lamina::tuner {

class GrowingTree {
 public:
  struct Run {
    uint64_t entries = 0;
    uint64_t bits = 0;
  };

  explicit GrowingTree(const TreeShape& its_shape) : shape(its_shape) {}

  TreeShape shape;
  double entry_bytes = 40;
  FprCurve curve = FprCurve::Ideal();
  // Entries beyond so many have died, the oldest first. Merges of the deepest level drop them; when
  // there are 1.5 times as many, tables are rewritten for it.
  uint64_t max_entries = UINT64_MAX / 2;

  std::vector<std::vector<Run>> levels;  // level 0 first; oldest run first
  uint64_t flushed_entries = 0;
  uint64_t written_entries = 0;  // by flushes and merges
  uint64_t read_entries = 0;     // by merges
  uint64_t level_entries = 0;    // what levels took in: like written, but for flush and moves

  void Flush() {
    uint64_t incoming = MemtableEntries();
    flushed_entries += incoming;
    written_entries += incoming;
    for (size_t level = 0;; ++level) {
      if (levels.size() == level) levels.emplace_back();
      const uint64_t here = EntriesOf(level);
      if (static_cast<double>(here + incoming) <= Capacity(level)) {
        Join(level, incoming);
        break;
      }
      // The flushed table is read back with what it merges with first.
      if (level == 0) read_entries += incoming;
      read_entries += here;
      incoming += here;
      levels[level].clear();
      if (level + 1 < levels.size()) continue;
      incoming = std::min(incoming, max_entries);
      if (static_cast<double>(incoming) <= Capacity(level)) {
        Write(level, incoming);
        break;
      }
    }
    if (static_cast<double>(Entries()) > 1.5 * static_cast<double>(max_entries)) DropDead();
  }

  // Merges what breaks the limits of the shape now, instead of at the next batch.
  void ApplyShape() {
    for (size_t level = 0; level < levels.size(); ++level) {
      const uint64_t here = EntriesOf(level);
      const bool too_large = static_cast<double>(here) > Capacity(level);
      if (here == 0 || (levels[level].size() <= MostRuns(level) && !too_large)) continue;
      levels[level].clear();
      read_entries += here;
      if (too_large && level + 1 == levels.size()) levels.emplace_back();
      if (too_large) {
        Join(level + 1, here);
      } else {
        Write(level, here);
      }
    }
  }

  uint64_t MemtableEntries() const {
    return static_cast<uint64_t>(static_cast<double>(shape.memtable_bytes) / entry_bytes);
  }
  uint64_t EntriesOf(size_t level) const {
    uint64_t sum = 0;
    for (const Run& run : levels[level]) sum += run.entries;
    return sum;
  }
  uint64_t Entries() const {
    uint64_t sum = 0;
    for (size_t i = 0; i < levels.size(); ++i) sum += EntriesOf(i);
    return sum;
  }
  uint64_t FilterBits() const {
    uint64_t bits = 0;
    for (const auto& level : levels) {
      for (const Run& run : level) bits += run.bits;
    }
    return bits;
  }
  std::vector<FilterRun> Runs() const {
    std::vector<FilterRun> runs;
    for (const auto& level : levels) {
      for (const Run& run : level) runs.push_back({.entries = run.entries});
    }
    return runs;
  }
  double WritesPerEntry() const {
    return static_cast<double>(written_entries) / static_cast<double>(flushed_entries);
  }
  double ReadsPerEntry() const {
    return static_cast<double>(read_entries) / static_cast<double>(flushed_entries);
  }
  double LevelCopiesPerEntry() const {
    return static_cast<double>(level_entries) / static_cast<double>(flushed_entries);
  }
  // What the tuner is told.
  TreeState State() const {
    TreeState state;
    for (const auto& level : levels) {
      LevelState& out = state.levels.emplace_back();
      for (auto run = level.rbegin(); run != level.rend(); ++run) {
        const auto entries = static_cast<double>(run->entries);
        out.runs.push_back(
            {.entries = entries, .filter_bits_per_key = static_cast<double>(run->bits) / entries});
      }
    }
    return state;
  }

 private:
  double Capacity(size_t level) const {
    return LevelCapacity(shape, entry_bytes, static_cast<uint32_t>(level)) * (1 + 1e-6);
  }
  uint32_t MostRuns(size_t level) const {
    return shape.RunsAt(static_cast<uint32_t>(level), static_cast<uint32_t>(levels.size()));
  }

  // A batch that fits into its level.
  void Join(size_t level, uint64_t incoming) {
    std::vector<Run>& runs = levels[level];
    const uint32_t most = MostRuns(level);
    const double batch = BatchEntries(shape, entry_bytes, static_cast<uint32_t>(level));
    const auto merge_newest = [&] {
      read_entries += runs.back().entries;
      incoming += runs.back().entries;
      runs.pop_back();
    };
    if (!runs.empty() && runs.size() <= most) {
      const auto batches = std::llround(static_cast<double>(runs.back().entries) / batch);
      const auto newest = static_cast<uint32_t>(runs.size() - 1);
      if (batches < BatchesOfRun(shape.size_ratio - 1, most, newest)) merge_newest();
    }
    while (runs.size() >= most) merge_newest();
    const bool moved = level == 0 && incoming == MemtableEntries();
    if (level == 0 && !moved) read_entries += MemtableEntries();
    // The oldest entries are all here, and a merge finds the dead.
    if (level + 1 == levels.size() && runs.empty() && !moved) {
      const uint64_t others = Entries();
      incoming = std::min(incoming, max_entries - std::min(max_entries, others));
    }
    Write(level, incoming, moved);
  }

  void DropDead() {
    uint64_t dead = Entries() - max_entries;
    while (dead > 0) {
      std::vector<Run>& deepest = levels.back();
      if (deepest.empty()) {
        levels.pop_back();
        continue;
      }
      const Run oldest = deepest.front();
      deepest.erase(deepest.begin());
      if (oldest.entries <= dead) {
        dead -= oldest.entries;
        continue;
      }
      read_entries += oldest.entries;
      Write(levels.size() - 1, oldest.entries - dead);
      std::rotate(deepest.begin(), deepest.end() - 1, deepest.end());
      dead = 0;
    }
  }

  // `moved`: a flushed table becomes a run as it is.
  void Write(size_t target, uint64_t entries, bool moved = false) {
    if (!moved) written_entries += entries;
    level_entries += entries;
    std::vector<WrittenFilterRun> remaining;
    std::vector<uint64_t> entries_of(levels.size(), 0);
    for (size_t i = 0; i < levels.size(); ++i) {
      entries_of[i] = EntriesOf(i);
      for (const Run& run : levels[i]) {
        remaining.push_back({.run = {.entries = run.entries}, .bits = run.bits});
      }
    }
    entries_of[target] += entries;
    const std::vector<FilterRun> fresh = {{.entries = entries}};
    const auto allocation = AllocateNewFilters(
        remaining, fresh, RunsToCome(shape, entry_bytes, entries_of, max_entries + max_entries / 2),
        shape.filter_bits, shape.filter_bits, curve);
    levels[target].push_back({.entries = entries, .bits = allocation.total_bits});
  }
};

}  // namespace lamina::tuner

#endif  // LAMINA_TESTS_TUNER_GROWING_TREE_H_
