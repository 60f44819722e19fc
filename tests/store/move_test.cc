// Giving segments up: moves, what becomes of readers and writers meanwhile, crashes and failures.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <set>
#include <thread>

#include "tests/store/move_history.h"
#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

namespace fs = std::filesystem;
using Report = Store::Impl::RetireReport;

void CheckLive(Store& store, TestPath& path, const std::set<size_t>& may_be_gone) {
  const GetOutcome got = GetPages(store, path, 0, path.seeds.size(), kPage);
  CHECK(got.wrong == 0);
  for (size_t i = 0; i < got.states.size(); ++i) {
    CAPTURE(i);
    if (!may_be_gone.contains(i)) CHECK(got.states[i] == PageState::kOk);
  }
}

TEST_CASE("a segment that is given up leaves its live pages in others, with their heat") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, 4 * kSlots));
  PutPages(*store, path, 0, 4 * kSlots, kPage);
  const auto condemned = CondemnEvery(*store, path, 2);
  TensorLog& log = store->impl()->log();
  const SlotRef before = path.path->impl()->locations[1].entry.slot;
  REQUIRE(before.segment == 1);
  // The second word is where the next page of the path lies.
  REQUIRE(log.StoreHeat(before, TagOn(path, 1), {71, ChildWord(PlacesOf(*store, path)[3])}));
  const std::string file = log.log_dirs()[0]->SegmentPath(1);
  REQUIRE(fs::exists(file));

  Report report;
  const uint32_t ids[] = {1};
  REQUIRE(store->impl()->RetireSegments(ids, true, nullptr, &report).ok());
  CHECK(report.segments == 1);
  CHECK(report.pages_moved == kSlots / 2);
  CHECK(report.bytes_moved == kSlots / 2 * kPage);
  CHECK(report.pages_condemned == kSlots / 2);
  CHECK(report.bytes_freed == kSlots * kPage);
  CHECK_FALSE(fs::exists(file));
  CHECK_FALSE(SegmentsOf(*store).contains(1));

  const auto places = PlacesOf(*store, path);
  CHECK(places[1].segment != 1);
  HeatValue heat;
  REQUIRE(log.LoadHeat(places[1], TagOn(path, 1), &heat));
  CHECK(heat == HeatValue{71, ChildWord(places[3])});
  CHECK(places[3].segment != 1);
  CheckLive(*store, path, condemned);
  for (int restart = 0; restart < 2; ++restart) {
    store.reset();
    store = OpenStore(directory / "store", SmallSegments());
    path = MakePath(*store, "model", Tokens(0, 4 * kSlots));
    CheckLive(*store, path, condemned);
    CHECK_FALSE(fs::exists(file));
  }
}

TEST_CASE("pages that are moved out of segments lie together by path") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  // Two paths whose pages were put in turns.
  TestPath a = MakePath(*store, "model", Tokens(0, 8));
  TestPath b = MakePath(*store, "model", Tokens(1000, 8));
  for (size_t i = 0; i < 8; ++i) {
    PutPages(*store, a, i, 1, kPage);
    PutPages(*store, b, i, 1, kPage);
  }
  TestPath room = MakePath(*store, "model", Tokens(2000, kSlots));
  PutPages(*store, room, 0, kSlots, kPage);
  CondemnEvery(*store, room, 1);
  Report report;
  const uint32_t ids[] = {1};
  REQUIRE(store->impl()->RetireSegments(ids, true, nullptr, &report).ok());
  REQUIRE(report.pages_moved == 16);
  for (TestPath* path : {&a, &b}) {
    const auto places = PlacesOf(*store, *path);
    for (size_t i = 1; i < places.size(); ++i)
      CHECK(places[i] == SlotRef{2, places[i - 1].slot + 1});
  }
}

TEST_CASE("segments can be given up with what is live in them") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, 2 * kSlots));
  PutPages(*store, path, 0, 2 * kSlots, kPage);
  Report report;
  const uint32_t ids[] = {1, 1};
  REQUIRE(store->impl()->RetireSegments(ids, false, nullptr, &report).ok());
  CHECK(report.segments == 1);
  CHECK(report.pages_moved == 0);
  CHECK(report.pages_condemned == kSlots);
  const auto states = ProbePages(*store, path, 0, 2 * kSlots);
  CHECK(CountOk(states) == kSlots);
  // What is missing can be put again, in a segment of another number.
  CHECK(CountOk(PutPages(*store, path, 0, kSlots, kPage)) == kSlots);
  CHECK(SegmentsOf(*store) == std::set<uint32_t>{2, 3});
}

TEST_CASE("without room elsewhere a segment stays in service, with all its pages") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, 2 * kSlots - 4));
  PutPages(*store, path, 0, 2 * kSlots - 4, kPage);
  Report report;
  const uint32_t ids[] = {1};
  CHECK(store->impl()->RetireSegments(ids, true, nullptr, &report).code() == StatusCode::kNoSpace);
  CHECK(report.segments == 0);
  CHECK(report.pages_moved == 4);
  CheckLive(*store, path, {});
  // The slots that were moved out of take new pages again.
  TestPath more = MakePath(*store, "model", Tokens(1000, 4));
  PutPages(*store, more, 0, 4, kPage);
  for (const SlotRef place : PlacesOf(*store, more)) CHECK(place.segment == 1);
  CHECK(SegmentsOf(*store) == std::set<uint32_t>{1, 2});
}

TEST_CASE("a pinned slot keeps its segment in service, and condemned pages with it") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, 3 * kSlots));
  PutPages(*store, path, 0, 3 * kSlots, kPage);
  CondemnEvery(*store, path, 2);
  TensorLog& log = store->impl()->log();
  const SlotRef pinned = path.path->impl()->locations[2].entry.slot;
  const uint64_t tag = TagOn(path, 2);
  REQUIRE(log.Pin(pinned, tag));

  Report report;
  const uint32_t ids[] = {1};
  Store::Impl::RetireHow how;
  how.patience = std::chrono::milliseconds(0);
  CHECK(store->impl()->Retire(ids, how, &report).code() == StatusCode::kBusy);
  CHECK(report.segments == 0);
  CHECK(log.Bears(pinned, tag));
  // Condemned pages of segment 1 are all there still: nothing in it was overwritten.
  for (size_t i = 0; i < kSlots; ++i)
    CHECK(GetPages(*store, path, i, 1, kPage).states[0] == PageState::kOk);

  std::thread reader([&] { log.Unpin(pinned); });
  how.patience = std::chrono::minutes(10);
  CHECK(store->impl()->Retire(ids, how, &report).ok());
  reader.join();
  CHECK(report.segments == 1);
}

TEST_CASE("what is told to stop moves nothing more, and everything stays in service") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, 2 * kSlots));
  PutPages(*store, path, 0, 2 * kSlots, kPage);
  CondemnEvery(*store, path, 2);
  const std::atomic<bool> stop{true};
  Report report;
  const uint32_t ids[] = {1};
  CHECK(store->impl()->RetireSegments(ids, true, &stop, &report).code() == StatusCode::kBusy);
  CHECK(report.pages_moved == 0);
  const SegmentTable::ReadSection section(store->impl()->log().table());
  CHECK_FALSE(section.Find(1)->draining());
}

TEST_CASE("a page whose bytes are wrong is freed, not moved") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, kSlots + 4));
  PutPages(*store, path, 0, kSlots + 4, kPage);
  CondemnEvery(*store, path, 2);
  const std::string file = store->impl()->log().log_dirs()[0]->SegmentPath(1);
  {
    FILE* f = std::fopen(file.c_str(), "r+b");
    REQUIRE(f != nullptr);
    const SlotRef place = path.path->impl()->locations[3].entry.slot;
    std::fseek(f, static_cast<long>(place.slot * kPage + 100), SEEK_SET);
    std::fputs("wrong", f);
    std::fclose(f);
  }
  Report report;
  const uint32_t ids[] = {1};
  REQUIRE(store->impl()->RetireSegments(ids, true, nullptr, &report).ok());
  CHECK(report.pages_bad == 1);
  CHECK(report.pages_moved == kSlots / 2 - 1);
  CHECK(GetPages(*store, path, 3, 1, kPage).states[0] == PageState::kMiss);
  CHECK(PutPages(*store, path, 3, 1, kPage)[0] == PageState::kOk);
  const GetOutcome repaired = GetPages(*store, path, 3, 1, kPage);
  CHECK((repaired.states[0] == PageState::kOk && repaired.wrong == 0));
}

TEST_CASE("a slot that no entry reaches is freed rather than moved") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", SmallSegments());
  TestPath path = MakePath(*store, "model", Tokens(0, 8));
  PutPages(*store, path, 0, 8, kPage);
  TensorLog& log = store->impl()->log();
  const auto runs = log.TakeIn(1, 1);
  REQUIRE(runs.size() == 1);
  log.Publish(runs[0].slot(0), 4711, 1, {1, 0});
  TestPath room = MakePath(*store, "model", Tokens(100, kSlots));
  PutPages(*store, room, 0, kSlots, kPage);
  Report report;
  const uint32_t ids[] = {1};
  CondemnEvery(*store, room, 1);
  REQUIRE(store->impl()->RetireSegments(ids, true, nullptr, &report).ok());
  CHECK(StatOf(store->StatsJson(), "orphan_slots_freed") == 1);
  CHECK(report.pages_moved >= 7);
}

TEST_CASE("segments come and go beside puts, gets and erases, and no page is lost or wrong") {
  const TemporaryDirectory directory;
  constexpr size_t kPages = 24;
  constexpr uint32_t kPaths = 12;
  auto store = OpenStore(directory / "store", SmallSegments());
  std::atomic<bool> stop{false};
  std::atomic<size_t> wrong{0};
  std::atomic<size_t> lost{0};
  // Kept paths are put once and must stay; the others are erased and put all the time.
  const auto path_of = [&](uint32_t i) {
    return MakePath(*store, "model", Tokens(i * 1000, kPages));
  };
  for (uint32_t i = 0; i < kPaths; ++i) {
    TestPath path = path_of(i);
    REQUIRE(CountOk(PutPages(*store, path, 0, kPages, kPage)) == kPages);
  }
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (uint32_t i = 0; !stop; i = (i + 2) % kPaths) {
      TestPath path = path_of(i);
      const GetOutcome got = GetPages(*store, path, 0, kPages, kPage);
      wrong += got.wrong;
      lost += kPages - CountOk(got.states);
    }
  });
  threads.emplace_back([&] {
    for (uint32_t i = 1; !stop; i = (i + 2) % kPaths) {
      TestPath path = path_of(i);
      if (!store->Erase(*path.path, 3, kPages - 3).ok()) ++lost;
      if (CountOk(ProbePages(*store, path, 3, kPages - 3)) != 0) ++wrong;
      PutPages(*store, path, 0, kPages, kPage);
      wrong += GetPages(*store, path, 0, kPages, kPage).wrong;
    }
  });
  for (int round = 0; round < 40; ++round) {
    const auto ids = SegmentsOf(*store);
    const uint32_t victim[] = {*std::next(ids.begin(), round % static_cast<int>(ids.size()))};
    Report report;
    const Status status = store->impl()->RetireSegments(victim, true, nullptr, &report);
    INFO(status.ToString());
    CHECK((status.ok() || status.code() == StatusCode::kNoSpace ||
           status.code() == StatusCode::kBusy));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(lost == 0);
  CHECK(StatOf(store->StatsJson(), "segments_retired") > 0);
  store.reset();
  store = OpenStore(directory / "store", SmallSegments());
  for (uint32_t i = 0; i < kPaths; i += 2) {
    TestPath path = path_of(i);
    const GetOutcome got = GetPages(*store, path, 0, kPages, kPage);
    CHECK(CountOk(got.states) == kPages);
    CHECK(got.wrong == 0);
  }
}

// ---- Crashes and failures
// ------------------------------------------------------------------------

Status RetireTwo(Store& store) {
  Report report;
  const uint32_t ids[] = {1, 2};
  return store.impl()->RetireSegments(ids, true, nullptr, &report);
}

TEST_CASE("a crash at every operation of giving up segments loses and resurrects nothing",
          "[simulated]") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  CrashEverywhere(kind, {}, RetireTwo, [](Store& store) {
    CHECK(SegmentsOf(store) == std::set<uint32_t>{3, 4});
  });
}

TEST_CASE("a failure of any operation of giving up segments is survived", "[simulated]") {
  FailEverywhere(GENERATE(EIO, ENOSPC), RetireTwo);
}

TEST_CASE("a segment that the next open may find dropped takes no pages meanwhile", "[simulated]") {
  uint64_t dropped = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    QuietStore store("");
    REQUIRE(CountOk(PutPages(store.store(), store.path(), 0, 8, 4096)) == 8);
    const uint32_t segment = store.path().path->impl()->locations[0].entry.slot.segment;
    const uint64_t before = store.disk().operations();
    store.disk().FailOperation(n, EIO);
    Report report;
    const Status retired =
        store.store().impl()->RetireSegments({&segment, 1}, false, nullptr, &report);
    store.disk().FailOperation(0, 0);
    if (store.disk().operations() - before < n) break;
    if (report.segments > 0) continue;
    REQUIRE_FALSE(retired.ok());
    // As a put that had found the store in order before.
    std::set<uint32_t> given;
    TensorLog& log = store.store().impl()->log();
    if (const auto runs = log.TakeExisting(4096, 8); runs.ok()) {
      for (const SlotRun& run : *runs) {
        given.insert(run.segment);
        log.Release(run);
      }
    }
    store.Reopen();
    const auto infos = store.store().impl()->log().Segments();
    if (std::any_of(infos.begin(), infos.end(),
                    [&](const SegmentInfo& info) { return info.id == segment; }))
      continue;
    ++dropped;
    REQUIRE_FALSE(given.contains(segment));
  }
  REQUIRE(dropped > 0);
}

TEST_CASE("a failure of any one read while segments are given up costs no page", "[simulated]") {
  FailEveryRead(RetireTwo);
}

}  // namespace
}  // namespace lamina::testing
