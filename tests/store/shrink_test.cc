// A capacity that becomes so much smaller that the segments there are, which were cut for the old
// one, are larger than all that is left.
#include <catch2/catch.hpp>

#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 16 << 10;
constexpr size_t kOtherPage = 20 << 10;
constexpr size_t kPathPages = 32;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLarge = 1024 * kMiB;  // segments of 16 MiB
constexpr uint64_t kSmall = 14 * kMiB;    // 10.5 MiB of it for segments and their reserve

std::unique_ptr<Store> OpenWith(SimulatedDisk& disk, uint64_t capacity) {
  auto store = OpenSimulatedStore(disk.Restart(), "eviction=lru", capacity);
  REQUIRE(store.ok());
  return std::move(*store);
}

TestPath PathOf(Store& store, uint32_t number) {
  return MakePath(store, "model", Tokens(number * 1000, kPathPages));
}

void Put(Store& store, uint32_t first, uint32_t paths, size_t page_bytes) {
  for (uint32_t i = first; i < first + paths; ++i) {
    TestPath path = PathOf(store, i);
    REQUIRE(CountOk(PutPages(store, path, 0, kPathPages, page_bytes)) == kPathPages);
  }
}

size_t PagesThere(Store& store, uint32_t first, uint32_t paths, size_t page_bytes) {
  size_t there = 0;
  for (uint32_t i = first; i < first + paths; ++i) {
    TestPath path = PathOf(store, i);
    const GetOutcome got = GetPages(store, path, 0, kPathPages, page_bytes);
    CHECK(got.wrong == 0);
    there += CountOk(got.states);
  }
  return there;
}

void CheckFits(Store& store, SimulatedDisk& disk) {
  const SpaceBudget& budget = store.impl()->budget();
  CHECK(budget.OverBytes() == 0);
  uint64_t segments = 0;
  for (const std::string& name : disk.Files())
    if (name.ends_with(".segment")) segments += *disk.Attach()->AllocatedBytes(name);
  CHECK(segments == budget.segment_bytes());
  CHECK(segments < kSmall * 3 / 4);
}

TEST_CASE("a capacity smaller than one segment keeps all pages that have room in it",
          "[simulated]") {
  SimulatedDisk disk(3);
  {
    auto store = OpenWith(disk, kLarge);
    Put(*store, 0, 15, kPage);  // 7.5 MiB
    REQUIRE(store->SetCapacity(kSmall).ok());
    CheckFits(*store, disk);
    CHECK(PagesThere(*store, 0, 15, kPage) == 15 * kPathPages);
  }
  const auto store = OpenWith(disk, kSmall);
  CheckFits(*store, disk);
  CHECK(PagesThere(*store, 0, 15, kPage) == 15 * kPathPages);
}

TEST_CASE("an open with a capacity smaller than one segment keeps what is worth most",
          "[simulated]") {
  SimulatedDisk disk(4);
  {
    auto store = OpenWith(disk, kLarge);
    Put(*store, 0, 100, kPage);  // 50 MiB
    CHECK(PagesThere(*store, 40, 8, kPage) == 8 * kPathPages);
  }
  const auto store = OpenWith(disk, kSmall);
  while (store->impl()->scheduler().RunOne()) {
  }
  CheckFits(*store, disk);
  CHECK(PagesThere(*store, 40, 8, kPage) == 8 * kPathPages);
  // 20 paths have room.
  CHECK(PagesThere(*store, 0, 100, kPage) >= 17 * kPathPages);
}

TEST_CASE("pages of two sizes share a capacity smaller than one segment", "[simulated]") {
  SimulatedDisk disk(5);
  const auto store = OpenWith(disk, kLarge);
  Put(*store, 0, 30, kPage);
  Put(*store, 30, 30, kOtherPage);
  REQUIRE(store->SetCapacity(kSmall).ok());
  CheckFits(*store, disk);
  const size_t bytes = PagesThere(*store, 0, 30, kPage) * kPage +
                       PagesThere(*store, 30, 30, kOtherPage) * kOtherPage;
  CHECK(bytes > kSmall / 3);
  Put(*store, 60, 5, kPage);
  Put(*store, 65, 5, kOtherPage);
  CheckFits(*store, disk);
}

}  // namespace
}  // namespace lamina::testing
