#include "engine/index/index_block.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "engine/base/coding.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::Random;

std::vector<std::string> RandomSeparators(uint64_t seed, size_t count) {
  Random random(seed);
  std::vector<std::string> separators;
  while (separators.size() < count) {
    std::string s(1 + random() % (random() % 16 == 0 ? kMaxKeyBytes : 6), '\0');
    for (char& c : s) c = static_cast<char>(random() % (random() % 2 == 0 ? 4 : 256));
    separators.push_back(s);
    if (random() % 32 == 0) separators.push_back(s);  // candidates of one key, cut apart
  }
  separators.resize(count);
  separators[0].clear();
  std::sort(separators.begin(), separators.end());
  return separators;
}

IndexPosition Expected(const std::vector<std::string>& separators, const std::string& key) {
  const auto below = std::lower_bound(separators.begin(), separators.end(), key);
  const auto not_above = std::upper_bound(separators.begin(), separators.end(), key);
  return {below == separators.begin() ? 0 : static_cast<uint64_t>(below - separators.begin()) - 1,
          not_above == separators.begin()
              ? 0
              : static_cast<uint64_t>(not_above - separators.begin()) - 1};
}

std::vector<std::string> Keys(const std::vector<std::string>& separators) {
  std::vector<std::string> keys{"", std::string(30, '\xff')};
  for (const std::string& s : separators) {
    keys.push_back(s);
    keys.push_back(s + '\0');
    keys.push_back(s.substr(0, s.size() / 2));
  }
  return keys;
}

TEST_CASE("a separator is the shortest prefix above the key before") {
  CHECK(SeparatorBetween("abc", "abd") == "abd");
  CHECK(SeparatorBetween("abc", "b234") == "b");
  CHECK(SeparatorBetween("abc", "abcdef") == "abcd");
  CHECK(SeparatorBetween("abc", "abc") == "abc");
}

TEST_CASE("a top index of one level finds the block of any key") {
  const size_t count = GENERATE(size_t{1}, size_t{2}, size_t{50}, size_t{3000});
  const auto separators = RandomSeparators(count, count);
  IndexBuilder builder;
  for (const std::string& s : separators) builder.Add(s);
  const auto output = builder.Finish(SIZE_MAX);
  CHECK(output.index_blocks.empty());
  const auto top = TopIndex::Parse(output.top_index, count, 0);
  REQUIRE(top.ok());
  CHECK_FALSE(top->two_levels());
  for (const std::string& key : Keys(separators)) {
    const IndexPosition position = top->Find(key);
    const IndexPosition expected = Expected(separators, key);
    REQUIRE(position.child == expected.child);
    REQUIRE(position.last == expected.last);
  }
}

TEST_CASE("an index of two levels covers every data block once, in order") {
  const auto separators = RandomSeparators(9, 5000);
  IndexBuilder builder;
  for (const std::string& s : separators) builder.Add(s);
  const auto output = builder.Finish(0);
  REQUIRE(output.index_blocks.size() % kTableBlockBytes == 0);
  const size_t index_blocks = output.index_blocks.size() / kTableBlockBytes;
  REQUIRE(index_blocks > 2);
  const auto top = TopIndex::Parse(output.top_index, separators.size(), index_blocks);
  REQUIRE(top.ok());
  std::vector<std::string> read;
  const auto bytes = std::as_bytes(std::span(output.index_blocks));
  const auto block = [&](uint64_t i) {
    return std::span<const std::byte, kTableBlockBytes>(
        bytes.subspan(i * kTableBlockBytes, kTableBlockBytes));
  };
  for (uint64_t i = 0; i < index_blocks; ++i) {
    const auto parsed = IndexBlock::Parse(block(i), top->FirstDataBlock(i), top->EndDataBlock(i));
    REQUIRE(parsed.ok());
    REQUIRE(top->FirstDataBlock(i) == read.size());
    for (size_t k = 0; k < parsed->size(); ++k) read.emplace_back(parsed->separator(k));
  }
  REQUIRE(read == separators);
  for (const std::string& key : Keys(separators)) {
    const uint64_t i = top->Find(key).child;
    const auto parsed = IndexBlock::Parse(block(i), top->FirstDataBlock(i), top->EndDataBlock(i));
    REQUIRE(parsed->Find(key).child == Expected(separators, key).child);
  }
}

TEST_CASE("a top index that does not fit its table is refused") {
  IndexBuilder builder;
  for (const char* s : {"", "b", "d"}) builder.Add(s);
  const std::string good = builder.Finish(SIZE_MAX).top_index;
  REQUIRE(TopIndex::Parse(good, 3, 0).ok());
  CHECK_FALSE(TopIndex::Parse(good, 2, 0).ok());
  CHECK_FALSE(TopIndex::Parse(good, 4, 0).ok());
  CHECK_FALSE(TopIndex::Parse(good, uint64_t{1} << 60, 0).ok());
  CHECK_FALSE(TopIndex::Parse(good.substr(0, good.size() - 1), 3, 0).ok());
  CHECK_FALSE(TopIndex::Parse(good + "x", 3, 0).ok());
  std::string unordered;
  for (const char* s : {"", "d", "b"}) PutBytes(&unordered, s);
  CHECK_FALSE(TopIndex::Parse(unordered, 3, 0).ok());
  std::string outside;  // an index block that claims more data blocks than there are
  PutVarint(&outside, 3);
  PutBytes(&outside, "");
  PutVarint(&outside, 7);
  PutBytes(&outside, "c");
  const auto parsed = TopIndex::Parse(outside, 5, 2);
  REQUIRE_FALSE(parsed.ok());
  CHECK(std::string(parsed.status().message()).find("points outside") != std::string::npos);
}

}  // namespace
}  // namespace lamina
