#include "compaction/picker.h"

#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <vector>

#include "tests/compaction/tree_fixture.h"

namespace lamina {
namespace {

using testing::InputIds;
using testing::MakeRun;
using testing::TableOver;
using testing::TreeOf;

const PickerOptions kHundred{.batch_entries = 100};

std::optional<Job> Pick(const TreePtr& tree, const Shape& shape,
                        const JobsInFlight& in_flight = {}) {
  return PickCompaction(*tree, shape, kHundred, in_flight);
}

TEST_CASE("a tree without flushed runs needs nothing, however full its levels") {
  CHECK_FALSE(Pick(TreeOf({}), Shape::Leveling(4)));
  CHECK_FALSE(Pick(TreeOf({{}, {300}, {900000}}), Shape::Leveling(4)));
}

TEST_CASE("a batch that need not be merged is moved as it is") {
  const std::optional<Job> job = Pick(TreeOf({{100}, {100, 100}}), Shape::Tiering(4));
  REQUIRE(job);
  CHECK(job->kind == Job::Kind::kMove);
  CHECK(job->reason == Job::Reason::kBatch);
  CHECK(job->target_level == 1);
  CHECK_FALSE(job->merges_target);
  CHECK(InputIds(*job) == std::vector<RunId>{1});
}

TEST_CASE("with leveling a batch merges with the run of level 1") {
  const std::optional<Job> job = Pick(TreeOf({{100}, {200}}), Shape::Leveling(4));
  REQUIRE(job);
  CHECK(job->kind == Job::Kind::kMerge);
  CHECK(job->target_level == 1);
  CHECK(job->merges_target);
  CHECK(InputIds(*job) == std::vector<RunId>{1, 2});
}

TEST_CASE("the T-th batch merges straight through with all that the level held") {
  const std::optional<Job> job = Pick(TreeOf({{100}, {100, 100, 100}, {400}}), Shape::Tiering(4));
  REQUIRE(job);
  CHECK(job->reason == Job::Reason::kSpill);
  CHECK(job->target_level == 2);
  CHECK_FALSE(job->merges_target);  // a second run begins there
  CHECK(InputIds(*job) == std::vector<RunId>{1, 2, 3, 4});
}

TEST_CASE("a batch passes through as many full levels as there are") {
  const std::optional<Job> job = Pick(TreeOf({{100}, {300}, {1200}, {1600}}), Shape::Leveling(4));
  REQUIRE(job);
  CHECK(job->target_level == 3);
  CHECK(InputIds(*job) == std::vector<RunId>{1, 2, 3, 4});
  CHECK(job->merges_target);
}

TEST_CASE("with lazy leveling only the last level merges into its run") {
  const std::optional<Job> last = Pick(TreeOf({{100}, {100, 100, 100}, {400}}), Shape::Lazy(4));
  REQUIRE(last);
  CHECK(last->target_level == 2);
  CHECK(InputIds(*last) == std::vector<RunId>{1, 2, 3, 4, 5});
  const std::optional<Job> upper =
      Pick(TreeOf({{100}, {100, 100, 100}, {400}, {1600}}), Shape::Lazy(4));
  REQUIRE(upper);
  CHECK(InputIds(*upper) == std::vector<RunId>{1, 2, 3, 4});
}

TEST_CASE("a batch merges with the newest run while that run's share lasts") {
  const Shape shape{.size_ratio = 10, .run_caps = {3}, .last_run_cap = 0};
  CHECK(InputIds(*Pick(TreeOf({{100}, {200}}), shape)) == std::vector<RunId>{1, 2});
  CHECK(InputIds(*Pick(TreeOf({{100}, {300}}), shape)) == std::vector<RunId>{1});
  CHECK(InputIds(*Pick(TreeOf({{100}, {200, 300}}), shape)) == std::vector<RunId>{1, 2});
  CHECK(InputIds(*Pick(TreeOf({{100}, {300, 300}}), shape)) == std::vector<RunId>{1});
  CHECK(InputIds(*Pick(TreeOf({{100}, {200, 300, 300}}), shape)) == std::vector<RunId>{1, 2});
  CHECK(Pick(TreeOf({{100}, {300, 300, 300}}), shape)->target_level == 2);
}

TEST_CASE("batches need not be of one size") {
  // 3.3 batches are within 3 and a half; 3.6 are not.
  CHECK(Pick(TreeOf({{110}, {220}}), Shape::Leveling(4))->target_level == 1);
  CHECK(Pick(TreeOf({{140}, {220}}), Shape::Leveling(4))->target_level == 2);
  // A backlog larger than level 1 goes past it.
  CHECK(Pick(TreeOf({{100, 100, 100, 100, 100}, {}}), Shape::Leveling(4))->target_level == 2);
}

TEST_CASE("small flushes wait, and are merged among themselves when there are many") {
  CHECK_FALSE(Pick(TreeOf({{10, 10, 10}, {300}}), Shape::Leveling(4)));
  const std::optional<Job> job = Pick(TreeOf({{10, 10, 10, 10}, {300}}), Shape::Leveling(4));
  REQUIRE(job);
  CHECK(job->reason == Job::Reason::kSmallFlushes);
  CHECK(job->target_level == 0);
  CHECK(InputIds(*job) == std::vector<RunId>{1, 2, 3, 4});
  CHECK(Pick(TreeOf({{10, 40}, {100}}), Shape::Leveling(4))->target_level == 1);
}

TEST_CASE("a lowered run cap is applied by the next batch into the level") {
  const TreePtr tree = TreeOf({{}, {100, 100, 100, 100}});
  CHECK_FALSE(Pick(tree, Shape::Leveling(10)));
  const TreePtr fed = TreeOf({{100}, {100, 100, 100, 100}});
  CHECK(InputIds(*Pick(fed, Shape::Leveling(10))) == std::vector<RunId>{1, 2, 3, 4, 5});
  const Shape two{.size_ratio = 10, .run_caps = {2}, .last_run_cap = 0};
  CHECK(InputIds(*Pick(fed, two)) == std::vector<RunId>{1, 2, 3, 4});
}

TEST_CASE("a lowered size ratio is applied by the next batch into the level") {
  const std::optional<Job> job = Pick(TreeOf({{100}, {800}}), Shape::Leveling(4));
  REQUIRE(job);
  CHECK(job->target_level == 2);
  CHECK(InputIds(*job) == std::vector<RunId>{1, 2});
}

TEST_CASE("a raised run cap lets the next batch begin a run") {
  CHECK(InputIds(*Pick(TreeOf({{100}, {400}}), Shape::Tiering(10))) == std::vector<RunId>{1});
}

TEST_CASE("runs that a job takes away count as gone, and its target is closed") {
  const TreePtr tree = TreeOf({{100}, {100, 100, 100}, {400}});
  const std::optional<Job> spill = Pick(tree, Shape::Tiering(4));
  JobsInFlight in_flight;
  in_flight.Add(*spill);
  CHECK_FALSE(Pick(tree, Shape::Tiering(4), in_flight));

  // The next flush begins level 1 anew, beside the runs that are leaving.
  TreeEdit flush;
  flush.add_runs.push_back(
      MakeRun(50, 0, 2000, 2000, {CompactionSimulator::FullRangeTable(50, 100)}));
  const TreePtr fed = *tree->Apply(flush);
  const std::optional<Job> move = Pick(fed, Shape::Tiering(4), in_flight);
  REQUIRE(move);
  CHECK(move->kind == Job::Kind::kMove);
  CHECK(move->target_level == 1);

  // One too large for level 1 must not overtake the job that writes level 2.
  TreeEdit large;
  large.add_runs.push_back(
      MakeRun(51, 0, 2001, 2001, {CompactionSimulator::FullRangeTable(51, 500)}));
  CHECK_FALSE(Pick(*fed->Apply(large), Shape::Tiering(4), in_flight));
  in_flight.Remove(*spill);
  CHECK(in_flight.empty());
  CHECK(Pick(*fed->Apply(large), Shape::Tiering(4), in_flight));
}

TEST_CASE("runs that a failed job leaves above newer ones take those along") {
  // Flush 5 came back to level 0 after 6 and 7 had gone to levels 1 and 2.
  TreeEdit edit;
  const auto add = [&](RunId id, uint32_t level, uint64_t flush) {
    edit.add_runs.push_back(
        MakeRun(id, level, flush, flush, {CompactionSimulator::FullRangeTable(100 + id, 100)}));
  };
  add(1, 0, 8);
  add(2, 0, 5);
  add(3, 1, 7);
  add(4, 2, 6);
  add(5, 2, 4);
  const TreePtr tree = *Tree().Apply(edit);
  const std::optional<Job> job = Pick(tree, Shape::Tiering(10));
  REQUIRE(job);
  CHECK(job->target_level == 2);
  CHECK(InputIds(*job) == std::vector<RunId>{1, 3, 4, 2});
  CHECK(job->newest_flush() == 8);
  CHECK(job->oldest_flush() == 5);
  CHECK((*tree->Apply(EditFor(*job, 9, {TableOver(30, 0, 5)})))->Check().ok());
  // While another job has one of them, they wait.
  JobsInFlight in_flight;
  Job other;
  other.inputs = {{tree->FindRun(3), 0, 1}};
  other.target_level = 5;
  in_flight.Add(other);
  CHECK_FALSE(Pick(tree, Shape::Tiering(10), in_flight));
}

TEST_CASE("an eager pick brings levels within a lowered shape, upper levels first") {
  const TreePtr tree = TreeOf({{}, {100, 100, 100}, {400, 400}});
  CHECK_FALSE(PickEager(*tree, Shape::Tiering(4), kHundred, {}));
  const std::optional<Job> upper = PickEager(*tree, Shape::Leveling(4), kHundred, {});
  REQUIRE(upper);
  CHECK(upper->reason == Job::Reason::kRunCap);
  CHECK(upper->target_level == 1);
  CHECK(InputIds(*upper) == std::vector<RunId>{1, 2, 3});
  const std::optional<Job> lower =
      PickEager(*TreeOf({{}, {300}, {400, 400}}), Shape::Leveling(4), kHundred, {});
  REQUIRE(lower);
  CHECK(lower->target_level == 2);
  const std::optional<Job> full =
      PickEager(*TreeOf({{}, {700}, {400}}), Shape::Leveling(4), kHundred, {});
  REQUIRE(full);
  CHECK(full->reason == Job::Reason::kCapacity);
  CHECK(full->target_level == 2);
  CHECK(InputIds(*full) == std::vector<RunId>{1, 2});
  JobsInFlight in_flight;
  in_flight.Add(*upper);
  CHECK(PickEager(*tree, Shape::Leveling(4), kHundred, in_flight)->target_level == 2);
}

TEST_CASE("an eager pick merges a tree that is deeper than what is alive in it needs") {
  // 900 of 1500 entries are alive: level 2 holds 1200.
  const TreePtr tree = TreeOf({{}, {100}, {600}, {800}});
  PickerOptions options = kHundred;
  CHECK_FALSE(PickEager(*tree, Shape::Leveling(4), options, {}));
  options.live_entries = 900;
  const std::optional<Job> job = PickEager(*tree, Shape::Leveling(4), options, {});
  REQUIRE(job);
  CHECK(job->kind == Job::Kind::kMerge);
  CHECK(job->reason == Job::Reason::kCapacity);
  CHECK(job->target_level == 2);
  CHECK(InputIds(*job) == std::vector<RunId>{2, 3});
  // Several runs may stay where they are, and 1000 would not stay there.
  CHECK_FALSE(PickEager(*tree, Shape::Tiering(4), options, {}));
  options.live_entries = 1000;
  CHECK_FALSE(PickEager(*tree, Shape::Leveling(4), options, {}));
}

TEST_CASE("a last level of one run moves up over empty levels to where it has room to spare") {
  const auto lift = [](const TreePtr& tree, const Shape& shape,
                       const JobsInFlight& in_flight = {}) {
    return PickLift(*tree, shape, kHundred, in_flight);
  };
  const TreePtr tree = TreeOf({{}, {100}, {}, {}, {900}});
  const std::optional<Job> job = lift(tree, Shape::Leveling(4));
  REQUIRE(job);
  CHECK(job->kind == Job::Kind::kMove);
  CHECK(job->reason == Job::Reason::kLift);
  CHECK(job->target_level == 2);  // 900 of 1200
  CHECK(InputIds(*job) == std::vector<RunId>{2});
  const auto lifted = tree->Apply(EditFor(*job, 9, {}));
  REQUIRE(lifted.ok());
  CHECK((*lifted)->Check().ok());
  CHECK((*lifted)->last_level() == 2);
  CHECK_FALSE(lift(*lifted, Shape::Leveling(4)));

  CHECK_FALSE(lift(TreeOf({{}, {}, {}, {1000}}), Shape::Leveling(4)));  // of 1200
  CHECK_FALSE(lift(TreeOf({{}, {100}, {100}, {100}}), Shape::Leveling(4)));
  CHECK_FALSE(lift(TreeOf({{}, {100}, {}, {50, 50}}), Shape::Leveling(4)));
  CHECK_FALSE(lift(TreeOf({{}, {100}, {}, {100}}), Shape::Tiering(4)));
  CHECK(lift(TreeOf({{}, {100}, {}, {100}}), Shape::Lazy(4)));
  JobsInFlight in_flight;
  in_flight.Add(*job);
  CHECK_FALSE(lift(tree, Shape::Leveling(4), in_flight));
  CHECK_FALSE(lift(TreeOf({}), Shape::Leveling(4)));
}

TEST_CASE("a full compaction takes everything to the smallest level that holds it, alone") {
  const TreePtr tree = TreeOf({{10}, {100, 100}, {}, {700}});
  const std::optional<Job> job = PickFull(*tree, Shape::Leveling(4), kHundred, {});
  REQUIRE(job);
  CHECK(job->kind == Job::Kind::kMerge);
  CHECK(job->target_level == 2);  // 910 of 1200
  CHECK(InputIds(*job) == std::vector<RunId>{1, 2, 3, 4});
  JobsInFlight in_flight;
  in_flight.Add(*job);
  CHECK_FALSE(PickFull(*tree, Shape::Leveling(4), kHundred, in_flight));
  CHECK_FALSE(PickFull(*TreeOf({}), Shape::Leveling(4), kHundred, {}));
  // Even one run is rewritten, for its dead entries.
  CHECK(PickFull(*TreeOf({{}, {100}}), Shape::Leveling(4), kHundred, {})->kind ==
        Job::Kind::kMerge);
}

TEST_CASE("garbage jobs rewrite the emptiest table and neighbours that are half as dead") {
  TreeEdit edit;
  edit.add_runs.push_back(MakeRun(1, 1, 2, 2, {TableOver(11, 0, 9)}));
  edit.add_runs.push_back(MakeRun(
      2, 2, 1, 1,
      {TableOver(21, 0, 9), TableOver(22, 10, 19), TableOver(23, 20, 29), TableOver(24, 30, 39)}));
  const TreePtr tree = *Tree().Apply(edit);
  std::map<uint64_t, uint64_t> dead = {{11, 50}, {21, 30}, {22, 50}, {23, 90}, {24, 44}};
  const DeadEntries dead_entries = [&](const TableMeta& t) { return dead[t.number]; };

  CHECK_FALSE(PickGarbage(*tree, 400, dead_entries, kHundred, {}));  // 500 of 600
  const std::optional<Job> job = PickGarbage(*tree, 300, dead_entries, kHundred, {});
  REQUIRE(job);
  CHECK(job->kind == Job::Kind::kRewrite);
  CHECK(job->inputs[0].run->id == 2);
  CHECK(job->inputs[0].first_table == 1);
  CHECK(job->inputs[0].table_count == 2);
  CHECK(job->input_entries() == 200);

  PickerOptions small = kHundred;
  small.garbage_bytes = 4000;
  CHECK(PickGarbage(*tree, 300, dead_entries, small, {})->inputs[0].table_count == 1);
  JobsInFlight in_flight;
  in_flight.Add(*job);
  CHECK(PickGarbage(*tree, 300, dead_entries, kHundred, in_flight)->inputs[0].run->id == 1);
  dead = {{11, 9}, {21, 9}, {22, 9}, {23, 9}, {24, 9}};
  CHECK_FALSE(PickGarbage(*tree, 300, dead_entries, kHundred, {}));

  const TreePtr after = *tree->Apply(EditFor(*job, 0, {TableOver(30, 12, 28, 60)}));
  CHECK(after->FindRun(2)->tables.size() == 3);
  CHECK(after->FindRun(2)->entries == 260);
  CHECK(after->Check().ok());
}

TEST_CASE("the edit of a merge replaces its inputs by one run of their flushes") {
  const TreePtr tree = TreeOf({{100}, {200}, {300}});
  const std::optional<Job> job = Pick(tree, Shape::Leveling(4));
  const TreePtr after = *tree->Apply(EditFor(*job, 77, {TableOver(30, 0, 5, 250)}));
  const RunPtr run = after->FindRun(77);
  REQUIRE(run);
  CHECK(run->level == 1);
  CHECK(run->oldest_flush == 999);
  CHECK(run->newest_flush == 1000);
  CHECK(after->run_count() == 2);
  // All entries were dead: the inputs go and nothing comes.
  CHECK((*tree->Apply(EditFor(*job, 77, {})))->run_count() == 1);
}

TEST_CASE("a job says what it does") {
  CHECK(Pick(TreeOf({{100}, {200}}), Shape::Leveling(4))->ToString() ==
        "batch: merge 2 runs of levels 0 to 1 (300 entries, 12000 bytes) into level 1");
}

}  // namespace
}  // namespace lamina
