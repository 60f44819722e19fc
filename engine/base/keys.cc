#include "engine/base/keys.h"

// For the hash states, which live on the stack here.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
// Replaces the functions by those that use the widest vectors this processor has: the plain ones
// use SSE2 on any, and take half as long again for a page that comes from memory.
#ifdef LAMINA_HAS_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/base/mutation.h"

namespace lamina {
namespace {

static_assert(std::endian::native == std::endian::little,
              "on-disk integers are little-endian and are hashed as they lie in memory");

Digest FromXxh(XXH128_hash_t h) noexcept { return {h.high64, h.low64}; }

// Roots, epochs and pages hash inputs of different shape; the first byte keeps them apart.
enum class Domain : uint8_t { kRoot = 1, kEpoch = 2, kRootName = 3, kPage = 4 };

class Hasher {
 public:
  explicit Hasher(const Secret& secret) noexcept {
    XXH3_128bits_reset_withSecret(&state_, secret.data(), secret.size());
  }
  void Add(const void* data, size_t bytes) noexcept { XXH3_128bits_update(&state_, data, bytes); }
  template <class T>
  void AddValue(T value) noexcept {
    static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
    Add(&value, sizeof value);
  }
  void AddDigest(Digest d) noexcept {
    AddValue(d.high);
    AddValue(d.low);
  }
  Digest Finish() noexcept { return FromXxh(XXH3_128bits_digest(&state_)); }

 private:
  XXH3_state_t state_;
};

Fingerprint MutatedSeed(Fingerprint seed) noexcept {
  if (Mutated(Mutation::kSeedWithoutIdentity)) return 1;
  return Mutated(Mutation::kIgnoreSeed) ? 0 : seed;
}

}  // namespace

std::strong_ordering Compare(const StemKey& a, const StemKey& b) noexcept {
  if (auto order = a.anchor <=> b.anchor; order != 0) return order;
  return std::lexicographical_compare_three_way(a.fingerprints.begin(), a.fingerprints.end(),
                                                b.fingerprints.begin(), b.fingerprints.end());
}

Digest RootDigest(const Secret& secret, PathKind kind, uint32_t page_tokens,
                  std::string_view root) noexcept {
  Hasher hasher(secret);
  if (Mutated(Mutation::kCutRoots)) root = root.substr(0, root.find('\0'));
  hasher.AddValue(Domain::kRoot);
  if (!Mutated(Mutation::kMixKinds)) hasher.AddValue(kind);
  if (!Mutated(Mutation::kMixKinds)) hasher.AddValue(page_tokens);
  hasher.Add(root.data(), root.size());
  return hasher.Finish();
}

Digest ChildDigest(const Secret& secret, Digest parent, PathKind kind,
                   std::span<const std::byte> page) noexcept {
  if (Mutated(Mutation::kMixKinds)) kind = PathKind::kTokens;
  // One contiguous input: short inputs hash much faster in one call than through a state.
  constexpr size_t kHeaderBytes = 2 + 16;
  constexpr size_t kInlineBytes = 4096;
  if (page.size() <= kInlineBytes) {
    std::array<std::byte, kHeaderBytes + kInlineBytes> input;
    input[0] = static_cast<std::byte>(Domain::kPage);
    input[1] = static_cast<std::byte>(kind);
    std::memcpy(input.data() + 2, &parent.high, 8);
    std::memcpy(input.data() + 10, &parent.low, 8);
    std::copy(page.begin(), page.end(), input.begin() + kHeaderBytes);
    if (Mutated(Mutation::kTruncateTokens))
      for (size_t i = 2; i < page.size(); i += i % 4 == 2 ? 1 : 3) input[kHeaderBytes + i] = {};
    return FromXxh(XXH3_128bits_withSecret(input.data(), kHeaderBytes + page.size(), secret.data(),
                                           secret.size()));
  }
  Hasher hasher(secret);
  hasher.AddValue(Domain::kPage);
  hasher.AddValue(kind);
  hasher.AddDigest(parent);
  hasher.Add(page.data(), page.size());
  return hasher.Finish();
}

Digest EpochSalt(const Secret& secret, Digest root_name, uint64_t epoch) noexcept {
  if (epoch == 0) return {};
  Hasher hasher(secret);
  hasher.AddValue(Domain::kEpoch);
  hasher.AddDigest(root_name);
  hasher.AddValue(epoch);
  return hasher.Finish();
}

Digest RootName(const Secret& secret, std::string_view root) noexcept {
  Hasher hasher(secret);
  hasher.AddValue(Domain::kRootName);
  hasher.Add(root.data(), root.size());
  return hasher.Finish();
}

uint64_t ChunkSum(Fingerprint seed, std::span<const std::span<const std::byte>> pieces) noexcept {
  seed = MutatedSeed(seed);
  if (pieces.size() == 1) return XXH3_64bits_withSeed(pieces[0].data(), pieces[0].size(), seed);
  XXH3_state_t state;
  XXH3_64bits_reset_withSeed(&state, seed);
  for (std::span<const std::byte> piece : pieces)
    XXH3_64bits_update(&state, piece.data(), piece.size());
  return XXH3_64bits_digest(&state);
}

uint64_t CombineChunkSums(Fingerprint seed, std::span<const uint64_t> chunk_sums) noexcept {
  seed = MutatedSeed(seed);
  return XXH3_64bits_withSeed(chunk_sums.data(), chunk_sums.size_bytes(), seed);
}

uint64_t ChecksumOf(Fingerprint seed, std::span<const std::span<const std::byte>> pieces) noexcept {
  std::vector<uint64_t> sums;
  std::vector<std::span<const std::byte>> chunk;
  size_t chunk_bytes = 0;
  for (std::span<const std::byte> piece : pieces) {
    while (!piece.empty()) {
      const size_t take = std::min(piece.size(), kChunkBytes - chunk_bytes);
      chunk.push_back(piece.first(take));
      chunk_bytes += take;
      piece = piece.subspan(take);
      if (chunk_bytes == kChunkBytes) {
        sums.push_back(ChunkSum(seed, chunk));
        chunk.clear();
        chunk_bytes = 0;
      }
    }
  }
  if (chunk_bytes > 0) sums.push_back(ChunkSum(seed, chunk));
  return CombineChunkSums(seed, sums);
}

}  // namespace lamina
