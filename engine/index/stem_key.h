// Stem keys that own their fingerprints, stem keys as bytes, and what a lookup along a stem asks
// and yields.
#ifndef LAMINA_ENGINE_INDEX_STEM_KEY_H_
#define LAMINA_ENGINE_INDEX_STEM_KEY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/keys.h"
#include "engine/index/entry.h"

namespace lamina {

inline constexpr size_t kAnchorBytes = 16;
inline constexpr size_t kFingerprintBytes = 8;
inline constexpr size_t kMaxKeyBytes = kAnchorBytes + kMaxStemPages * kFingerprintBytes;

struct OwnedStemKey {
  Digest anchor;
  std::vector<Fingerprint> fingerprints;

  OwnedStemKey() = default;
  explicit OwnedStemKey(const StemKey& key)
      : anchor(key.anchor), fingerprints(key.fingerprints.begin(), key.fingerprints.end()) {}
  [[nodiscard]] StemKey view() const noexcept { return {anchor, fingerprints}; }
  friend bool operator==(const OwnedStemKey&, const OwnedStemKey&) = default;
};

// A key as bytes: the anchor, then each fingerprint, all big-endian, so that bytes sort as keys do.
// 24 to kMaxKeyBytes long.
class KeyBytes {
 public:
  explicit KeyBytes(const StemKey& key) noexcept;
  [[nodiscard]] std::string_view view() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), size_};
  }

 private:
  std::array<unsigned char, kMaxKeyBytes> bytes_;
  size_t size_;
};

// The key that such bytes stand for; nothing if their length is no key's or a fingerprint is 0.
std::optional<OwnedStemKey> ParseKeyBytes(std::string_view bytes) noexcept;

// "d0d1...|f1|f2|..." in hex, for messages and tools; long paths are cut in the middle.
std::string KeyToString(const StemKey& key) noexcept;

// Asks for the pages [first, end), at least one, of one stem along one path. `fingerprints` reach
// from the stem's first page to at least page end - 1 and must outlive the lookup.
struct StemLookup {
  Digest anchor;
  std::span<const Fingerprint> fingerprints;
  uint32_t first = 0;
  uint32_t end = 0;
  // Blocks fetched on this lookup's behalf whose cause (true or false positive) Table::Find will
  // know. Managed by BlockFetcher and Table.
  uint32_t reads_to_attribute = 0;

  [[nodiscard]] StemKey key(uint32_t page) const noexcept {
    return {anchor, fingerprints.first(page + 1)};
  }
  [[nodiscard]] PageKey page_key(uint32_t page) const noexcept {
    return {anchor, fingerprints[page]};
  }
};

// A candidate for a page of a StemLookup. Its slot and guard are still to be checked by the caller.
struct FoundEntry {
  uint32_t page = 0;  // index into StemLookup::fingerprints
  Entry entry;
  friend bool operator==(const FoundEntry&, const FoundEntry&) = default;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_STEM_KEY_H_
