// erase=physical while pages move, with a crash at every operation on the disk: no wrong page, no
// erased page back nor any of its bytes, no live page lost, no space leaked.
#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <set>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "tests/store/sectors.h"
#include "tests/store/watched_file_system.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 64 << 10;  // eight make a segment
constexpr size_t kPages = 32;
constexpr uint64_t kCapacity = uint64_t{4} << 20;

bool Condemned(size_t page) { return page % 5 < 2; }

Result<std::unique_ptr<Store>> OpenOn(SimulatedDisk& disk, Watcher& watcher) {
  return OpenSimulatedStore(std::make_unique<WatchedFileSystem>(disk.Restart(), watcher),
                            "erase=physical;admission=all", kCapacity);
}

TestPath PathOf(Store& store) { return MakePath(store, "model", Tokens(0, kPages)); }

// Four full segments, of whose pages two in five are condemned, all of it flushed; where they lie.
std::vector<Location> Prepare(Store& store) {
  TestPath path = PathOf(store);
  REQUIRE(CountOk(PutPages(store, path, 0, kPages, kPage)) == kPages);
  for (size_t page = 0; page < kPages; ++page) {
    const Location& at = path.path->impl()->locations[page];
    const uint64_t tag = at.entry.tag(path.path->impl()->fingerprints[page]);
    if (Condemned(page)) REQUIRE(store.impl()->log().Condemn(at.entry.slot, tag));
  }
  REQUIRE(store.Flush().ok());
  return path.path->impl()->locations;
}

// What erases have been asked for, and which of them were acknowledged.
class Erases {
 public:
  Erases(SimulatedDisk& disk, Watcher& watcher) : disk_(disk), watcher_(watcher) {}
  void set_places(std::vector<Location> places) { places_ = std::move(places); }

  // Runs `move`, and beside it, when `page` has been pinned to be moved, the erase of it and of the
  // page behind it.
  Status Beside(Store& store, size_t page, const std::function<Status()>& move) {
    const TestPath path = PathOf(store);
    const Entry at = places_[page].entry;
    const uint64_t tag = at.tag(path.path->impl()->fingerprints[page]);
    TensorLog& log = store.impl()->log();
    const auto pinned = [&] {
      const SegmentTable::ReadSection section(log.table());
      const Segment* const segment = section.Find(at.slot.segment);
      return segment != nullptr && segment->slot(at.slot.slot).pins() > 0;
    };
    std::atomic<bool> done{false};
    std::thread eraser;
    watcher_.Set([&](WatchedOperation operation, const std::string& file, auto) {
      if (operation != WatchedOperation::kRead || !file.ends_with(".segment") || !pinned()) return;
      watcher_.Clear();
      asked_.insert({page, page + 1});
      eraser = std::thread([&] {
        TestPath own = PathOf(store);
        if (store.Erase(*own.path, page, 2).ok() && !disk_.crashed())
          done_.insert({page, page + 1});
        done = true;
      });
      while (!done && log.Bears(at.slot, tag)) std::this_thread::yield();
    });
    Status status = move();
    watcher_.Clear();
    if (eraser.joinable()) eraser.join();
    return status;
  }

  [[nodiscard]] bool asked(size_t page) const { return asked_.contains(page); }
  [[nodiscard]] bool done(size_t page) const { return done_.contains(page); }
  [[nodiscard]] size_t count() const { return done_.size(); }

 private:
  SimulatedDisk& disk_;
  Watcher& watcher_;
  std::vector<Location> places_;
  std::set<size_t> asked_;
  std::set<size_t> done_;
};

Status GiveUp(Store& store, uint32_t segment) {
  Store::Impl::RetireReport report;
  return store.impl()->RetireSegments(std::span(&segment, 1), true, nullptr, &report);
}

void CheckAfter(SimulatedDisk& disk, const Erases& erases) {
  Watcher watcher;
  auto opened = OpenOn(disk, watcher);
  if (!opened.ok()) FAIL(opened.status().ToString());
  Store& store = **opened;
  REQUIRE(store.impl()->scheduler().WaitIdle(Scheduler::Clock::time_point::max()).ok());
  TestPath path = PathOf(store);
  const GetOutcome got = GetPages(store, path, 0, kPages, kPage);
  CHECK(got.wrong == 0);
  const auto view = disk.Attach();
  const auto sectors = PageSectors(path, kPage).OnDisk(disk, *view);
  for (size_t page = 0; page < kPages; ++page) {
    CAPTURE(page);
    const bool there = got.states[page] == PageState::kOk;
    if (erases.done(page)) CHECK_FALSE(there);
    if (!erases.asked(page) && !Condemned(page)) CHECK(there);
    CHECK(sectors[page] == (there ? kPage / kSector : 0));
  }
  size_t tags = 0;
  store.impl()->log().ForEachSlot([&](Segment&, uint32_t, Slot& slot) {
    CHECK(slot.state() != SlotState::kWriting);
    tags += slot.tag() != 0 ? 1 : 0;
  });
  CHECK(tags == CountOk(got.states));
  size_t files = 0;
  for (const std::string& file : disk.Files()) files += file.ends_with(".segment") ? 1 : 0;
  CHECK(files == store.impl()->log().Segments().size());
  CHECK(CountOk(PutPages(store, path, 0, kPages, kPage)) == kPages);
}

// `act` is told of the erases, whose pages are live and lie in the segment that it empties.
void CrashEverywhere(const std::function<Status(Store&, Erases&)>& act) {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  for (uint64_t n = 1;; n += CrashStep()) {
    CAPTURE(n, static_cast<int>(kind));
    SimulatedDisk disk(n);
    Watcher watcher;
    Erases erases(disk, watcher);
    bool through = false;
    {
      auto opened = OpenOn(disk, watcher);
      REQUIRE(opened.ok());
      erases.set_places(Prepare(**opened));
      disk.SetCrashAt(n, kind);
      const Status status = act(**opened, erases);
      through = !disk.crashed();
      if (through) {
        INFO(status.ToString());
        CHECK(status.ok());
        CHECK(erases.count() == 2);
        disk.Crash(kind);
      }
    }
    CheckAfter(disk, erases);
    if (through) break;
  }
}

TEST_CASE("a crash anywhere of an erase beside a move leaves each page once or not at all",
          "[simulated][crash]") {
  CrashEverywhere([](Store& store, Erases& erases) {
    return erases.Beside(store, 12, [&] { return GiveUp(store, 2); });
  });
}

TEST_CASE("a crash anywhere of an erase beside a shrinking leaves each page once or not at all",
          "[simulated][crash]") {
  CrashEverywhere([](Store& store, Erases& erases) {
    const uint64_t before = store.impl()->log().file_bytes();
    Status status = erases.Beside(store, 28, [&] { return store.SetCapacity(kCapacity * 5 / 8); });
    if (status.ok()) CHECK(store.impl()->log().file_bytes() < before);
    return status;
  });
}

}  // namespace
}  // namespace lamina::testing
