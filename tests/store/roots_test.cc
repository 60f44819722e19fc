// Which roots a store remembers: those that were put to, and no others.
#include <catch2/catch.hpp>
#include <filesystem>

#include "engine/store/root_table.h"
#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

uint64_t ManifestBytes(const std::string& store) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(store)) {
    if (entry.path().filename().string().starts_with("MANIFEST-")) bytes += entry.file_size();
  }
  return bytes;
}

TEST_CASE("roots that are only asked for are forgotten when their last holder goes") {
  RootTable roots;
  const auto kept = roots.Hold({1, 0}, "kept");
  for (uint64_t i = 2; i < 20000; ++i) roots.Hold({i, 0}, "tenant " + std::to_string(i));
  REQUIRE(roots.unregistered() <= 128);
  REQUIRE(roots.Records().empty());
  REQUIRE(roots.Hold({1, 0}, {}) == kept);
}

TEST_CASE("roots that are held stay, however many there are") {
  RootTable roots;
  std::vector<std::shared_ptr<RootState>> held;
  for (uint64_t i = 0; i < 1000; ++i) held.push_back(roots.Hold({i, 0}, {}));
  for (uint64_t i = 0; i < 1000; ++i) REQUIRE(roots.Hold({i, 0}, {}) == held[i]);
}

TEST_CASE("a root gets its number once, and its name with it") {
  RootTable roots;
  const auto first = roots.Hold({1, 0}, {});
  const auto second = roots.Hold({2, 0}, "second");
  REQUIRE(roots.Find({2, 0}) == nullptr);
  roots.Register(second);
  roots.Register(first);
  roots.Register(second);
  REQUIRE(second->number == 1);
  REQUIRE(first->number == 2);
  REQUIRE(roots.Find({2, 0}) == second);
  REQUIRE(roots.Hold({1, 0}, "first") == first);
  const std::vector<RootRecord> expected = {{{2, 0}, "second", 1, 0}, {{1, 0}, "first", 2, 0}};
  REQUIRE(roots.Records() == expected);
}

TEST_CASE("probing under many roots leaves neither the store nor its manifest larger") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 4));
  PutPages(*store, path, 0, 4, kPage);
  REQUIRE(store->Flush().ok());
  const uint64_t before = ManifestBytes(directory / "store");
  for (int i = 0; i < 3000; ++i) {
    TestPath other = MakePath(*store, "tenant " + std::to_string(i), Tokens(0, 4));
    REQUIRE(CountOk(ProbePages(*store, other, 0, 4)) == 0);
    REQUIRE(CountOk(GetPages(*store, other, 0, 4, kPage).states) == 0);
  }
  PutPages(*store, path, 0, 4, kPage);
  TestPath more = MakePath(*store, "model", Tokens(100, 4));
  PutPages(*store, more, 0, 4, kPage);
  REQUIRE(store->Flush().ok());
  REQUIRE(StatOf(store->StatsJson(), "root_count") == 1);
  REQUIRE(ManifestBytes(directory / "store") < before + 4096);
}

TEST_CASE("paths of one root share its epoch from before its first put") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  TestPath first = MakePath(*store, "model", Tokens(0, 8));
  TestPath second = MakePath(*store, "model", Tokens(0, 8));
  PutPages(*store, first, 0, 8, kPage);
  REQUIRE(CountOk(ProbePages(*store, second, 0, 8)) == 8);
  REQUIRE(store->EraseRoot("model").ok());
  REQUIRE(CountOk(ProbePages(*store, second, 0, 8)) == 0);
  PutPages(*store, second, 0, 8, kPage);
  REQUIRE(CountOk(GetPages(*store, first, 0, 8, kPage).states) == 8);
}

TEST_CASE("a root that is erased before its first put takes its holders along") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 8));
  REQUIRE(store->EraseRoot("model").ok());
  PutPages(*store, path, 0, 8, kPage);
  store.reset();
  store = OpenStore(directory / "store");
  path = MakePath(*store, "model", Tokens(0, 8));
  REQUIRE(CountOk(GetPages(*store, path, 0, 8, kPage).states) == 8);
}

TEST_CASE("a root whose puts are only in the journal is known again after a crash", "[simulated]") {
  SimulatedDisk disk(3);
  const auto open = [&] {
    auto opened = OpenSimulatedStore(disk.Restart());
    REQUIRE(opened.ok());
    return std::move(*opened);
  };
  auto store = open();
  TestPath path = MakePath(*store, "model", Tokens(0, 8));
  PutPages(*store, path, 0, 8, kPage);
  disk.Crash(SimulatedCrash::kProcess);
  store.reset();
  store = open();
  REQUIRE(StatOf(store->StatsJson(), "root_count") == 1);
  path = MakePath(*store, "model", Tokens(0, 8));
  REQUIRE(CountOk(GetPages(*store, path, 0, 8, kPage).states) == 8);
  REQUIRE(store->StatsJson().find("\"root\":\"model\"") != std::string::npos);
  REQUIRE(store->EraseRoot("model").ok());
  REQUIRE(CountOk(ProbePages(*store, path, 0, 8)) == 0);
}

}  // namespace
}  // namespace lamina::testing
