// Ages in ticks, cut into buckets that grow by the square root of two: below 16 ticks a single one,
// then 16 to 22, 23 to 31, ... and everything from 2^26 on in the last.
//
// A tick is a unit requested (about 512 tokens). Buckets shorter than a request is long would only
// learn slower; wider ones than the root of two lose the shape of the return hazard.
#ifndef LAMINA_TENSORLOG_EVICTION_AGE_BUCKETS_H_
#define LAMINA_TENSORLOG_EVICTION_AGE_BUCKETS_H_

#include <array>
#include <bit>
#include <cstdint>

namespace lamina {

inline constexpr uint32_t kFirstAge = 16;
inline constexpr uint32_t kAgeBuckets = 46;

// The first age of a bucket, a whole number. StartOf(kAgeBuckets) ends the last one, for arithmetic
// that needs an end.
constexpr uint32_t StartOf(uint32_t bucket) noexcept {
  if (bucket == 0) return 0;
  const uint64_t power = uint64_t{kFirstAge} << ((bucket - 1) / 2);
  // 1449/1024 is just above the root of two.
  return static_cast<uint32_t>((bucket - 1) % 2 == 0 ? power : (power * 1449 + 1023) / 1024);
}

inline constexpr std::array<double, kAgeBuckets + 1> kBucketStart = [] {
  std::array<double, kAgeBuckets + 1> starts{};
  for (uint32_t k = 0; k <= kAgeBuckets; ++k) starts[k] = StartOf(k);
  return starts;
}();

// Ticks a page spends in a bucket.
constexpr double WidthOf(uint32_t bucket) noexcept {
  return kBucketStart[bucket + 1] - kBucketStart[bucket];
}

// The middle of a bucket, in octaves above kFirstAge. log2((1 + sqrt 2) / 2) is .2716.
constexpr double OctaveOf(uint32_t bucket) noexcept {
  return bucket == 0 ? -1.0 : (bucket - 1) / 2.0 + 0.2716;
}

constexpr uint32_t BucketOf(uint32_t age) noexcept {
  if (age < kFirstAge) return 0;
  const auto octave = static_cast<uint32_t>(std::bit_width(age / kFirstAge)) - 1;
  const uint32_t bucket = 1 + 2 * octave;
  if (bucket + 1 >= kAgeBuckets) return kAgeBuckets - 1;
  return age >= StartOf(bucket + 1) ? bucket + 1 : bucket;
}

// Where an age lies between the middles of buckets: k at the middle of bucket k, 0 throughout the
// first. Less than kAgeBuckets.
inline double PositionOf(uint32_t age) noexcept {
  const uint32_t k = BucketOf(age);
  if (k == 0) return 0;
  if (k == kAgeBuckets - 1) return k;
  return k + (age - kBucketStart[k]) / WidthOf(k) - 0.5;
}

static_assert(StartOf(kAgeBuckets - 1) == uint32_t{1} << 26);
static_assert(BucketOf(15) == 0 && BucketOf(16) == 1 && BucketOf(22) == 1 && BucketOf(23) == 2);

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_AGE_BUCKETS_H_
