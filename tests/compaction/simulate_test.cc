// The picker's rules against the cost model, and against themselves under random changes of shape.
#include "compaction/simulate.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/compaction/tree_fixture.h"

namespace lamina {
namespace {

// The model: a batches split as evenly as possible over k runs, each batch merging with its run.
double Gamma(uint32_t a, uint32_t k) {
  double sum = 0;
  for (uint32_t j = 0; j < k; ++j) {
    const double m = a / k + (j < a % k ? 1 : 0);
    sum += m * (m + 1);
  }
  return sum / (2.0 * a);
}
double ModelCopies(uint32_t t, uint32_t k) { return (t - 1.0) / t * Gamma(t - 1, k); }
double ModelRuns(uint32_t t, uint32_t k) { return (t - 1.0) / t * (k + 1) / 2; }

// A little in the level that is to be the last one, so that the tree has its depth from the start.
TreePtr TreeOfDepth(uint32_t levels) {
  std::vector<std::vector<uint64_t>> sizes(levels + 1);
  sizes.back() = {1};
  return testing::TreeOf(sizes);
}

uint64_t Power(uint64_t base, uint32_t exponent) {
  uint64_t power = 1;
  while (exponent-- > 0) power *= base;
  return power;
}

constexpr uint64_t kBatch = 1000;

TEST_CASE("copies and runs are those of the closed forms") {
  for (const uint32_t t : {2u, 4u, 10u}) {
    const uint32_t levels = t == 2 ? 8 : t == 4 ? 5 : 3;
    for (const Shape& shape : {Shape::Leveling(t), Shape::Lazy(t), Shape::Tiering(t)}) {
      CAPTURE(shape.ToString());
      CompactionSimulator simulator(shape, {.batch_entries = kBatch}, TreeOfDepth(levels));
      // Whole cycles of every level.
      for (uint64_t i = 0; i < Power(t, levels); ++i) simulator.Flush(kBatch);
      double sum = 0;
      double predicted = 0;
      for (uint32_t level = 1; level <= levels; ++level) {
        CAPTURE(level);
        const uint32_t k = shape.RunCap(level, levels);
        CHECK(simulator.costs().CopiesPerEntry(level) == Approx(ModelCopies(t, k)).epsilon(0.02));
        // The little run that was there first lies in the last level before the first batch does.
        const double extra = level == levels ? 1.0 / t : 0;
        CHECK(simulator.costs().MeanRuns(level) == Approx(ModelRuns(t, k) + extra).epsilon(0.02));
        sum += simulator.costs().CopiesPerEntry(level);
        predicted += ModelCopies(t, k);
      }
      CHECK(sum == Approx(predicted).epsilon(0.02));
      // What is really written, the flush included, as picker.h states it.
      const double saved = static_cast<double>(shape.RunCap(1, levels)) / t;
      const double last_spill = 1.0;  // the final batch, which took all of it one level further
      CHECK(simulator.costs().WritesPerEntry() ==
            Approx(1 - saved + predicted + last_spill).epsilon(0.02));
    }
  }
}

TEST_CASE("the worked example of the model: 13.5, 6.3 and 2.7 copies with T = 10 and 3 levels") {
  const auto copies = [](const Shape& shape) {
    CompactionSimulator simulator(shape, {.batch_entries = kBatch}, TreeOfDepth(3));
    for (int i = 0; i < 1000; ++i) simulator.Flush(kBatch);
    double sum = 0;
    for (uint32_t level = 1; level <= 3; ++level) sum += simulator.costs().CopiesPerEntry(level);
    return sum;
  };
  CHECK(copies(Shape::Leveling(10)) == Approx(13.5).epsilon(0.02));
  CHECK(copies(Shape::Lazy(10)) == Approx(6.3).epsilon(0.02));
  CHECK(copies(Shape::Tiering(10)) == Approx(2.7).epsilon(0.02));
}

uint64_t Seed() {
  const char* given = std::getenv("LAMINA_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  return seed;
}

Shape RandomShape(std::mt19937_64& random) {
  const auto up_to = [&](uint64_t n) { return static_cast<uint32_t>(1 + random() % n); };
  Shape shape;
  shape.size_ratio = 1 + up_to(11);
  shape.run_caps.clear();
  for (uint32_t i = up_to(4); i > 0; --i) shape.run_caps.push_back(up_to(shape.size_ratio - 1));
  shape.last_run_cap = random() % 2 == 0 ? 0 : up_to(shape.size_ratio - 1);
  return shape;
}

TEST_CASE("random mixes of run caps cost what the closed forms say") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    Shape shape = RandomShape(random);
    const uint32_t t = shape.size_ratio;
    const uint32_t levels = t <= 3 ? 6 : t <= 6 ? 4 : 3;
    CAPTURE(shape.ToString());
    CompactionSimulator simulator(shape, {.batch_entries = kBatch}, TreeOfDepth(levels));
    for (uint64_t i = 0; i < Power(t, levels); ++i) simulator.Flush(kBatch);
    for (uint32_t level = 1; level <= levels; ++level) {
      const uint32_t k = shape.RunCap(level, levels);
      CAPTURE(level, k);
      CHECK(simulator.costs().CopiesPerEntry(level) == Approx(ModelCopies(t, k)).epsilon(0.02));
      const double extra = level == levels ? 1.0 / t : 0;
      if ((t - 1) % k == 0) {
        CHECK(simulator.costs().MeanRuns(level) == Approx(ModelRuns(t, k) + extra).epsilon(0.02));
      } else {
        CHECK(simulator.costs().MeanRuns(level) < ModelRuns(t, k) + extra + 0.02);
      }
    }
  }
}

TEST_CASE("batches that vary in size cost about as much as batches that do not") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (const Shape& shape : {Shape::Leveling(4), Shape::Lazy(4), Shape::Tiering(4)}) {
    CAPTURE(shape.ToString());
    CompactionSimulator simulator(shape, {.batch_entries = kBatch}, TreeOfDepth(4));
    for (int i = 0; i < 256; ++i) simulator.Flush(kBatch * (90 + random() % 21) / 100);
    for (uint32_t level = 1; level <= 3; ++level) {
      CHECK(simulator.costs().CopiesPerEntry(level) ==
            Approx(ModelCopies(4, shape.RunCap(level, 4))).epsilon(0.15));
    }
  }
}

TEST_CASE("a run cap of 1 is leveling and T - 1 is tiering, run for run") {
  const auto runs = [](const Shape& shape) {
    CompactionSimulator simulator(shape, {.batch_entries = kBatch});
    std::vector<uint64_t> sizes;
    for (int i = 0; i < 300; ++i) {
      simulator.Flush(kBatch);
      for (const RunPtr& run : simulator.tree().RunsNewestFirst()) sizes.push_back(run->entries);
    }
    return sizes;
  };
  CHECK(runs(Shape{.size_ratio = 6, .run_caps = {1, 1}, .last_run_cap = 1}) ==
        runs(Shape::Leveling(6)));
  CHECK(runs(Shape{.size_ratio = 6, .run_caps = {5, 5}, .last_run_cap = 5}) ==
        runs(Shape::Tiering(6)));
}

// Runs jobs in random order, several in flight at a time, under shapes that change at random, and
// holds the tree against what must be true after every single job.
class RandomHistory {
 public:
  struct Kind {
    size_t jobs_at_a_time = 1;
    bool jobs_fail = false;
  };
  RandomHistory(uint64_t seed, const Kind& kind) : random_(seed), kind_(kind) {
    shape_ = RandomShape(random_);
  }

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      if (random_() % 50 == 0) shape_ = RandomShape(random_);
      if (random_() % 3 == 0) Flush();
      if (random_() % 2 == 0 && jobs_.size() < kind_.jobs_at_a_time) Begin();
      if (random_() % 2 == 0 && !jobs_.empty()) Finish(random_() % jobs_.size());
    }
    draining_ = true;
    while (!jobs_.empty() || Begin()) Finish(random_() % jobs_.size());
    CHECK_FALSE(PickCompaction(*tree_, shape_, options_, {}));
    CHECK(tree_->level(0).runs.size() < options_.max_small_runs);
    CHECK(jobs_done_ > steps / 12);
  }

 private:
  struct Begun {
    Job job;
    uint32_t run_cap = 0;  // of the target level when it was picked
  };

  void Flush() {
    lamina::Run run;
    run.id = ++last_id_;
    run.oldest_flush = run.newest_flush = ++last_flush_;
    const uint64_t entries = random_() % 3 == 0 ? 1 + random_() % kBatch : kBatch;
    run.tables.push_back(CompactionSimulator::FullRangeTable(++last_id_, entries));
    run.Summarize();
    TreeEdit edit;
    edit.add_runs.push_back(run);
    Apply(edit);
    entries_ += entries;
    Verify();
  }

  std::optional<Job> Pick() {
    std::optional<Job> job;
    const uint64_t dice = random_() % 16;
    if (dice == 0) job = PickEager(*tree_, shape_, options_, in_flight_);
    if (dice == 1) job = PickFull(*tree_, shape_, options_, in_flight_);
    if (dice == 2) {
      const DeadEntries some = [](const TableMeta& t) {
        return t.entry_count * (t.number % 3) / 4;
      };
      job = PickGarbage(*tree_, 0, some, options_, in_flight_);
    }
    return job ? job : PickCompaction(*tree_, shape_, options_, in_flight_);
  }

  bool Begin() {
    const std::optional<Job> job = Pick();
    if (!job) return false;
    for (const JobInput& input : job->inputs) CHECK_FALSE(in_flight_.Claims(input.run->id));
    CHECK_FALSE(in_flight_.Targets(job->target_level));
    const uint32_t last =
        std::max({tree_->last_level(), in_flight_.deepest_target(), job->target_level});
    jobs_.push_back({*job, job->target_level == 0 ? 0 : shape_.RunCap(job->target_level, last)});
    in_flight_.Add(*job);
    return true;
  }

  void Finish(size_t index) {
    const Begun begun = jobs_[index];
    const Job& job = begun.job;
    jobs_.erase(jobs_.begin() + static_cast<ptrdiff_t>(index));
    in_flight_.Remove(job);
    if (kind_.jobs_fail && !draining_ && random_() % 8 == 0) return;  // the tree stays
    std::vector<TableMeta> outputs;
    if (job.kind != Job::Kind::kMove) {
      const uint64_t in = job.input_entries();
      const uint64_t dead = random_() % 8 == 0 ? random_() % (in + 1) : 0;
      entries_ -= dead;
      if (in > dead) outputs.push_back(CompactionSimulator::FullRangeTable(++last_id_, in - dead));
    }
    Apply(EditFor(job, ++last_id_, outputs));
    Verify();
    // A failed job gives back runs that were counted as gone.
    if (!kind_.jobs_fail && job.kind != Job::Kind::kRewrite && job.target_level > 0) {
      CAPTURE(job.ToString(), shape_.ToString());
      CHECK(UnclaimedRuns(job.target_level) <= begun.run_cap);
    }
    ++jobs_done_;
  }

  size_t UnclaimedRuns(uint32_t level) const {
    const std::vector<RunPtr>& runs = tree_->level(level).runs;
    return static_cast<size_t>(std::count_if(
        runs.begin(), runs.end(), [&](const RunPtr& run) { return !in_flight_.Claims(run->id); }));
  }

  void Apply(const TreeEdit& edit) {
    Result<TreePtr> next = tree_->Apply(edit);
    INFO(next.status().ToString());
    REQUIRE(next.ok());
    tree_ = *next;
  }

  void Verify() {
    const Status status = tree_->Check();
    INFO(status.ToString());
    REQUIRE(status.ok());
    REQUIRE(tree_->entries() == entries_);
    if (kind_.jobs_at_a_time > 1) return;
    // With one job at a time, what is deeper is older.
    uint64_t newest = UINT64_MAX;
    for (const Level& level : tree_->levels()) {
      for (const RunPtr& run : level.runs) {
        REQUIRE(run->newest_flush < newest);
        newest = run->oldest_flush;
      }
    }
  }

  std::mt19937_64 random_;
  const Kind kind_;
  bool draining_ = false;
  PickerOptions options_{.batch_entries = kBatch};
  Shape shape_;
  TreePtr tree_ = std::make_shared<const Tree>();
  JobsInFlight in_flight_;
  std::vector<Begun> jobs_;
  uint64_t last_id_ = 0;
  uint64_t last_flush_ = 0;
  uint64_t entries_ = 0;
  int jobs_done_ = 0;
};

TEST_CASE("through random shapes and jobs, runs stay in order and in number and nothing is lost") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  for (uint64_t i = 0; i < 30; ++i) {
    RandomHistory(seed + i, {.jobs_at_a_time = 1}).Run(600);
    RandomHistory(seed + i, {.jobs_at_a_time = 4}).Run(600);
    RandomHistory(seed + i, {.jobs_at_a_time = 4, .jobs_fail = true}).Run(600);
  }
}

TEST_CASE("once a batch has come into a level, a lowered shape holds there") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    const Shape before = RandomShape(random);
    const Shape after = RandomShape(random);
    CAPTURE(before.ToString(), after.ToString());
    CompactionSimulator simulator(before, {.batch_entries = kBatch});
    for (int i = 0; i < 500; ++i) simulator.Flush(kBatch);
    simulator.set_shape(after);
    simulator.ResetCosts();
    for (int i = 0; i < 2000; ++i) {
      simulator.Flush(kBatch);
      const uint32_t last = simulator.tree().last_level();
      for (uint32_t level = 1; level < simulator.costs().levels.size(); ++level) {
        const auto& cost = simulator.costs().levels[level];
        if (cost.merged_entries + cost.moved_entries == 0) continue;
        // The last level's cap counts for a level that was the last when the batch came.
        const uint32_t cap = std::max(after.RunCap(level, last), after.RunCap(level, level));
        CHECK(simulator.tree().level(level).runs.size() <= cap);
      }
    }
  }
}

TEST_CASE("an eager pick repeated brings every level within the shape at once") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    CompactionSimulator simulator(RandomShape(random), {.batch_entries = kBatch});
    for (int i = 0; i < 500; ++i) simulator.Flush(kBatch);
    const Shape after = RandomShape(random);
    CAPTURE(simulator.shape().ToString(), after.ToString());
    int jobs = 0;
    while (const auto job = PickEager(simulator.tree(), after, {.batch_entries = kBatch}, {})) {
      simulator.Execute(*job);
      REQUIRE(++jobs < 1000);
    }
    const uint32_t last = simulator.tree().last_level();
    for (uint32_t level = 1; level <= last; ++level) {
      CHECK(simulator.tree().level(level).runs.size() <= after.RunCap(level, last));
      CHECK(static_cast<double>(simulator.tree().level(level).entries()) <=
            after.CapacityEntries(level, kBatch) + after.BatchEntries(level, kBatch) / 2);
    }
    CHECK(simulator.tree().entries() == 500 * kBatch);
  }
}

}  // namespace
}  // namespace lamina
