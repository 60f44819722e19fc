#include "engine/index/block_cache.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::Random;

PinnedBlock Fill(BlockCache* cache, BlockId id) {
  PinnedBlock block = cache->Reserve(id);
  std::memset(block.writable().data(), static_cast<int>(id.table + id.offset / kTableBlockBytes),
              kTableBlockBytes);
  return cache->Publish(std::move(block));
}

bool HasRightBytes(const PinnedBlock& block, BlockId id) {
  const auto value = static_cast<std::byte>(id.table + id.offset / kTableBlockBytes);
  for (const std::byte b : block.bytes()) {
    if (b != value) return false;
  }
  return true;
}

BlockId Id(uint64_t i) { return {1 + i % 3, i / 3 * kTableBlockBytes}; }

TEST_CASE("a published block is found with its bytes, a reserved one is not") {
  BlockCache cache(1 << 20);
  CHECK_FALSE(cache.Lookup(Id(1)));
  {
    const PinnedBlock reserved = cache.Reserve(Id(1));
    CHECK_FALSE(cache.Lookup(Id(1)));
    CHECK_FALSE(cache.Contains(Id(1)));
    CHECK(reinterpret_cast<uintptr_t>(reserved.bytes().data()) % kTableBlockBytes == 0);
  }
  CHECK_FALSE(cache.Contains(Id(1)));
  CHECK(cache.block_count() == 0);
  Fill(&cache, Id(1));
  CHECK(cache.Contains(Id(1)));
  const PinnedBlock found = cache.Lookup(Id(1));
  REQUIRE(found);
  CHECK(HasRightBytes(found, Id(1)));
}

TEST_CASE("a cache stays within its bytes and keeps what is used") {
  const size_t capacity = GENERATE(size_t{64} << 10, size_t{1} << 20, size_t{9} << 20);
  BlockCache cache(capacity);
  Fill(&cache, Id(0));
  for (uint64_t i = 1; i < 5000; ++i) {
    Fill(&cache, Id(i));
    REQUIRE(cache.bytes() <= capacity);
    REQUIRE(cache.Lookup(Id(0)));  // used after every fill: the clock passes it by
  }
  // Nearly all of the capacity holds blocks.
  CHECK(cache.block_count() * kTableBlockBytes > capacity * 8 / 10);
}

TEST_CASE("pinned blocks are never evicted, and are let go when their pins are") {
  BlockCache cache(64 << 10);
  std::vector<PinnedBlock> pins;
  for (uint64_t i = 0; i < 100; ++i) pins.push_back(Fill(&cache, Id(i)));
  CHECK(cache.block_count() == 100);
  for (uint64_t i = 0; i < 100; ++i) {
    CHECK(HasRightBytes(pins[i], Id(i)));
    CHECK(cache.Contains(Id(i)));
  }
  pins.clear();
  CHECK(cache.bytes() <= cache.capacity_bytes());
}

TEST_CASE("a cache without capacity holds what is pinned and nothing else") {
  BlockCache cache(0);
  PinnedBlock a = Fill(&cache, Id(1));
  PinnedBlock b = cache.Lookup(Id(1));
  CHECK(HasRightBytes(b, Id(1)));
  a.Release();
  CHECK(cache.Contains(Id(1)));
  b.Release();
  CHECK_FALSE(cache.Contains(Id(1)));
  CHECK(cache.block_count() == 0);
}

TEST_CASE("of two readers of one block the second to publish gets the first one's copy") {
  BlockCache cache(1 << 20);
  PinnedBlock slow = cache.Reserve(Id(4));
  const PinnedBlock fast = Fill(&cache, Id(4));
  const PinnedBlock published = cache.Publish(std::move(slow));
  CHECK(published.bytes().data() == fast.bytes().data());
  CHECK(cache.block_count() == 1);
}

TEST_CASE("erasing a table forgets its blocks and no others; pins stay readable") {
  BlockCache cache(4 << 20);
  for (uint64_t i = 0; i < 300; ++i) Fill(&cache, Id(i));
  const PinnedBlock pinned = cache.Lookup({2, 0});
  REQUIRE(pinned);
  cache.EraseTable(2);
  for (uint64_t i = 0; i < 300; ++i) REQUIRE(cache.Contains(Id(i)) == (Id(i).table != 2));
  CHECK(HasRightBytes(pinned, {2, 0}));
}

TEST_CASE("shrinking a cache gives its memory back at once") {
  BlockCache cache(4 << 20);
  for (uint64_t i = 0; i < 2000; ++i) Fill(&cache, Id(i));
  const size_t full = cache.bytes();
  cache.SetCapacity(1 << 20);
  CHECK(cache.bytes() <= full - (size_t{2} << 20));
  CHECK(cache.block_count() <= (size_t{1} << 20) / kTableBlockBytes);
  for (uint64_t i = 0; i < 2000; ++i) {
    if (const PinnedBlock block = cache.Lookup(Id(i))) REQUIRE(HasRightBytes(block, Id(i)));
  }
  cache.SetCapacity(8 << 20);
  for (uint64_t i = 0; i < 4000; ++i) Fill(&cache, Id(i));
  CHECK(cache.block_count() > 1500);
  CHECK(cache.bytes() <= size_t{8} << 20);
}

TEST_CASE("random use of a cache never shows a wrong block") {
  const uint64_t seed = GENERATE(uint64_t{1}, uint64_t{2});
  INFO("seed " << seed);
  Random random(seed);
  BlockCache cache(256 << 10);
  std::map<uint64_t, PinnedBlock> pins;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t n = random() % 300;
    switch (random() % 16) {
      case 0:
        cache.EraseTable(1 + random() % 3);
        break;
      case 1:
        cache.SetCapacity((64 + random() % 512) << 10);
        break;
      case 2:
        pins.clear();
        break;
      case 3:
        pins[n] = Fill(&cache, Id(n));
        break;
      case 4:
        cache.Reserve(Id(n)).Release();
        break;
      default: {
        PinnedBlock found = cache.Lookup(Id(n));
        if (!found) found = Fill(&cache, Id(n));
        REQUIRE(HasRightBytes(found, Id(n)));
      }
    }
  }
  for (const auto& [n, pin] : pins) REQUIRE(HasRightBytes(pin, Id(n)));
}

}  // namespace
}  // namespace lamina
