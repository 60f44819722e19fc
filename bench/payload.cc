#include "bench/payload.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace lamina::bench {
namespace {

static_assert(std::endian::native == std::endian::little, "payload words lie in memory as on disk");

constexpr size_t kWordBytes = sizeof(uint64_t);
// Comparing collects differences over so many words and then asks once: the loop has no branches
// and becomes vector code.
constexpr size_t kWordsPerBlock = 512;

uint64_t SeedOf(PageName name, uint64_t position) {
  return Mix(name.high ^ std::rotl(name.low, 32) ^ Mix(position));
}

// Shifts and xors only: x86-64 without AVX-512 has no vector multiplication of 64-bit words. Both
// steps are bijections, so words of one page never repeat.
inline uint64_t WordAt(uint64_t seed, uint64_t index) {
  uint64_t word = seed + index * 0x9E3779B97F4A7C15u;
  word ^= word << 13;
  word ^= word >> 7;
  return word;
}

size_t FirstDifferentByte(uint64_t expected, const std::byte* found, size_t bytes) {
  std::byte wanted[kWordBytes];
  std::memcpy(wanted, &expected, kWordBytes);
  return static_cast<size_t>(std::mismatch(wanted, wanted + bytes, found).first - wanted);
}

}  // namespace

void FillPayload(PageName name, uint64_t position, std::span<std::byte> page) {
  const uint64_t seed = SeedOf(name, position);
  const size_t words = page.size() / kWordBytes;
  std::byte* const to = page.data();
  for (size_t i = 0; i < words; ++i) {
    const uint64_t word = WordAt(seed, i);
    std::memcpy(to + i * kWordBytes, &word, kWordBytes);
  }
  const uint64_t last = WordAt(seed, words);
  std::memcpy(to + words * kWordBytes, &last, page.size() % kWordBytes);
}

std::optional<size_t> FindPayloadMismatch(PageName name, uint64_t position,
                                          std::span<const std::byte> page) {
  const uint64_t seed = SeedOf(name, position);
  const size_t words = page.size() / kWordBytes;
  const std::byte* const from = page.data();
  for (size_t begin = 0; begin < words; begin += kWordsPerBlock) {
    const size_t end = std::min(words, begin + kWordsPerBlock);
    uint64_t difference = 0;
    for (size_t i = begin; i < end; ++i) {
      uint64_t word;
      std::memcpy(&word, from + i * kWordBytes, kWordBytes);
      difference |= word ^ WordAt(seed, i);
    }
    if (difference == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      const size_t at = FirstDifferentByte(WordAt(seed, i), from + i * kWordBytes, kWordBytes);
      if (at < kWordBytes) return i * kWordBytes + at;
    }
  }
  const size_t tail = page.size() % kWordBytes;
  const size_t at = FirstDifferentByte(WordAt(seed, words), from + words * kWordBytes, tail);
  if (at < tail) return words * kWordBytes + at;
  return std::nullopt;
}

}  // namespace lamina::bench
