// A full store, with a crash or a failure at every single operation on the disk: overwriting,
// eviction, erasing, shrinking, growing, closing.
#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <map>
#include <set>

#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 16 << 10;
constexpr uint64_t kCapacity = uint64_t{4} << 20;
constexpr size_t kPathPages = 24;

Result<std::unique_ptr<Store>> OpenOn(std::unique_ptr<FileSystem> fs) {
  return OpenSimulatedStore(std::move(fs), "admission=all", kCapacity);
}

// A page that was flushed, and the slot in which it was then.
struct Kept {
  SlotRef slot;
  uint64_t tag = 0;
};

// What is promised so far. A flushed page has to be there for as long as its slot holds it alive;
// an erased one must not be. Nothing is promised to a process that is dead.
class History {
 public:
  explicit History(const SimulatedDisk& disk) : disk_(disk) {}

  // Ends with the process.
  void Run(Store& store) {
    using Step = std::function<void()>;
    const auto put = [&](uint32_t number) -> Step { return [&, number] { Put(store, number); }; };
    const auto erase = [&](uint32_t number) -> Step {
      return [&, number] { Erase(store, number); };
    };
    const auto resize = [&](uint64_t bytes) -> Step {
      return [&, bytes] { Resize(store, bytes); };
    };
    const Step flush = [&] { Flush(store); };
    std::vector<Step> steps;
    for (uint32_t i = 0; i < 9; ++i) steps.push_back(put(i));  // over the end
    steps.insert(steps.end(), {flush, erase(8)});
    for (uint32_t i = 9; i < 13; ++i) steps.push_back(put(i));
    steps.insert(steps.end(), {put(8), erase(11), resize(kCapacity * 3 / 4), put(13), flush,
                               resize(kCapacity), put(14)});
    for (const Step& step : steps) {
      step();
      NoteHeld(store);
      if (disk_.crashed()) return;
    }
  }

  void Check(SimulatedDisk& crashed, uint64_t n) {
    CAPTURE(n);
    auto opened = OpenOn(crashed.Restart());
    if (!opened.ok()) FAIL_CHECK(opened.status().ToString());
    if (!opened.ok()) return;
    Store& store = **opened;
    for (const uint32_t number : erased_) {
      TestPath path = Make(store, number);
      CHECK(CountOk(ProbePages(store, path, 0, kPathPages)) == 0);
    }
    for (const auto& [number, pages] : kept_) {
      TestPath path = Make(store, number);
      const GetOutcome got = GetPages(store, path, 0, kPathPages, kPage);
      CHECK(got.wrong == 0);
      for (const auto& [page, place] : pages) {
        CAPTURE(number, page);
        CHECK(got.states[page] == PageState::kOk);
      }
    }
    CheckNothingLeaked(store);
    CheckWorks(store);
  }

 private:
  static TestPath Make(Store& store, uint32_t number) {
    return MakePath(store, "model", Tokens(number * 1000, kPathPages));
  }

  // What is evicted or overwritten is promised no longer, even if it comes back to life.
  void NoteHeld(Store& store) {
    std::map<std::pair<SlotRef, uint64_t>, bool> live;
    store.impl()->log().ForEachSlot([&](Segment& segment, uint32_t i, Slot& slot) {
      live[{{segment.id(), i}, slot.tag()}] = slot.state() == SlotState::kLive;
    });
    for (auto& [path, pages] : kept_) {
      std::erase_if(pages, [&](const auto& page) {
        return !live[{page.second.slot, page.second.tag}];
      });
    }
  }

  void Put(Store& store, uint32_t number) {
    TestPath path = Make(store, number);
    erased_.erase(number);
    PutPages(store, path, 0, kPathPages, kPage);
  }

  void Erase(Store& store, uint32_t number) {
    TestPath path = Make(store, number);
    kept_.erase(number);
    if (store.Erase(*path.path, 0, kPathPages).ok() && !disk_.crashed()) erased_.insert(number);
  }

  void Resize(Store& store, uint64_t capacity) {
    const Status status = store.SetCapacity(capacity);
    if (status.ok() && !disk_.crashed()) {
      const SpaceBudget& budget = store.impl()->budget();
      CHECK(budget.OverBytes() == 0);
    }
  }

  void Flush(Store& store) {
    std::map<uint32_t, std::map<size_t, Kept>> now;
    for (uint32_t number = 0; number < 15; ++number) {
      TestPath path = Make(store, number);
      const auto states = ProbePages(store, path, 0, kPathPages);
      const Path::Impl& impl = *path.path->impl();
      for (size_t i = 0; i < kPathPages; ++i) {
        if (states[i] != PageState::kOk) continue;
        const Entry& entry = impl.locations[i].entry;
        now[number][i] = {entry.slot, entry.tag(impl.fingerprints[i])};
      }
    }
    if (store.Flush().ok() && !disk_.crashed()) kept_ = std::move(now);
  }

  static uint64_t Retired(Store& store) { return store.impl()->counters().segments_retired.load(); }

  // Every tagged slot is reached by an entry, and disk space is what the budget allows.
  static void CheckNothingLeaked(Store& store) {
    const auto deadline = Scheduler::Clock::now() + std::chrono::seconds(60);
    CHECK(store.impl()->scheduler().WaitIdle(deadline).ok());
    CHECK(store.Flush().ok());
    CHECK(store.impl()->CompactAll().ok());
    // Behind a checkpoint the store may find that its metadata has grown, and give up a segment:
    // that leaves dead entries.
    for (uint64_t retired = UINT64_MAX; retired != Retired(store);) {
      retired = Retired(store);
      CHECK(store.impl()->CompactAll().ok());
    }
    uint64_t tagged = 0;
    store.impl()->log().ForEachSlot([&](Segment&, uint32_t, Slot& slot) {
      CHECK(slot.pins() == 0);
      CHECK(slot.state() != SlotState::kWriting);
      tagged += slot.tag() != 0 ? 1 : 0;
    });
    CHECK(store.impl()->CurrentView()->tree->entries() == tagged);
    CHECK(store.impl()->budget().OverBytes() == 0);
    CHECK(StatOf(store.StatsJson(), "segment_bytes") == store.impl()->budget().segment_bytes());
  }

  static void CheckWorks(Store& store) {
    TestPath path = Make(store, 77);
    CHECK(CountOk(PutPages(store, path, 0, kPathPages, kPage)) == kPathPages);
    const GetOutcome got = GetPages(store, path, 0, kPathPages, kPage);
    CHECK(CountOk(got.states) == kPathPages);
    CHECK(got.wrong == 0);
  }

  const SimulatedDisk& disk_;
  std::map<uint32_t, std::map<size_t, Kept>> kept_;  // by path and page
  std::set<uint32_t> erased_;
};

TEST_CASE("a crash of a full store at any operation loses no live page and leaks nothing",
          "[simulated][crash]") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  uint64_t evicted = 0;
  for (uint64_t n = 1;; n += CrashStep()) {
    SimulatedDisk disk(n);
    History history(disk);
    auto fs = disk.Restart();
    disk.SetCrashAt(n, kind);
    {
      auto store = OpenOn(std::move(fs));
      if (store.ok()) {
        history.Run(**store);
        evicted = StatOf((*store)->StatsJson(), "evicted_pages");
      }
    }
    if (!disk.crashed()) break;
    history.Check(disk, n);
  }
  REQUIRE(evicted > 100);  // the history that was not cut off
}

TEST_CASE("a failure of any operation of a full store is survived", "[simulated][crash]") {
  for (uint64_t n = 1;; n += CrashStep()) {
    SimulatedDisk disk(n);
    History history(disk);
    {
      auto opened = OpenOn(disk.Restart());
      REQUIRE(opened.ok());
      const uint64_t before = disk.operations();
      disk.FailOperation(n, EIO);
      history.Run(**opened);
      const uint64_t used = disk.operations() - before;
      disk.FailOperation(0, 0);
      disk.Crash(SimulatedCrash::kPower);
      if (used < n) break;
    }
    history.Check(disk, n);
  }
}

}  // namespace
}  // namespace lamina::testing
