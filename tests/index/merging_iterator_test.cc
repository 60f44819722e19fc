#include "engine/index/merging_iterator.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <utility>

#include "engine/index/memtable.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::BytesOf;
using testing::Flat;
using testing::Model;
using testing::Random;

class VectorIterator final : public EntryIterator {
 public:
  explicit VectorIterator(Flat flat, Status at_end = Status::Ok())
      : flat_(std::move(flat)), at_end_(std::move(at_end)), at_(flat_.size()) {}
  [[nodiscard]] bool Valid() const noexcept override { return at_ < flat_.size(); }
  void SeekToFirst() noexcept override { MoveTo(0); }
  void Seek(const StemKey& target) noexcept override {
    const std::string bytes = BytesOf(target);
    size_t to = 0;
    while (to < flat_.size() && flat_[to].first < bytes) ++to;
    MoveTo(to);
  }
  void Next() noexcept override { MoveTo(at_ + 1); }
  [[nodiscard]] StemKey key() const noexcept override { return key_.view(); }
  [[nodiscard]] const Entry& entry() const noexcept override { return flat_[at_].second; }
  [[nodiscard]] Status status() const noexcept override { return Valid() ? Status::Ok() : at_end_; }

 private:
  void MoveTo(size_t at) {
    at_ = at;
    if (Valid()) key_ = *ParseKeyBytes(flat_[at_].first);
  }
  Flat flat_;
  Status at_end_;
  size_t at_;
  OwnedStemKey key_;
};

// Sources over the same keys, and what their merge must be: by key, newest source first.
struct Sources {
  std::vector<std::unique_ptr<EntryIterator>> newest_first;
  std::vector<std::pair<std::string, std::pair<size_t, Entry>>> expected;
};

Sources MakeSources(uint64_t seed, size_t count) {
  Random random(seed);
  const Flat all = testing::Flatten(testing::RandomModel(seed, 60, 120));
  Sources sources;
  for (size_t i = 0; i < count; ++i) {
    Flat some;
    for (const auto& [key, entry] : all) {
      if (random() % count == 0 || random() % 4 == 0) some.emplace_back(key, entry);
    }
    for (const auto& [key, entry] : some) sources.expected.push_back({key, {i, entry}});
    sources.newest_first.push_back(std::make_unique<VectorIterator>(some));
  }
  std::stable_sort(sources.expected.begin(), sources.expected.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return sources;
}

TEST_CASE("a merge yields every candidate, by key and newest source first") {
  const size_t count = GENERATE(size_t{0}, size_t{1}, size_t{2}, size_t{7});
  Sources sources = MakeSources(3, count);
  MergingIterator merged(std::move(sources.newest_first));
  CHECK_FALSE(merged.Valid());
  merged.SeekToFirst();
  for (const auto& [key, from] : sources.expected) {
    REQUIRE(merged.Valid());
    REQUIRE(BytesOf(merged.key()) == key);
    REQUIRE(merged.source() == from.first);
    REQUIRE(merged.entry() == from.second);
    merged.Next();
  }
  CHECK_FALSE(merged.Valid());
  CHECK(merged.status().ok());
}

TEST_CASE("a merge seeks in all of its sources") {
  Sources sources = MakeSources(4, 5);
  MergingIterator merged(std::move(sources.newest_first));
  Random random(4);
  for (int i = 0; i < 200; ++i) {
    const auto& [bytes, from] = sources.expected[random() % sources.expected.size()];
    OwnedStemKey target = *ParseKeyBytes(bytes);
    target.fingerprints.back() += random() % 2;
    const std::string wanted = BytesOf(target.view());
    const auto at = std::find_if(sources.expected.begin(), sources.expected.end(),
                                 [&](const auto& e) { return e.first >= wanted; });
    merged.Seek(target.view());
    REQUIRE(merged.Valid() == (at != sources.expected.end()));
    if (!merged.Valid()) continue;
    REQUIRE(BytesOf(merged.key()) == at->first);
    REQUIRE(merged.source() == at->second.first);
  }
}

TEST_CASE("an error of one source ends a merge and is its status") {
  Sources sources = MakeSources(5, 3);
  const Flat first(1, {sources.expected[0].first, sources.expected[0].second.second});
  sources.newest_first.push_back(
      std::make_unique<VectorIterator>(first, Status::Corruption("block 7")));
  MergingIterator merged(std::move(sources.newest_first));
  merged.SeekToFirst();
  size_t steps = 0;
  for (; merged.Valid(); merged.Next()) ++steps;
  CHECK(steps < sources.expected.size());
  CHECK(merged.status().code() == StatusCode::kCorruption);
  CHECK(merged.status().message() == "block 7");
}

}  // namespace
}  // namespace lamina
