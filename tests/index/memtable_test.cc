#include "engine/index/memtable.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <utility>

#include "tests/index/allocation_counter.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::BytesOf;
using testing::Drain;
using testing::Flat;
using testing::Flatten;
using testing::Forest;
using testing::Model;
using testing::Random;
using testing::RandomEntry;

std::vector<Entry> CandidatesOf(const Memtable& memtable, const PageKey& key) {
  std::vector<Entry> entries;
  for (const auto* c = memtable.Lookup(key); c != nullptr; c = c->older)
    entries.push_back(c->entry);
  return entries;
}

// Puts random ranges of random paths into both.
void RandomPuts(const Forest& forest, Random* random, size_t puts, Memtable* memtable,
                Model* model) {
  for (size_t i = 0; i < puts; ++i) {
    const OwnedStemKey& path = forest.Path(random);
    const size_t depth = path.fingerprints.size();
    const size_t first = (*random)() % depth;
    std::vector<Entry> entries(1 + (*random)() % (depth - first));
    for (size_t k = 0; k < entries.size(); ++k) {
      auto& candidates =
          (*model)[BytesOf({path.anchor, std::span(path.fingerprints).first(first + k + 1)})];
      const bool repeat = !candidates.empty() && (*random)() % 4 == 0;
      entries[k] = repeat ? candidates.back() : RandomEntry(random);
      if (!repeat) candidates.insert(candidates.begin(), entries[k]);
    }
    memtable->Insert(path.anchor, path.fingerprints, first, entries, i);
  }
}

size_t CountEntries(const Model& model) { return Flatten(model).size(); }

TEST_CASE("a memtable answers as std::map does") {
  const uint64_t seed = GENERATE(uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{4});
  INFO("seed " << seed);
  const Forest forest(seed, 200);
  Random random(seed);
  Memtable memtable;
  Model model;
  RandomPuts(forest, &random, 1500, &memtable, &model);

  CHECK(memtable.entry_count() == CountEntries(model));
  CHECK(memtable.page_count() == model.size());
  for (const OwnedStemKey& path : forest.paths()) {
    for (size_t page = 0; page < path.fingerprints.size(); ++page) {
      const auto at =
          model.find(BytesOf({path.anchor, std::span(path.fingerprints).first(page + 1)}));
      const auto found = CandidatesOf(memtable, {path.anchor, path.fingerprints[page]});
      REQUIRE(found == (at == model.end() ? std::vector<Entry>() : at->second));
    }
    StemLookup lookup{path.anchor, path.fingerprints, 0,
                      static_cast<uint32_t>(path.fingerprints.size())};
    std::vector<FoundEntry> found;
    memtable.Find(lookup, &found);
    REQUIRE(found == testing::ExpectedFinds(model, lookup));
  }
  CHECK(memtable.Lookup({{1, 2}, 3}) == nullptr);
}

TEST_CASE("a frozen memtable is walked in key order") {
  const uint64_t seed = GENERATE(uint64_t{11}, uint64_t{12}, uint64_t{13});
  INFO("seed " << seed);
  const Forest forest(seed, 150);
  Random random(seed);
  Memtable memtable;
  Model model;
  RandomPuts(forest, &random, 600, &memtable, &model);
  memtable.Freeze();
  const auto iterator = memtable.NewIterator();
  CHECK_FALSE(iterator->Valid());
  iterator->SeekToFirst();
  const Flat all = Flatten(model);
  REQUIRE(Drain(iterator.get()) == all);

  SECTION("from any key, present or not") {
    for (int i = 0; i < 500; ++i) {
      OwnedStemKey target = forest.Path(&random);
      target.fingerprints.resize(1 + random() % target.fingerprints.size());
      if (random() % 2 == 0) target.fingerprints.back() += random() % 3 - 1;
      if (random() % 8 == 0) target.anchor.low += random() % 3 - 1;
      const std::string bytes = BytesOf(target.view());
      const auto expected =
          std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first >= bytes; });
      iterator->Seek(target.view());
      REQUIRE(iterator->Valid() == (expected != all.end()));
      for (auto at = expected; at != all.end() && at < expected + 3; ++at, iterator->Next()) {
        REQUIRE(iterator->Valid());
        REQUIRE(BytesOf(iterator->key()) == at->first);
        REQUIRE(iterator->entry() == at->second);
      }
    }
  }
  SECTION("a second time, from the same sorting") {
    const auto again = memtable.NewIterator();
    again->SeekToFirst();
    REQUIRE(Drain(again.get()) == all);
  }
}

TEST_CASE("candidates of a page come newest first, and equal ones once") {
  Memtable memtable;
  const Fingerprint path[] = {10, 20, 30};
  const Entry old{{1, 5}, 4096, 7, 100};
  const Entry newer{{2, 6}, 4096, 7, 100};
  memtable.AddCandidate({{1, 1}, path}, old, 1);
  memtable.AddCandidate({{1, 1}, path}, newer, 2);
  memtable.AddCandidate({{1, 1}, path}, old, 3);
  CHECK(CandidatesOf(memtable, {{1, 1}, 30}) == std::vector<Entry>{newer, old});
  CHECK(memtable.entry_count() == 2);
  CHECK(memtable.page_count() == 1);
}

// Says that a slot bears its tag unless told otherwise.
class SomeSlots final : public SlotOracle {
 public:
  [[nodiscard]] bool Bears(SlotRef slot, uint64_t tag) const noexcept override {
    ++asked;
    return !dead.contains({slot, tag});
  }
  std::set<std::pair<SlotRef, uint64_t>> dead;
  mutable uint64_t asked = 0;
};

TEST_CASE("candidates whose slots have lost their tags go when their page comes again") {
  Memtable memtable;
  SomeSlots slots;
  const Fingerprint path[] = {10, 20};
  const auto entry = [](uint32_t i) { return Entry{{1, i}, 4096, 7, 100 + i}; };
  const auto insert = [&](uint32_t i) {
    const Entry entries[] = {entry(0), entry(i)};
    memtable.Insert({1, 1}, path, 0, entries, i, &slots);
  };
  const auto die = [&](uint32_t i) { slots.dead.insert({entry(i).slot, entry(i).tag(20)}); };
  constexpr uint32_t kTimes = 20000;
  for (uint32_t i = 1; i <= kTimes; ++i) {
    insert(i);
    // One of them stays alive beneath all others.
    if (i != 3) die(i);
  }
  const std::vector<Entry> left = {entry(kTimes), entry(3)};
  CHECK(CandidatesOf(memtable, {{1, 1}, 20}) == left);
  CHECK(memtable.entry_count() == 3);
  CHECK(memtable.page_count() == 2);
  CHECK(slots.asked < 5 * kTimes);
  // The last one too, and with it all of the page's.
  die(3);
  insert(kTimes + 1);
  CHECK(CandidatesOf(memtable, {{1, 1}, 20}) == std::vector<Entry>{entry(kTimes + 1)});
  CHECK(memtable.entry_count() == 2);
  CHECK(memtable.page_count() == 2);
  memtable.Freeze();
  const auto iterator = memtable.NewIterator();
  iterator->SeekToFirst();
  CHECK(Drain(iterator.get()).size() == 2);
}

TEST_CASE("missing ancestors are no pages") {
  Memtable memtable;
  const Fingerprint path[] = {10, 20, 30};
  const Entry entry{{1, 5}, 4096, 7, 100};
  memtable.Insert({1, 1}, path, 2, {&entry, 1}, 1);
  CHECK(memtable.Lookup({{1, 1}, 10}) == nullptr);
  CHECK(memtable.Lookup({{1, 1}, 20}) == nullptr);
  CHECK(memtable.page_count() == 1);
  memtable.Freeze();
  const auto iterator = memtable.NewIterator();
  iterator->SeekToFirst();
  REQUIRE(iterator->Valid());
  CHECK(iterator->key().fingerprints.size() == 3);
  iterator->Next();
  CHECK_FALSE(iterator->Valid());
}

TEST_CASE("a memtable remembers the journal positions that it covers") {
  Memtable memtable;
  CHECK_FALSE(memtable.journal_range().has_value());
  const Fingerprint path[] = {10};
  const Entry entry{{1, 5}, 4096, 7, 100};
  memtable.AddCandidate({{1, 1}, path}, entry, 50);
  memtable.AddCandidate({{1, 2}, path}, entry, 20);
  memtable.AddCandidate({{1, 3}, path}, entry, 70);
  REQUIRE(memtable.journal_range().has_value());
  CHECK(memtable.journal_range()->min == 20);
  CHECK(memtable.journal_range()->max == 70);
}

TEST_CASE("the bytes of a memtable are what it allocated, exactly") {
  if (!testing::CountsAllocations()) return;
  const size_t expected_pages = GENERATE(size_t{0}, size_t{10000});
  const Forest forest(5, 300);
  Random random(5);
  std::vector<Entry> entries(kMaxStemPages);
  const size_t before = testing::LiveAllocatedBytes();
  auto memtable = std::make_unique<Memtable>(expected_pages);
  const auto held = [&] { return testing::LiveAllocatedBytes() - before - sizeof(Memtable); };
  CHECK(memtable->bytes() == held());
  for (int i = 0; i < 4000; ++i) {
    const OwnedStemKey& path = forest.Path(&random);
    for (Entry& entry : entries) entry = RandomEntry(&random);
    memtable->Insert(path.anchor, path.fingerprints, 0,
                     std::span(entries).first(path.fingerprints.size()), 1);
    REQUIRE(memtable->bytes() == held());
  }
  memtable->Freeze();
  const auto iterator = memtable->NewIterator();
  iterator->SeekToFirst();
  // The iterator's own way through the tree is not the memtable's.
  const size_t iterator_bytes = held() - memtable->bytes();
  CHECK(iterator_bytes < 4096);
}

TEST_CASE("a page of a full stem costs a memtable less than a hundred bytes") {
  constexpr size_t kStems = 2000;
  constexpr size_t kPages = kStems * kMaxStemPages;
  Memtable memtable(kPages);
  Random random(6);
  std::vector<Entry> entries(kMaxStemPages);
  std::vector<Fingerprint> path(kMaxStemPages);
  for (size_t i = 0; i < kStems; ++i) {
    for (Fingerprint& f : path) f = random() | 1;
    for (Entry& entry : entries) entry = RandomEntry(&random);
    memtable.Insert(testing::RandomDigest(&random), path, 0, entries, i);
  }
  REQUIRE(memtable.entry_count() == kPages);
  CHECK(memtable.bytes() < 100 * kPages);
}

}  // namespace
}  // namespace lamina
