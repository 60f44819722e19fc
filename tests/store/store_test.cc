// What a store promises its callers: pages come back as they were put, or not at all.
#include <catch2/catch.hpp>
#include <numeric>

#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 16384;

TEST_CASE("pages that were put come back with their bytes") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 200));
  REQUIRE(CountOk(ProbePages(*store, path, 0, 200)) == 0);
  REQUIRE(CountOk(PutPages(*store, path, 0, 200, kPage)) == 200);
  REQUIRE(CountOk(ProbePages(*store, path, 0, 200)) == 200);
  const GetOutcome got = GetPages(*store, path, 0, 200, kPage);
  REQUIRE(CountOk(got.states) == 200);
  REQUIRE(got.wrong == 0);
}

TEST_CASE("a path that shares a prefix finds the shared pages and no more") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath first = MakePath(*store, "model", Tokens(0, 100));
  PutPages(*store, first, 0, 100, kPage);
  std::vector<uint32_t> tokens = Tokens(0, 100);
  tokens[70] = 7777;
  TestPath second = MakePath(*store, "model", tokens);
  size_t leading = 0;
  leading = *store->Probe(*second.path, 0, 100, {});
  REQUIRE(leading == 70);
  REQUIRE(GetPages(*store, second, 0, 70, kPage).wrong == 0);
  REQUIRE(CountOk(ProbePages(*store, second, 70, 30)) == 0);
}

TEST_CASE("a put skips pages that are present") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 10));
  PutPages(*store, path, 0, 10, kPage);
  const uint64_t written = StatOf(store->StatsJson(), "write_bytes");
  REQUIRE(CountOk(PutPages(*store, path, 0, 10, kPage)) == 10);
  REQUIRE(StatOf(store->StatsJson(), "write_bytes") == written);
  REQUIRE(StatOf(store->StatsJson(), "already_present") == 10);
}

TEST_CASE("missing ancestors are legal, and a hole stays a hole") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 150));
  PutPages(*store, path, 40, 60, kPage);
  const auto states = ProbePages(*store, path, 0, 150);
  for (size_t i = 0; i < 150; ++i) REQUIRE((states[i] == PageState::kOk) == (i >= 40 && i < 100));
  REQUIRE(*store->Probe(*path.path, 0, 150, {}) == 0);
  REQUIRE(*store->Probe(*path.path, 40, 100, {}) == 60);
  const GetOutcome got = GetPages(*store, path, 30, 80, kPage);
  REQUIRE(CountOk(got.states) == 60);
  REQUIRE(got.wrong == 0);
}

TEST_CASE("the same pages are found after a flush and after a restart") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 300));
  PutPages(*store, path, 0, 150, kPage);
  REQUIRE(store->Flush().ok());
  PutPages(*store, path, 150, 150, kPage);
  REQUIRE(CountOk(GetPages(*store, path, 0, 300, kPage).states) == 300);
  store.reset();
  store = OpenStore(directory / "store");
  TestPath again = MakePath(*store, "model", Tokens(0, 300));
  const GetOutcome got = GetPages(*store, again, 0, 300, kPage);
  REQUIRE(CountOk(got.states) == 300);
  REQUIRE(got.wrong == 0);
}

TEST_CASE("a get of another size is a miss and harms nothing") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 4));
  PutPages(*store, path, 0, 4, kPage);
  REQUIRE(CountOk(GetPages(*store, path, 0, 4, kPage + 4096).states) == 0);
  REQUIRE(CountOk(GetPages(*store, path, 0, 4, kPage).states) == 4);
}

TEST_CASE("pages of different sizes and odd sizes live side by side") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  const std::vector<size_t> sizes = {1,     511,     4096,          4097,   24576,
                                     65535, 1 << 20, (1 << 20) + 1, 4497408};
  TestPath path = MakePath(*store, "model", Tokens(0, sizes.size()));
  for (size_t i = 0; i < sizes.size(); ++i)
    REQUIRE(CountOk(PutPages(*store, path, i, 1, sizes[i])) == 1);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const GetOutcome got = GetPages(*store, path, i, 1, sizes[i]);
    REQUIRE(CountOk(got.states) == 1);
    REQUIRE(got.wrong == 0);
  }
}

TEST_CASE("a page given in fragments comes back in other fragments") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  auto path = *store->PathFromTokens("model", Tokens(0, 2), 1);
  auto bytes = Payload(1, 2 * 30000);
  const std::vector<const void*> in = {bytes.data(), bytes.data() + 10000, bytes.data() + 30000,
                                       bytes.data() + 30001};
  const std::vector<size_t> in_sizes = {10000, 20000, 1, 29999};
  REQUIRE(*store->Put(*path, 0, 2, {in, in_sizes, 2}, {}) == 2);
  std::vector<std::byte> back(2 * 30000);
  const std::vector<void*> out = {back.data(), back.data() + 30000};
  const std::vector<size_t> out_sizes = {30000, 30000};
  REQUIRE(*store->Get(*path, 0, 2, {out, out_sizes, 1}, {}) == 2);
  REQUIRE(back == bytes);
}

TEST_CASE("the three kinds of path never share pages, nor do roots") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  std::vector<uint8_t> digests(32 * 3);
  std::iota(digests.begin(), digests.end(), uint8_t{1});
  std::vector<uint32_t> tokens(8 * 3);
  std::memcpy(tokens.data(), digests.data(), digests.size());
  const std::vector<std::string> roots = {"", "a", "ab", "b", std::string("a\0b", 3)};
  std::vector<std::unique_ptr<Path>> paths;
  for (const std::string& root : roots) {
    paths.push_back(*store->PathFromTokens(root, tokens, 8));
    paths.push_back(*store->PathFromDigests(root, digests));
    paths.push_back(*store->PathFromKeys(root, digests));
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    REQUIRE(*store->Probe(*paths[i], 0, 3, {}) == 0);
    std::vector<std::byte> payload = Payload(i, 3 * 4096);
    const std::vector<const void*> buffers = {payload.data(), payload.data() + 4096,
                                              payload.data() + 8192};
    const std::vector<size_t> sizes(3, 4096);
    REQUIRE(*store->Put(*paths[i], 0, 3, {buffers, sizes, 1}, {}) == 3);
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    std::vector<std::byte> back(3 * 4096);
    const std::vector<void*> buffers = {back.data(), back.data() + 4096, back.data() + 8192};
    const std::vector<size_t> sizes(3, 4096);
    REQUIRE(*store->Get(*paths[i], 0, 3, {buffers, sizes, 1}, {}) == 3);
    REQUIRE(back == Payload(i, 3 * 4096));
  }
}

TEST_CASE("a flat key names its page wherever it stands") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  std::vector<uint8_t> keys(32 * 5);
  std::iota(keys.begin(), keys.end(), uint8_t{0});
  auto path = *store->PathFromKeys("model", keys);
  std::vector<std::byte> payload = Payload(3, 5 * 4096);
  std::vector<const void*> buffers;
  for (size_t i = 0; i < 5; ++i) buffers.push_back(payload.data() + i * 4096);
  const std::vector<size_t> sizes(5, 4096);
  REQUIRE(*store->Put(*path, 0, 5, {buffers, sizes, 1}, {}) == 5);
  std::vector<uint8_t> one(keys.begin() + 3 * 32, keys.begin() + 4 * 32);
  auto alone = *store->PathFromKeys("model", one);
  std::vector<std::byte> back(4096);
  const std::vector<void*> out = {back.data()};
  REQUIRE(*store->Get(*alone, 0, 1, {out, std::span(sizes).first(1), 1}, {}) == 1);
  REQUIRE(std::equal(back.begin(), back.end(), payload.begin() + 3 * 4096));
}

TEST_CASE("the same key twice in one put is stored once") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  std::vector<uint8_t> keys(64, 9);
  auto path = *store->PathFromKeys("model", keys);
  const auto payload = Payload(4, 4096);
  const std::vector<const void*> buffers = {payload.data(), payload.data()};
  const std::vector<size_t> sizes(2, 4096);
  REQUIRE(*store->Put(*path, 0, 2, {buffers, sizes, 1}, {}) == 2);
  REQUIRE(StatOf(store->StatsJson(), "duplicates_lost") == 1);
  REQUIRE(StatOf(store->StatsJson(), "live") == 1);
}

TEST_CASE("erased pages are gone, stay gone after a restart, and may be put again") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  {
    TestPath path = MakePath(*store, "model", Tokens(0, 100));
    PutPages(*store, path, 0, 60, kPage);
    REQUIRE(store->Flush().ok());
    PutPages(*store, path, 60, 40, kPage);
    REQUIRE(store->Erase(*path.path, 30, 50).ok());
    const auto states = ProbePages(*store, path, 0, 100);
    for (size_t i = 0; i < 100; ++i) REQUIRE((states[i] == PageState::kOk) == (i < 30 || i >= 80));
  }
  store.reset();
  store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 100));
  REQUIRE(CountOk(ProbePages(*store, path, 0, 100)) == 50);
  REQUIRE(CountOk(PutPages(*store, path, 0, 100, kPage)) == 100);
  REQUIRE(GetPages(*store, path, 0, 100, kPage).wrong == 0);
}

TEST_CASE("erasing a root removes its pages of every kind and no other root's") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  TestPath gone = MakePath(*store, "gone", Tokens(0, 100));
  TestPath kept = MakePath(*store, "kept", Tokens(0, 100));
  PutPages(*store, gone, 0, 100, kPage);
  PutPages(*store, kept, 0, 100, kPage);
  REQUIRE(store->EraseRoot("gone").ok());
  REQUIRE(CountOk(ProbePages(*store, gone, 0, 100)) == 0);
  REQUIRE(CountOk(ProbePages(*store, kept, 0, 100)) == 100);
  SECTION("a path made before may be put again") {
    REQUIRE(CountOk(PutPages(*store, gone, 0, 100, kPage)) == 100);
    REQUIRE(GetPages(*store, gone, 0, 100, kPage).wrong == 0);
  }
  SECTION("and nothing of it is back after a restart") {
    store.reset();
    store = OpenStore(directory / "store");
    TestPath again = MakePath(*store, "gone", Tokens(0, 100));
    REQUIRE(CountOk(ProbePages(*store, again, 0, 100)) == 0);
    TestPath other = MakePath(*store, "kept", Tokens(0, 100));
    REQUIRE(CountOk(GetPages(*store, other, 0, 100, kPage).states) == 100);
  }
}

TEST_CASE("many small pages survive flushes, compactions and a restart") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store", TestOptions("table_bytes=64K"));
  constexpr size_t kPaths = 60;
  for (uint32_t p = 0; p < kPaths; ++p) {
    TestPath path = MakePath(*store, "model", Tokens(p * 1000, 130));
    REQUIRE(CountOk(PutPages(*store, path, 0, 130, 4096)) == 130);
    if (p % 10 == 9) REQUIRE(store->Flush().ok());
  }
  REQUIRE(StatOf(store->StatsJson(), "checkpoints") >= 6);
  store.reset();
  store = OpenStore(directory / "store", TestOptions("table_bytes=64K"));
  for (uint32_t p = 0; p < kPaths; ++p) {
    TestPath path = MakePath(*store, "model", Tokens(p * 1000, 130));
    const GetOutcome got = GetPages(*store, path, 0, 130, 4096);
    REQUIRE(CountOk(got.states) == 130);
    REQUIRE(got.wrong == 0);
  }
}

TEST_CASE("stem_pages is fixed at creation and every length of stem works") {
  for (const int stem : {1, 2, 63, 64}) {
    const TemporaryDirectory directory;
    auto store = OpenStore(directory / "store", TestOptions("stem_pages=" + std::to_string(stem)));
    TestPath path = MakePath(*store, "model", Tokens(0, 130));
    PutPages(*store, path, 0, 130, 4096);
    store.reset();
    store = OpenStore(directory / "store", TestOptions("stem_pages=64"));
    TestPath again = MakePath(*store, "model", Tokens(0, 130));
    REQUIRE(CountOk(GetPages(*store, again, 0, 130, 4096).states) == 130);
  }
}

}  // namespace
}  // namespace lamina::testing
