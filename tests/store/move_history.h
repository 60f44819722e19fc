// What the tests of moves and of collecting garbage share: where pages lie, and a history on a
// simulated disk with a crash, or a failure, at every operation.
#ifndef LAMINA_TESTS_STORE_MOVE_HISTORY_H_
#define LAMINA_TESTS_STORE_MOVE_HISTORY_H_

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "tests/store/simulated_store.h"

namespace lamina::testing {

inline constexpr size_t kPage = 65536;
inline constexpr size_t kSlots = 16;  // of a segment, with SmallSegments

inline Options SmallSegments() { return TestOptions("capacity_bytes=64M;checkpoint_seconds=0"); }

// The segments that hold pages of the path, by page.
inline std::vector<SlotRef> PlacesOf(Store& store, TestPath& path) {
  ProbePages(store, path, 0, path.seeds.size());
  std::vector<SlotRef> places;
  for (const Location& location : path.path->impl()->locations)
    places.push_back(location.found ? location.entry.slot : SlotRef{});
  return places;
}

inline uint64_t TagOn(const TestPath& path, size_t page) {
  const Path::Impl& impl = *path.path->impl();
  return impl.locations[page].entry.tag(impl.fingerprints[page]);
}

inline std::set<uint32_t> SegmentsOf(Store& store) {
  std::set<uint32_t> ids;
  for (const SegmentInfo& info : store.impl()->log().Segments()) ids.insert(info.id);
  return ids;
}

// Condemns every `step`-th page, so that there is room for moves; returns which.
inline std::set<size_t> CondemnEvery(Store& store, TestPath& path, size_t step) {
  const auto places = PlacesOf(store, path);
  std::set<size_t> condemned;
  for (size_t i = 0; i < places.size(); i += step) {
    REQUIRE(store.impl()->log().Condemn(places[i], TagOn(path, i)));
    condemned.insert(i);
  }
  return condemned;
}

inline constexpr size_t kHistoryPages = 3 * kSlots + 4;

// A store with three full segments and a fourth one begun: every third page is condemned, pages 20
// to 23 are erased, the rest is live and synced. Something is done to it, which may end in a crash
// or in failures; then everything live must be there, and nothing else.
struct MoveHistory {
  std::set<size_t> condemned;
  static bool Erased(size_t page) { return page >= 20 && page < 24; }

  void Prepare(Store& store) {
    TestPath path = MakePath(store, "model", Tokens(0, kHistoryPages));
    REQUIRE(CountOk(PutPages(store, path, 0, kHistoryPages, kPage)) == kHistoryPages);
    REQUIRE(store.Erase(*path.path, 20, 4).ok());
    const auto places = PlacesOf(store, path);
    for (size_t i = 0; i < kHistoryPages; i += 3) {
      if (Erased(i)) continue;
      REQUIRE(store.impl()->log().Condemn(places[i], TagOn(path, i)));
      condemned.insert(i);
    }
    REQUIRE(store.Flush().ok());
  }

  void CheckPages(const GetOutcome& got) const {
    CHECK(got.wrong == 0);
    for (size_t i = 0; i < kHistoryPages; ++i) {
      CAPTURE(i);
      if (Erased(i)) {
        CHECK(got.states[i] == PageState::kMiss);
      } else if (!condemned.contains(i)) {
        CHECK(got.states[i] == PageState::kOk);
      }
    }
  }

  // Opens what is left.
  void Check(SimulatedDisk& disk, uint64_t n) const {
    CAPTURE(n);
    auto opened = OpenSimulatedStore(disk.Restart());
    if (!opened.ok()) FAIL_CHECK(opened.status().ToString());
    if (!opened.ok()) return;
    Store& store = **opened;
    TestPath path = MakePath(store, "model", Tokens(0, kHistoryPages));
    const GetOutcome got = GetPages(store, path, 0, kHistoryPages, kPage);
    CheckPages(got);
    CheckNothingLeaks(disk, store, got);
    CHECK(CountOk(PutPages(store, path, 0, kHistoryPages, kPage)) == kHistoryPages);
  }

  // Every tag belongs to a page that is found, once the walk for orphans has been made; and every
  // file to a segment.
  static void CheckNothingLeaks(const SimulatedDisk& disk, Store& store, const GetOutcome& got) {
    while (store.impl()->scheduler().RunOne()) {
    }
    size_t tags = 0;
    store.impl()->log().ForEachSlot([&](Segment&, uint32_t, Slot& slot) {
      if (slot.tag() != 0) ++tags;
    });
    CHECK(tags == CountOk(got.states));
    size_t files = 0;
    for (const std::string& file : disk.Files())
      if (file.ends_with(".segment")) ++files;
    CHECK(files == SegmentsOf(store).size());
  }
};

using Act = std::function<Status(Store&)>;

// A crash at every operation of `act` in turn; `prepare` may change the disk before. `after` looks
// at the store when `act` went through.
inline void CrashEverywhere(SimulatedCrash kind, const std::function<void(SimulatedDisk&)>& prepare,
                            const Act& act, const std::function<void(Store&)>& after) {
  for (uint64_t n = 1;; n += CrashStep()) {
    SimulatedDisk disk(n);
    MoveHistory history;
    bool through = false;
    {
      auto store = OpenSimulatedStore(disk.Restart());
      REQUIRE(store.ok());
      history.Prepare(**store);
      if (prepare) prepare(disk);
      disk.SetCrashAt(n, kind);
      const Status status = act(**store);
      through = !disk.crashed();
      if (through) {
        CAPTURE(status.ToString());
        CHECK(n > 10);
        CHECK(status.ok());
        after(**store);
        disk.Crash(kind);  // a crash behind it must not lose anything either
      }
    }
    disk.SetCapacity(UINT64_MAX);
    history.Check(disk, n);
    if (through) break;
  }
}

// A failure of every operation, or read, of `act` in turn: the store goes on, and so does the next
// one. `fail` has the n-th from now fail, none for 0; `count` is how many there have been.
inline void FailEverywhere(const std::function<void(SimulatedDisk&, uint64_t n)>& fail,
                           const std::function<uint64_t(SimulatedDisk&)>& count, const Act& act) {
  for (uint64_t n = 1;; n += CrashStep()) {
    SimulatedDisk disk(n);
    MoveHistory history;
    bool through = false;
    {
      auto store = OpenSimulatedStore(disk.Restart());
      REQUIRE(store.ok());
      history.Prepare(**store);
      const uint64_t before = count(disk);
      fail(disk, n);
      (void)act(**store);
      through = count(disk) - before < n;
      fail(disk, 0);
      CAPTURE(n);
      TestPath path = MakePath(**store, "model", Tokens(0, kHistoryPages));
      // A table that could not be read is opened again in the background, when it was missed.
      ProbePages(**store, path, 0, kHistoryPages);
      while ((*store)->impl()->scheduler().RunOne()) {
      }
      history.CheckPages(GetPages(**store, path, 0, kHistoryPages, kPage));
      disk.Crash(SimulatedCrash::kPower);
    }
    history.Check(disk, n);
    if (through) break;
  }
}

inline void FailEverywhere(int error, const Act& act) {
  FailEverywhere([error](SimulatedDisk& disk, uint64_t n) { disk.FailOperation(n, error); },
                 [](SimulatedDisk& disk) { return disk.operations(); }, act);
}

inline void FailEveryRead(const Act& act) {
  FailEverywhere([](SimulatedDisk& disk, uint64_t n) { disk.FailRead(n, EIO); },
                 [](SimulatedDisk& disk) { return disk.counts().reads; }, act);
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_MOVE_HISTORY_H_
