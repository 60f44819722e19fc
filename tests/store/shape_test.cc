// The shape of the index changes what an answer costs, never the answer.
#include <catch2/catch.hpp>
#include <chrono>
#include <map>

#include "compaction/picker.h"
#include "compaction/simulate.h"
#include "engine/index/filter.h"
#include "engine/store/filter_budget.h"
#include "engine/store/store_impl.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

void Settle(Store& store) {
  REQUIRE(store.Flush().ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  REQUIRE(store.impl()->scheduler().WaitIdle(deadline).ok());
}

Shape RandomShape(std::mt19937& random) {
  Shape shape;
  shape.size_ratio = 2 + static_cast<uint32_t>(random() % 5);
  shape.run_caps.clear();
  for (int i = 0; i < 4; ++i)
    shape.run_caps.push_back(1 + static_cast<uint32_t>(random() % (shape.size_ratio - 1)));
  shape.last_run_cap = static_cast<uint32_t>(random() % shape.size_ratio);
  return shape;
}

// Runs one history and returns every answer that it got, as text.
std::string Answers(uint32_t seed, const std::string& options, bool change_shapes) {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store", TestOptions(options));
  std::mt19937 random(seed);
  std::mt19937 shapes(seed + 1);
  std::string answers;
  for (int step = 0; step < 200; ++step) {
    std::vector<uint32_t> tokens = Tokens(static_cast<uint32_t>(random() % 6), 90);
    tokens[random() % 90] += static_cast<uint32_t>(random() % 3);
    TestPath path = MakePath(*store, "model", tokens);
    const size_t first = random() % 60;
    const auto kind = random() % 8;
    if (kind < 4) {
      PutPages(*store, path, first, 30, kPage);
    } else if (kind == 4) {
      REQUIRE(store->Erase(*path.path, first, 5).ok());
    } else {
      for (const PageState state : ProbePages(*store, path, 0, 90))
        answers.push_back(state == PageState::kOk ? '1' : '0');
    }
    if (step % 5 == 4) REQUIRE(store->Flush().ok());
    if (change_shapes && step % 20 == 19)
      REQUIRE(store->impl()->SetShape(RandomShape(shapes)).ok());
    if (step % 67 == 66) {
      store.reset();
      store = OpenStore(directory / "store", TestOptions(options));
    }
  }
  return answers;
}

TEST_CASE("one history under leveling, tiering, lazy and random mixes gives the same answers") {
  const auto seed = static_cast<uint32_t>(std::random_device()());
  CAPTURE(seed);
  const std::string expected = Answers(seed, "compaction=leveling;size_ratio=2", false);
  REQUIRE(expected.find('1') != std::string::npos);
  REQUIRE(Answers(seed, "compaction=tiering;size_ratio=4;filter_bits=3", false) == expected);
  REQUIRE(Answers(seed, "compaction=lazy;size_ratio=3;filter_bits=0", false) == expected);
  REQUIRE(Answers(seed, "compaction=auto;table_bytes=64K", true) == expected);
}

// Entries without payloads in memtables so small that a deep tree is quickly made.
class SmallTree {
 public:
  explicit SmallTree(const Shape& shape, const std::string& options = {})
      : store_(OpenStore(directory_ / "store", TestOptions("compaction=auto;" + options))) {
    REQUIRE(store_->impl()->SetShape(shape).ok());
  }
  // One flush of so many entries, in paths of 64 pages of one stem each.
  void Flush(uint64_t entries) {
    for (uint64_t put = 0; put < entries; put += 64) {
      TestPath path = MakePath(*store_, "model", Tokens(next_ += 1000, 64));
      REQUIRE(*store_->impl()->PutEntries(*path.path->impl(), 0, 64, 4096) == 64);
    }
    Settle(*store_);
  }
  Store& store() { return *store_; }
  TreePtr tree() { return store_->impl()->CurrentView()->tree; }

 private:
  const TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  uint32_t next_ = 0;
};

TEST_CASE("after every job each level is within its runs and filters are within their budget") {
  std::mt19937 random(17);
  for (const Shape& shape :
       {Shape::Leveling(3), Shape::Tiering(4), Shape::Lazy(4), RandomShape(random)}) {
    SmallTree small(shape);
    const auto batch = static_cast<uint64_t>(small.store().impl()->batch_entries()) / 64 * 64;
    for (int flush = 0; flush < 40; ++flush) {
      small.Flush(batch);
      const TreePtr tree = small.tree();
      REQUIRE(tree->Check().ok());
      for (uint32_t level = 1; level <= tree->last_level(); ++level)
        REQUIRE(tree->level(level).runs.size() <= shape.RunCap(level, tree->last_level()));
      // Ten bits an entry on average, of this tree and of the runs that will come above it; a
      // filter is whole cache lines.
      const double tables = static_cast<double>(tree->table_count()) * 512;
      REQUIRE(static_cast<double>(tree->filter_bits()) <=
              10.0 * shape.size_ratio * static_cast<double>(tree->entries()) + tables);
    }
  }
}

// A tree that grows by the picker's rule, with filters as they are asked for, in memory for half of
// what its entries would get.
TEST_CASE("filter bits stay within the memory that they may take") {
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

TEST_CASE("what merges read and write is counted by level, and sums to the totals") {
  SmallTree small(Shape::Leveling(2));
  const auto batch = static_cast<uint64_t>(small.store().impl()->batch_entries()) / 64 * 64;
  for (int flush = 0; flush < 15; ++flush) small.Flush(batch);
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
  REQUIRE(counters.entries_flushed == 15 * batch);
  REQUIRE(small.store().StatsJson().find("\"compaction_levels\":[{\"level\":0") !=
          std::string::npos);
}

TEST_CASE("measured copies per entry follow the rule that the cost model describes") {
  for (const uint32_t ratio : {2u, 4u}) {
    for (const Shape& shape : {Shape::Leveling(ratio), Shape::Tiering(ratio), Shape::Lazy(ratio)}) {
      SmallTree small(shape);
      const auto batch = static_cast<uint64_t>(small.store().impl()->batch_entries()) / 64 * 64;
      PickerOptions options;
      options.batch_entries = small.store().impl()->batch_entries();
      CompactionSimulator simulator(shape, options);
      const int batches = ratio == 2 ? 31 : 63;
      for (int flush = 0; flush < batches; ++flush) {
        small.Flush(batch);
        simulator.Flush(batch);
      }
      const auto& counters = small.store().impl()->counters();
      const double measured = static_cast<double>(counters.compaction_entries_copied.load()) /
                              static_cast<double>(batch * static_cast<uint64_t>(batches));
      // The simulator counts the flush as a write, the store does not.
      const double predicted = simulator.costs().WritesPerEntry() - 1;
      CAPTURE(shape.ToString(), measured, predicted);
      REQUIRE(measured == Approx(predicted).epsilon(0.1).margin(0.02));
    }
  }
}

}  // namespace
}  // namespace lamina::testing
