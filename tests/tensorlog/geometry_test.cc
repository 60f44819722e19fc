// Slot and segment sizes.
#include "tensorlog/geometry.h"

#include <catch2/catch.hpp>
#include <set>

namespace lamina {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = kKiB * 1024;
constexpr uint64_t kGiB = kMiB * 1024;

TEST_CASE("a slot holds its page, in whole units of 4 KiB, with at most an eighth of waste") {
  for (uint64_t bytes = 1; bytes <= 64 * kMiB; bytes += 1 + bytes / 97) {
    const uint64_t slot = SlotBytesFor(bytes);
    CAPTURE(bytes, slot);
    REQUIRE(slot >= bytes);
    REQUIRE(slot % 4096 == 0);
    const uint64_t units = (bytes + 4095) / 4096 * 4096;
    REQUIRE((slot - units) * 8 <= slot);
  }
}

TEST_CASE("usual page sizes get slots of exactly their size") {
  for (const uint64_t bytes : {4 * kKiB, 16 * kKiB, 64 * kKiB, 80 * kKiB, 256 * kKiB, 320 * kKiB,
                               kMiB, 5 * kMiB / 4, 32 * kMiB, kGiB}) {
    CHECK(SlotBytesFor(bytes) == bytes);
  }
}

TEST_CASE("few classes exist") {
  std::set<uint32_t> classes;
  for (uint64_t bytes = 4096; bytes <= 32 * kMiB; bytes += 4096)
    classes.insert(SlotBytesFor(bytes));
  CHECK(classes.size() <= 8 * 14);
}

TEST_CASE("a segment is a 64th of the capacity, 1 GiB at most, 8 slots at least") {
  CHECK(*SegmentSlotsFor(65536, 1024 * kGiB) == kGiB / 65536);
  CHECK(*SegmentSlotsFor(65536, 4 * kGiB) == 64 * kMiB / 65536);
  CHECK(*SegmentSlotsFor(65536, 64 * kMiB) == 16);
  CHECK(*SegmentSlotsFor(1 << 20, 64 * kMiB) == 8);
  CHECK(*SegmentSlotsFor(65536, 0) == kGiB / 65536);
  CHECK(*SegmentSlotsFor(static_cast<uint32_t>(kGiB), 0) == 8);
  const auto whole = static_cast<uint32_t>(kGiB / 65536);
  CHECK(SlotsWithinDisk(whole, 65536, UINT64_MAX) == whole);
  CHECK(SlotsWithinDisk(whole, 65536, 32 * kGiB) == whole / 2);
  CHECK(SlotsWithinDisk(whole, 65536, kMiB) == whole / 4);
  CHECK(SlotsWithinDisk(8, static_cast<uint32_t>(kGiB), 0) == 8);
}

TEST_CASE("a page too large for the capacity is refused with that reason") {
  const auto slots = SegmentSlotsFor(2 << 20, 64 * kMiB);
  REQUIRE_FALSE(slots.ok());
  CHECK(slots.status().code() == StatusCode::kNoSpace);
  CHECK(slots.status().message().find("too large for capacity_bytes=67108864") !=
        std::string_view::npos);
}

TEST_CASE("a run of slots is at least 256 KiB") {
  CHECK(MinRunSlots(4096) == 64);
  CHECK(MinRunSlots(65536) == 4);
  CHECK(MinRunSlots(81920) == 4);
  CHECK(MinRunSlots(256 * 1024) == 1);
  CHECK(MinRunSlots(1 << 20) == 1);
}

}  // namespace
}  // namespace lamina
