// Log directories that are not there, or that are ill: what lies in them is missed, and the store
// goes on with the others.
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <string>

#include "engine/io/forwarding_file_system.h"
#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

using Catch::Contains;

constexpr size_t kPage = 65536;
constexpr uint64_t kMiB = uint64_t{1} << 20;

bool IsWithin(const std::string& path, const std::string& directory) {
  return path == directory || path.compare(0, directory.size() + 1, directory + "/") == 0;
}

// What the file system below does not show, or fails at.
struct Illness {
  std::string hidden;      // a directory: it is not there
  std::string unlisted;    // a directory: its names cannot be read
  std::string frozen;      // a directory: what is in it cannot be unlinked
  std::string unknown;     // of this path it cannot be told whether it is there
  std::string unopenable;  // a file
};

class IllFileSystem final : public ForwardingFileSystem {
 public:
  // The illness outlives it.
  IllFileSystem(std::unique_ptr<FileSystem> fs, const Illness& illness)
      : ForwardingFileSystem(std::move(fs)), illness_(illness) {}
  Result<bool> Exists(const std::string& path) noexcept override {
    if (path == illness_.unknown) return Failure("look up", path);
    if (IsHidden(path)) return false;
    return ForwardingFileSystem::Exists(path);
  }
  Result<std::vector<std::string>> List(const std::string& directory) noexcept override {
    if (directory == illness_.unlisted) return Failure("list", directory);
    return ForwardingFileSystem::List(directory);
  }
  Status Remove(const std::string& path) noexcept override {
    if (!illness_.frozen.empty() && IsWithin(path, illness_.frozen)) return Failure("remove", path);
    return ForwardingFileSystem::Remove(path);
  }
  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    if (IsHidden(path)) return Status::IoError(path + ": no such file");
    if (path == illness_.unopenable) return Failure("open", path);
    return ForwardingFileSystem::Open(path, how);
  }

 private:
  static Status Failure(const char* operation, const std::string& path) {
    return Status::IoError("cannot " + std::string(operation) + " " + path + ": the disk is ill");
  }
  [[nodiscard]] bool IsHidden(const std::string& path) const {
    return !illness_.hidden.empty() && IsWithin(path, illness_.hidden);
  }

  const Illness& illness_;
};

// A store in the directories "/a" and "/b".
struct Fixture {
  Fixture() { Open(); }
  Status TryOpen(const std::string& capacity = "192M") {
    store.reset();
    auto opened =
        OpenSimulatedStore(std::make_unique<IllFileSystem>(disk.Restart(), illness),
                           "log_dirs=/a,/b;admission=all;eviction=lru;capacity_bytes=" + capacity);
    view = disk.Attach();
    if (opened.ok()) store = std::move(*opened);
    return opened.status();
  }
  void Open(const std::string& capacity = "192M") {
    const Status status = TryOpen(capacity);
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
  // Puts pages in calls of 16; how many of them are there afterwards.
  size_t PutAll(size_t first, size_t count) {
    for (size_t page = first; page < first + count; page += 16) {
      TestPath path = MakePath(*store, "model", Tokens(static_cast<uint32_t>(page), 16));
      PutPages(*store, path, 0, 16, kPage);
    }
    return Present(first, count);
  }
  size_t Present(size_t first, size_t count) {
    size_t present = 0;
    for (size_t page = first; page < first + count; page += 16) {
      TestPath path = MakePath(*store, "model", Tokens(static_cast<uint32_t>(page), 16));
      present += CountOk(GetPages(*store, path, 0, 16, kPage).states);
    }
    return present;
  }
  [[nodiscard]] uint64_t Space(const std::string& name) const {
    const std::string stats = store->StatsJson();
    return StatOf(stats.substr(stats.find("\"space\":")), name);
  }
  [[nodiscard]] double PhysicalOverLive() const {
    const std::string stats = store->StatsJson();
    const std::string key = "\"physical_over_not_condemned\":";
    return std::stod(stats.substr(stats.find(key) + key.size()));
  }
  // The array "recovery_notes" of the stats.
  [[nodiscard]] std::string Notes() const {
    const std::string stats = store->StatsJson();
    const size_t at = stats.find("\"recovery_notes\":");
    return stats.substr(at, stats.find("\"last_rejection\"", at) - at);
  }
  // As `du` counts it.
  [[nodiscard]] uint64_t BytesOnDisk() const {
    uint64_t bytes = 0;
    for (const std::string& name : disk.Files()) bytes += *view->AllocatedBytes(name);
    return bytes;
  }
  std::set<std::string> SegmentsIn(const std::string& directory) const {
    std::set<std::string> segments;
    const auto names = view->List(directory);
    REQUIRE(names.ok());
    for (const std::string& name : *names)
      if (name.find(".segment") != std::string::npos) segments.insert(name);
    return segments;
  }

  SimulatedDisk disk{11, {.capacity_bytes = uint64_t{1} << 40}};
  Illness illness;
  std::unique_ptr<Store> store;
  std::unique_ptr<FileSystem> view;
};

TEST_CASE("files that are not there take none of the capacity, and cost the others no page",
          "[simulated]") {
  Fixture f;
  constexpr size_t kPut = 2304;  // 144 MiB
  const size_t stored = f.PutAll(0, kPut);
  REQUIRE(stored > kPut * 3 / 4);
  f.illness.hidden = "/b";
  const bool at_open = GENERATE(true, false);
  f.Open(at_open ? "128M" : "192M");
  const size_t left = f.Present(0, kPut);
  REQUIRE(left > stored / 4);
  REQUIRE(left < stored);
  const auto segments = f.SegmentsIn("/a");
  if (!at_open) {
    const Status status = f.store->SetCapacity(128 * kMiB);
    INFO(status.ToString());
    CHECK(status.ok());
  }
  CHECK(f.SegmentsIn("/a") == segments);
  CHECK(f.Present(0, kPut) == left);
  CHECK(StatOf(f.store->StatsJson(), "segments_given_up") == 0);
  // There is room for more, and then no more than that.
  f.PutAll(10000, 2000);
  CHECK(f.SegmentsIn("/a").size() > segments.size());
  CHECK(f.Space("segment_bytes") <= 128 * kMiB);
  // With the directory back the store is over its capacity, and is brought below it.
  f.illness.hidden.clear();
  f.Open("128M");
  CHECK(f.store->SetCapacity(128 * kMiB).ok());
  CHECK(f.Space("physical_bytes") <= 128 * kMiB);
}

TEST_CASE("a store with a missing directory shrinks by what is there, and counts it",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 2304) > 1728);
  f.illness.hidden = "/b";
  f.Open();
  const size_t before = f.SegmentsIn("/a").size();
  const Status status = f.store->SetCapacity(64 * kMiB);
  INFO(status.ToString());
  CHECK(status.ok());
  const size_t after = f.SegmentsIn("/a").size();
  CHECK(after < before);
  CHECK(after > 0);
  CHECK(StatOf(f.store->StatsJson(), "segments_given_up") == before - after);
  CHECK(f.Space("physical_bytes") <= 64 * kMiB);
}

TEST_CASE("the ratios of space leave out what is not there, bytes as well as slots",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 2304) > 1728);
  const uint64_t all = f.Space("slots");
  CHECK(f.PhysicalOverLive() >= 1.0);
  f.illness.hidden = "/b";
  f.Open();
  CHECK(f.PhysicalOverLive() >= 1.0);
  CHECK(f.PhysicalOverLive() < 1.5);
  CHECK(f.Space("slots") < all);
  CHECK(f.Space("slots") > 0);
}

TEST_CASE("a segment's file that was saved from a missing directory into another one stays",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 1024) == 1024);
  const std::string name = *f.SegmentsIn("/b").begin();
  REQUIRE_FALSE(f.SegmentsIn("/a").contains(name));
  REQUIRE(f.view->Open("/a/" + name, {.write = true, .create = true}).ok());
  f.illness.hidden = "/b";
  f.Open();
  CHECK(f.SegmentsIn("/a").contains(name));
  // Where its segment is, it is nobody's.
  f.illness.hidden.clear();
  f.Open();
  CHECK_FALSE(f.SegmentsIn("/a").contains(name));
  CHECK(f.Present(0, 1024) == 1024);
}

TEST_CASE("a file that cannot be unlinked in a log directory stays, counted, until the next open",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 256) == 256);
  f.store.reset();
  constexpr uint64_t kOrphan = 48 * kMiB;
  const std::string orphan = "/b/0000009999.segment";
  {
    const auto file = f.view->Open(orphan, {.write = true, .create = true});
    REQUIRE(file.ok());
    REQUIRE((*file)->Allocate(kOrphan).ok());
  }
  f.illness.frozen = "/b";
  f.Open();
  CHECK_THAT(f.Notes(), Contains("left until the next open: cannot remove " + orphan));
  CHECK(f.Present(0, 256) == 256);
  // What it takes is not to be had for pages.
  f.PutAll(10000, 3200);
  REQUIRE(f.store->Flush().ok());
  CHECK(f.Space("physical_bytes") == f.BytesOnDisk());
  CHECK(f.Space("physical_bytes") <= 192 * kMiB);
  CHECK(f.Space("segment_bytes") > 128 * kMiB);
  CHECK(f.SegmentsIn("/b").contains("0000009999.segment"));
  f.illness = {};
  f.Open();
  CHECK_FALSE(f.SegmentsIn("/b").contains("0000009999.segment"));
  CHECK(f.Notes() == "\"recovery_notes\":[],");
}

TEST_CASE("a segment's file counts for as long as it is there, whatever else stays behind",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 1024) == 1024);
  REQUIRE(f.store->Flush().ok());
  const SpaceBudget& budget = f.store->impl()->budget();
  const auto on_disk = [&] { return f.Space("segment_bytes"); };
  // The slot tables stay.
  f.illness.frozen = "/store";
  REQUIRE(f.store->SetCapacity(128 * kMiB).ok());
  CHECK(budget.segment_bytes() == on_disk());
  const uint64_t slots = budget.slots();
  // The files stay.
  f.illness.frozen = "/a";
  (void)f.store->SetCapacity(72 * kMiB);
  CHECK(budget.segment_bytes() < on_disk());
  CHECK(budget.slots() < slots);
  uint64_t open_slots = 0;
  for (const SegmentInfo& info : f.store->impl()->log().Segments()) open_slots += info.slot_count;
  CHECK(budget.slots() == open_slots);
}

TEST_CASE("a log directory that cannot be listed is used and counted all the same", "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 1024) == 1024);
  f.illness.unlisted = "/b";
  f.Open();
  CHECK_THAT(f.Notes(), Contains("left until the next open: cannot list /b: the disk is ill"));
  CHECK(f.Present(0, 1024) == 1024);
  CHECK(f.PutAll(10000, 256) == 256);
  REQUIRE(f.store->Flush().ok());
  CHECK(f.Space("unlisted_directories") == 1);
  CHECK(f.Space("physical_bytes") == f.BytesOnDisk());
  f.illness = {};
  CHECK(f.Space("unlisted_directories") == 0);
  CHECK(f.Space("physical_bytes") == f.BytesOnDisk());
}

TEST_CASE("a log directory whose marker cannot be read is missed as if it were not there",
          "[simulated]") {
  Fixture f;
  constexpr size_t kPut = 1024;
  REQUIRE(f.PutAll(0, kPut) == kPut);
  f.illness.hidden = "/b";
  f.Open();
  const size_t in_a = f.Present(0, kPut);
  REQUIRE(in_a > 0);
  REQUIRE(in_a < kPut);
  f.illness = {};
  SECTION("since it cannot be told whether the directory is there") { f.illness.unknown = "/b"; }
  SECTION("since it cannot be told whether it is there") { f.illness.unknown = "/b/LAMINA_LOG"; }
  SECTION("since it cannot be opened") { f.illness.unopenable = "/b/LAMINA_LOG"; }
  f.Open();
  CHECK_THAT(f.Notes(), Contains("log directory /b cannot be used: cannot "));
  CHECK_THAT(f.Notes(), Contains("the disk is ill: its pages are misses"));
  CHECK_THAT(f.store->StatsJson(),
             Contains("\"present\":false,\"writable\":false,\"problem\":\"log directory /b "
                      "cannot be used: cannot "));
  CHECK(f.Present(0, kPut) == in_a);
  CHECK(f.PutAll(10000, 256) == 256);
  REQUIRE(f.store->Flush().ok());
  f.illness = {};
  f.Open();
  CHECK(f.Present(0, kPut) == kPut);
  CHECK(f.Present(10000, 256) == 256);
}

TEST_CASE("a store none of whose log directories can be used does not open while one may be there",
          "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 256) == 256);
  f.illness.unopenable = "/b/LAMINA_LOG";
  f.illness.hidden = "/a";
  const Status status = f.TryOpen();
  CHECK(status.code() == StatusCode::kIoError);
  CHECK_THAT(std::string(status.message()), Contains("log directory /b cannot be used: cannot "));
  // Where it is known that there is none, there is nothing to wait for.
  f.illness.unopenable.clear();
  REQUIRE(f.view->Rename("/b/LAMINA_LOG", "/marker").ok());
  for (const std::string& name : f.SegmentsIn("/b")) REQUIRE(f.view->Remove("/b/" + name).ok());
  f.Open();
  CHECK(f.Present(0, 256) == 0);
}

TEST_CASE("a store whose own directory is ill does not open", "[simulated]") {
  Fixture f;
  REQUIRE(f.PutAll(0, 256) == 256);
  f.store.reset();
  SECTION("since it cannot be listed") { f.illness.unlisted = "/store"; }
  SECTION("since what is left over in it cannot be unlinked") {
    REQUIRE(
        f.view->Open("/store/0000009999-0000000001.slots", {.write = true, .create = true}).ok());
    f.illness.frozen = "/store";
  }
  const Status status = f.TryOpen();
  INFO(status.ToString());
  CHECK(status.code() == StatusCode::kIoError);
  f.illness = {};
  f.Open();
  CHECK(f.Present(0, 256) == 256);
}

TEST_CASE("a put into a store whose only log directory is not there is rejected for that reason",
          "[simulated]") {
  SimulatedDisk disk(12);
  Illness illness;
  for (const bool hidden : {false, true}) {
    illness.hidden = hidden ? "/only" : "";
    auto store = OpenSimulatedStore(std::make_unique<IllFileSystem>(disk.Restart(), illness),
                                    "log_dirs=/only");
    REQUIRE(store.ok());
    TestPath path = MakePath(**store, "model", Tokens(hidden ? 100 : 0, 8));
    CHECK(CountOk(PutPages(**store, path, 0, 8, kPage)) == (hidden ? 0 : 8));
    const std::string stats = (*store)->StatsJson();
    const std::string why = "none of the log directories is there, the first is /only";
    CHECK(TextOf(stats, "last_rejection") == (hidden ? why : ""));
    CHECK(StatOf(stats, "rejected_io_error") == (hidden ? 1 : 0));
    CHECK(StatOf(stats, "rejected_policy") == 0);
  }
}

}  // namespace
}  // namespace lamina::testing
