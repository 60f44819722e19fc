// What goes wrong now and then, at the disk or with the caller, and costs nothing that stays.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

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
