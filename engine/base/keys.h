// The names of things: how a page of a path gets its 128-bit digest, its short key, its
// fingerprint.
//
// C_i = XXH3-128 with the store's random secret over (C_{i-1}, kind, page i's tokens or digest);
// C_0 over (kind, page size in tokens, root). D_i = C_i xor the salt of the root's epoch, so that a
// path follows its root into a new epoch (after erase_root) without hashing its tokens again. Pages
// are counted from 1 here: D_0 is the root's.
//
// A *stem* is `stem_pages` consecutive pages after page s. Its *anchor* is D_s. The fingerprint f_i
// is the first 64 bits of D_i (0 is stored as 1), the guard 32 bits of its other half. The key of
// page i, `D_s | f_{s+1} | ... | f_i` (big-endian), sorts parents before children and siblings
// together. A flat key's page is a stem of its own: its anchor is its own D.
//
// Integers are little-endian on disk and in what is hashed; keys on disk are big-endian, so that
// bytes sort as values. Everything here is a plain value and pure.
#ifndef LAMINA_ENGINE_BASE_KEYS_H_
#define LAMINA_ENGINE_BASE_KEYS_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/base/mutation.h"

namespace lamina {

inline constexpr size_t kSecretBytes = 256;
inline constexpr uint32_t kMaxStemPages = 64;

using Secret = std::array<uint8_t, kSecretBytes>;

// 128 bits, ordered as the big-endian bytes of `high` then `low`.
struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;
  friend auto operator<=>(const Digest&, const Digest&) = default;
  friend Digest operator^(Digest a, Digest b) noexcept { return {a.high ^ b.high, a.low ^ b.low}; }
};

enum class PathKind : uint8_t { kTokens = 1, kDigests = 2, kFlatKeys = 3 };

// f_i. Never 0.
using Fingerprint = uint64_t;

inline Fingerprint FingerprintOf(Digest d) noexcept {
  if (Mutated(Mutation::kCollideFingerprints)) return 1 + d.high % 4;
  return d.high == 0 ? 1 : d.high;
}
inline uint32_t GuardOf(Digest d) noexcept { return static_cast<uint32_t>(d.low >> 32); }

// A page as index, memtable and filters know it.
struct PageKey {
  Digest anchor;
  Fingerprint fingerprint = 0;
  friend auto operator<=>(const PageKey&, const PageKey&) = default;
};

// A page key as the sorted structures order it: the anchor, then the fingerprints from the stem's
// first page to this one (1 to kMaxStemPages of them). A view; who hands it out says how long it
// lives.
struct StemKey {
  Digest anchor;
  std::span<const Fingerprint> fingerprints;
  [[nodiscard]] PageKey page_key() const noexcept { return {anchor, fingerprints.back()}; }
};
std::strong_ordering Compare(const StemKey& a, const StemKey& b) noexcept;

// 64 well-mixed bits of a page key, for hash tables and filters. Not salted: `anchor` and
// `fingerprint` are hashes under the store's secret already.
inline uint64_t HashOf(const PageKey& key) noexcept {
  uint64_t h = (key.anchor.low ^ key.fingerprint) * 0x9E3779B97F4A7C15u;
  h ^= h >> 32;
  h = (h + key.anchor.high) * 0xD6E8FEB86659FD93u;
  return h ^ (h >> 32);
}

// C_0 of a root for a kind of path. `page_tokens` is 0 for kinds other than tokens.
Digest RootDigest(const Secret& secret, PathKind kind, uint32_t page_tokens,
                  std::string_view root) noexcept;
// C_i from C_{i-1} and the page's tokens (little-endian) or digest.
Digest ChildDigest(const Secret& secret, Digest parent, PathKind kind,
                   std::span<const std::byte> page) noexcept;
// What D and C differ by in a root's epoch. All zero in epoch 0.
Digest EpochSalt(const Secret& secret, Digest root_name, uint64_t epoch) noexcept;
// Names a root independent of the kind of path: the identity that epochs, slots and statistics use.
Digest RootName(const Secret& secret, std::string_view root) noexcept;

// ---- Payload checksums
// ---------------------------------------------------------------------------

inline constexpr size_t kChunkBytes = size_t{1} << 20;

// The checksum of a page's bytes under its identity: XXH3-64 seeded with the fingerprint over each
// 1 MiB chunk, and one over the chunk sums (little-endian). A right checksum is the right page.
//
// The sum of one chunk whose bytes lie in pieces (all chunks but a page's last have kChunkBytes).
uint64_t ChunkSum(Fingerprint seed, std::span<const std::span<const std::byte>> pieces) noexcept;
// The page's checksum from the sums of its chunks, in order.
uint64_t CombineChunkSums(Fingerprint seed, std::span<const uint64_t> chunk_sums) noexcept;
// The whole page at once, its bytes in pieces of any sizes.
uint64_t ChecksumOf(Fingerprint seed, std::span<const std::span<const std::byte>> pieces) noexcept;

// ---- Slot tags
// -----------------------------------------------------------------------------------

// What a slot bears when it holds the page with this fingerprint and checksum. Never 0.
inline uint64_t TagOf(Fingerprint f, uint64_t checksum) noexcept {
  if (Mutated(Mutation::kTagWithoutChecksum)) checksum = 0;
  uint64_t h = (f ^ (checksum >> 29)) * 0x9FB21C651E98DF25u;
  h = (h ^ (h >> 31) ^ checksum) * 0xD6E8FEB86659FD93u;
  h ^= h >> 32;
  return h == 0 ? 1 : h;
}

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_KEYS_H_
