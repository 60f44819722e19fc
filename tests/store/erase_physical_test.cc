// erase=physical: what was freed is not in the files any more when the call returns.
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <thread>

#include "tests/store/sectors.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;
constexpr char kPhysical[] = "erase=physical";

struct Fixture {
  explicit Fixture(const std::string& options_text = kPhysical, bool punch_refused = false)
      : options(options_text), disk(21, {.punch_hole_refused = punch_refused}) {
    Open(options);
  }
  void Open(const std::string& options_text) {
    store.reset();
    auto opened = OpenSimulatedStore(disk.Restart(), options_text);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    store = std::move(*opened);
    view = disk.Attach();
  }
  std::vector<size_t> OnDisk(const TestPath& path, size_t page_bytes = kPage) const {
    return PageSectors(path, page_bytes).OnDisk(disk, *view);
  }

  const std::string options;
  SimulatedDisk disk;
  std::unique_ptr<Store> store;
  std::unique_ptr<FileSystem> view;
};

void CheckGone(const std::vector<size_t>& sectors, size_t first, size_t end) {
  testing::CheckGone(sectors, kPage, first, end);
}

TEST_CASE("erased pages are not in the files any more, and their neighbours are",
          "[simulated][crash]") {
  Fixture f(kPhysical, GENERATE(false, true));
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  CheckGone(f.OnDisk(path), 0, 0);
  SECTION("live") {}
  SECTION("condemned") {
    for (size_t page = 5; page < 12; ++page) {
      const Location& at = path.path->impl()->locations[page];
      const uint64_t tag = at.entry.tag(path.path->impl()->fingerprints[page]);
      REQUIRE(f.store->impl()->log().Condemn(at.entry.slot, tag));
    }
  }
  REQUIRE(f.store->Erase(*path.path, 5, 7).ok());
  CheckGone(f.OnDisk(path), 5, 12);
  CHECK(CountOk(GetPages(*f.store, path, 0, 20, kPage).states) == 13);
  CHECK(GetPages(*f.store, path, 0, 20, kPage).wrong == 0);
  // The segments keep their blocks: later puts count on them.
  uint64_t now = 0;
  for (const std::string& name : f.disk.Files()) {
    if (name.ends_with(".segment")) now += *f.view->AllocatedBytes(name);
  }
  CHECK(now == f.store->impl()->log().file_bytes());
  CHECK(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  CheckGone(f.OnDisk(path), 0, 0);
}

TEST_CASE("without erase=physical the bytes stay until the slot is used again",
          "[simulated][crash]") {
  Fixture f("erase=logical");
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  REQUIRE(f.store->Erase(*path.path, 5, 7).ok());
  CheckGone(f.OnDisk(path), 0, 0);
  // Opening with it erases what was freed before.
  f.Open(kPhysical);
  CheckGone(f.OnDisk(path), 5, 12);
}

TEST_CASE("an erased root is not in the files any more, and others are", "[simulated][crash]") {
  Fixture f;
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  TestPath other = MakePath(*f.store, "other", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  REQUIRE(CountOk(PutPages(*f.store, other, 0, 20, kPage)) == 20);
  REQUIRE(f.store->EraseRoot("model").ok());
  CheckGone(f.OnDisk(path), 0, 20);
  CheckGone(f.OnDisk(other), 0, 0);
}

TEST_CASE("an erased page is gone for a power cut, too", "[simulated][crash]") {
  Fixture f;
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  REQUIRE(f.store->Flush().ok());
  REQUIRE(f.store->Erase(*path.path, 5, 7).ok());
  f.disk.Crash(SimulatedCrash::kPower);
  f.store.reset();
  f.view = f.disk.Attach();
  CheckGone(f.OnDisk(path), 5, 12);
}

TEST_CASE("a page whose bytes are wrong leaves nothing of them when its slot is freed",
          "[simulated][crash]") {
  Fixture f;
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  const SlotRef slot = path.path->impl()->locations[7].entry.slot;
  for (const std::string& name : f.disk.Files()) {
    if (name.ends_with(".segment")) REQUIRE(f.disk.FlipBit(name, slot.slot * kPage * 8 + 99).ok());
  }
  REQUIRE(GetPages(*f.store, path, 7, 1, kPage).states[0] == PageState::kMiss);
  CheckGone(f.OnDisk(path), 7, 8);
}

TEST_CASE("a put that is rejected after it was written leaves nothing in the files",
          "[simulated][crash]") {
  Fixture f;
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 10, kPage)) == 10);
  f.disk.SetFaults({.write_error = 1, .only_in = ".journal"});
  REQUIRE(CountOk(PutPages(*f.store, path, 10, 10, kPage)) == 0);
  CheckGone(f.OnDisk(path), 10, 20);
}

TEST_CASE("puts that were overtaken leave one copy of each page in the files",
          "[simulated][crash]") {
  Fixture f;
  constexpr size_t kPages = 16;
  uint64_t lost = 0;
  for (uint32_t round = 0; round < 500 && lost == 0; ++round) {
    TestPath path = MakePath(*f.store, "model", Tokens(round * 1000, kPages));
    std::vector<std::thread> threads;
    std::atomic<size_t> stored{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        TestPath own = MakePath(*f.store, "model", Tokens(round * 1000, kPages));
        stored += CountOk(PutPages(*f.store, own, 0, kPages, kPage));
      });
    }
    for (std::thread& thread : threads) thread.join();
    REQUIRE(stored == 4 * kPages);
    lost = StatOf(f.store->StatsJson(), "duplicates_lost");
    if (lost > 0 || round == 0) CheckGone(f.OnDisk(path), 0, 0);
  }
  REQUIRE(lost > 0);
}

TEST_CASE("a shorter page leaves nothing of the longer one whose slot it takes",
          "[simulated][crash]") {
  // Slots of a class go up to an eighth beyond what is asked for.
  constexpr size_t kLong = 9 * 4 * kPage;
  constexpr size_t kShort = kLong - 3 * kPage;
  REQUIRE(SlotBytesFor(kLong) == SlotBytesFor(kShort));
  Fixture f;
  std::vector<TestPath> paths;
  const auto put = [&](uint32_t token, size_t bytes) {
    paths.push_back(MakePath(*f.store, "model", Tokens(token, 8)));
    return CountOk(PutPages(*f.store, paths.back(), 0, 8, bytes));
  };
  // All that there is, condemned, and then all of it overwritten.
  uint32_t token = 0;
  while (put(token, kLong) == 8 && token < 100000) token += 100;
  for (TestPath& path : paths) {
    ProbePages(*f.store, path, 0, 8);
    for (size_t page = 0; page < 8; ++page) {
      const Location& at = path.path->impl()->locations[page];
      if (!at.found) continue;
      f.store->impl()->log().Condemn(at.entry.slot,
                                     at.entry.tag(path.path->impl()->fingerprints[page]));
    }
  }
  const size_t old_paths = paths.size();
  for (size_t i = 0; i < old_paths; ++i) put(1000000 + static_cast<uint32_t>(i) * 100, kShort);
  for (size_t i = 0; i < old_paths; i += 7) {
    const auto states = ProbePages(*f.store, paths[i], 0, 8);
    const auto sectors = f.OnDisk(paths[i], kLong);
    for (size_t page = 0; page < 8; ++page) {
      if (states[page] == PageState::kMiss) CHECK(sectors[page] == 0);
    }
  }
}

TEST_CASE("bytes that cannot be erased are an error of the erase, and go at the next open",
          "[simulated][crash]") {
  Fixture f;
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  f.disk.FailOperation(1, EIO);
  CHECK_FALSE(f.store->Erase(*path.path, 5, 7).ok());
  CHECK(StatOf(f.store->StatsJson(), "scrub_failures") == 1);
  CHECK(CountOk(ProbePages(*f.store, path, 5, 7)) == 0);
  CheckGone(f.OnDisk(path), 0, 0);
  f.Open(kPhysical);
  CheckGone(f.OnDisk(path), 5, 12);
}

TEST_CASE("a disk too full to punch holes has the bytes overwritten instead",
          "[simulated][crash]") {
  Fixture f;
  TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  f.disk.FailOperation(1, ENOSPC);
  CHECK(f.store->Erase(*path.path, 5, 7).ok());
  CheckGone(f.OnDisk(path), 5, 12);
  CHECK(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
}

TEST_CASE("bytes that a full disk kept are erased by the next call", "[simulated][crash]") {
  size_t kept = 0;
  for (uint64_t n = 1; n <= 4; ++n) {
    CAPTURE(n);
    Fixture f(kPhysical, /*punch_refused=*/true);
    TestPath path = MakePath(*f.store, "model", Tokens(0, 20));
    REQUIRE(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
    f.disk.FailOperation(n, ENOSPC);
    const Status erased = f.store->Erase(*path.path, 5, 7);
    f.disk.FailOperation(0, 0);
    if (erased.ok()) continue;
    // A sync that lacks space is an I/O error like any other.
    if (erased.code() == StatusCode::kNoSpace) ++kept;
    CHECK(CountOk(ProbePages(*f.store, path, 5, 7)) == 0);
    CHECK(f.store->Erase(*path.path, 5, 7).ok());
    CheckGone(f.OnDisk(path), 5, 12);
    CHECK(CountOk(PutPages(*f.store, path, 0, 20, kPage)) == 20);
  }
  CHECK(kept >= 1);
}

// Puts, erases and a flush, and a crash at every operation. Once the store is open again and has
// been read, what lies in its files is what it can give back, and what was erased is neither.
TEST_CASE("wherever a crash comes, no bytes stay that the store does not own up to",
          "[simulated][crash]") {
  constexpr size_t kPages = 40;
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    SimulatedDisk disk(n);
    auto fs = disk.Restart();
    disk.SetCrashAt(n, kind);
    bool erased = false;
    if (auto store = OpenSimulatedStore(std::move(fs), kPhysical); store.ok()) {
      TestPath path = MakePath(**store, "model", Tokens(0, kPages));
      PutPages(**store, path, 0, 15, kPage);
      (void)(*store)->Flush();
      PutPages(**store, path, 15, 15, kPage);
      erased = (*store)->Erase(*path.path, 10, 10).ok() && !disk.crashed();
      PutPages(**store, path, 30, 10, kPage);
    }
    if (!disk.crashed()) break;
    auto opened = OpenSimulatedStore(disk.Restart(), kPhysical);
    REQUIRE(opened.ok());
    Store& store = **opened;
    REQUIRE(store.impl()->scheduler().WaitIdle(Scheduler::Clock::time_point::max()).ok());
    TestPath path = MakePath(store, "model", Tokens(0, kPages));
    const GetOutcome got = GetPages(store, path, 0, kPages, kPage);
    CHECK(got.wrong == 0);
    const auto view = disk.Attach();
    const auto sectors = PageSectors(path, kPage).OnDisk(disk, *view);
    for (size_t page = 0; page < kPages; ++page) {
      CAPTURE(page);
      CHECK(sectors[page] == (got.states[page] == PageState::kOk ? kPage / kSector : 0));
      if (erased && page >= 10 && page < 20) CHECK(sectors[page] == 0);
    }
  }
}

}  // namespace
}  // namespace lamina::testing
