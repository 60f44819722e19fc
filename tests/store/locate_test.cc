// What locating pages costs is counted, whatever it was for.
#include <catch2/catch.hpp>

#include "tests/store/simulated_store.h"

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

}  // namespace
}  // namespace lamina::testing
