// Everything together, on real files: flushes come, the scheduler runs what the picker picks, the
// shape changes, pages die, and what the tree holds is what a map holds.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "compaction/compaction_task.h"
#include "compaction/garbage.h"
#include "engine/io/simulated_file_system.h"
#include "tests/compaction/table_fixture.h"

namespace lamina {
namespace {

using testing::KeyBefore;
using testing::Record;
using testing::RecordMaker;
using testing::TableDirectory;
using testing::TestSlots;

constexpr size_t kBatch = 200;

uint64_t Seed() {
  const char* given = std::getenv("LAMINA_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

// An index without memtable, manifest and lookups: what is left is compaction.
class SmallIndex {
 public:
  SmallIndex(uint64_t seed, const SchedulerOptions& options,
             std::unique_ptr<TableDirectory> directory = std::make_unique<TableDirectory>())
      : maker_(seed), directory_owner_(std::move(directory)), scheduler_(options) {
    scheduler_.SetSource(WorkClass::kCompaction, [this] { return NextTask(); });
  }
  ~SmallIndex() { scheduler_.Stop(); }

  Scheduler& scheduler() { return scheduler_; }
  RecordMaker& maker() { return maker_; }
  TableDirectory& directory() { return directory_; }
  TestSlots& slots() { return slots_; }
  const std::vector<Record>& alive() const { return alive_; }

  void SetShape(const Shape& shape) {
    const std::lock_guard lock(mutex_);
    shape_ = shape;
  }

  void Flush() {
    std::vector<Record> records = maker_.Pages(kBatch / 2 + maker_.random()() % kBatch);
    for (const Record& record : records) slots_.Set(record);
    alive_.insert(alive_.end(), records.begin(), records.end());
    Run run = directory_.WriteRun(0, ++last_flush_, records);
    TreeEdit edit;
    edit.add_runs.push_back(std::move(run));
    {
      const std::lock_guard lock(mutex_);
      tree_ = *tree_->Apply(edit);
    }
    scheduler_.Wake(WorkClass::kCompaction);
  }

  void Kill(size_t count) {
    for (; count > 0 && !alive_.empty(); --count) {
      const size_t i = maker_.random()() % alive_.size();
      slots_.Clear(alive_[i]);
      std::swap(alive_[i], alive_.back());
      alive_.pop_back();
    }
  }

  void AskForFull() {
    {
      const std::lock_guard lock(mutex_);
      full_ = true;
    }
    scheduler_.Wake(WorkClass::kCompaction);
  }

  TreePtr tree() const {
    const std::lock_guard lock(mutex_);
    return tree_;
  }
  bool busy() const {
    const std::lock_guard lock(mutex_);
    return !in_flight_.empty();
  }
  MergeJobStats totals() const {
    const std::lock_guard lock(mutex_);
    return totals_;
  }

  // What lookups can find: entries of the tree whose slots bear their tags.
  std::vector<Record> Findable() {
    std::vector<Record> records;
    for (const RunPtr& run : tree()->RunsNewestFirst()) {
      for (Record& record : directory_.ReadAll(run->tables)) {
        if (slots_.Bears(record)) records.push_back(std::move(record));
      }
    }
    std::sort(records.begin(), records.end(), KeyBefore);
    return records;
  }

  void CheckAll() {
    const TreePtr now = tree();
    INFO(now->Check().ToString());
    CHECK(now->Check().ok());
    std::vector<Record> expected = alive_;
    std::sort(expected.begin(), expected.end(), KeyBefore);
    CHECK(Findable() == expected);
    // Files are those of the tree, and no others but those that could not be removed.
    std::set<std::string> expected_files = not_removed_;
    for (const RunPtr& run : now->RunsNewestFirst()) {
      for (const TableMeta& table : run->tables) {
        expected_files.insert(directory_.PathOf(table.number));
      }
    }
    CHECK(directory_.Files() == expected_files);
  }

 private:
  std::unique_ptr<BackgroundTask> NextTask() {
    const std::lock_guard lock(mutex_);
    std::optional<Job> job;
    if (full_) {
      job = PickFull(*tree_, shape_, picker_, in_flight_);
      if (job) full_ = false;
    } else {
      job = PickCompaction(*tree_, shape_, picker_, in_flight_);
    }
    if (!job) return nullptr;
    in_flight_.Add(*job);
    MergeJobOptions options = directory_.JobOptions(&slots_);
    options.table_bytes = 16384;
    CompactionHooks hooks;
    hooks.install = [this](const Job& j, std::vector<TableMeta> outputs) {
      return Install(j, std::move(outputs));
    };
    hooks.release = [this](const Job& j, const MergeJobStats& stats) {
      const std::lock_guard release_lock(mutex_);
      in_flight_.Remove(j);
      totals_.entries_written += stats.entries_written;
      totals_.entries_dead += stats.entries_dead;
    };
    return std::make_unique<CompactionTask>(*job, options, 8192, hooks);
  }

  Status Install(const Job& job, std::vector<TableMeta> outputs) {
    const std::lock_guard lock(mutex_);
    LAMINA_ASSIGN_OR_RETURN(tree_, tree_->Apply(EditFor(job, directory_.NextNumber(), outputs)));
    if (job.kind == Job::Kind::kMove) return Status::Ok();
    for (const JobInput& input : job.inputs) {
      for (const TableMeta& table : input.tables()) {
        const std::string path = directory_.PathOf(table.number);
        if (!directory_.file_system()->Remove(path).ok()) not_removed_.insert(path);
      }
    }
    return Status::Ok();
  }

  RecordMaker maker_;
  std::unique_ptr<TableDirectory> directory_owner_;
  TableDirectory& directory_ = *directory_owner_;
  TestSlots slots_;
  std::vector<Record> alive_;
  uint64_t last_flush_ = 0;

  mutable std::mutex mutex_;
  Shape shape_ = Shape::Lazy(4);
  PickerOptions picker_{.batch_entries = kBatch};
  TreePtr tree_ = std::make_shared<const Tree>();
  JobsInFlight in_flight_;
  bool full_ = false;
  std::set<std::string> not_removed_;
  MergeJobStats totals_;
  Scheduler scheduler_;
};

Shape SomeShape(std::mt19937_64& random) {
  const Shape shapes[] = {Shape::Leveling(3),
                          Shape::Tiering(4),
                          Shape::Lazy(5),
                          {.size_ratio = 5, .run_caps = {4, 2, 1}, .last_run_cap = 2}};
  return shapes[random() % std::size(shapes)];
}

const Scheduler::Clock::time_point kFarAway = Scheduler::Clock::now() + std::chrono::hours(1);

TEST_CASE("under every shape and any interleaving of steps the tree finds what a map finds") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  for (uint64_t round = 0; round < 3; ++round) {
    SmallIndex index(seed + round, {.threads = 0});
    std::mt19937_64& random = index.maker().random();
    for (int i = 0; i < 60; ++i) {
      if (random() % 8 == 0) index.SetShape(SomeShape(random));
      index.Flush();
      if (random() % 4 == 0) index.Kill(random() % kBatch);
      for (uint64_t steps = random() % 12; steps > 0; --steps) {
        index.scheduler().RunOne(random());
      }
    }
    REQUIRE(index.scheduler().WaitIdle(kFarAway).ok());
    index.CheckAll();
  }
}

TEST_CASE("with threads the tree finds what a map finds, through changes of shape") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  SmallIndex index(seed, {.threads = 2});
  std::mt19937_64& random = index.maker().random();
  for (int i = 0; i < 120; ++i) {
    if (random() % 8 == 0) index.SetShape(SomeShape(random));
    index.Flush();
    if (random() % 4 == 0) index.Kill(random() % kBatch);
    if (random() % 16 == 0) index.AskForFull();
  }
  REQUIRE(index.scheduler().WaitIdle(kFarAway).ok());
  CHECK_FALSE(index.busy());
  index.CheckAll();
}

TEST_CASE("after a full compaction no dead entry is left") {
  SmallIndex index(21, {.threads = 2});
  for (int i = 0; i < 40; ++i) {
    index.Flush();
    index.Kill(kBatch / 2);
  }
  REQUIRE(index.scheduler().WaitIdle(kFarAway).ok());
  index.Kill(kBatch / 2);
  CHECK(index.tree()->entries() > index.alive().size());
  index.AskForFull();
  REQUIRE(index.scheduler().WaitIdle(kFarAway).ok());
  CHECK(index.tree()->entries() == index.alive().size());
  CHECK(index.tree()->run_count() == 1);
  index.CheckAll();
}

TEST_CASE("stopping in the middle of compaction leaves the tree whole and no stray file") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  for (uint64_t round = 0; round < 5; ++round) {
    SmallIndex threaded(seed + round, {.threads = 2});
    for (int i = 0; i < 20; ++i) threaded.Flush();
    threaded.scheduler().Stop();
    CHECK_FALSE(threaded.busy());
    threaded.CheckAll();

    SmallIndex stepped(seed + round, {.threads = 0});
    for (int i = 0; i < 20; ++i) stepped.Flush();
    for (uint64_t i = 0; i < 3 + 7 * round; ++i) stepped.scheduler().RunOne(i);
    stepped.scheduler().Stop();
    CHECK_FALSE(stepped.busy());
    stepped.CheckAll();
  }
}

TEST_CASE("a flush begins while a long merge is under way and goes first") {
  SmallIndex index(22, {.threads = 0});
  index.SetShape(Shape::Leveling(10));
  for (int i = 0; i < 30; ++i) {
    index.Flush();
    REQUIRE(index.scheduler().WaitIdle(kFarAway).ok());
  }
  // A full compaction has begun; a batch into level 1 overtakes it.
  index.AskForFull();
  REQUIRE(index.scheduler().RunOne());
  REQUIRE(index.busy());
  const uint64_t done = index.scheduler().stats().classes[1].tasks_done;
  index.Flush();
  for (int steps = 0; index.tree()->level(0).runs.size() > 0; ++steps) {
    REQUIRE(steps < 3);
    REQUIRE(index.scheduler().RunOne());
  }
  CHECK(index.scheduler().stats().classes[1].tasks_done == done + 1);
  CHECK(index.busy());
  REQUIRE(index.scheduler().WaitIdle(kFarAway).ok());
  index.CheckAll();
}

TEST_CASE("whichever operation fails, compaction halts, loses nothing, and can go on") {
  size_t halts = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    SimulatedDisk disk(7);
    SmallIndex index(7, {.threads = 0}, std::make_unique<TableDirectory>(disk.Restart()));
    index.SetShape(Shape::Leveling(3));
    for (int i = 0; i < 4; ++i) index.Flush();
    const uint64_t before = disk.operations();
    disk.FailOperation(n, n % 2 == 0 ? ENOSPC : EIO);
    const Status status = index.scheduler().WaitIdle(kFarAway);
    if (!status.ok()) {
      ++halts;
      CHECK(index.scheduler().error(WorkClass::kCompaction).ok() == false);
      CHECK_FALSE(index.busy());
      CHECK(index.tree()->entries() == index.alive().size());
    }
    index.scheduler().ClearError(WorkClass::kCompaction);
    CHECK(index.scheduler().WaitIdle(kFarAway).ok());
    CHECK(index.tree()->level(0).runs.empty());
    index.CheckAll();
    if (disk.operations() - before < n) break;
    REQUIRE(n < 200);
  }
  CHECK(halts > 3);
}

TEST_CASE("the dead share of a table is estimated from a sample") {
  RecordMaker maker(23);
  TableDirectory directory;
  for (const double share : {0.0, 0.2, 0.5, 1.0}) {
    TestSlots slots;
    std::vector<Record> records = maker.Pages(20000);
    for (Record& record : records) {
      // Most under one anchor, as below a root.
      if (record.key.anchor.high % 4 != 0) record.key.anchor = {5, 5};
    }
    std::sort(records.begin(), records.end(), KeyBefore);
    for (const Record& record : records) {
      if (static_cast<double>(maker.random()() % 1000) >= share * 1000) slots.Set(record);
    }
    const TableMeta meta = directory.WriteTable(records);
    const auto table = directory.Opener()(meta);
    REQUIRE(table.ok());
    const Result<uint64_t> dead = EstimateDeadEntries(**table, slots, 16);
    REQUIRE(dead.ok());
    CHECK(static_cast<double>(*dead) == Approx(share * 20000).margin(1000));
    directory.FlipByte(meta.number, 4096 * 3 + 50);
    const Result<uint64_t> damaged = EstimateDeadEntries(**table, slots, 16);
    REQUIRE(damaged.ok());
    CHECK(static_cast<double>(*damaged) == Approx(share * 20000).margin(1000));
  }
}

}  // namespace
}  // namespace lamina
