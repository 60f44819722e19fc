#include "compaction/levels.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/compaction/tree_fixture.h"

namespace lamina {
namespace {

using testing::MakeRun;
using testing::TableOver;
using testing::TreeOf;

std::string ErrorOf(const Tree& tree, const TreeEdit& edit) {
  const Result<TreePtr> next = tree.Apply(edit);
  return next.ok() ? "" : std::string(next.status().message());
}

TEST_CASE("an edit makes a new tree and leaves the old one as it was") {
  const TreePtr tree = TreeOf({{10}, {20, 30}});
  TreeEdit edit;
  edit.remove_runs = {1, 2};
  edit.add_runs.push_back(MakeRun(7, 1, 999, 1000, {TableOver(50, 1, 2, 30)}));
  const Result<TreePtr> next = tree->Apply(edit);
  REQUIRE(next.ok());
  CHECK(tree->run_count() == 3);
  CHECK(tree->entries() == 60);
  CHECK((*next)->run_count() == 2);
  CHECK((*next)->level(0).runs.empty());
  CHECK((*next)->level(1).runs[0]->id == 7);
  CHECK((*next)->level(1).runs[1]->id == 3);
  CHECK((*next)->FindRun(3) == tree->FindRun(3));  // shared, not copied
  CHECK((*next)->FindRun(1) == nullptr);
  CHECK((*next)->Check().ok());
}

TEST_CASE("a tree sums its runs and walks them newest first") {
  const TreePtr tree = TreeOf({{1, 2}, {}, {4, 8}});
  CHECK(tree->entries() == 15);
  CHECK(tree->bytes() == 15 * 40);
  CHECK(tree->table_count() == 4);
  CHECK(tree->last_level() == 2);
  CHECK(tree->level(1).runs.empty());
  CHECK(tree->level(9).runs.empty());
  uint64_t id = 0;
  for (const RunPtr& run : tree->RunsNewestFirst()) CHECK(run->id == ++id);
  CHECK(id == 4);
}

TEST_CASE("a tree has no trailing empty levels") {
  const TreePtr tree = TreeOf({{1}, {}, {4}});
  TreeEdit edit;
  edit.remove_runs = {2};
  CHECK((*tree->Apply(edit))->last_level() == 0);
  edit.remove_runs = {1, 2};
  CHECK((*tree->Apply(edit))->levels().empty());
}

TEST_CASE("a run placed by an edit lies where its flushes belong in its level") {
  const TreePtr tree = TreeOf({{}, {1, 1, 1}});  // flushes 1000, 999, 998
  TreeEdit edit;
  edit.remove_runs = {2};
  edit.add_runs.push_back(MakeRun(8, 1, 999, 999, {TableOver(50, 1, 2)}));
  const TreePtr next = *tree->Apply(edit);
  CHECK(next->level(1).runs[0]->id == 1);
  CHECK(next->level(1).runs[1]->id == 8);
  CHECK(next->level(1).runs[2]->id == 3);
}

TEST_CASE("a run may move to another level under its own id") {
  const TreePtr tree = TreeOf({{5}, {1}});
  Run moved = *tree->FindRun(1);
  moved.level = 1;
  TreeEdit edit;
  edit.remove_runs = {1};
  edit.add_runs.push_back(moved);
  const TreePtr next = *tree->Apply(edit);
  CHECK(next->level(0).runs.empty());
  CHECK(next->level(1).runs[0]->id == 1);
}

TEST_CASE("an output without tables adds no run") {
  const TreePtr tree = TreeOf({{5}, {1}});
  TreeEdit edit;
  edit.remove_runs = {1};
  edit.add_runs.push_back(MakeRun(9, 1, 1000, 1000, {}));
  CHECK((*tree->Apply(edit))->run_count() == 1);
}

TEST_CASE("tables are replaced within a run, which goes when none is left") {
  TreeEdit first;
  first.add_runs.push_back(
      MakeRun(1, 1, 1, 1, {TableOver(11, 0, 9), TableOver(12, 10, 19), TableOver(13, 20, 29)}));
  const TreePtr tree = *Tree().Apply(first);

  TreeEdit edit;
  edit.change_runs.push_back({.run = 1, .remove = {12}, .add = {TableOver(14, 11, 18, 40)}});
  const TreePtr next = *tree->Apply(edit);
  const RunPtr run = next->FindRun(1);
  REQUIRE(run->tables.size() == 3);
  CHECK(run->tables[1].number == 14);
  CHECK(run->entries == 240);
  CHECK(tree->FindRun(1)->entries == 300);

  TreeEdit all;
  all.change_runs.push_back({.run = 1, .remove = {11, 13, 14}, .add = {}});
  CHECK((*next->Apply(all))->run_count() == 0);
}

TEST_CASE("an edit that does not fit its tree is refused with what is wrong") {
  TreeEdit two_tables;
  two_tables.add_runs.push_back(
      MakeRun(1, 1, 10, 20, {TableOver(11, 0, 9), TableOver(12, 10, 19)}));
  const TreePtr tree = *Tree().Apply(two_tables);
  const auto with_run = [](Run run) {
    TreeEdit edit;
    edit.add_runs.push_back(std::move(run));
    return edit;
  };

  TreeEdit unknown_run;
  unknown_run.remove_runs = {2};
  CHECK_THAT(ErrorOf(*tree, unknown_run), Catch::Contains("removes run 2"));
  TreeEdit unknown_change;
  unknown_change.change_runs.push_back({.run = 5, .remove = {}, .add = {}});
  CHECK_THAT(ErrorOf(*tree, unknown_change), Catch::Contains("changes run 5"));
  TreeEdit unknown_table;
  unknown_table.change_runs.push_back({.run = 1, .remove = {99}, .add = {}});
  CHECK_THAT(ErrorOf(*tree, unknown_table), Catch::Contains("removes table 99"));
  TreeEdit overlapping_table;
  overlapping_table.change_runs.push_back({.run = 1, .remove = {11}, .add = {TableOver(9, 0, 10)}});
  CHECK_THAT(ErrorOf(*tree, overlapping_table), Catch::Contains("overlaps"));

  CHECK_THAT(ErrorOf(*tree, with_run(MakeRun(1, 1, 30, 30, {TableOver(15, 0, 1)}))),
             Catch::Contains("already"));
  CHECK_THAT(ErrorOf(*tree, with_run(MakeRun(2, 0, 20, 30, {TableOver(15, 0, 1)}))),
             Catch::Contains("run 1 of level 1 with flushes 10 to 20 meets run 2 of level 0"));
  CHECK_THAT(ErrorOf(*tree, with_run(MakeRun(2, 3, 12, 15, {TableOver(15, 0, 1)}))),
             Catch::Contains("meets"));
  CHECK_THAT(ErrorOf(*tree, with_run(MakeRun(2, 0, 31, 30, {TableOver(15, 0, 1)}))),
             Catch::Contains("spans"));
  CHECK_THAT(
      ErrorOf(*tree, with_run(MakeRun(2, 0, 30, 30, {TableOver(15, 5, 9), TableOver(16, 9, 12)}))),
      Catch::Contains("overlaps"));
  CHECK_THAT(ErrorOf(*tree, with_run(MakeRun(2, 0, 30, 30, {TableOver(15, 5, 4)}))),
             Catch::Contains("end before they begin"));
  CHECK_THAT(ErrorOf(*tree, with_run(MakeRun(2, kMaxLevels + 1, 1, 2, {TableOver(15, 5, 6)}))),
             Catch::Contains("deeper"));
  Run wrong_sum = MakeRun(2, 0, 30, 30, {TableOver(15, 5, 6)});
  ++wrong_sum.entries;
  CHECK_THAT(ErrorOf(*tree, with_run(wrong_sum)), Catch::Contains("sum"));
  CHECK(tree->Check().ok());
}

TEST_CASE("one table number in two runs is found by a check of the whole tree") {
  TreeEdit edit;
  edit.add_runs.push_back(MakeRun(1, 1, 1, 1, {TableOver(11, 0, 9)}));
  edit.add_runs.push_back(MakeRun(2, 1, 2, 2, {TableOver(11, 0, 9)}));
  const Status status = (*Tree().Apply(edit))->Check();
  CHECK_THAT(std::string(status.message()), Catch::Contains("table 11 is in the tree twice"));
}

}  // namespace
}  // namespace lamina
