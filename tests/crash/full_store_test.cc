// Histories of a full store, which evicts and overwrites, with a crash, or a failure, at every
// single operation on the disk, and with a failure of every single read.
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/crash/scripted_history.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4000;
constexpr size_t kOtherPage = 7000;
constexpr size_t kPages = 12;  // of a path
constexpr uint64_t kCapacity = 512 << 10;

PathName Model(uint32_t number) { return {"model", number}; }
PathName Other(uint32_t number) { return {"another model", number}; }
PathName OtherSize(uint32_t number) { return {"model", 100 + number, kOtherPage}; }

// Two roots, over the end of the log, and all but the last path flushed.
void Fill(ScriptedHistory& history) {
  history.Open();
  for (uint32_t i = 0; i < 3; ++i) {
    history.Put(Model(i), 0, kPages);
    history.Put(Other(i), 0, kPages);
  }
  history.Flush();
  history.Put(Model(3), 0, kPages);
  REQUIRE(history.store()->impl()->counters().pages_evicted > 0);
}

HistorySetup Full(const std::string& options) {
  return {.options = "admission=all;eviction=lru;memory_bytes=24M;request_bytes=256K;" + options,
          .page_bytes = kPage,
          .capacity_bytes = kCapacity,
          .evicts = true,
          .prepare = Fill};
}

// Segments are given up for pages of another size, and in the end go back.
void PassToOtherSize(ScriptedHistory& history) {
  history.Put(OtherSize(0), 0, 5);
  history.Put(OtherSize(1), 0, 5);
  history.Put(Model(0), 0, kPages);
  history.Flush();
  history.Put(Model(4), 0, kPages);
  if (history.in_peace()) CHECK(history.store()->impl()->counters().segments_transferred > 0);
}

// A root goes, and what is put takes its slots and those of what is evicted.
void EraseAndOverwrite(ScriptedHistory& history) {
  history.Put(Other(3), 0, kPages);
  history.EraseRoot("model");
  history.Put(Model(1), 4, 8);
  history.Erase(Other(3), 2, 9);
  for (uint32_t i = 4; i < 7; ++i) history.Put(Other(i), 0, kPages);
  history.Get(Other(3), 0, kPages);
  history.Flush();
  history.EraseRoot("another model");
  history.Put(Model(0), 0, kPages);
}

// The segments there are are larger than all that the new capacity has for them.
void ShrinkToLessThanASegment(ScriptedHistory& history) {
  history.Close();
  history.OpenAs({}, 2 * kCapacity);
  history.RunBackground();
  if (history.in_peace()) {
    const Store::Impl& store = *history.store()->impl();
    CHECK(store.counters().segments_given_up > 0);
    CHECK(store.counters().pages_moved > 0);
    CHECK(store.budget().OverBytes() == 0);
  }
  history.Get(Model(1), 0, kPages);
  history.Put(Model(5), 0, kPages);
  history.Flush();
}

HistorySetup Large() {
  HistorySetup setup = Full({});
  setup.capacity_bytes = 64 * kCapacity;
  setup.prepare = [](ScriptedHistory& history) {
    history.Open();
    for (uint32_t i = 0; i < 4; ++i) history.Put(Model(i), 0, kPages);
    history.Flush();
    history.Put(OtherSize(0), 0, 5);
  };
  return setup;
}

std::vector<NamedHistory> Histories() {
  return {
      {"a capacity that is less than a segment", Large(), ShrinkToLessThanASegment},
      {"space passes to pages of another size", Full({}), PassToOtherSize},
      {"space passes to pages of another size, physically and synced",
       Full("erase=physical;durability=batch"), PassToOtherSize},
      {"erases", Full({}), EraseAndOverwrite},
      {"erases, physically", Full("erase=physical"), EraseAndOverwrite},
      {"erases, each put synced", Full("durability=batch"), EraseAndOverwrite},
  };
}

TEST_CASE("a crash of a full store at every operation costs nothing that slots held alive",
          "[full]") {
  CrashEachAnywhere(Histories());
}

TEST_CASE("a failure of any operation of a full store is survived, whatever it was about",
          "[full]") {
  FailAnyOperationOfEach(Histories(), /*before_power_cut=*/EIO, /*before_kill=*/ENOSPC);
}

TEST_CASE("a failure of any one read of a full store costs no page", "[full]") {
  FailAnyReadOfEach(Histories());
}

}  // namespace
}  // namespace lamina::testing
