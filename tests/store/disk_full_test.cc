// A disk that is full: puts are rejected with a reason, everything else goes on, and so do puts
// when there is room, in the same open store.
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/store/simulated_store.h"
#include "tests/store/watched_file_system.h"

namespace lamina::testing {
namespace {

using Catch::Contains;
constexpr size_t kPage = 4096;
constexpr uint64_t kPlenty = uint64_t{1} << 40;

uint64_t UsedBytes(FileSystem& fs) {
  const SpaceInfo space = *fs.Space("/store");
  return space.total_bytes - space.free_bytes;
}

// Puts until all pages are stored: what is free on the disk is looked up now and then, not for each
// put.
size_t PutAll(Store& store, TestPath& path, size_t count) {
  size_t stored = 0;
  for (int tries = 0; tries < 1000 && stored < count; ++tries)
    stored = CountOk(PutPages(store, path, 0, count, kPage));
  return stored;
}

struct Fixture {
  explicit Fixture(const std::string& options_text = {}) : options(options_text) { Open(); }
  void Open() {
    store.reset();
    auto attached = disk.Restart();
    auto opened = OpenSimulatedStore(std::move(attached), options);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    store = std::move(*opened);
    view = disk.Attach();
  }
  TestPath PathOf(size_t pages) const { return MakePath(*store, "model", Tokens(0, pages)); }
  // Leaves so much free.
  void FillDisk(uint64_t free) { disk.SetCapacity(UsedBytes(*view) + free); }
  std::string Stat(const std::string& name) const { return TextOf(store->StatsJson(), name); }

  const std::string options;
  SimulatedDisk disk{11, {.capacity_bytes = kPlenty}};
  std::unique_ptr<Store> store;
  std::unique_ptr<FileSystem> view;
};

TEST_CASE("a full disk rejects puts with a reason until there is room again", "[simulated]") {
  // By what the disk says, and by what is left to others.
  const std::string options = GENERATE("min_free_bytes=0", "min_free_bytes=16M");
  Fixture f(options);
  TestPath path = f.PathOf(4000);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 100, kPage)) == 100);
  f.FillDisk(options == "min_free_bytes=0" ? 4096 : 16 << 20);
  const size_t stored = CountOk(PutPages(*f.store, path, 0, 4000, kPage));
  CHECK(stored >= 100);
  REQUIRE(stored < 4000);
  // A slot was missing, or the policy was asked first and saw that there would be none.
  const std::string stats = f.store->StatsJson();
  CHECK(StatOf(stats, "rejected_no_space") + StatOf(stats, "rejected_policy") == 1);
  CHECK(StatOf(stats, "rejected_follows") == 4000 - stored - 1);
  CHECK_FALSE(f.Stat("last_rejection").empty());
  const GetOutcome got = GetPages(*f.store, path, 0, stored, kPage);
  CHECK(CountOk(got.states) == stored);
  CHECK(got.wrong == 0);
  f.disk.SetCapacity(kPlenty);
  CHECK(PutAll(*f.store, path, 4000) == 4000);
  CHECK(CountOk(GetPages(*f.store, path, 0, 4000, kPage).states) == 4000);
}

TEST_CASE("with no byte free the ballast lets pages be flushed and erased, and is made again",
          "[simulated]") {
  Fixture f;
  TestPath path = f.PathOf(100);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 100, kPage)) == 100);
  REQUIRE_THAT(f.store->StatsJson(), Contains("\"ballast\":{\"held\":true,\"uses\":0}"));
  f.FillDisk(0);
  SECTION("flush") { CHECK(f.store->Flush().ok()); }
  SECTION("erase") { CHECK(f.store->Erase(*path.path, 50, 50).ok()); }
  SECTION("erase a root") { CHECK(f.store->EraseRoot("other").ok()); }
  CHECK_THAT(f.store->StatsJson(), Contains("\"uses\":1}"));
  CHECK(StatOf(f.store->StatsJson(), "checkpoint_failures") == 0);
  f.disk.SetCapacity(kPlenty);
  TestPath more = MakePath(*f.store, "other", Tokens(0, 8));
  REQUIRE(CountOk(PutPages(*f.store, more, 0, 8, kPage)) == 8);
  REQUIRE(f.store->Flush().ok());
  CHECK_THAT(f.store->StatsJson(), Contains("\"ballast\":{\"held\":true,\"uses\":1}"));
}

TEST_CASE("a flush that nothing can make room for fails without harm and succeeds later",
          "[simulated]") {
  Fixture f;
  TestPath path = f.PathOf(200);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 100, kPage)) == 100);
  f.disk.SetCapacity(UsedBytes(*f.view) / 2);
  CHECK(f.store->Flush().code() == StatusCode::kNoSpace);
  CHECK(f.Stat("latched").empty());
  CHECK(CountOk(GetPages(*f.store, path, 0, 100, kPage).states) == 100);
  f.disk.SetCapacity(kPlenty);
  CHECK(PutAll(*f.store, path, 200) == 200);
  REQUIRE(f.store->Flush().ok());
  f.disk.Crash(SimulatedCrash::kPower);
  f.Open();
  path = f.PathOf(200);
  CHECK(CountOk(GetPages(*f.store, path, 0, 200, kPage).states) == 200);
}

TEST_CASE("memtables that cannot be flushed end in rejections, not in waiting", "[simulated]") {
  Fixture f;
  TestPath path = f.PathOf(4000);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 2, kPage)) == 2);
  // The segment has slots enough; what cannot grow is the index.
  f.disk.SetCapacity(UsedBytes(*f.view) / 2);
  size_t stored = 2;
  size_t more = 1;
  while (more > 0 && stored < 4000) {
    more = CountOk(PutPages(*f.store, path, stored, std::min<size_t>(50, 4000 - stored), kPage));
    stored += more;
  }
  REQUIRE(stored < 4000);
  CHECK(StatOf(f.store->StatsJson(), "rejected_no_space") >= 1);
  CHECK(CountOk(GetPages(*f.store, path, 0, stored, kPage).states) == stored);
  f.disk.SetCapacity(kPlenty);
  CHECK(PutAll(*f.store, path, 4000) == 4000);
  CHECK(CountOk(GetPages(*f.store, path, 0, 4000, kPage).states) == 4000);
}

TEST_CASE("a store opens on a full disk, is read, and stores again when there is room",
          "[simulated]") {
  Fixture f(GENERATE("durability=none", "durability=batch"));
  const bool cleanly = GENERATE(true, false);
  TestPath path = f.PathOf(4000);
  REQUIRE(CountOk(PutPages(*f.store, path, 0, 100, kPage)) == 100);
  if (!cleanly) f.disk.Crash(SimulatedCrash::kProcess);
  f.store.reset();
  f.view = f.disk.Attach();
  f.FillDisk(0);
  f.Open();
  path = f.PathOf(4000);
  CHECK(CountOk(GetPages(*f.store, path, 0, 100, kPage).states) == 100);
  // What goes into the segment that is there, and no more.
  CHECK(CountOk(PutPages(*f.store, path, 0, 4000, kPage)) < 4000);
  CHECK(CountOk(GetPages(*f.store, path, 0, 100, kPage).states) == 100);
  f.disk.SetCapacity(kPlenty);
  CHECK(PutAll(*f.store, path, 4000) == 4000);
  REQUIRE(f.store->Flush().ok());
  f.disk.Crash(SimulatedCrash::kPower);
  f.Open();
  path = f.PathOf(4000);
  CHECK(CountOk(GetPages(*f.store, path, 0, 4000, kPage).states) == 4000);
}

// Without room for its first checkpoint the store cannot make durable what is there.
TEST_CASE("with durability=batch a full disk acknowledges no page that an earlier process has put",
          "[simulated]") {
  constexpr size_t kCount = 40;
  size_t rejected = 0;
  size_t stored = 0;
  for (uint64_t free = 0; free <= 128 << 10; free += 4096) {
    CAPTURE(free);
    SimulatedDisk disk(11, {.capacity_bytes = kPlenty});
    auto store = OpenSimulatedStore(disk.Restart());
    REQUIRE(store.ok());
    TestPath path = MakePath(**store, "model", Tokens(0, kCount));
    REQUIRE(CountOk(PutPages(**store, path, 0, kCount, kPage)) == kCount);
    disk.Crash(SimulatedCrash::kProcess);
    store->reset();
    const auto view = disk.Attach();
    REQUIRE(view->Remove(std::string("/store/") + kBallastFileName).ok());
    disk.SetCapacity(UsedBytes(*view) + free);
    store = OpenSimulatedStore(disk.Restart(), "durability=batch");
    if (!store.ok()) continue;
    path = MakePath(**store, "model", Tokens(0, kCount));
    const size_t acknowledged = CountOk(PutPages(**store, path, 0, kCount, kPage));
    REQUIRE((acknowledged == 0 || acknowledged == kCount));
    ++(acknowledged == 0 ? rejected : stored);
    disk.Crash(SimulatedCrash::kPower);
    store->reset();
    disk.SetCapacity(kPlenty);
    store = OpenSimulatedStore(disk.Restart());
    REQUIRE(store.ok());
    path = MakePath(**store, "model", Tokens(0, kCount));
    CHECK(CountOk(GetPages(**store, path, 0, kCount, kPage).states) >= acknowledged);
  }
  CHECK(rejected > 0);
  CHECK(stored > 0);
}

TEST_CASE("a shrinking that failed in the background goes on by itself", "[simulated]") {
  constexpr uint64_t kCapacity = uint64_t{32} << 20;
  SimulatedDisk disk(11, {.capacity_bytes = kPlenty});
  const auto opened = OpenSimulatedStore(disk.Restart(), "admission=all", kCapacity);
  REQUIRE(opened.ok());
  Store& store = **opened;
  Store::Impl& impl = *store.impl();
  TestPath path = MakePath(store, "model", Tokens(0, 4000));
  REQUIRE(CountOk(PutPages(store, path, 0, 4000, kPage)) == 4000);
  const auto put_and_flush = [&](uint32_t token) {
    TestPath other = MakePath(store, "model", Tokens(token, 1));
    REQUIRE(CountOk(PutPages(store, other, 0, 1, kPage)) == 1);
    REQUIRE(store.Flush().ok());
  };
  const auto run = [&] { return impl.scheduler().WaitIdle(Scheduler::Clock::time_point::max()); };
  // No table can be written, and no segment goes before one has been.
  const auto fill_disk = [&] { disk.SetCapacity(UsedBytes(*disk.Attach()) / 2); };
  fill_disk();
  REQUIRE(store.SetCapacity(kCapacity / 4).code() == StatusCode::kNoSpace);
  disk.SetCapacity(kPlenty);
  REQUIRE(impl.budget().OverBytes() > 0);
  // Each checkpoint asks for what is left to do.
  for (const uint32_t token : {10000U, 20000U}) put_and_flush(token);
  fill_disk();
  CHECK(run().code() == StatusCode::kNoSpace);
  CHECK(impl.scheduler().error(WorkClass::kReclaim).code() == StatusCode::kNoSpace);
  disk.SetCapacity(kPlenty);
  CHECK(impl.budget().OverBytes() > 0);
  put_and_flush(30000);
  CHECK(run().ok());
  CHECK(impl.budget().OverBytes() == 0);
  CHECK(impl.log().file_bytes() <= kCapacity / 4);
}

TEST_CASE("min_free_bytes holds for each directory, and the others take what one has no room for",
          "[simulated]") {
  SimulatedDisk disk(11);
  Watcher watcher;
  const auto opened =
      OpenSimulatedStore(std::make_unique<WatchedFileSystem>(disk.Restart(), watcher),
                         "min_free_bytes=64M;log_dirs=/a,/b");
  REQUIRE(opened.ok());
  Store& store = **opened;
  const auto segments_in = [&](const std::string& directory) {
    size_t count = 0;
    for (const std::string& file : disk.Files())
      count += file.starts_with(directory) && file.ends_with(".segment") ? 1 : 0;
    return count;
  };
  TestPath path = MakePath(store, "model", Tokens(0, 4000));
  watcher.SetFree("/a", 64 << 20);
  watcher.SetFree("/b", 256 << 20);
  REQUIRE(CountOk(PutPages(store, path, 0, 2000, kPage)) == 2000);
  CHECK(segments_in("/a") == 0);
  CHECK(segments_in("/b") >= 8);
  // Half a segment's worth, and then less than is worth one.
  watcher.SetFree("/a", (64 << 20) + (512 << 10));
  watcher.SetFree("/b", 0);
  REQUIRE(CountOk(PutPages(store, path, 2000, 100, kPage)) == 100);
  CHECK(segments_in("/a") == 1);
  watcher.SetFree("/a", (64 << 20) + (64 << 10));
  CHECK(CountOk(PutPages(store, path, 0, 4000, kPage)) < 4000);
  CHECK(segments_in("/a") == 1);
  watcher.SetFree("/a", 256 << 20);
  CHECK(PutAll(store, path, 4000) == 4000);
}

// A disk that becomes full after any number of further blocks: wherever that hits, the store is
// whole, and whole again when there is room.
TEST_CASE("wherever a disk becomes full, nothing is lost and the open store resumes",
          "[simulated]") {
  constexpr size_t kPages = 90;
  size_t hit = 0;
  for (uint64_t blocks = 0;; ++blocks) {
    CAPTURE(blocks);
    Fixture f;
    TestPath path = f.PathOf(kPages);
    REQUIRE(CountOk(PutPages(*f.store, path, 0, 30, kPage)) == 30);
    // Below what is used, so that the ballast is of no help at first.
    const uint64_t used = UsedBytes(*f.view);
    f.disk.SetCapacity(used - kBallastBytes + blocks * 4096);
    bool failed = !f.store->Flush().ok();
    failed |= CountOk(PutPages(*f.store, path, 30, 30, kPage)) < 30;
    failed |= !f.store->Erase(*path.path, 10, 10).ok();
    failed |= CountOk(PutPages(*f.store, path, 60, 30, kPage)) < 30;
    failed |= !f.store->Flush().ok();
    GetOutcome got = GetPages(*f.store, path, 0, 10, kPage);
    CHECK(CountOk(got.states) == 10);

    f.disk.SetCapacity(kPlenty);
    CHECK(f.Stat("latched").empty());
    CHECK(f.store->Flush().ok());
    CHECK(PutAll(*f.store, path, kPages) == kPages);
    CHECK(f.store->Flush().ok());
    f.disk.Crash(SimulatedCrash::kPower);
    f.Open();
    path = f.PathOf(kPages);
    got = GetPages(*f.store, path, 0, kPages, kPage);
    CHECK(CountOk(got.states) == kPages);
    CHECK(got.wrong == 0);
    if (!failed) break;
    ++hit;
  }
  CHECK(hit >= 5);
}

}  // namespace
}  // namespace lamina::testing
