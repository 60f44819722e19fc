// Moves whose record is there to be read when the store is opened, and not durable yet: until a
// checkpoint stands for them a power cut may take them, so what they have left has to stay.
#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "tests/store/sectors.h"
#include "tests/store/watched_file_system.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSlots = 16;  // of a segment
constexpr size_t kPages = 3 * kSlots;
constexpr uint64_t kCapacity = uint64_t{4} << 20;
constexpr uint32_t kGivenUp = 2;  // a segment

bool Condemned(size_t page) { return page % 5 < 2; }

// With `cut` power goes at that operation from here.
Result<std::unique_ptr<Store>> OpenOn(SimulatedDisk& disk, Watcher& watcher,
                                      const std::string& erase, uint64_t cut = 0) {
  auto fs = std::make_unique<WatchedFileSystem>(disk.Restart(), watcher);
  if (cut != 0) disk.SetCrashAt(cut, SimulatedCrash::kPower);
  return OpenSimulatedStore(std::move(fs), "admission=all;erase=" + erase, kCapacity);
}

TestPath PathOf(Store& store) { return MakePath(store, "model", Tokens(0, kPages)); }

Status GiveUp(Store& store) {
  Store::Impl::RetireReport report;
  return store.impl()->RetireSegments(std::span(&kGivenUp, 1), true, nullptr, &report);
}

// Three full segments, of whose pages two in five are condemned, all of it durable. One of them is
// given up, and the process killed when the moves are written and not yet synced. The slots that
// they were to leave.
std::set<SlotRef> KillInMove(SimulatedDisk& disk, const std::string& erase) {
  Watcher watcher;
  const auto store = OpenOn(disk, watcher, erase);
  REQUIRE(store.ok());
  TestPath path = PathOf(**store);
  REQUIRE(CountOk(PutPages(**store, path, 0, kPages, kPage)) == kPages);
  std::set<SlotRef> originals;
  for (size_t page = 0; page < kPages; ++page) {
    const Entry& at = path.path->impl()->locations[page].entry;
    const uint64_t tag = at.tag(path.path->impl()->fingerprints[page]);
    if (Condemned(page)) {
      REQUIRE((*store)->impl()->log().Condemn(at.slot, tag));
    } else if (at.slot.segment == kGivenUp) {
      originals.insert(at.slot);
    }
  }
  REQUIRE((*store)->Flush().ok());
  watcher.Set([&](WatchedOperation operation, const std::string& file, auto) {
    if (operation == WatchedOperation::kSync && file.ends_with(".journal"))
      disk.Crash(SimulatedCrash::kProcess);
  });
  REQUIRE_FALSE(GiveUp(**store).ok());
  REQUIRE(disk.crashed());
  REQUIRE(originals.size() > 5);
  return originals;
}

void CheckPages(Store& store) {
  TestPath path = PathOf(store);
  const GetOutcome got = GetPages(store, path, 0, kPages, kPage);
  CHECK(got.wrong == 0);
  for (size_t page = 0; page < kPages; ++page) {
    CAPTURE(page);
    CHECK((Condemned(page) || got.states[page] == PageState::kOk));
  }
}

// Opens the store, which fails to sync a manifest for the n-th time: nobody knows then what of it
// is on the disk, whoever syncs it later.
void FailInOpen(SimulatedDisk& disk, int n) {
  Watcher watcher;
  int syncs = 0;
  watcher.Set([&](WatchedOperation operation, const std::string& file, auto) {
    const bool manifest = file.find("MANIFEST-") != std::string::npos;
    if (operation == WatchedOperation::kSync && manifest && ++syncs == n)
      disk.FailOperation(1, EIO);
  });
  REQUIRE_FALSE(OpenOn(disk, watcher, "physical").ok());
  REQUIRE(syncs == n);
}

TEST_CASE("a power cut anywhere in the open that replays a move costs no page", "[simulated]") {
  // After one, perhaps, that has replayed it as well. It syncs the manifest that it finds, its own,
  // and that again with its first checkpoint: then the next one finds that checkpoint.
  const int failed_sync = GENERATE(0, 1, 2, 3);
  for (uint64_t n = 1;; n += CrashStep()) {
    CAPTURE(failed_sync, n);
    SimulatedDisk disk(n);
    KillInMove(disk, "physical");
    if (failed_sync != 0) FailInOpen(disk, failed_sync);
    Watcher watcher;
    bool through = false;
    {
      const auto store = OpenOn(disk, watcher, "physical", n);
      through = !disk.crashed();
      if (through) {
        REQUIRE(store.ok());
        CheckPages(**store);
        disk.Crash(SimulatedCrash::kPower);
      }
    }
    const auto store = OpenOn(disk, watcher, "physical");
    REQUIRE(store.ok());
    CheckPages(**store);
    if (through) break;
  }
}

// A store that has replayed moves, and had no room for a checkpoint.
struct Held {
  explicit Held(const std::string& erase) : originals(KillInMove(disk, erase)) {
    watcher.Set([&](WatchedOperation operation, const std::string& file, auto) {
      if (operation == WatchedOperation::kOpen && file.ends_with(".sst"))
        disk.FailOperation(1, ENOSPC, 1000);
    });
    auto opened = OpenOn(disk, watcher, erase);
    watcher.Clear();
    disk.FailOperation(0, 0);
    REQUIRE(opened.ok());
    store = std::move(*opened);
    REQUIRE(StatOf(store->StatsJson(), "checkpoint_failures") > 0);
    REQUIRE(StatOf(store->StatsJson(), "checkpoints") == 0);
  }
  TensorLog& log() { return store->impl()->log(); }
  // How many of the originals can be had.
  size_t Take() {
    size_t taken = 0;
    for (const SlotRun& run : log().TakeIn(kGivenUp, kSlots)) {
      for (uint32_t i = 0; i < run.count; ++i) taken += originals.contains(run.slot(i)) ? 1 : 0;
      log().Release(run);
    }
    return taken;
  }

  SimulatedDisk disk{7};
  Watcher watcher;
  std::set<SlotRef> originals;
  std::unique_ptr<Store> store;
};

TEST_CASE("what a replayed move has left is not overwritten before a checkpoint", "[simulated]") {
  Held held(GENERATE("logical", "physical"));
  CheckPages(*held.store);
  CHECK(held.Take() == 0);
  REQUIRE(held.store->Flush().ok());
  CHECK(held.Take() == held.originals.size());
}

TEST_CASE("a failed sync in the open that replays a move costs no page that has moved",
          "[simulated]") {
  SimulatedDisk disk(1);
  KillInMove(disk, "logical");
  Watcher watcher;
  bool failed = false;
  watcher.Set([&](WatchedOperation operation, const std::string& file, auto) {
    if (operation != WatchedOperation::kSync || !file.ends_with(".segment")) return;
    disk.FailOperation(1, EIO);
    failed = true;
  });
  REQUIRE_FALSE(OpenOn(disk, watcher, "logical").ok());
  REQUIRE(failed);
  watcher.Clear();
  disk.FailOperation(0, 0);
  const auto store = OpenOn(disk, watcher, "logical");
  REQUIRE(store.ok());
  CheckPages(**store);
}

TEST_CASE("an erase reaches what a replayed move has left", "[simulated]") {
  Held held("physical");
  TestPath path = PathOf(*held.store);
  REQUIRE(held.store->Erase(*path.path, 0, kPages).ok());
  const PageSectors sectors(path, kPage);
  const std::vector<size_t> none(kPages, 0);
  CHECK(sectors.OnDisk(held.disk, *held.disk.Attach()) == none);
  held.disk.Crash(SimulatedCrash::kPower);
  CHECK(sectors.OnDisk(held.disk, *held.disk.Restart()) == none);
}

TEST_CASE("what a replayed move has left does not keep its segment", "[simulated]") {
  Held held(GENERATE("logical", "physical"));
  CHECK(GiveUp(*held.store).ok());
  CheckPages(*held.store);
}

}  // namespace
}  // namespace lamina::testing
