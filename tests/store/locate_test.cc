// What locating pages costs: blocks, which are counted whatever they were for, and how often a call
// waits for the device.
#include <catch2/catch.hpp>

#include "tests/store/simulated_store.h"
#include "tests/store/watched_file_system.h"

namespace lamina::testing {
namespace {

TEST_CASE("blocks fetched from runs that were then not asked are counted", "[simulated]") {
  SimulatedDisk disk(7);
  auto opened = OpenSimulatedStore(disk.Restart(), "filter_bits=0");
  REQUIRE(opened.ok());
  Store& store = **opened;
  constexpr uint32_t kPathsPerRun = 8;
  const auto path_of = [&](uint32_t i) { return MakePath(store, "model", Tokens(i * 1000, 64)); };
  for (uint32_t i = 0; i < 2 * kPathsPerRun; ++i) {
    TestPath path = path_of(i);
    REQUIRE(*store.impl()->PutEntries(*path.path->impl(), 0, 64, 4096) == 64);
    if (i % kPathsPerRun == kPathsPerRun - 1) REQUIRE(store.Flush().ok());
  }
  REQUIRE(store.impl()->CurrentView()->runs.size() == 2);
  store.impl()->block_cache().SetCapacity(0);
  const IndexCounters& counters = store.impl()->index_counters();
  const uint64_t by_puts = counters.block_reads_false_positive;  // they look first, too

  // Without filters a page of the newer run asks for a block of the older run too, where that one's
  // keys reach around it; then it is found and the older run is not searched.
  for (uint32_t i = kPathsPerRun; i < 2 * kPathsPerRun; ++i) {
    TestPath path = path_of(i);
    REQUIRE(CountOk(ProbePages(store, path, 0, 1)) == 1);
  }
  REQUIRE(counters.block_reads_true == kPathsPerRun);
  REQUIRE(counters.block_reads_false_positive == by_puts);
  REQUIRE(counters.block_reads_unused > 0);
  REQUIRE(counters.block_reads_unused <= kPathsPerRun);

  // A page of the older run is looked for in the newer one first, in vain: nothing is unused.
  const uint64_t unused = counters.block_reads_unused;
  for (uint32_t i = 0; i < kPathsPerRun; ++i) {
    TestPath path = path_of(i);
    REQUIRE(CountOk(ProbePages(store, path, 0, 1)) == 1);
  }
  REQUIRE(counters.block_reads_true == 2 * kPathsPerRun);
  REQUIRE(counters.block_reads_false_positive > by_puts);
  REQUIRE(counters.block_reads_unused == unused);
}

TEST_CASE("pages of a stem that are missing together count as one stem, and no cache hits",
          "[simulated]") {
  SimulatedDisk disk(8);
  auto opened = OpenSimulatedStore(disk.Restart(), "filter_bits=0");
  REQUIRE(opened.ok());
  Store& store = **opened;
  const auto path_of = [&](uint32_t i) { return MakePath(store, "model", Tokens(i * 1000, 64)); };
  for (uint32_t i = 0; i < 8; ++i) {
    TestPath path = path_of(i);
    REQUIRE(*store.impl()->PutEntries(*path.path->impl(), 0, 64, 4096) == 64);
  }
  REQUIRE(store.Flush().ok());
  const StoreCounters& counters = store.impl()->counters();
  BlockCache& cache = store.impl()->block_cache();
  const size_t capacity = size_t{1} << 20;
  cache.SetCapacity(0);
  const uint64_t missing = counters.lookups_missing;
  const uint64_t wanted = counters.blocks_wanted;

  // A put asks for all 64 pages of a stem that is not there.
  TestPath absent = path_of(9);
  REQUIRE(*store.impl()->PutEntries(*absent.path->impl(), 0, 64, 4096) == 64);
  REQUIRE(counters.lookups_missing == missing);
  REQUIRE(counters.missing_stems == 1);
  REQUIRE(counters.missing_stem_pages == 64);
  // One page of another stem.
  TestPath page = path_of(10);
  REQUIRE(CountOk(ProbePages(store, page, 0, 1)) == 0);
  REQUIRE(counters.lookups_missing == missing + 1);
  REQUIRE(counters.missing_stems == 1);
  REQUIRE(counters.blocks_cached == 0);

  // Blocks that earlier calls have left in the cache are hits.
  cache.SetCapacity(capacity);
  for (int i = 0; i < 2; ++i) {
    TestPath path = path_of(3);
    REQUIRE(CountOk(ProbePages(store, path, 0, 64)) == 64);
  }
  REQUIRE(counters.blocks_cached > 0);
  REQUIRE(counters.blocks_wanted > wanted + counters.blocks_cached);
}

// Reads that depend on each other: those that a queue is given between two waits count as one.
class DependentReads {
 public:
  explicit DependentReads(Watcher& watcher) : watcher_(watcher) {
    watcher.Set([this](WatchedOperation operation, const std::string& /*path*/,
                       std::span<const iovec> buffers) {
      if (operation == WatchedOperation::kRead && (buffers.empty() || waited_)) ++count_;
      if (operation == WatchedOperation::kRead) waited_ = buffers.empty();
      if (operation == WatchedOperation::kWait) waited_ = true;
    });
  }
  ~DependentReads() { watcher_.Clear(); }
  DependentReads(const DependentReads&) = delete;
  DependentReads& operator=(const DependentReads&) = delete;
  [[nodiscard]] size_t count() const { return count_; }

 private:
  Watcher& watcher_;
  bool waited_ = true;
  size_t count_ = 0;
};

TEST_CASE("a cold prefix of 128 pages is found with at most four dependent reads", "[simulated]") {
  // A conversation's turns, each put on its own, with what other conversations put in between.
  const size_t turn = GENERATE(size_t{128}, size_t{64}, size_t{24}, size_t{8}, size_t{3});
  CAPTURE(turn);
  constexpr size_t kPages = 128;
  constexpr uint32_t kOthers = 40;
  Watcher watcher;
  SimulatedDisk disk(7);
  const auto open = [&] {
    auto opened = OpenSimulatedStore(std::make_unique<WatchedFileSystem>(disk.Restart(), watcher),
                                     "capacity_bytes=4G;filter_bits=10");
    REQUIRE(opened.ok());
    return std::move(*opened);
  };
  std::unique_ptr<Store> store = open();
  const auto path_of = [&](uint32_t i) { return MakePath(*store, "model", Tokens(i * 1000, 400)); };
  {
    TestPath path = path_of(0);
    uint32_t others = 1;
    for (size_t page = 0; page < kPages; page += turn) {
      const size_t count = std::min(turn, kPages - page);
      REQUIRE(*store->impl()->PutEntries(*path.path->impl(), page, count, 4096) == count);
      for (uint32_t i = 0; i < kOthers; ++i, ++others) {
        TestPath other = path_of(others);
        REQUIRE(*store->impl()->PutEntries(*other.path->impl(), 0, 64, 4096) == 64);
      }
      REQUIRE(store->Flush().ok());
      while (store->impl()->scheduler().RunOne()) {
      }
    }
  }
  store.reset();
  store = open();
  TestPath path = path_of(0);
  const DependentReads reads(watcher);
  REQUIRE(CountOk(ProbePages(*store, path, 0, kPages)) == kPages);
  const size_t cold = reads.count();
  // In more runs than that, where turns are short.
  if (turn == 3) CHECK(store->impl()->CurrentView()->runs.size() > 4);
  CHECK(cold > 0);
  CHECK(cold <= 4);
  // Warm: none.
  TestPath again = path_of(0);
  REQUIRE(CountOk(ProbePages(*store, again, 0, kPages)) == kPages);
  CHECK(reads.count() == cold);
}

}  // namespace
}  // namespace lamina::testing
