// Pages of which something is doubtful: whether their bytes are right, or which copy is. Puts and
// gets settle it, so that what is acknowledged is there.
#include <array>
#include <catch2/catch.hpp>

#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

std::unique_ptr<Store> OpenOrFail(SimulatedDisk& disk, const std::string& options = {}) {
  auto opened = OpenSimulatedStore(disk.Restart(), options);
  if (!opened.ok()) throw std::runtime_error(opened.status().ToString());
  return std::move(*opened);
}

// Where pages of the path lie.
std::vector<SlotRef> Places(Store& store, TestPath& path) {
  ProbePages(store, path, 0, path.seeds.size());
  std::vector<SlotRef> places;
  for (const Location& location : path.path->impl()->locations)
    places.push_back(location.found ? location.entry.slot : SlotRef{});
  return places;
}

void Spoil(SimulatedDisk& disk, SlotRef slot) {
  char name[64];
  std::snprintf(name, sizeof name, "/store/log/%010u.segment", slot.segment);
  const std::vector<std::byte> junk(64, std::byte{7});
  REQUIRE(disk.Overwrite(name, uint64_t{slot.slot} * kPage, junk).ok());
}

TEST_CASE("a put after a crash reads the pages that it finds, and writes only what is wrong",
          "[simulated]") {
  SimulatedDisk disk(1);
  std::vector<SlotRef> places;
  {
    const auto store = OpenOrFail(disk);
    TestPath path = MakePath(*store, "model", Tokens(0, 20));
    PutPages(*store, path, 0, 20, kPage);
    REQUIRE(store->Flush().ok());
    places = Places(*store, path);
    disk.Crash(SimulatedCrash::kProcess);
  }
  // As a put that was cut off and is in no journal leaves it.
  Spoil(disk, places[7]);
  const auto store = OpenOrFail(disk);
  TestPath path = MakePath(*store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*store, path, 0, 20, kPage)) == 20);
  const StoreCounters& counters = store->impl()->counters();
  CHECK(counters.pages_put == 1);
  CHECK(counters.pages_already_present == 19);
  const GetOutcome got = GetPages(*store, path, 0, 20, kPage);
  CHECK(CountOk(got.states) == 20);
  CHECK(got.wrong == 0);
}

TEST_CASE("after a clean close a put trusts what is there", "[simulated]") {
  SimulatedDisk disk(1);
  for (int i = 0; i < 2; ++i) {
    const auto store = OpenOrFail(disk);
    TestPath path = MakePath(*store, "model", Tokens(0, 20));
    REQUIRE(CountOk(PutPages(*store, path, 0, 20, kPage)) == 20);
    CHECK(store->impl()->counters().read_requests == 0);
  }
}

TEST_CASE("a page that the device cannot read is written anew by the next put", "[simulated]") {
  SimulatedDisk disk(1);
  const auto store = OpenOrFail(disk);
  TestPath path = MakePath(*store, "model", Tokens(0, 20));
  PutPages(*store, path, 0, 20, kPage);
  const SlotRef bad = Places(*store, path)[5];
  REQUIRE(
      disk.MakeUnreadable("/store/log/0000000001.segment", uint64_t{bad.slot} * kPage, 512).ok());
  REQUIRE(GetPages(*store, path, 5, 1, kPage).states[0] == PageState::kMiss);
  REQUIRE(CountOk(PutPages(*store, path, 0, 20, kPage)) == 20);
  CHECK(store->impl()->counters().pages_put == 21);
  CHECK(CountOk(GetPages(*store, path, 0, 20, kPage).states) == 20);
}

// A page of a key, in two slots: the second put finds the first one's bytes wrong, and a crash
// keeps the slot that it frees. After all both are right.
constexpr std::array<uint8_t, 64> kOneKeyTwice = [] {
  std::array<uint8_t, 64> keys{};
  keys.fill(9);
  return keys;
}();
std::vector<SlotRef> PutTwoCopies(SimulatedDisk& disk, std::span<const std::byte> payload) {
  const void* const from[] = {payload.data()};
  const size_t sizes[] = {kPage};
  std::vector<SlotRef> copies;
  for (int i = 0; i < 2; ++i) {
    const auto store = OpenOrFail(disk);
    const auto path = store->PathFromKeys("keys", std::span(kOneKeyTwice).first(32));
    REQUIRE(path.ok());
    if (i == 1) Spoil(disk, copies[0]);
    REQUIRE(*store->Put(**path, 0, 1, {from, sizes, 1}, {}) == 1);
    copies.push_back((*path)->impl()->locations[0].entry.slot);
    disk.Crash(SimulatedCrash::kProcess);
  }
  REQUIRE(copies[0] != copies[1]);
  REQUIRE(disk.Overwrite("/store/log/0000000001.segment", uint64_t{copies[0].slot} * kPage,
                         payload.first(64))
              .ok());
  return copies;
}

TEST_CASE("a page asked for twice in one get is found in its second copy both times",
          "[simulated]") {
  SimulatedDisk disk(1);
  const std::vector<std::byte> payload = Payload(1, kPage);
  // The older one is right, and the newer one wrong.
  Spoil(disk, PutTwoCopies(disk, payload)[1]);
  const auto store = OpenOrFail(disk);
  const auto path = store->PathFromKeys("keys", kOneKeyTwice);
  REQUIRE(path.ok());
  std::vector<std::vector<std::byte>> got(2, std::vector<std::byte>(kPage));
  void* const to[] = {got[0].data(), got[1].data()};
  const size_t sizes[] = {kPage, kPage};
  std::vector<PageState> states(2);
  REQUIRE(*store->Get(**path, 0, 2, {to, sizes, 1}, states) == 2);
  CHECK(got[0] == payload);
  CHECK(got[1] == payload);
}

TEST_CASE("a page whose first copy the device cannot read is found in its second", "[simulated]") {
  const bool first = GENERATE(false, true);
  const bool second = GENERATE(false, true);
  SimulatedDisk disk(1);
  const std::vector<std::byte> payload = Payload(1, kPage);
  const std::vector<SlotRef> copies = PutTwoCopies(disk, payload);
  const auto spoil = [&](SlotRef slot) {
    return disk.MakeUnreadable("/store/log/0000000001.segment", uint64_t{slot.slot} * kPage, 512);
  };
  if (first) REQUIRE(spoil(copies[0]).ok());
  if (second) REQUIRE(spoil(copies[1]).ok());
  const auto store = OpenOrFail(disk);
  const auto path = store->PathFromKeys("keys", std::span(kOneKeyTwice).first(32));
  REQUIRE(path.ok());
  std::vector<std::byte> got(kPage);
  void* const to[] = {got.data()};
  const size_t sizes[] = {kPage};
  std::vector<PageState> states(1);
  const bool lost = first && second;
  REQUIRE(*store->Get(**path, 0, 1, {to, sizes, 1}, states) == (lost ? 0 : 1));
  CHECK((lost || got == payload));
  CHECK(store->impl()->counters().misses_io_error == (lost ? 1 : 0));
  CHECK(store->impl()->counters().misses_absent == 0);
}

}  // namespace
}  // namespace lamina::testing
