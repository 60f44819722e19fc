// What is open stays within memory_bytes, so that the next open has enough of it too.
#include <catch2/catch.hpp>

#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr uint64_t kMemory = uint64_t{4} << 20;

// All of it, by the store's own figures.
uint64_t MemoryUse(QuietStore& store) {
  const std::string stats = store.Stats();
  uint64_t sum = store.store().impl()->block_cache().capacity_bytes();
  for (const char* part : {"slots", "filters_and_top_indexes", "memtables_and_buffers", "eviction"})
    sum += StatOf(stats.substr(stats.find("\"memory\":")), part);
  return sum;
}

TEST_CASE("slots and filters grow no further than the memory, and the store opens again",
          "[simulated]") {
  const std::string filters = GENERATE("auto", "32", "0");
  // Slots for its capacity alone would take four times the memory.
  QuietStore store("capacity_bytes=2G;memory_bytes=4M;memtable_bytes=64K;filter_bits=" + filters);
  constexpr uint32_t kPaths = 1500;
  size_t stored = 0;
  // Until it is full. With nothing that makes room in the background, each later put would wait.
  for (uint32_t i = 0; i < kPaths && stored == i * 64; ++i) {
    TestPath path = MakePath(store.store(), "model", Tokens(i * 1000, 64));
    stored += *store.store().impl()->PutEntries(*path.path->impl(), 0, 64, 4096);
    if (i % 50 == 0) REQUIRE(MemoryUse(store) <= kMemory);
  }
  while (store.scheduler().RunOne()) {
  }
  // The memory is what stopped it, and it was used.
  REQUIRE(MemoryUse(store) <= kMemory);
  REQUIRE(store.store().impl()->log().memory_bytes() > kMemory / 3);
  REQUIRE(stored >= 30000);
  const TreePtr tree = store.store().impl()->CurrentView()->tree;
  if (filters != "0") REQUIRE(tree->filter_bits() > tree->entries());
  store.Reopen();  // requires that it opens
  REQUIRE(MemoryUse(store) <= kMemory);
}

}  // namespace
}  // namespace lamina::testing
