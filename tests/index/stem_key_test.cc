#include "engine/index/stem_key.h"

#include <catch2/catch.hpp>

#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::BytesOf;

TEST_CASE("key bytes sort as keys do") {
  const testing::Forest forest(1, 40);
  for (const OwnedStemKey& a : forest.paths()) {
    for (const OwnedStemKey& b : forest.paths()) {
      const auto keys = Compare(a.view(), b.view());
      const int bytes = BytesOf(a.view()).compare(BytesOf(b.view()));
      REQUIRE((keys < 0) == (bytes < 0));
      REQUIRE((keys == 0) == (bytes == 0));
    }
  }
}

TEST_CASE("key bytes parse back to the key") {
  const testing::Forest forest(2, 40);
  for (const OwnedStemKey& key : forest.paths()) {
    const auto parsed = ParseKeyBytes(BytesOf(key.view()));
    REQUIRE(parsed.has_value());
    REQUIRE(*parsed == key);
  }
}

TEST_CASE("bytes that are no key are refused") {
  const Fingerprint fingerprints[] = {5, 6};
  const std::string good = BytesOf({{1, 2}, fingerprints});
  REQUIRE(ParseKeyBytes(good).has_value());
  CHECK_FALSE(ParseKeyBytes("").has_value());
  CHECK_FALSE(ParseKeyBytes(good.substr(0, kAnchorBytes)).has_value());
  CHECK_FALSE(ParseKeyBytes(good.substr(0, good.size() - 1)).has_value());
  CHECK_FALSE(ParseKeyBytes(good + std::string(8, '\0')).has_value());
  CHECK_FALSE(ParseKeyBytes(std::string(kMaxKeyBytes + 8, 'x')).has_value());
}

TEST_CASE("a key in a message shows its anchor and both ends of its path") {
  const Fingerprint fingerprints[] = {1, 2, 3, 4, 5, 6};
  CHECK(KeyToString({{0xA, 0xB}, std::span(fingerprints).first(2)}) ==
        "000000000000000a000000000000000b|0000000000000001|0000000000000002");
  CHECK(KeyToString({{0xA, 0xB}, fingerprints}) ==
        "000000000000000a000000000000000b|0000000000000001|0000000000000002|...|0000000000000005|"
        "0000000000000006");
}

}  // namespace
}  // namespace lamina
