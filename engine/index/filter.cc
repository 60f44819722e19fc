#include "engine/index/filter.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <new>

#include "engine/base/status.h"
#include "engine/index/filter_fpr.h"

namespace lamina {
namespace {

constexpr uint64_t kProbeMultipliers[] = {0x9E6C63D0876A68DFu, 0xC3A5C85C97CB3127u};
constexpr unsigned kBitNumberBits = 9;  // 512 bits a line
constexpr uint32_t kProbesPerProduct = 64 / kBitNumberBits;
static_assert(kFilterLineBytes * 8 == 1u << kBitNumberBits);
static_assert(kMaxFilterProbes <= kProbesPerProduct * std::size(kProbeMultipliers));

size_t LineOf(uint64_t key_hash, size_t line_count) noexcept {
  return static_cast<size_t>(((key_hash >> 32) * line_count) >> 32);
}

// The bit numbers of a key within its line, one after the other.
class ProbeSequence {
 public:
  explicit ProbeSequence(uint64_t key_hash) noexcept
      : key_hash_(key_hash), bits_(Product(key_hash, 0)) {}

  uint32_t Next() noexcept {
    if (taken_ == kProbesPerProduct) bits_ = Product(key_hash_, 1);
    ++taken_;
    const auto bit = static_cast<uint32_t>(bits_ & ((1u << kBitNumberBits) - 1));
    bits_ >>= kBitNumberBits;
    return bit;
  }

 private:
  // The high bits of a product depend on all of the hash, its low bits on few: they are mixed.
  static uint64_t Product(uint64_t key_hash, size_t which) noexcept {
    const uint64_t product = key_hash * kProbeMultipliers[which];
    return product ^ (product >> 32);
  }

  uint64_t key_hash_;
  uint64_t bits_;
  uint32_t taken_ = 0;
};

}  // namespace

uint32_t FilterProbes(double bits_per_key) noexcept {
  if (!(bits_per_key > 0)) return 0;
  for (const FilterFprPoint& point : kFilterFpr) {
    if (bits_per_key <= point.bits_per_key) return point.probes;
  }
  return kFilterFpr.back().probes;
}

size_t FilterBytes(size_t key_count, double bits_per_key) noexcept {
  if (key_count == 0 || !(bits_per_key > 0)) return 0;
  const double lines =
      std::ceil(static_cast<double>(key_count) * bits_per_key / (8 * kFilterLineBytes));
  return static_cast<size_t>(lines) * kFilterLineBytes;
}

double ExpectedFpr(double bits_per_key) noexcept {
  if (!(bits_per_key > 0)) return 1.0;
  FilterFprPoint below{0.0, 0, 1.0};
  for (const FilterFprPoint& point : kFilterFpr) {
    if (bits_per_key <= point.bits_per_key) {
      const double share =
          (bits_per_key - below.bits_per_key) / (point.bits_per_key - below.bits_per_key);
      return std::exp((1 - share) * std::log(below.false_positive_rate) +
                      share * std::log(point.false_positive_rate));
    }
    below = point;
  }
  return below.false_positive_rate;
}

double BitsForFpr(double false_positive_rate) noexcept {
  if (!(false_positive_rate < 1.0)) return 0.0;
  FilterFprPoint below{0.0, 0, 1.0};
  for (const FilterFprPoint& point : kFilterFpr) {
    if (false_positive_rate >= point.false_positive_rate) {
      const double share =
          (std::log(false_positive_rate) - std::log(below.false_positive_rate)) /
          (std::log(point.false_positive_rate) - std::log(below.false_positive_rate));
      return below.bits_per_key + share * (point.bits_per_key - below.bits_per_key);
    }
    below = point;
  }
  return below.bits_per_key;
}

void BuildFilter(std::span<const uint64_t> key_hashes, uint32_t probes,
                 std::span<std::byte> lines) noexcept {
  LAMINA_CHECK(probes >= 1 && probes <= kMaxFilterProbes);
  const size_t line_count = lines.size() / kFilterLineBytes;
  for (const uint64_t hash : key_hashes) {
    std::byte* line = lines.data() + LineOf(hash, line_count) * kFilterLineBytes;
    ProbeSequence sequence(hash);
    for (uint32_t i = 0; i < probes; ++i) {
      const uint32_t bit = sequence.Next();
      line[bit / 8] |= static_cast<std::byte>(1u << (bit % 8));
    }
  }
}

Filter::Filter(std::span<const std::byte> lines, uint32_t probes) noexcept
    : lines_(lines.empty() ? nullptr
                           : static_cast<std::byte*>(
                                 ::operator new(lines.size(), std::align_val_t(kFilterLineBytes)))),
      line_count_(lines.size() / kFilterLineBytes),
      probes_(probes) {
  LAMINA_CHECK(lines.size() % kFilterLineBytes == 0);
  LAMINA_CHECK(lines.empty() || (probes >= 1 && probes <= kMaxFilterProbes));
  std::copy(lines.begin(), lines.end(), lines_.get());
}

void Filter::AlignedDelete::operator()(std::byte* p) const noexcept {
  ::operator delete(p, std::align_val_t(kFilterLineBytes));
}

bool Filter::MayContain(uint64_t key_hash) const noexcept {
  if (line_count_ == 0) return true;
  const std::byte* line = lines_.get() + LineOf(key_hash, line_count_) * kFilterLineBytes;
  ProbeSequence sequence(key_hash);
  for (uint32_t i = 0; i < probes_; ++i) {
    const uint32_t bit = sequence.Next();
    if ((line[bit / 8] & static_cast<std::byte>(1u << (bit % 8))) == std::byte{0}) return false;
  }
  return true;
}

void Filter::Prefetch(uint64_t key_hash) const noexcept {
  if (line_count_ != 0)
    __builtin_prefetch(lines_.get() + LineOf(key_hash, line_count_) * kFilterLineBytes);
}

}  // namespace lamina
