// Trees built by hand, for tests of levels and picker.
#ifndef LAMINA_TESTS_COMPACTION_TREE_FIXTURE_H_
#define LAMINA_TESTS_COMPACTION_TREE_FIXTURE_H_

#include <catch2/catch.hpp>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "compaction/levels.h"
#include "compaction/simulate.h"

namespace lamina::testing {

// A table over the anchors [first, last].
inline TableMeta TableOver(uint64_t number, uint64_t first, uint64_t last, uint64_t entries = 100) {
  TableMeta table = CompactionSimulator::FullRangeTable(number, entries);
  table.smallest.anchor = {first, 0};
  table.largest.anchor = {last, 0};
  return table;
}

inline Run MakeRun(RunId id, uint32_t level, uint64_t oldest, uint64_t newest,
                   std::vector<TableMeta> tables) {
  Run run;
  run.id = id;
  run.level = level;
  run.oldest_flush = oldest;
  run.newest_flush = newest;
  run.tables = std::move(tables);
  run.Summarize();
  return run;
}

// Runs of these sizes in each level, given from level 0 down and newest first. Run ids count from
// 1 in that order, each run being one table (numbers from 1001) over all keys.
inline TreePtr TreeOf(std::vector<std::vector<uint64_t>> levels) {
  TreeEdit edit;
  RunId id = 1;
  uint64_t flush = 1000;
  for (uint32_t level = 0; level < levels.size(); ++level) {
    for (const uint64_t entries : levels[level]) {
      edit.add_runs.push_back(MakeRun(id, level, flush, flush,
                                      {CompactionSimulator::FullRangeTable(1000 + id, entries)}));
      ++id;
      --flush;
    }
  }
  Result<TreePtr> tree = Tree().Apply(edit);
  REQUIRE(tree.ok());
  return *tree;
}

inline std::vector<RunId> InputIds(const Job& job) {
  std::vector<RunId> ids;
  for (const JobInput& input : job.inputs) ids.push_back(input.run->id);
  return ids;
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_COMPACTION_TREE_FIXTURE_H_
