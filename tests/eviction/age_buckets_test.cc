#include "tensorlog/eviction/age_buckets.h"

#include <catch2/catch.hpp>

namespace lamina {
namespace {

TEST_CASE("buckets of ages follow one another without a gap") {
  for (uint32_t k = 1; k < kAgeBuckets; ++k) {
    REQUIRE(StartOf(k) > StartOf(k - 1));
    CHECK(BucketOf(StartOf(k)) == k);
    CHECK(BucketOf(StartOf(k) - 1) == k - 1);
    CHECK(WidthOf(k) > 0);
  }
  CHECK(BucketOf(0) == 0);
  CHECK(BucketOf(UINT32_MAX) == kAgeBuckets - 1);
}

TEST_CASE("an age's position never falls and meets the middles of buckets") {
  double last = 0;
  for (uint32_t age = 0; age < 100'000; ++age) {
    const double position = PositionOf(age);
    REQUIRE(position >= last);
    last = position;
  }
  CHECK(PositionOf(0) == 0);
  for (uint32_t k = 1; k + 1 < kAgeBuckets; ++k) {
    const auto middle = static_cast<uint32_t>((kBucketStart[k] + kBucketStart[k + 1]) / 2);
    CHECK(PositionOf(middle) == Approx(k).margin(.1));
  }
  CHECK(PositionOf(UINT32_MAX) < kAgeBuckets);
}

}  // namespace
}  // namespace lamina
