#include "bench/payload.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "bench/random.h"

namespace lamina::bench {
namespace {

PageName NameOf(std::string_view root, std::vector<uint64_t> blocks) {
  return PageNamesOf(root, blocks).back();
}

std::vector<std::byte> Make(PageName name, uint64_t position, size_t bytes) {
  std::vector<std::byte> page(bytes);
  FillPayload(name, position, page);
  return page;
}

TEST_CASE("a payload of any size compares equal to itself") {
  const PageName name = NameOf("r", {1, 2});
  for (const size_t bytes :
       std::initializer_list<size_t>{1, 7, 8, 9, 4095, 4096, 4097, 16384, 100003}) {
    INFO(bytes);
    CHECK(FindPayloadMismatch(name, 1, Make(name, 1, bytes)) == std::nullopt);
  }
}

TEST_CASE("a single flipped bit anywhere in a page is found, at its offset") {
  constexpr size_t kBytes = 10003;  // blocks, words and a tail
  const PageName name = NameOf("r", {1, 2});
  const std::vector<std::byte> page = Make(name, 1, kBytes);
  Random random(1);
  for (size_t at = 0; at < kBytes; ++at) {
    std::vector<std::byte> damaged = page;
    damaged[at] ^= static_cast<std::byte>(1u << random.Below(8));
    if (FindPayloadMismatch(name, 1, damaged) != at) FAIL("the flip at byte " << at);
  }
}

TEST_CASE("a swapped, shifted, zeroed or stale page is wrong from its first bytes on") {
  constexpr size_t kBytes = 16384;
  const PageName name = NameOf("r", {1, 2, 3});
  const auto is_wrong = [&](const std::vector<std::byte>& found) {
    const std::optional<size_t> at = FindPayloadMismatch(name, 2, found);
    return at.has_value() && *at < 8;
  };
  CHECK(is_wrong(Make(NameOf("r", {1, 2, 4}), 2, kBytes)));
  CHECK(is_wrong(Make(NameOf("r", {1, 5, 3}), 2, kBytes)));  // the same block, another prefix
  CHECK(is_wrong(Make(NameOf("s", {1, 2, 3}), 2, kBytes)));  // another root
  CHECK(is_wrong(Make(name, 3, kBytes)));                    // another position
  CHECK(is_wrong(std::vector<std::byte>(kBytes)));
  std::vector<std::byte> shifted = Make(name, 2, kBytes);
  std::rotate(shifted.begin(), shifted.begin() + 4096, shifted.end());
  CHECK(is_wrong(shifted));
}

TEST_CASE("a torn page is wrong where another page's bytes begin") {
  const PageName name = NameOf("r", {1});
  std::vector<std::byte> page = Make(name, 0, 16384);
  const std::vector<std::byte> other = Make(NameOf("r", {2}), 0, 16384);
  std::copy(other.begin() + 8192, other.end(), page.begin() + 8192);
  CHECK(FindPayloadMismatch(name, 0, page) == size_t{8192});
}

TEST_CASE("page names depend on the root and on every block up to the page") {
  const std::vector<uint64_t> blocks = {4, 4, 4};
  const std::vector<PageName> names = PageNamesOf("r", blocks);
  REQUIRE(names.size() == 3);
  CHECK(!(names[0] == names[1]));
  CHECK(!(names[1] == names[2]));
  CHECK(names[1] == NameOf("r", {4, 4}));
  CHECK(!(names[0] == NameOf("q", {4})));
}

}  // namespace
}  // namespace lamina::bench
