// A slot's states, and who may touch it when.
#include "tensorlog/slot.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace lamina {
namespace {

constexpr uint64_t kTag = 42;
constexpr uint64_t kOther = 43;

void MakeLive(Slot& slot, uint64_t tag) {
  SlotState was;
  REQUIRE(slot.Take(&was));
  slot.Publish(tag, 5);
}

TEST_CASE("a slot goes from free through writing to live, and bears its tag only then") {
  Slot slot;
  CHECK(slot.state() == SlotState::kFree);
  CHECK(slot.takeable());
  SlotState was;
  REQUIRE(slot.Take(&was));
  CHECK(was == SlotState::kFree);
  CHECK(slot.state() == SlotState::kWriting);
  CHECK(slot.tag() == 0);
  CHECK_FALSE(slot.Pin(0));
  CHECK_FALSE(slot.Take(&was));
  slot.Publish(kTag, 5);
  CHECK(slot.state() == SlotState::kLive);
  CHECK(slot.tag() == kTag);
  CHECK(slot.root() == 5);
  CHECK_FALSE(slot.takeable());
}

TEST_CASE("a slot that is seized is nobody's until its readers are gone and it is released") {
  Slot slot;
  MakeLive(slot, kTag);
  REQUIRE(slot.Pin(kTag));
  SlotState was;
  CHECK_FALSE(slot.Seize(kOther, &was));
  REQUIRE(slot.Seize(kTag, &was));
  CHECK(was == SlotState::kLive);
  CHECK(slot.tag() == 0);
  CHECK_FALSE(slot.unpinned());
  CHECK_FALSE(slot.Seize(kTag, &was));
  CHECK_FALSE(slot.Free(kTag, &was));
  CHECK_FALSE(slot.Pin(kTag));
  CHECK_FALSE(slot.Pin(0));
  slot.Unpin();
  CHECK(slot.unpinned());
  CHECK_FALSE(slot.Take(&was));
  slot.Release();
  CHECK(slot.state() == SlotState::kFree);
  CHECK(slot.Take(&was));
}

TEST_CASE("a slot that is given back while writing is free again") {
  Slot slot;
  SlotState was;
  REQUIRE(slot.Take(&was));
  slot.Release();
  CHECK(slot.state() == SlotState::kFree);
  CHECK(slot.Take(&was));
}

TEST_CASE("a live slot is not taken, a condemned one is, and loses its tag") {
  Slot slot;
  MakeLive(slot, kTag);
  SlotState was;
  CHECK_FALSE(slot.Take(&was));
  REQUIRE(slot.Condemn(kTag));
  CHECK(slot.tag() == kTag);
  REQUIRE(slot.Take(&was));
  CHECK(was == SlotState::kCondemned);
  CHECK(slot.tag() == 0);
  CHECK_FALSE(slot.Pin(kTag));
}

TEST_CASE("a condemned slot that is hit comes back to life") {
  Slot slot;
  MakeLive(slot, kTag);
  CHECK_FALSE(slot.Revive(kTag));
  REQUIRE(slot.Condemn(kTag));
  CHECK_FALSE(slot.Condemn(kTag));
  REQUIRE(slot.Pin(kTag));
  REQUIRE(slot.Revive(kTag));
  slot.Unpin();
  CHECK(slot.state() == SlotState::kLive);
  CHECK(slot.pins() == 0);
}

TEST_CASE("a pinned slot is not taken until the last pin is gone") {
  Slot slot;
  MakeLive(slot, kTag);
  REQUIRE(slot.Condemn(kTag));
  REQUIRE(slot.Pin(kTag));
  REQUIRE(slot.Pin(kTag));
  SlotState was;
  CHECK_FALSE(slot.Take(&was));
  slot.Unpin();
  CHECK_FALSE(slot.Take(&was));
  slot.Unpin();
  CHECK(slot.Take(&was));
}

TEST_CASE("every operation asks for the tag") {
  Slot slot;
  MakeLive(slot, kTag);
  SlotState was;
  CHECK_FALSE(slot.Pin(kOther));
  CHECK_FALSE(slot.Condemn(kOther));
  CHECK_FALSE(slot.Revive(kOther));
  CHECK_FALSE(slot.Free(kOther, &was));
  CHECK_FALSE(slot.MarkProven(kOther));
  CHECK(slot.pins() == 0);
  CHECK(slot.state() == SlotState::kLive);
}

TEST_CASE("freeing a pinned slot clears the tag at once and keeps the bytes until it is unpinned") {
  Slot slot;
  MakeLive(slot, kTag);
  REQUIRE(slot.Pin(kTag));
  SlotState was;
  REQUIRE(slot.Free(kTag, &was));
  CHECK(was == SlotState::kLive);
  CHECK(slot.tag() == 0);
  CHECK(slot.state() == SlotState::kFree);
  CHECK_FALSE(slot.Free(kTag, &was));
  CHECK_FALSE(slot.Take(&was));
  slot.Unpin();
  CHECK(slot.Take(&was));
}

TEST_CASE("an unproven slot stays so until its payload was verified") {
  Slot slot;
  slot.Restore(SlotState::kLive, true, kTag, 1, HeatValue{3, 4});
  CHECK(slot.unproven());
  CHECK(slot.heat(0) == 3);
  CHECK(slot.heat(1) == 4);
  REQUIRE(slot.Condemn(kTag));
  CHECK(slot.unproven());
  REQUIRE(slot.MarkProven(kTag));
  CHECK_FALSE(slot.unproven());
  CHECK(slot.state() == SlotState::kCondemned);
}

TEST_CASE("a new page starts without heat") {
  Slot slot;
  MakeLive(slot, kTag);
  slot.set_heat(0, 9);
  REQUIRE(slot.Condemn(kTag));
  MakeLive(slot, kOther);
  CHECK(slot.heat(0) == 0);
}

// The bytes of a slot are modelled by a plain, unsynchronised word: a reader that holds a pin while
// a writer overwrites is a wrong value here and a data race under ThreadSanitizer.
TEST_CASE("no reader ever sees a slot that is being overwritten") {
  constexpr int kOverwrites = 100000;
  constexpr uint64_t kBytesOfTag = 0x5151515151515151u;
  Slot slot;
  uint64_t payload = 0;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> pinned{0};
  SlotState was;
  REQUIRE(slot.Take(&was));
  payload = 1 ^ kBytesOfTag;
  slot.Publish(1, 0);

  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      uint64_t seen = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        const uint64_t tag = slot.tag();
        if (tag == 0) continue;
        if (slot.Pin(tag)) {
          if (payload != (tag ^ kBytesOfTag)) ++wrong;
          slot.Unpin();
          ++seen;
        }
        SlotState ignored;
        if (t == 0) slot.Condemn(tag);
        if (t == 1) slot.Revive(tag);
        if (t == 2 && tag % 64 == 0) slot.Free(tag, &ignored);
      }
      pinned += seen;
    });
  }
  for (uint64_t tag = 2; tag < kOverwrites; ++tag) {
    slot.Condemn(tag - 1);
    while (!slot.Take(&was)) slot.Condemn(tag - 1);
    payload = tag ^ kBytesOfTag;
    slot.Publish(tag, static_cast<uint32_t>(tag));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(slot.pins() == 0);
  const uint64_t tag = slot.tag();
  CHECK((slot.state() == SlotState::kFree) == (tag == 0));
}

}  // namespace
}  // namespace lamina
