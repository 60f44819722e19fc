// What a page is called in a bench: 128 bits over its root and the block ids from the root to it.
//
// The same block id behind two prefixes is two pages, as in a serving engine, where a page's
// tensors depend on everything before it. Every engine is given these names, so all of them store
// the same pages under keys of the same width.
#ifndef LAMINA_BENCH_PAGE_NAME_H_
#define LAMINA_BENCH_PAGE_NAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace lamina::bench {

// A bijection that spreads every input bit over all output bits (constants of SplitMix64).
constexpr uint64_t Mix(uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

struct PageName {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const PageName&, const PageName&) = default;
};

struct PageNameHash {
  size_t operator()(const PageName& name) const noexcept { return name.high; }
};

inline PageName RootPageName(std::string_view root) noexcept {
  PageName name{Mix(root.size()), Mix(~root.size())};
  for (const char c : root) {
    name.high = Mix(name.high ^ static_cast<uint8_t>(c));
    name.low = Mix(name.low + static_cast<uint8_t>(c));
  }
  return name;
}

inline PageName ChildPageName(PageName parent, uint64_t block) noexcept {
  const uint64_t mixed = Mix(block);
  return {Mix(parent.high ^ mixed), Mix(parent.low + (mixed | 1) * 0xD6E8FEB86659FD93u)};
}

// The names of a request's pages.
inline std::vector<PageName> PageNamesOf(std::string_view root, std::span<const uint64_t> blocks) {
  std::vector<PageName> names;
  names.reserve(blocks.size());
  PageName name = RootPageName(root);
  for (const uint64_t block : blocks) names.push_back(name = ChildPageName(name, block));
  return names;
}

// What a serving engine would hand over for the names: a digest of 32 bytes a page.
inline constexpr size_t kNameDigestBytes = 32;
inline std::vector<uint8_t> DigestsOf(std::span<const PageName> names) {
  std::vector<uint8_t> digests(names.size() * kNameDigestBytes);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::array<uint64_t, 4> words = {names[i].high, names[i].low, Mix(names[i].high),
                                           Mix(names[i].low)};
    static_assert(sizeof(words) == kNameDigestBytes);
    std::memcpy(digests.data() + i * kNameDigestBytes, words.data(), kNameDigestBytes);
  }
  return digests;
}

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PAGE_NAME_H_
