// The shape of the index changes what an answer costs, never the answer.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "compaction/picker.h"
#include "compaction/simulate.h"
#include "engine/index/filter.h"
#include "engine/store/filter_budget.h"
#include "engine/store/tuner_tree.h"
#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

constexpr char kSmallTrees[] = "capacity_bytes=2G;memory_bytes=256M;memtable_bytes=64K;";

Shape RandomShape(std::mt19937& random, uint32_t most_ratio) {
  Shape shape;
  shape.size_ratio = 2 + static_cast<uint32_t>(random() % (most_ratio - 1));
  shape.run_caps.clear();
  for (int i = 0; i < 4; ++i)
    shape.run_caps.push_back(1 + static_cast<uint32_t>(random() % (shape.size_ratio - 1)));
  shape.last_run_cap = static_cast<uint32_t>(random() % shape.size_ratio);
  return shape;
}

// Runs one history and returns every answer that it got, as text. Memtables are so small that the
// index gets deep, which is required; background work falls in between at random.
std::string Answers(uint32_t seed, const std::string& options, bool change_shapes,
                    const QuietStore::Arrange& arrange = {}) {
  QuietStore quiet(kSmallTrees + options, arrange);
  std::mt19937 random(seed);
  std::mt19937 others(seed + 1);  // for what may differ between histories
  std::string answers;
  uint32_t levels = 0;
  for (int step = 0; step < 1600; ++step) {
    Store& store = quiet.store();
    std::vector<uint32_t> tokens = Tokens(static_cast<uint32_t>(random() % 12), 90);
    tokens[random() % 90] += static_cast<uint32_t>(random() % 3);
    TestPath path = MakePath(store, "model", tokens);
    const size_t first = random() % 30;
    const auto kind = random() % 8;
    if (kind < 4) {
      REQUIRE(*store.impl()->PutEntries(*path.path->impl(), first, 60, kPage) == 60);
    } else if (kind == 4) {
      REQUIRE(store.Erase(*path.path, first, 5).ok());
    } else {
      for (const PageState state : ProbePages(store, path, 0, 90))
        answers.push_back(state == PageState::kOk ? '1' : '0');
    }
    if (step % 5 == 4) REQUIRE(store.Flush().ok());
    while (others() % 3 != 0 && quiet.scheduler().RunOne(others())) {
    }
    levels = std::max(levels, store.impl()->CurrentView()->tree->last_level());
    if (change_shapes && step % 20 == 19)
      REQUIRE(store.impl()->SetShape(RandomShape(others, 3)).ok());
    if (step % 531 == 530) quiet.Reopen();
  }
  // Who chooses shapes may choose wide ones.
  REQUIRE(levels >= (arrange ? 1U : 3U));
  return answers;
}

TEST_CASE("one history under leveling, tiering, lazy and random mixes gives the same answers",
          "[simulated][shape]") {
  const auto seed = static_cast<uint32_t>(std::random_device()());
  CAPTURE(seed);
  const std::string expected = Answers(seed, "compaction=leveling;size_ratio=2", false);
  REQUIRE(expected.find('1') != std::string::npos);
  REQUIRE(expected.find('0') != std::string::npos);
  REQUIRE(Answers(seed, "compaction=tiering;size_ratio=4;filter_bits=3", false) == expected);
  REQUIRE(Answers(seed, "compaction=lazy;size_ratio=3;filter_bits=0", false) == expected);
  REQUIRE(Answers(seed, "compaction=auto;table_bytes=64K", true) == expected);
}

TEST_CASE("one history gives the same answers whatever the tuner decides", "[simulated][shape]") {
  const auto seed = static_cast<uint32_t>(std::random_device()());
  CAPTURE(seed);
  const std::string expected = Answers(seed, "compaction=leveling;size_ratio=2", false);
  const auto tuned = [&](uint64_t random_shapes_seed) {
    return [random_shapes_seed](StoreEnvironment* environment) {
      environment->tuner_window_operations = 1000;
      environment->random_shapes_seed = random_shapes_seed;
      // So slow that shapes matter in a tree as small as this one.
      environment->device_model = tuner::DeviceModel{
          .read_device_s = 1e-3, .read_bytes_per_s = 1e6, .write_bytes_per_s = 1e5};
    };
  };
  REQUIRE(Answers(seed, "tuner=on;size_ratio=2", false, tuned(0)) == expected);
  REQUIRE(Answers(seed, "tuner=on;size_ratio=3;filter_bits=2", false, tuned(0)) == expected);
  // Shapes at random, in place of what is asked for.
  REQUIRE(Answers(seed, "tuner=on;size_ratio=2", false, tuned(seed + 1)) == expected);
}

// Entries without payloads in memtables so small that a deep tree is quickly made.
class SmallTree {
 public:
  explicit SmallTree(const Shape& shape, const std::string& options = {})
      : store_(kSmallTrees + ("compaction=auto;" + options)) {
    REQUIRE(impl().SetShape(shape).ok());
  }
  // One flush of so many entries, in paths of 64 pages of one stem each, and all jobs after it.
  void Flush(uint64_t entries) {
    for (uint64_t put = 0; put < entries; put += 64) {
      TestPath path = MakePathNumber(paths_++);
      REQUIRE(*impl().PutEntries(*path.path->impl(), 0, 64, kPage) == 64);
    }
    REQUIRE(store().Flush().ok());
    while (store_.scheduler().RunOne()) {
    }
  }
  // Numbers below paths() are there.
  TestPath MakePathNumber(uint32_t number) {
    return MakePath(store(), "model", Tokens(number * 1000, 64));
  }
  [[nodiscard]] uint32_t paths() const { return paths_; }
  Store& store() { return store_.store(); }
  Store::Impl& impl() { return *store().impl(); }
  TreePtr tree() { return impl().CurrentView()->tree; }
  // A flush of so many fills a memtable.
  uint64_t batch() { return static_cast<uint64_t>(impl().batch_entries()) / 64 * 64; }

 private:
  QuietStore store_;
  uint32_t paths_ = 0;
};

TEST_CASE("after every job each level is within its runs and filters are within their budget",
          "[simulated][shape]") {
  std::mt19937 random(17);
  for (const Shape& shape :
       {Shape::Leveling(3), Shape::Tiering(4), Shape::Lazy(4), RandomShape(random, 6)}) {
    SmallTree small(shape);
    for (int flush = 0; flush < 40; ++flush) {
      small.Flush(small.batch());
      const TreePtr tree = small.tree();
      REQUIRE(tree->Check().ok());
      for (uint32_t level = 1; level <= tree->last_level(); ++level)
        REQUIRE(tree->level(level).runs.size() <= shape.RunCap(level, tree->last_level()));
      // Ten bits an entry on average, and a little more where larger runs were written with less
      // because more was expected above them; a filter is whole cache lines.
      const double lines = static_cast<double>(tree->table_count()) * 512;
      REQUIRE(static_cast<double>(tree->filter_bits()) <=
              11.5 * static_cast<double>(tree->entries()) + lines);
    }
  }
}

// A tree that grows by the picker's rule, with filters as they are asked for, in memory for half of
// what its entries would get.
TEST_CASE("filter bits stay within the memory that they may take", "[simulated][shape]") {
  constexpr uint64_t kBatch = 1000;
  constexpr int kBatches = 200;
  FilterBudget budget;
  budget.memory_bits = 5 * kBatch * kBatches;
  PickerOptions picker;
  picker.batch_entries = kBatch;
  for (const Shape& shape : {Shape::Leveling(4), Shape::Tiering(4), Shape::Lazy(4)}) {
    CAPTURE(shape.ToString());
    auto tree = std::make_shared<const Tree>();
    uint64_t next = 1;
    const auto table = [&](uint64_t entries, double bits) {
      TableMeta meta;
      meta.number = next++;
      meta.entry_count = meta.page_count = entries;
      meta.filter_bytes = FilterBytes(entries, bits);
      meta.smallest.fingerprints = meta.largest.fingerprints = {1};
      return meta;
    };
    const auto apply = [&](const TreeEdit& edit) {
      auto applied = tree->Apply(edit);
      REQUIRE(applied.ok());
      tree = std::move(*applied);
      // Each filter is rounded up to a cache line.
      REQUIRE(tree->filter_bits() <= budget.memory_bits + 512 * tree->table_count());
    };
    for (uint64_t flush = 1; flush <= kBatches; ++flush) {
      TreeEdit edit;
      Run& run = edit.add_runs.emplace_back();
      run.id = next++;
      run.oldest_flush = run.newest_flush = flush;
      run.tables = {
          table(kBatch, FilterBitsForNewRun(budget, *tree, shape, kBatch, 0, kBatch, {}))};
      run.Summarize();
      apply(edit);
      while (const auto job = PickCompaction(*tree, shape, picker, {})) {
        std::vector<TableMeta> outputs;
        std::vector<RunPtr> leaving;
        for (const JobInput& input : job->inputs) leaving.push_back(input.run);
        if (job->kind != Job::Kind::kMove) {
          const uint64_t entries = job->input_entries();
          outputs = {table(entries, FilterBitsForNewRun(budget, *tree, shape, kBatch,
                                                        job->target_level, entries, leaving))};
        }
        apply(EditFor(*job, next++, std::move(outputs)));
      }
    }
    // The memory is used, not left.
    REQUIRE(tree->filter_bits() > budget.memory_bits / 3);
  }
}

// A last level whose dead entries have been dropped, below runs that got their bits before.
TEST_CASE("a run that is written after dead entries were dropped is not left without a filter",
          "[simulated][shape]") {
  TreeEdit edit;
  const auto add = [&](uint64_t id, uint32_t level, uint64_t entries, double bits) {
    Run& run = edit.add_runs.emplace_back();
    run.id = id;
    run.level = level;
    run.oldest_flush = run.newest_flush = 10 - id;
    TableMeta meta;
    meta.number = id;
    meta.entry_count = meta.page_count = entries;
    meta.filter_bytes = FilterBytes(entries, bits);
    meta.smallest.fingerprints = meta.largest.fingerprints = {1};
    run.tables = {meta};
    run.Summarize();
  };
  for (const uint64_t id : {uint64_t{1}, uint64_t{2}, uint64_t{3}}) add(id, 2, 4000, 9);
  add(4, 3, 10000, 0);
  const auto tree = Tree().Apply(edit);
  REQUIRE(tree.ok());
  FilterBudget budget;
  budget.bits_per_entry = 2;
  REQUIRE((*tree)->filter_bits() > 2 * ((*tree)->entries() + 1000));
  const Shape shape = Shape::Lazy(4);
  REQUIRE(FilterBitsForNewRun(budget, **tree, shape, 1000, 0, 1000, {}) > 3);
  // Memory is a limit all the same.
  budget.memory_bits = (*tree)->filter_bits() + 1000;
  const double tight = FilterBitsForNewRun(budget, **tree, shape, 1000, 0, 1000, {});
  REQUIRE(tight > 0.9);
  REQUIRE(tight <= 1);
}

TEST_CASE("runs that are written at the same time share what is left for filters",
          "[simulated][shape]") {
  constexpr uint64_t kBatch = 1000;
  const Tree tree;
  const Shape shape = Shape::Leveling(4);
  FilterBudget budget;
  for (const double fixed : {-1.0, 20.0}) {
    budget.fixed_bits_per_key = fixed;
    budget.memory_bits = 10 * kBatch;
    FilterLedger ledger;
    const auto allot = [&](uint64_t writer) {
      return ledger.Allot(writer, budget, tree, shape, kBatch, 1, kBatch, {}) * kBatch;
    };
    const double alone = allot(1);
    REQUIRE(alone > 0);
    REQUIRE(allot(1) == alone);  // for its next table
    REQUIRE(alone + allot(2) + allot(3) <= static_cast<double>(budget.memory_bits) + 1);
    REQUIRE(static_cast<double>(ledger.pending_bits()) <=
            static_cast<double>(budget.memory_bits) + 1);
    ledger.Forget(1);
    ledger.Forget(3);
    ledger.Forget(2);
    REQUIRE(ledger.pending_bits() == 0);
    REQUIRE(allot(4) == alone);
  }
}

TEST_CASE("filters that are being replaced count until their run is gone", "[simulated][shape]") {
  constexpr uint64_t kBatch = 1000;
  const Shape shape = Shape::Leveling(4);
  FilterBudget budget;
  budget.fixed_bits_per_key = 8;
  budget.memory_bits = 20 * kBatch;
  TreeEdit edit;
  Run& old = edit.add_runs.emplace_back();
  old.id = 1;
  old.level = 1;
  old.oldest_flush = old.newest_flush = 1;
  TableMeta meta;
  meta.number = 1;
  meta.entry_count = meta.page_count = kBatch;
  meta.filter_bytes = 2 * kBatch;  // 16 bits per key
  meta.smallest.fingerprints = meta.largest.fingerprints = {1};
  old.tables = {meta};
  old.Summarize();
  const Tree empty;
  const auto tree = empty.Apply(edit);
  REQUIRE(tree.ok());
  FilterLedger ledger;
  const auto allot = [&](uint64_t writer, const Tree& now, std::span<const RunPtr> leaving) {
    return ledger.Allot(writer, budget, now, shape, kBatch, 1, kBatch, leaving);
  };
  const std::vector<RunPtr> leaving = {(*tree)->FindRun(1)};
  REQUIRE(allot(1, **tree, leaving) == 8);
  // If that job fails, the old run stays, with its 16 bits per key.
  REQUIRE(allot(2, **tree, {}) == 4);
  ledger.Forget(2);
  // Once its run is replaced, the job is in the tree itself.
  REQUIRE(allot(2, empty, {}) == 8);
}

TEST_CASE("dead entries are gone after a full compaction") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  std::vector<TestPath> paths;
  for (uint32_t i = 0; i < 20; ++i) {
    paths.push_back(MakePath(*store, "model", Tokens(i * 1000, 100)));
    PutPages(*store, paths.back(), 0, 100, kPage);
    if (i % 4 == 3) REQUIRE(store->Flush().ok());
  }
  for (uint32_t i = 0; i < 20; i += 2) REQUIRE(store->Erase(*paths[i].path, 0, 100).ok());
  REQUIRE(store->impl()->CompactAll().ok());
  const TreePtr tree = store->impl()->CurrentView()->tree;
  REQUIRE(tree->run_count() == 1);
  REQUIRE(tree->entries() == 1000);
  REQUIRE(StatOf(store->StatsJson(), "live") == 1000);
}

TEST_CASE("what merges read and write is counted by level, and sums to the totals",
          "[simulated][shape]") {
  SmallTree small(Shape::Leveling(2));
  for (int flush = 0; flush < 15; ++flush) small.Flush(small.batch());
  const StoreCounters& counters = small.store().impl()->counters();
  uint64_t read = 0;
  uint64_t written = 0;
  uint64_t copied = 0;
  for (const auto& level : counters.compaction_levels) {
    read += level.bytes_read;
    written += level.bytes_written;
    copied += level.entries_copied;
  }
  REQUIRE(read == counters.compaction_bytes_read);
  REQUIRE(written == counters.compaction_bytes_written);
  REQUIRE(copied == counters.compaction_entries_copied);
  REQUIRE(counters.compaction_levels[0].bytes_read > 0);
  REQUIRE(counters.compaction_levels[0].bytes_written == 0);
  REQUIRE(counters.compaction_levels[3].bytes_written > 0);
  REQUIRE(counters.entries_flushed == 15 * small.batch());
  REQUIRE(small.store().StatsJson().find("\"compaction_levels\":[{\"level\":0") !=
          std::string::npos);
}

// Blocks read by lookups of one page each, on average, with nothing cached.
double MeanReads(SmallTree& small, bool present, std::mt19937& random) {
  const IndexCounters& counters = small.impl().index_counters();
  const auto reads = [&] {
    return counters.block_reads_true + counters.block_reads_false_positive +
           counters.block_reads_unused;
  };
  constexpr int kLookups = 4000;
  const uint64_t before = reads();
  for (int i = 0; i < kLookups; ++i) {
    const auto number = static_cast<uint32_t>(random() % small.paths());
    TestPath path = small.MakePathNumber(present ? number : small.paths() + number);
    const size_t page = random() % 64;
    // As if the eviction policy had been shown it: it would look for the pages before as well.
    path.path->impl()->request = std::make_shared<ShownRequest>();
    path.path->impl()->request->noted = true;
    REQUIRE(CountOk(ProbePages(small.store(), path, page, 1)) == (present ? 1 : 0));
  }
  return static_cast<double>(reads() - before) / kLookups;
}

TEST_CASE("measured copies and block reads are those that the cost model predicts",
          "[simulated][shape]") {
  std::mt19937 random(5);
  for (const uint32_t ratio : {2u, 4u}) {
    for (const Shape& shape : {Shape::Leveling(ratio), Shape::Tiering(ratio), Shape::Lazy(ratio)}) {
      SmallTree small(shape, "filter_bits=3");
      PickerOptions options;
      options.batch_entries = small.impl().batch_entries();
      CompactionSimulator simulator(shape, options);
      const int batches = ratio == 2 ? 31 : 63;
      for (int flush = 0; flush < batches; ++flush) {
        small.Flush(small.batch());
        simulator.Flush(small.batch());
      }
      const double copies = static_cast<double>(small.impl().counters().compaction_entries_copied) /
                            static_cast<double>(small.batch() * static_cast<uint64_t>(batches));
      CAPTURE(shape.ToString(), copies);
      // The simulator counts the flush as a write, the store does not.
      REQUIRE(copies == Approx(simulator.costs().WritesPerEntry() - 1).epsilon(0.1).margin(0.02));

      small.impl().block_cache().SetCapacity(0);
      tuner::CostInputs inputs;
      inputs.curve = MeasuredFprCurve();
      const tuner::Prediction predicted = tuner::PredictTree(
          inputs, {}, TunerShape(shape, small.impl().batch_entries()), TunerTree(*small.tree()));
      REQUIRE(MeanReads(small, true, random) == Approx(predicted.existing_reads).epsilon(0.1));
      REQUIRE(MeanReads(small, false, random) == Approx(predicted.missing_reads).epsilon(0.1));
    }
  }
}

}  // namespace
}  // namespace lamina::testing
