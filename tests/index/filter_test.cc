#include "engine/index/filter.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "engine/base/keys.h"
#include "engine/index/filter_fpr.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::Random;

std::vector<uint64_t> RandomHashes(uint64_t seed, size_t count) {
  Random random(seed);
  std::vector<uint64_t> hashes(count);
  for (uint64_t& hash : hashes)
    hash = HashOf(PageKey{testing::RandomDigest(&random), random() | 1});
  return hashes;
}

Filter MakeFilter(const std::vector<uint64_t>& hashes, double bits) {
  std::vector<std::byte> lines(FilterBytes(hashes.size(), bits));
  BuildFilter(hashes, FilterProbes(bits), lines);
  return Filter(lines, FilterProbes(bits));
}

TEST_CASE("a filter never denies a key that it was built over") {
  const double bits = GENERATE(0.3, 1.0, 4.7, 10.0, 23.0, 40.0);
  const size_t keys = GENERATE(size_t{1}, size_t{77}, size_t{20000});
  const auto hashes = RandomHashes(1, keys);
  const Filter filter = MakeFilter(hashes, bits);
  for (const uint64_t hash : hashes) REQUIRE(filter.MayContain(hash));
}

TEST_CASE("the false-positive rate is the measured one") {
  const double bits = GENERATE(0.5, 1.25, 3.0, 5.5, 8.0, 10.0, 12.5);
  INFO(bits << " bits per key");
  const auto hashes = RandomHashes(2, 100000);
  const Filter filter = MakeFilter(hashes, bits);
  constexpr size_t kChecks = 300000;
  size_t positives = 0;
  for (const uint64_t hash : RandomHashes(3, kChecks)) positives += filter.MayContain(hash) ? 1 : 0;
  const double expected = ExpectedFpr(bits) * kChecks;
  INFO(positives << " of " << kChecks << ", expected " << expected);
  // Five standard deviations, and five per cent for what interpolation and this many keys differ
  // by.
  CHECK(std::abs(static_cast<double>(positives) - expected) <
        5 * std::sqrt(expected) + 0.05 * expected);
}

TEST_CASE("expected rates fall as bits grow, and bits for a rate are their inverse") {
  CHECK(ExpectedFpr(0) == 1.0);
  CHECK(BitsForFpr(1.0) == 0.0);
  double before = 1.0;
  for (double bits = 0.1; bits < kFilterFpr.back().bits_per_key; bits += 0.1) {
    const double rate = ExpectedFpr(bits);
    REQUIRE(rate < before);
    REQUIRE(BitsForFpr(rate) == Approx(bits).epsilon(1e-6));
    before = rate;
  }
  CHECK(ExpectedFpr(1000) == kFilterFpr.back().false_positive_rate);
  CHECK(BitsForFpr(1e-12) == kFilterFpr.back().bits_per_key);
}

TEST_CASE("a filter's size follows its fractional bits, in whole cache lines") {
  CHECK(FilterBytes(0, 10) == 0);
  CHECK(FilterBytes(1000, 0) == 0);
  CHECK(FilterBytes(1, 0.1) == 64);
  CHECK(FilterBytes(51200, 10.0) == 64000);
  CHECK(FilterBytes(51200, 10.5) == 67200);
  CHECK(FilterProbes(0) == 0);
}

TEST_CASE("no filter lets everything through") {
  const Filter none;
  CHECK(none.empty());
  CHECK(none.MayContain(42));
}

}  // namespace
}  // namespace lamina
