// durability=batch: what is acknowledged survives a power cut. And what a failed sync, journal or
// manifest ends, and what goes on.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <thread>

#include "tests/store/simulated_store.h"
#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina::testing {
namespace {

using Catch::Contains;
constexpr size_t kPage = 4096;
constexpr char kBatch[] = "durability=batch";

TestPath PathOf(Store& store, size_t pages) { return MakePath(store, "model", Tokens(0, pages)); }

// Puts pages and notes which were acknowledged before a crash.
void PutAndNote(Store& store, const SimulatedDisk& disk, TestPath& path, size_t first, size_t count,
                std::vector<bool>* acknowledged) {
  std::vector<std::vector<std::byte>> payloads;
  std::vector<const void*> buffers;
  const std::vector<size_t> sizes(count, kPage);
  for (size_t i = 0; i < count; ++i) {
    payloads.push_back(Payload(path.seeds[first + i], kPage));
    buffers.push_back(payloads.back().data());
  }
  std::vector<PageState> states(count);
  const auto put = store.Put(*path.path, first, count, {buffers, sizes, 1}, states);
  for (size_t i = 0; put.ok() && !disk.crashed() && i < count; ++i) {
    if (states[i] == PageState::kOk) (*acknowledged)[first + i] = true;
  }
}

void CheckAcknowledged(Store& store, const std::vector<bool>& acknowledged) {
  TestPath path = PathOf(store, acknowledged.size());
  const GetOutcome got = GetPages(store, path, 0, acknowledged.size(), kPage);
  CHECK(got.wrong == 0);
  for (size_t i = 0; i < acknowledged.size(); ++i) {
    CAPTURE(i);
    if (acknowledged[i]) CHECK(got.states[i] == PageState::kOk);
  }
}

TEST_CASE("with durability=batch every acknowledged put survives a power cut at any operation",
          "[simulated][crash]") {
  constexpr size_t kPages = 60;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    SimulatedDisk disk(n);
    auto fs = disk.Restart();
    disk.SetCrashAt(n, SimulatedCrash::kPower);
    std::vector<bool> acknowledged(kPages, false);
    if (auto store = OpenSimulatedStore(std::move(fs), kBatch); store.ok()) {
      TestPath path = PathOf(**store, kPages);
      for (size_t first = 0; first < kPages; first += 12) {
        PutAndNote(**store, disk, path, first, 12, &acknowledged);
        if (first == 24) (void)(*store)->Flush();
      }
    }
    if (!disk.crashed()) {
      CHECK(std::count(acknowledged.begin(), acknowledged.end(), true) == kPages);
      break;
    }
    // Once more while what was left is being opened.
    fs = disk.Restart();
    disk.SetCrashAt(1 + n % 23, SimulatedCrash::kPower);
    { const auto interrupted = OpenSimulatedStore(std::move(fs), kBatch); }
    const auto store = OpenSimulatedStore(disk.Restart(), kBatch);
    REQUIRE(store.ok());
    CheckAcknowledged(**store, acknowledged);
  }
}

TEST_CASE("opening with durability=batch makes durable what was acknowledged without it",
          "[simulated][crash]") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SimulatedDisk disk(seed);
    std::vector<bool> acknowledged(30, false);
    {
      const auto store = OpenSimulatedStore(disk.Restart(), "durability=none");
      REQUIRE(store.ok());
      TestPath path = PathOf(**store, 30);
      PutPages(**store, path, 0, 30, kPage);
      disk.Crash(SimulatedCrash::kProcess);
    }
    const auto store = OpenSimulatedStore(disk.Restart(), kBatch);
    REQUIRE(store.ok());
    TestPath path = PathOf(**store, 30);
    // Once they were read they are there, and a put of them writes nothing.
    REQUIRE(CountOk(GetPages(**store, path, 0, 30, kPage).states) == 30);
    PutAndNote(**store, disk, path, 0, 30, &acknowledged);
    disk.Crash(SimulatedCrash::kPower);
    const auto after = OpenSimulatedStore(disk.Restart(), kBatch);
    REQUIRE(after.ok());
    CHECK(std::count(acknowledged.begin(), acknowledged.end(), true) == 30);
    CheckAcknowledged(**after, acknowledged);
  }
}

// Up to the first open that succeeds, operations fail or the process dies; what is flushed then
// survives a power cut all the same.
TEST_CASE("a store whose creation was cut off or failed anywhere is durable once it is flushed",
          "[simulated][crash]") {
  const bool dies = GENERATE(false, true);
  const std::string options = GENERATE("durability=none", "durability=batch");
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n, dies, options);
    SimulatedDisk disk(n);
    auto fs = disk.Restart();
    if (dies) {
      disk.SetCrashAt(n, SimulatedCrash::kProcess);
    } else {
      disk.FailOperation(n, n % 2 == 0 ? EIO : ENOSPC, 1 + n % 3);
    }
    const uint64_t before = disk.operations();
    const bool opened = OpenSimulatedStore(std::move(fs), options).ok();
    const bool through = dies ? !disk.crashed() : disk.operations() - before < n;
    disk.FailOperation(0, 0);
    {
      const auto store = OpenSimulatedStore(disk.Restart(), options);
      CAPTURE(store.status().ToString());
      REQUIRE(store.ok());
      TestPath path = PathOf(**store, 20);
      PutPages(**store, path, 0, 20, kPage);
      REQUIRE((*store)->Flush().ok());
      disk.Crash(SimulatedCrash::kPower);
    }
    const auto store = OpenSimulatedStore(disk.Restart(), options);
    CAPTURE(store.status().ToString(), opened);
    REQUIRE(store.ok());
    CheckAcknowledged(**store, std::vector<bool>(20, true));
    if (through) break;
  }
}

// The next process takes over what the dead one wrote, durable or not, and removes what is
// replaced.
TEST_CASE(
    "a process that dies anywhere in an open leaves a store that a power cut in the next open "
    "does not end",
    "[simulated][crash]") {
  for (uint64_t n = 1;; ++n) {
    bool through = false;
    for (uint64_t m = 1; m < 40; m += 3) {
      CAPTURE(n, m);
      SimulatedDisk disk(n * 100 + m);
      std::vector<bool> acknowledged(20, true);
      {
        const auto store = OpenSimulatedStore(disk.Restart());
        REQUIRE(store.ok());
        TestPath path = PathOf(**store, 20);
        PutPages(**store, path, 0, 20, kPage);
        REQUIRE((*store)->Flush().ok());
      }
      auto fs = disk.Restart();
      disk.SetCrashAt(n, SimulatedCrash::kProcess);
      { const auto dying = OpenSimulatedStore(std::move(fs)); }
      through = !disk.crashed();
      fs = disk.Restart();
      disk.SetCrashAt(m, SimulatedCrash::kPower);
      { const auto cut = OpenSimulatedStore(std::move(fs)); }
      const auto store = OpenSimulatedStore(disk.Restart());
      CAPTURE(store.status().ToString());
      REQUIRE(store.ok());
      CheckAcknowledged(**store, acknowledged);
    }
    if (through) break;
  }
}

// Pages of which the first half is durable; the flush of the others fails at its k-th operation,
// and the process dies. Returns what the flush said.
Status FailFlush(SimulatedDisk* disk, uint64_t k, size_t pages) {
  const auto store = OpenSimulatedStore(disk->Restart());
  REQUIRE(store.ok());
  TestPath path = PathOf(**store, pages);
  PutPages(**store, path, 0, pages / 2, kPage);
  REQUIRE((*store)->Flush().ok());
  PutPages(**store, path, pages / 2, pages / 2, kPage);
  disk->FailOperation(k, EIO);
  Status flushed = (*store)->Flush();
  disk->FailOperation(0, 0);
  disk->Crash(SimulatedCrash::kProcess);
  return flushed;
}

// The process that follows reads the edit, but the disk may never have it.
TEST_CASE("an edit of the manifest whose sync failed takes nothing along that was durable before",
          "[simulated][crash]") {
  constexpr size_t kPages = 60;
  const uint64_t seed = GENERATE(range(uint64_t{1}, uint64_t{7}));
  uint64_t sync = 0;
  for (bool found = false; !found;) {
    SimulatedDisk disk(seed);
    const Status flushed = FailFlush(&disk, ++sync, kPages);
    REQUIRE_FALSE(flushed.ok());
    found = flushed.message().starts_with("cannot sync /store/MANIFEST-");
  }
  std::vector<bool> acknowledged(kPages, false);
  std::fill_n(acknowledged.begin(), kPages / 2, true);
  for (uint64_t n = 1;; ++n) {
    CAPTURE(seed, n);
    SimulatedDisk disk(seed);
    (void)FailFlush(&disk, sync, kPages);
    auto fs = disk.Restart();
    disk.SetCrashAt(n, SimulatedCrash::kPower);
    { const auto interrupted = OpenSimulatedStore(std::move(fs)); }
    if (!disk.crashed()) break;
    const auto store = OpenSimulatedStore(disk.Restart());
    REQUIRE(store.ok());
    CheckAcknowledged(**store, acknowledged);
  }
}

TEST_CASE("puts that run at the same time share syncs") {
  constexpr uint32_t kThreads = 8;
  constexpr uint32_t kPuts = 25;
  const TemporaryDirectory directory;
  auto fs = std::make_unique<FailingFileSystem>();
  Failures& failures = fs->failures;
  std::atomic<uint64_t> segment_syncs{0};
  // A slow device: while it syncs, the other puts get as far as theirs.
  failures.on_sync = [&](const std::string& path) {
    if (path.ends_with(".segment")) ++segment_syncs;
    for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  };
  StoreEnvironment environment;
  environment.file_system = std::move(fs);
  auto impl = Store::Impl::Open(directory / "store", TestOptions(kBatch), std::move(environment));
  REQUIRE(impl.ok());
  Store store(std::move(*impl));
  const auto put = [&](uint32_t token) {
    TestPath path = MakePath(store, "model", Tokens(token, 1));
    return CountOk(PutPages(store, path, 0, 1, kPage)) == 1;
  };
  // One after the other: a sync for each.
  REQUIRE(put(0));
  segment_syncs = 0;
  for (uint32_t i = 1; i <= kPuts; ++i) REQUIRE(put(i));
  REQUIRE(segment_syncs >= kPuts);
  segment_syncs = 0;
  const uint64_t before = StatOf(store.StatsJson(), "syncs");
  std::atomic<size_t> stored{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < kPuts; ++i) stored += put(1000 * t + i) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(stored == kThreads * kPuts);
  CHECK(segment_syncs < kThreads * kPuts * 3 / 4);
  CHECK(StatOf(store.StatsJson(), "syncs") - before < kThreads * kPuts * 3 / 4);
}

TEST_CASE("a failed sync ends writing to its log directory alone, and loses nothing acknowledged",
          "[simulated][crash]") {
  constexpr size_t kLarge = 65536;
  constexpr size_t kPages = 256;  // 16 MiB: directories take turns every 4 MiB
  SimulatedDisk disk(8);
  auto opened =
      OpenSimulatedStore(disk.Restart(), "durability=batch;capacity_bytes=4G;log_dirs=/a,/b");
  REQUIRE(opened.ok());
  Store& store = **opened;
  TestPath path = PathOf(store, 2 * kPages);
  REQUIRE(CountOk(PutPages(store, path, 0, kPages, kLarge)) == kPages);
  disk.SetFaults({.sync_error = 1, .only_in = "/a/"});
  // Goes on where it fails until all of it lies in the other directory.
  size_t stored = kPages;
  size_t rejections = 0;
  while (stored < 2 * kPages) {
    const size_t more = CountOk(PutPages(store, path, stored, 2 * kPages - stored, kLarge));
    stored += more;
    if (more == 0) REQUIRE(++rejections <= 4);
  }
  std::string stats = store.StatsJson();
  CHECK(StatOf(stats, "rejected_io_error") >= 1);
  CHECK_THAT(stats, Contains("\"path\":\"/a\",\"present\":true,\"writable\":false"));
  CHECK_THAT(stats, Contains("\"path\":\"/b\",\"present\":true,\"writable\":true"));
  CHECK(TextOf(stats, "latched").empty());
  GetOutcome got = GetPages(store, path, 0, 2 * kPages, kLarge);
  CHECK(CountOk(got.states) == 2 * kPages);
  CHECK(got.wrong == 0);
  REQUIRE(store.Flush().ok());
  disk.Crash(SimulatedCrash::kPower);
  disk.SetFaults({});
  const auto after =
      OpenSimulatedStore(disk.Restart(), "durability=batch;capacity_bytes=4G;log_dirs=/a,/b");
  REQUIRE(after.ok());
  path = PathOf(**after, 2 * kPages);
  got = GetPages(**after, path, 0, 2 * kPages, kLarge);
  CHECK(CountOk(got.states) == 2 * kPages);
  CHECK(got.wrong == 0);
}

TEST_CASE("without syncs of its own a put whose directory fails to sync is lost, and no other",
          "[simulated][crash]") {
  constexpr size_t kLarge = 65536;
  constexpr size_t kPages = 256;
  SimulatedDisk disk(9);
  auto opened = OpenSimulatedStore(disk.Restart(), "capacity_bytes=4G;log_dirs=/a,/b");
  REQUIRE(opened.ok());
  Store& store = **opened;
  TestPath path = PathOf(store, kPages);
  REQUIRE(CountOk(PutPages(store, path, 0, kPages, kLarge)) == kPages);
  disk.SetFaults({.sync_error = 1, .only_in = "/a/"});
  CHECK_FALSE(store.Flush().ok());
  CHECK(store.Flush().ok());
  const size_t left = CountOk(GetPages(store, path, 0, kPages, kLarge).states);
  CHECK(left > 0);
  CHECK(left < kPages);
  CHECK(CountOk(PutPages(store, path, 0, kPages, kLarge)) == kPages);
  const GetOutcome got = GetPages(store, path, 0, kPages, kLarge);
  CHECK(CountOk(got.states) == kPages);
  CHECK(got.wrong == 0);
}

// Which file fails, and how: after it nothing is stored, and everything is read, until the next
// open.
void CheckLatched(const SimulatedFaults& faults, bool by_flush) {
  SimulatedDisk disk(10);
  auto opened = OpenSimulatedStore(disk.Restart(), kBatch);
  REQUIRE(opened.ok());
  TestPath path = PathOf(**opened, 40);
  REQUIRE(CountOk(PutPages(**opened, path, 0, 20, kPage)) == 20);
  disk.SetFaults(faults);
  if (by_flush) {
    CHECK_FALSE((*opened)->Flush().ok());
  } else {
    CHECK(CountOk(PutPages(**opened, path, 20, 10, kPage)) == 0);
  }
  disk.SetFaults({});
  const uint64_t operations = disk.operations();
  CHECK(CountOk(PutPages(**opened, path, 20, 20, kPage)) == 0);
  CHECK(disk.operations() == operations);
  const std::string stats = (*opened)->StatsJson();
  CHECK(StatOf(stats, "rejected_latched") >= 1);
  CHECK_THAT(TextOf(stats, "latched"), Contains(faults.only_in) && Contains("opened again"));
  CHECK_THAT(TextOf(stats, "last_rejection"), Contains(faults.only_in) && Contains("opened again"));
  CHECK_FALSE((*opened)->Erase(*path.path, 0, 5).ok());
  CHECK(CountOk(GetPages(**opened, path, 5, 15, kPage).states) == 15);
  opened->reset();

  opened = OpenSimulatedStore(disk.Restart(), kBatch);
  REQUIRE(opened.ok());
  path = PathOf(**opened, 40);
  CHECK(CountOk(GetPages(**opened, path, 5, 15, kPage).states) == 15);
  CHECK(CountOk(PutPages(**opened, path, 0, 40, kPage)) == 40);
  CHECK(CountOk(GetPages(**opened, path, 0, 40, kPage).states) == 40);
}

TEST_CASE("a journal that cannot be written or synced ends storing, and nothing else") {
  SECTION("write") { CheckLatched({.write_error = 1, .only_in = ".journal"}, false); }
  SECTION("sync") { CheckLatched({.sync_error = 1, .only_in = ".journal"}, false); }
}

TEST_CASE("a manifest that cannot be written or synced ends storing, and nothing else") {
  SECTION("write") { CheckLatched({.write_error = 1, .only_in = "MANIFEST"}, true); }
  SECTION("sync") { CheckLatched({.sync_error = 1, .only_in = "MANIFEST"}, true); }
}

}  // namespace
}  // namespace lamina::testing
