// A scripted history with a crash, or a failure, at every single operation on the disk.
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

// What a page may, must or must not be after a crash.
enum class Expect : uint8_t { kMay, kMust, kMustNot };

// The history: put, flush, put, erase, put, flush, put, put. Notes what is promised so far; calls
// that fail promise nothing, and neither does what a dead process is told. A power cut may lose
// what was not flushed, the death of a process nothing that was acknowledged.
struct History {
  const SimulatedDisk& disk;
  bool power = true;
  std::vector<Expect> pages = std::vector<Expect>(90, Expect::kMustNot);

  void Put(Store& store, TestPath& path, size_t first, size_t count) {
    std::vector<std::vector<std::byte>> payloads;
    std::vector<const void*> buffers;
    const std::vector<size_t> sizes(count, kPage);
    for (size_t i = 0; i < count; ++i) {
      payloads.push_back(Payload(path.seeds[first + i], kPage));
      buffers.push_back(payloads.back().data());
    }
    std::vector<PageState> states(count);
    for (size_t i = first; i < first + count; ++i) pages[i] = Expect::kMay;
    const auto put = store.Put(*path.path, first, count, {buffers, sizes, 1}, states);
    for (size_t i = 0; put.ok() && !disk.crashed() && i < count; ++i) {
      if (states[i] == PageState::kOk && !power) pages[first + i] = Expect::kMust;
    }
  }

  void Flush(Store& store, TestPath& path) {
    const auto before = ProbePages(store, path, 0, pages.size());
    if (!store.Flush().ok() || disk.crashed()) return;
    for (size_t i = 0; i < pages.size(); ++i) {
      if (before[i] == PageState::kOk && pages[i] == Expect::kMay) pages[i] = Expect::kMust;
    }
  }

  void Erase(Store& store, TestPath& path, size_t first, size_t count) {
    for (size_t i = first; i < first + count; ++i) pages[i] = Expect::kMay;
    const bool erased = store.Erase(*path.path, first, count).ok() && !disk.crashed();
    for (size_t i = first; erased && i < first + count; ++i) pages[i] = Expect::kMustNot;
  }

  void Run(Store& store) {
    TestPath path = MakePath(store, "model", Tokens(0, pages.size()));
    Put(store, path, 0, 30);
    Flush(store, path);
    Put(store, path, 30, 30);
    Erase(store, path, 10, 30);
    Put(store, path, 60, 20);
    Flush(store, path);
    Put(store, path, 10, 10);
    Put(store, path, 80, 10);
  }

  // Opens what is left and holds it against the promises; then the store must work again.
  void Check(SimulatedDisk& crashed, uint64_t n) {
    CAPTURE(n, power);
    auto opened = OpenSimulatedStore(crashed.Restart());
    if (!opened.ok()) FAIL_CHECK(opened.status().ToString());
    if (!opened.ok()) return;
    Store& store = **opened;
    TestPath path = MakePath(store, "model", Tokens(0, pages.size()));
    GetOutcome got = GetPages(store, path, 0, pages.size(), kPage);
    CHECK(got.wrong == 0);
    for (size_t i = 0; i < pages.size(); ++i) {
      CAPTURE(i);
      if (pages[i] == Expect::kMust) CHECK(got.states[i] == PageState::kOk);
      if (pages[i] == Expect::kMustNot) CHECK(got.states[i] == PageState::kMiss);
    }
    CHECK(CountOk(PutPages(store, path, 0, pages.size(), kPage)) == pages.size());
    got = GetPages(store, path, 0, pages.size(), kPage);
    CHECK(CountOk(got.states) == pages.size());
    CHECK(got.wrong == 0);
  }
};

TEST_CASE("a crash at every operation loses nothing that was promised and brings nothing back",
          "[simulated]") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  for (uint64_t n = 1;; n += CrashStep()) {
    SimulatedDisk disk(n);
    History history{disk};
    history.power = kind == SimulatedCrash::kPower;
    auto fs = disk.Restart();
    disk.SetCrashAt(n, kind);
    {
      auto store = OpenSimulatedStore(std::move(fs));
      if (store.ok()) history.Run(**store);
    }
    if (!disk.crashed()) break;
    history.Check(disk, n);
  }
}

TEST_CASE("a failure of any operation is survived, and later checkpoints forget nothing",
          "[simulated]") {
  for (uint64_t n = 1;; n += CrashStep()) {
    SimulatedDisk disk(n);
    History history{disk};
    history.power = true;
    auto fs = disk.Restart();
    {
      auto opened = OpenSimulatedStore(std::move(fs));
      REQUIRE(opened.ok());
      const uint64_t before = disk.operations();
      disk.FailOperation(n, EIO);
      history.Run(**opened);
      const uint64_t used = disk.operations() - before;
      // Once more without failures: what this checkpoint promises includes what the last one failed
      // to.
      disk.FailOperation(0, 0);
      TestPath path = MakePath(**opened, "model", Tokens(0, history.pages.size()));
      history.Flush(**opened, path);
      disk.Crash(SimulatedCrash::kPower);
      if (used < n) break;
    }
    history.Check(disk, n);
  }
}

TEST_CASE("a page that was wrong once is read again, is right, and keeps its slot", "[simulated]") {
  SimulatedDisk disk(3);
  const auto store = std::move(*OpenSimulatedStore(disk.Restart()));
  TestPath path = MakePath(*store, "model", Tokens(0, 40));
  REQUIRE(CountOk(PutPages(*store, path, 0, 40, kPage)) == 40);
  disk.SetFaults({.flip_on_read = 0.1, .only_in = ".segment"});
  for (int tries = 0; tries < 200 && store->impl()->counters().reread_successes < 5; ++tries) {
    const GetOutcome got = GetPages(*store, path, 0, 40, kPage);
    REQUIRE(CountOk(got.states) == 40);
    REQUIRE(got.wrong == 0);
  }
  disk.SetFaults({});
  CHECK(store->impl()->counters().reread_successes >= 5);
  CHECK(CountOk(GetPages(*store, path, 0, 40, kPage).states) == 40);
}

TEST_CASE("buffers that overlap cost a miss and no slot") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 3));
  PutPages(*store, path, 0, 3, kPage);
  std::vector<std::byte> scratch(kPage);
  const std::vector<void*> same(3, scratch.data());
  const std::vector<size_t> sizes(3, kPage);
  REQUIRE(store->Get(*path.path, 0, 3, {same, sizes, 1}, {}).ok());
  REQUIRE(CountOk(GetPages(*store, path, 0, 3, kPage).states) == 3);
}

TEST_CASE("a store may be moved with its default log directory") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 10));
  PutPages(*store, path, 0, 10, kPage);
  store.reset();
  std::filesystem::rename(directory / "store", directory / "moved");
  store = OpenStore(directory / "moved");
  path = MakePath(*store, "model", Tokens(0, 10));
  REQUIRE(CountOk(GetPages(*store, path, 0, 10, kPage).states) == 10);
}

TEST_CASE("steady puts make a checkpoint for each full memtable and no more") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  for (uint32_t i = 0; i < 100; ++i) {
    TestPath path = MakePath(*store, "model", Tokens(i * 1000, 64));
    PutPages(*store, path, 0, 64, kPage);
  }
  const double memtables = 6400 / store->impl()->batch_entries();
  REQUIRE(StatOf(store->StatsJson(), "checkpoints") <= static_cast<uint64_t>(memtables) + 2);
}

TEST_CASE("a store whose creation failed over one log directory can be created with another") {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "a");
  std::ofstream(directory / "file") << "x";
  REQUIRE_FALSE(Store::Open(directory / "store", TestOptions("log_dirs=" + (directory / "a") + "," +
                                                             (directory / "file")))
                    .ok());
  const auto store =
      OpenStore(directory / "store", TestOptions("log_dirs=" + (directory / "a") + "/"));
  REQUIRE(store != nullptr);
}

}  // namespace
}  // namespace lamina::testing
