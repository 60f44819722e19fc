// What PRHD learns and does with it. Pages here are small numbers; the hit rates on traces are
// tested with the simulator (tests/bench).
#include "tensorlog/eviction/prhd.h"

#include <catch2/catch.hpp>

#include "tests/eviction/page_store.h"
#include "tests/eviction/requests.h"

namespace lamina {
namespace {

PolicyOptions OptionsFor(uint64_t capacity_pages) {
  PolicyOptions options;
  options.capacity_pages = capacity_pages;
  return options;
}

HeatFields FieldsOf(const RequestPage& page) { return Unpack(page.heat.bits); }

std::vector<RequestPage> Ask(EvictionPolicy* policy, const std::vector<uint64_t>& keys,
                             const RequestShape& shape = {}) {
  std::vector<RequestPage> pages(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) pages[i].key = keys[i];
  policy->OnRequest(shape, pages);
  return pages;
}

TEST_CASE("a request that goes on where another ended is its conversation's next turn") {
  Prhd policy(OptionsFor(1000));
  CHECK(FieldsOf(Ask(&policy, {1, 2, 3})[0]).turn == 0);
  // The partial last page was replaced.
  std::vector<RequestPage> pages = Ask(&policy, {1, 2, 4, 5});
  for (const RequestPage& page : pages) CHECK(FieldsOf(page).turn == 1);
  CHECK(FieldsOf(pages[0]).uses == 2);
  CHECK(FieldsOf(pages[3]).uses == 1);
  CHECK(FieldsOf(pages[0]).tail == 3);
  CHECK(FieldsOf(pages[3]).tail == 0);
  CHECK(FieldsOf(pages[0]).gap != 0);
  CHECK(FieldsOf(Ask(&policy, {1, 2, 4, 5, 6})[0]).turn == 2);
  // Another conversation with the same front.
  CHECK(FieldsOf(Ask(&policy, {1, 7, 8, 9})[0]).turn == 0);
}

TEST_CASE("a first page that many begin with starts no conversation") {
  Prhd policy(OptionsFor(1000));
  for (uint64_t i = 0; i < 6; ++i) Ask(&policy, {1});
  CHECK(FieldsOf(Ask(&policy, {1, 50})[0]).turn == 0);
}

TEST_CASE("a page that many paths share becomes hot") {
  Prhd policy(OptionsFor(1000));
  RequestPage root;
  for (uint64_t i = 0; i < 20; ++i) root = Ask(&policy, {1, 10 + 3 * i, 11 + 3 * i, 12 + 3 * i})[0];
  CHECK(FieldsOf(root).gap == kHotGap);
  // A conversation's own first page does not, however long it gets.
  std::vector<uint64_t> path = {100};
  for (uint64_t i = 0; i < 60; ++i) {
    path.push_back(200 + i);
    root = Ask(&policy, path)[0];
  }
  CHECK(FieldsOf(root).gap != kHotGap);
}

TEST_CASE("pages of one unit share a heat, and paths are counted in units") {
  Prhd policy(OptionsFor(1000));
  const RequestShape shape{.flat = false, .pages_per_unit = 4};
  std::vector<RequestPage> pages = Ask(&policy, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, shape);
  for (size_t i = 0; i < 10; ++i) CHECK(pages[i].heat == pages[i / 4 * 4].heat);
  CHECK(FieldsOf(pages[0]).tail == 2);
  CHECK(FieldsOf(pages[9]).tail == 0);
  // The path grows within its last unit: the next turn, and no second use of that unit.
  pages = Ask(&policy, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, shape);
  CHECK(FieldsOf(pages[0]).turn == 1);
  CHECK(FieldsOf(pages[0]).uses == 2);
  CHECK(FieldsOf(pages[8]).uses == 2);
  CHECK(pages[10].seen);
}

TEST_CASE("flat keys have no path, and are known one by one") {
  Prhd policy(OptionsFor(1000));
  const RequestShape flat{.flat = true, .pages_per_unit = 8};
  std::vector<RequestPage> pages = Ask(&policy, {1, 2, 3}, flat);
  for (const RequestPage& page : pages) CHECK(FieldsOf(page).gap == 0);
  pages = Ask(&policy, {3, 4}, flat);
  CHECK(FieldsOf(pages[0]).uses == 2);
  CHECK(FieldsOf(pages[0]).gap != 0);
  CHECK(FieldsOf(pages[0]).turn == 0);
  CHECK(FieldsOf(pages[1]).uses == 1);
  CHECK(!pages[1].seen);
}

TEST_CASE("once learned, pages that never return are not written at the cost of those that do") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  RequestMaker maker(seed);
  Prhd policy(OptionsFor(120));
  PageStore store(&policy, 120, 120);
  // Prompts of six pages that return by turns, and long paths that never do.
  std::vector<std::vector<uint64_t>> returning;
  for (int i = 0; i < 15; ++i) returning.push_back(NewPath(&maker, 6));
  size_t hits = 0;
  size_t written = 0;
  size_t offered = 0;
  for (size_t i = 0; i < 3000; ++i) {
    const bool late = i >= 1500;
    const size_t hit = store.Serve(returning[i % returning.size()]).hits;
    const PageStore::Outcome once = store.Serve(NewPath(&maker, 20));
    if (!late) continue;
    hits += hit;
    written += once.written;
    offered += once.written + once.rejected;
  }
  // LRU would hit nothing: 15 * 26 pages lie between two uses.
  CHECK(hits > 1500 * 6 * 9 / 10);
  CHECK(written * 5 < offered);
}

TEST_CASE("an unlearned PRHD does what LRU does") {
  RequestMaker maker(1);
  Prhd policy(OptionsFor(12));
  PageStore store(&policy, 12, 12);
  const std::vector<uint64_t> old = NewPath(&maker, 6);
  store.Serve(old);
  for (int i = 0; i < 10; ++i) Ask(&policy, NewPath(&maker, 4));
  const std::vector<uint64_t> newer = NewPath(&maker, 6);
  store.Serve(newer);
  CHECK(store.Serve(NewPath(&maker, 6), {}, /*admit_all=*/true).written == 6);
  for (const uint64_t key : old) CHECK(!store.live(key));
  for (const uint64_t key : newer) CHECK(store.live(key));
}

TEST_CASE("records of pages not seen for a very long time are forgotten") {
  Prhd policy(OptionsFor(1000));
  Ask(&policy, {1, 2});
  policy.OnRecovered({.tick = uint32_t{1} << 30, .bits = 0});
  CHECK(Ask(&policy, {1, 2})[0].seen);
  policy.OnRecovered({.tick = uint32_t{3} << 30, .bits = 0});
  Ask(&policy, {3, 4, 5});
  CHECK(!Ask(&policy, {1, 2})[0].seen);
}

TEST_CASE("when PRHD settles a request makes no difference") {
  Prhd settled(OptionsFor(1000));
  Prhd late(OptionsFor(1000));
  RequestMaker maker(7);
  SplitMix random(8);
  for (int i = 0; i < 1000; ++i) {
    const auto request = maker.Next();
    const auto first = Ask(&settled, request);
    const auto second = Ask(&late, request);
    if (random.Next() % 2 == 0) settled.Settle();
    for (size_t k = 0; k < first.size(); ++k) {
      REQUIRE(first[k].heat.bits == second[k].heat.bits);
      REQUIRE(settled.Worth(first[k].heat) == late.Worth(second[k].heat));
    }
  }
}

TEST_CASE("PRHD explains itself in numbers") {
  Prhd policy(OptionsFor(1000));
  RequestMaker maker(1);
  for (int i = 0; i < 201; ++i) Ask(&policy, maker.Next());  // the last has not ended
  const std::string text = policy.Explain();
  for (const char* name : {"\"policy\": \"prhd\"", "\"records\": ", "\"weights_turn\": [",
                           "\"hazard_per_unit\": [", "\"requests\": 200"})
    CHECK(text.find(name) != std::string::npos);
}

}  // namespace
}  // namespace lamina
