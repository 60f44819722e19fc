// The filter of a table: a Bloom filter whose probes for one key stay within one cache line.
//
// Built over HashOf(page key). Bits per key are fractional and chosen per run (by the tuner); the
// false-positive rate that they buy is measured (filter_fpr.h), since a blocked filter misses the
// textbook formula.
//
// Key hash h: its high 32 bits choose the line; h times a constant gives seven 9-bit bit numbers in
// it, h times another one seven more. This is part of the table format.
#ifndef LAMINA_ENGINE_INDEX_FILTER_H_
#define LAMINA_ENGINE_INDEX_FILTER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace lamina {

inline constexpr size_t kFilterLineBytes = 64;
inline constexpr double kMaxFilterBitsPerKey = 64.0;
inline constexpr uint32_t kMaxFilterProbes = 14;

// The probes per key for so many bits per key: what measured best. 0 bits: 0.
uint32_t FilterProbes(double bits_per_key) noexcept;

// Bytes that a filter over so many keys takes: whole lines; 0 when there are no bits or keys.
size_t FilterBytes(size_t key_count, double bits_per_key) noexcept;

// Measured false-positive rate at so many bits per key (0 gives 1), between the measured points by
// its logarithm; and the least bits per key that reach a rate in (0, 1].
double ExpectedFpr(double bits_per_key) noexcept;
double BitsForFpr(double false_positive_rate) noexcept;

// Sets the bits of all keys. `lines` has FilterBytes(...) bytes, zeroed.
void BuildFilter(std::span<const uint64_t> key_hashes, uint32_t probes,
                 std::span<std::byte> lines) noexcept;

// A filter in memory: a copy of the lines on a cache-line boundary. Immutable and thread-safe.
class Filter {
 public:
  Filter() noexcept = default;  // has no lines and answers yes
  // `lines` must be a multiple of kFilterLineBytes, probes 1 to kMaxFilterProbes (or no lines).
  Filter(std::span<const std::byte> lines, uint32_t probes) noexcept;

  [[nodiscard]] bool MayContain(uint64_t key_hash) const noexcept;
  // Starts loading the line of a key, for callers that ask for several.
  void Prefetch(uint64_t key_hash) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return line_count_ == 0; }
  [[nodiscard]] size_t bytes() const noexcept { return line_count_ * kFilterLineBytes; }

 private:
  struct AlignedDelete {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte, AlignedDelete> lines_;
  size_t line_count_ = 0;
  uint32_t probes_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_FILTER_H_
