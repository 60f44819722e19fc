// Collecting garbage: what is planned, what comes back, what stays.
#include "engine/store/collect.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <map>
#include <random>

#include "engine/lamina_c.h"
#include "engine/store/collect_plan.h"
#include "tests/store/move_history.h"
#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

// ---- Plans
// ---------------------------------------------------------------------------------------

SegmentUse Use(uint32_t id, uint32_t slots, uint64_t live, uint64_t condemned = 0,
               uint32_t slot_bytes = 65536, uint32_t log_dir = 0) {
  SegmentUse use;
  use.info = {id, log_dir, slot_bytes, slots};
  use.slots.live = live;
  use.slots.condemned = condemned;
  use.slots.free = slots - live - condemned;
  return use;
}

TEST_CASE("the sparsest segments go first, as many as fill a new one") {
  const std::vector<SegmentUse> uses = {Use(1, 100, 60), Use(2, 100, 20, 30), Use(3, 100, 35),
                                        Use(4, 100, 40)};
  const auto plan = PlanCollection(uses, UINT64_MAX, 0);
  REQUIRE(plan.size() == 2);
  CHECK(plan[0].segments == std::vector<uint32_t>{2, 3, 4});
  CHECK(plan[0].pages == 95);
  CHECK(plan[0].condemned == 30);
  CHECK(plan[0].new_segments == std::vector<uint32_t>{95});
  CHECK(plan[0].gained_bytes() == 205 * 65536);
  CHECK(plan[1].segments == std::vector<uint32_t>{1});
  CHECK(plan[1].new_segments == std::vector<uint32_t>{60});
}

TEST_CASE("a plan ends with its target, and with what is not worth copying") {
  const std::vector<SegmentUse> uses = {Use(1, 100, 10), Use(2, 100, 10), Use(3, 100, 88),
                                        Use(4, 100, 0)};
  auto plan = PlanCollection(uses, 1, 0);
  REQUIRE(plan.size() == 1);
  CHECK(plan[0].segments == std::vector<uint32_t>{4});
  CHECK(plan[0].new_segments.empty());
  plan = PlanCollection(uses, 150 * 65536, 0);
  REQUIRE(plan.size() == 1);
  CHECK(plan[0].segments == std::vector<uint32_t>{4, 1});
  plan = PlanCollection(uses, UINT64_MAX, 0);
  REQUIRE(plan.size() == 1);
  CHECK(plan[0].segments == std::vector<uint32_t>{4, 1, 2});
  CHECK(PlanCollection(uses, 0, 0).empty());
  CHECK(PlanCollection({}, UINT64_MAX, 0).empty());
}

TEST_CASE("segments of the smallest size go when several of them make fewer") {
  std::vector<SegmentUse> uses = {Use(1, 8, 7)};
  CHECK(PlanCollection(uses, UINT64_MAX, 0).empty());
  for (uint32_t id = 2; id <= 8; ++id) uses.push_back(Use(id, 8, 7));
  const auto plan = PlanCollection(uses, UINT64_MAX, 0);
  REQUIRE(plan.size() == 1);
  CHECK(plan[0].segments.size() == 8);
  CHECK(plan[0].new_segments == std::vector<uint32_t>(7, 8));
}

TEST_CASE("classes and directories are not mixed, and the cheapest goes first") {
  const std::vector<SegmentUse> uses = {Use(1, 100, 50), Use(2, 100, 10, 0, 4096),
                                        Use(3, 100, 20, 0, 65536, 1)};
  const auto plan = PlanCollection(uses, UINT64_MAX, 0);
  REQUIRE(plan.size() == 3);
  CHECK(plan[0].segments == std::vector<uint32_t>{2});
  CHECK(plan[0].slot_bytes == 4096);
  CHECK(plan[1].segments == std::vector<uint32_t>{3});
  CHECK(plan[1].log_dir == 1);
  CHECK(plan[2].segments == std::vector<uint32_t>{1});
}

TEST_CASE("any plan takes each segment once and gains with every step") {
  const uint64_t seed = 20240611;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    std::vector<SegmentUse> uses;
    for (uint32_t id = 1; id <= 1 + random() % 200; ++id) {
      const auto slots = static_cast<uint32_t>(8 + random() % 300);
      uses.push_back(Use(id, slots, random() % (slots + 1), 0, random() % 2 == 0 ? 4096 : 65536,
                         static_cast<uint32_t>(random() % 2)));
    }
    const uint64_t target = random() % 2 == 0 ? UINT64_MAX : random() % (1 << 26);
    const uint64_t step_bytes = random() % (1 << 24);
    std::set<uint32_t> taken;
    uint64_t gained = 0;
    for (const CollectionStep& step : PlanCollection(uses, target, step_bytes)) {
      CHECK(gained < target);
      CHECK(step.bytes > step.new_bytes());
      CHECK(step.new_bytes() >= step.copied_bytes());
      gained += step.gained_bytes();
      uint64_t pages = 0;
      for (const uint32_t id : step.segments) {
        CHECK(taken.insert(id).second);
        CHECK(uses[id - 1].info.slot_bytes == step.slot_bytes);
        CHECK(uses[id - 1].info.log_dir == step.log_dir);
        pages += uses[id - 1].live();
      }
      CHECK(pages == step.pages);
    }
  }
}

// ---- Stores
// --------------------------------------------------------------------------------------

constexpr size_t kSmallPage = 4096;  // 256 of them make a segment
constexpr uint32_t kPaths = 40;
constexpr size_t kPathPages = 80;

uint64_t BytesUnder(const std::string& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

// Pages of the path that lie one behind the other, on average.
double MeanRun(std::span<const SlotRef> places, const std::vector<bool>& live) {
  double pages = 0;
  double runs = 0;
  SlotRef last;
  for (size_t i = 0; i < places.size(); ++i) {
    if (!live[i]) continue;
    ++pages;
    if (pages == 1 || places[i] != SlotRef{last.segment, last.slot + 1}) ++runs;
    last = places[i];
  }
  return runs == 0 ? 0 : pages / runs;
}

// A store whose paths were put in turns, four pages at a time, and of which a random 30 % is live:
// of the rest half is condemned and half is free.
struct SparseStore {
  TemporaryDirectory directory;
  std::unique_ptr<Store> store = OpenStore(directory / "store", SmallSegments());
  std::vector<TestPath> paths;
  std::vector<std::vector<bool>> live;
  // By path, as MeanRun has it; later lookups would bring back what was condemned.
  std::vector<double> runs;
  size_t live_pages = 0;

  explicit SparseStore(uint64_t seed) {
    for (uint32_t p = 0; p < kPaths; ++p) {
      paths.push_back(MakePath(*store, "model", Tokens(p * 1000, kPathPages)));
      live.emplace_back(kPathPages, false);
    }
    for (size_t first = 0; first < kPathPages; first += 4)
      for (TestPath& path : paths) PutPages(*store, path, first, 4, kSmallPage);
    std::mt19937_64 random(seed);
    for (uint32_t p = 0; p < kPaths; ++p) {
      const auto places = PlacesOf(*store, paths[p]);
      for (size_t i = 0; i < kPathPages; ++i) {
        const uint64_t draw = random() % 100;
        live[p][i] = draw < 30;
        live_pages += draw < 30 ? 1 : 0;
        TensorLog& log = store->impl()->log();
        const uint64_t tag = TagOn(paths[p], i);
        if (draw >= 65) REQUIRE(log.Free(places[i], tag));
        if (draw >= 30 && draw < 65) REQUIRE(log.Condemn(places[i], tag));
      }
      runs.push_back(MeanRun(places, live[p]));
    }
  }

  [[nodiscard]] std::string log_dir() const { return directory / "store/log"; }

  void CheckLive() {
    for (uint32_t p = 0; p < kPaths; ++p) {
      paths[p] = MakePath(*store, "model", Tokens(p * 1000, kPathPages));
      const GetOutcome got = GetPages(*store, paths[p], 0, kPathPages, kSmallPage);
      CHECK(got.wrong == 0);
      for (size_t i = 0; i < kPathPages; ++i) {
        CAPTURE(p, i);
        if (live[p][i]) CHECK(got.states[i] == PageState::kOk);
      }
    }
  }
};

TEST_CASE("a store at 30 % live gives back more than 60 % of its log, in longer runs") {
  SparseStore sparse(11);
  Store& store = *sparse.store;
  const uint64_t before = BytesUnder(sparse.log_dir());
  CollectReport report;
  REQUIRE(store.impl()->CollectGarbage({}, nullptr, &report).ok());
  CAPTURE(report.ToJson());
  const uint64_t after = BytesUnder(sparse.log_dir());
  CHECK(before - after == report.bytes_freed);
  CHECK(static_cast<double>(after) <= 0.4 * static_cast<double>(before));
  CHECK(report.pages_moved == sparse.live_pages);
  CHECK(report.segments_kept == 0);
  CHECK(report.problems.empty());
  for (uint32_t p = 0; p < kPaths; ++p) {
    CAPTURE(p);
    CHECK(MeanRun(PlacesOf(store, sparse.paths[p]), sparse.live[p]) > sparse.runs[p]);
  }
  sparse.CheckLive();
  sparse.store.reset();
  sparse.store = OpenStore(sparse.directory / "store", SmallSegments());
  sparse.CheckLive();
  CHECK(BytesUnder(sparse.log_dir()) == after);
  // There is nothing more to gain, and what is there takes new pages.
  CollectReport again;
  REQUIRE(sparse.store->impl()->CollectGarbage({}, nullptr, &again).ok());
  CHECK(again.segments_freed == 0);
  TestPath more = MakePath(*sparse.store, "model", Tokens(900000, 200));
  CHECK(CountOk(PutPages(*sparse.store, more, 0, 200, kSmallPage)) == 200);
}

TEST_CASE("a collection ends when its target is given back") {
  SparseStore sparse(12);
  const uint64_t before = BytesUnder(sparse.log_dir());
  const auto report = sparse.store->CollectGarbage("target_bytes=3M");
  REQUIRE(report.ok());
  const uint64_t freed = before - BytesUnder(sparse.log_dir());
  CHECK(StatOf(*report, "bytes_freed") == freed);
  CHECK(freed >= 3 << 20);
  CHECK(freed < 5 << 20);
  sparse.CheckLive();
}

TEST_CASE("a collection that is told to stop keeps what it has, and the next one goes on") {
  SparseStore sparse(13);
  const std::atomic<bool> stop{true};
  CollectReport report;
  REQUIRE(sparse.store->impl()->CollectGarbage({}, &stop, &report).ok());
  CHECK(report.stopped);
  CHECK(report.segments_freed == 0);
  sparse.CheckLive();
  CollectReport rest;
  REQUIRE(sparse.store->impl()->CollectGarbage({}, nullptr, &rest).ok());
  CHECK_FALSE(rest.stopped);
  CHECK(rest.segments_freed > 0);
}

TEST_CASE("without room for a new segment, pages go to slots that are free or condemned",
          "[simulated]") {
  for (const bool room : {true, false}) {
    SimulatedDisk disk(1);
    auto opened = OpenSimulatedStore(disk.Restart());
    REQUIRE(opened.ok());
    Store& store = **opened;
    MoveHistory history;
    history.Prepare(store);
    // Segments of 1 MiB: less is free.
    uint64_t used = 0;
    for (const std::string& file : disk.Files())
      if (!file.ends_with("/LOCK")) used += file.ends_with(".journal") ? (64 << 20) : 0;
    for (const SegmentInfo& info : store.impl()->log().Segments()) used += info.bytes();
    if (!room) disk.SetCapacity(used + (800 << 10));
    const auto before = SegmentsOf(store);
    CollectReport report;
    REQUIRE(store.impl()->CollectGarbage({}, nullptr, &report).ok());
    CAPTURE(room, report.ToJson());
    CHECK(report.segments_freed > 0);
    if (!room) {
      uint32_t made = 0;
      for (const uint32_t id : SegmentsOf(store)) made += before.contains(id) ? 0 : 1;
      CHECK(made <= report.segments_freed);
    }
    TestPath path = MakePath(store, "model", Tokens(0, kHistoryPages));
    history.CheckPages(GetPages(store, path, 0, kHistoryPages, kPage));
  }
}

Status Collect(Store& store) {
  CollectReport report;
  return store.impl()->CollectGarbage({}, nullptr, &report);
}

TEST_CASE("a crash at every operation of a collection loses and resurrects nothing",
          "[simulated]") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  CrashEverywhere(kind, {}, Collect, [](Store& store) { CHECK(SegmentsOf(store).size() <= 3); });
}

TEST_CASE("a failure of any operation of a collection is survived", "[simulated]") {
  FailEverywhere(EIO, Collect);
}

TEST_CASE("a failure of any one read of a collection costs no page", "[simulated]") {
  FailEveryRead(Collect);
}

// A store whose first segment holds a page that is left alone in it, and another segment.
struct LonePage {
  QuietStore store{""};
  SlotRef slot;
  std::string file;

  LonePage() {
    constexpr size_t kPages = 300;
    PutPages(store.store(), store.path(), 0, kPages, kSmallPage);
    slot = store.path().path->impl()->locations[kPages - 1].entry.slot;
    TensorLog& log = store.store().impl()->log();
    file = log.log_dirs()[0]->SegmentPath(slot.segment);
    for (size_t i = 0; i + 1 < kPages; ++i) {
      const SlotRef at = store.path().path->impl()->locations[i].entry.slot;
      if (at.segment == slot.segment) REQUIRE(log.Free(at, TagOn(store.path(), i)));
    }
  }
  CollectReport Collect() {
    CollectOptions options;
    options.segment = slot.segment;
    CollectReport report;
    REQUIRE(store.store().impl()->CollectGarbage(options, nullptr, &report).ok());
    return report;
  }
};

TEST_CASE("one collection gives up a page that cannot be read, and its segment with it",
          "[simulated]") {
  LonePage lone;
  REQUIRE(lone.store.disk().MakeUnreadable(lone.file, lone.slot.slot * kSmallPage, 512).ok());
  const CollectReport report = lone.Collect();
  CAPTURE(report.ToJson());
  CHECK(report.segments_freed == 1);
  CHECK(report.segments_kept == 0);
  CHECK(report.pages_bad == 1);
  CHECK(report.problems.empty());
}

TEST_CASE("a collection keeps a segment of a log directory that reads nothing, and says why once",
          "[simulated]") {
  LonePage lone;
  SimulatedFaults faults;
  faults.read_error = 1;
  faults.only_in = ".segment";
  lone.store.disk().SetFaults(faults);
  const CollectReport report = lone.Collect();
  CAPTURE(report.ToJson());
  CHECK(report.segments_freed == 0);
  CHECK(report.segments_kept == 1);
  CHECK(report.pages_bad == 0);
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].find("could not be read, and was not moved") != std::string::npos);
  lone.store.disk().SetFaults({});
  CHECK(lone.Collect().pages_moved == 1);
}

TEST_CASE("a collection does not write again to a log directory whose writes have failed",
          "[simulated]") {
  LonePage lone;
  const uint64_t faults_before = lone.store.disk().counts().faults;
  SimulatedFaults faults;
  faults.write_error = 1;
  faults.only_in = ".segment";
  lone.store.disk().SetFaults(faults);
  const CollectReport report = lone.Collect();
  CAPTURE(report.ToJson());
  CHECK(report.segments_kept == 1);
  CHECK(report.pages_bad == 0);
  CHECK(report.problems.size() == 1);
  CHECK(lone.store.disk().counts().faults == faults_before + 1);
}

TEST_CASE("options of a collection that are wrong are named") {
  CHECK(CollectOptions::Parse("")->target_bytes == UINT64_MAX);
  CHECK(CollectOptions::Parse("target_bytes=5M;")->target_bytes == 5 << 20);
  for (const char* wrong : {"target_bytes", "target_bytes=", "target_bytes=x", "target_bytes=0",
                            "bytes=5", "target_bytes=5;x=1"}) {
    CAPTURE(wrong);
    const auto parsed = CollectOptions::Parse(wrong);
    REQUIRE(parsed.status().code() == StatusCode::kInvalidArgument);
    CHECK(parsed.status().message().find("target_bytes") != std::string_view::npos);
  }
}

TEST_CASE("collecting garbage through the C interface gives a report or an error") {
  const TemporaryDirectory directory;
  lamina_store* store = nullptr;
  REQUIRE(lamina_open((directory / "store").c_str(), "min_free_bytes=0", &store, nullptr) ==
          LAMINA_OK);
  char* report = nullptr;
  char* error = nullptr;
  CHECK(lamina_collect_garbage(store, "target_bytes=1G", &report, &error) == LAMINA_OK);
  CHECK(std::string(report).find("\"bytes_freed\":0,") != std::string::npos);
  CHECK(error == nullptr);
  lamina_free(report);
  CHECK(lamina_collect_garbage(store, nullptr, nullptr, nullptr) == LAMINA_OK);
  CHECK(lamina_collect_garbage(store, "x=1", &report, &error) == LAMINA_INVALID_ARGUMENT);
  CHECK(report == nullptr);
  CHECK(std::string(error).find("x=1") != std::string::npos);
  lamina_free(error);
  CHECK(lamina_collect_garbage(nullptr, "", &report, nullptr) == LAMINA_INVALID_ARGUMENT);
  lamina_close(store);
}

}  // namespace
}  // namespace lamina::testing
