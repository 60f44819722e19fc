// How a capacity is divided.
#include "engine/store/space_budget.h"

#include <catch2/catch.hpp>

#include "engine/lamina.h"
#include "tensorlog/geometry.h"

using namespace lamina;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Adds segments until there is no room; the slots added.
uint64_t Fill(SpaceBudget& budget, uint32_t slot_bytes, uint32_t whole) {
  uint64_t slots = 0;
  for (uint32_t n = whole; budget.TryAdd(slot_bytes, &n); n = whole) slots += n;
  return slots;
}

}  // namespace

TEST_CASE("a capacity made for a number of pages has slots for them, all but a few") {
  for (const uint64_t pages : {1000u, 3655u, 9139u, 36558u}) {
    for (const uint32_t page_bytes : {64u << 10, 80u << 10, 256u << 10}) {
      SpaceBudget budget(CapacityFor(pages, page_bytes));
      const uint32_t slot_bytes = SlotBytesFor(page_bytes);
      const uint32_t whole = *SegmentSlotsFor(slot_bytes, budget.capacity());
      const uint64_t growable = budget.Growable(slot_bytes, whole);
      const uint64_t slots = Fill(budget, slot_bytes, whole);
      REQUIRE(slots == growable);
      REQUIRE(slots <= std::max<uint64_t>(pages, 48 * kMiB / slot_bytes));
      REQUIRE(slots + std::max<uint64_t>(8, whole / 8) >= pages);
      REQUIRE(budget.Growable(slot_bytes, whole) == 0);
    }
  }
}

TEST_CASE("segments, their reserve and what metadata takes never exceed the capacity") {
  SpaceBudget budget(200 * kMiB);
  budget.SetMetadataBytes(40 * kMiB);  // more than is kept for it
  Fill(budget, 1 << 16, 50);
  REQUIRE(budget.segment_bytes() <= 160 * kMiB);
  REQUIRE(budget.OverBytes() == 0);
  budget.SetMetadataBytes(60 * kMiB);
  REQUIRE(budget.OverBytes() == budget.segment_bytes() + 60 * kMiB - 200 * kMiB);
  budget.SetCapacity(400 * kMiB);
  REQUIRE(budget.OverBytes() == 0);
  REQUIRE(budget.Growable(1 << 16, 50) > 0);
}

TEST_CASE("slots stay within the memory that they may take, whatever the disk has") {
  for (const uint64_t capacity : {uint64_t{0}, 1000 * kMiB}) {
    SpaceBudget budget(capacity);
    budget.SetDiskBytes(2000 * kMiB);
    const uint64_t bound = SegmentMemory(1000) * 3 + SegmentMemory(400);
    budget.SetMemory(bound);
    REQUIRE(budget.Growable(1 << 16, 1000) == 3400);
    REQUIRE(Fill(budget, 1 << 16, 1000) == 3400);
    REQUIRE(budget.memory_bytes() == bound);
    budget.Remove({.id = 1, .log_dir = 0, .slot_bytes = 1 << 16, .slot_count = 1000});
    REQUIRE(budget.memory_bytes() == bound - SegmentMemory(1000));
    budget.SetMemory(bound / 4);
    uint32_t slots = 1000;
    REQUIRE_FALSE(budget.TryAdd(1 << 16, &slots));
    REQUIRE(budget.Growable(1 << 16, 1000) == 0);
    budget.SetMemory(UINT64_MAX);
    REQUIRE(budget.TryAdd(1 << 16, &slots));
  }
}

TEST_CASE("what was given up for a class goes to no other") {
  SpaceBudget budget(128 * kMiB);
  Fill(budget, 1 << 16, 32);
  const SegmentInfo leaving = {.id = 7, .log_dir = 0, .slot_bytes = 1 << 16, .slot_count = 32};
  budget.Earmark(5 << 14, leaving.bytes());
  budget.Remove(leaving);
  uint32_t slots = 32;
  REQUIRE_FALSE(budget.TryAdd(1 << 16, &slots));
  slots = 25;
  REQUIRE(budget.TryAdd(5 << 14, &slots));
  REQUIRE(slots >= 24);
}

TEST_CASE("without a capacity the disk bounds, and what it has left is used") {
  SpaceBudget budget(0);
  budget.SetDiskBytes(10 * kMiB);
  uint32_t slots = 64;
  REQUIRE(budget.TryAdd(1 << 16, &slots));
  REQUIRE(slots == 64);
  REQUIRE(budget.Growable(1 << 16, 64) == 96);
  REQUIRE(budget.OverBytes() == 0);
}
