#include "tensorlog/eviction/heat_bits.h"

#include <catch2/catch.hpp>

#include "tests/eviction/requests.h"

namespace lamina {
namespace {

TEST_CASE("a heat's fields come back as they were packed") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  SplitMix random(seed);
  for (int i = 0; i < 10'000; ++i) {
    const HeatFields in{random.Below(kMaxTail + 1), random.Below(kMaxUses + 1),
                        random.Below(kMaxTurn + 1), random.Below(kLevels), random.Below(64)};
    const HeatFields out = Unpack(Pack(in));
    REQUIRE(out.tail == in.tail);
    REQUIRE(out.uses == in.uses);
    REQUIRE(out.turn == in.turn);
    REQUIRE(out.level == in.level);
    REQUIRE(out.gap == in.gap);
    REQUIRE(TailOf(Pack(in)) == in.tail);
  }
}

TEST_CASE("counters saturate without reaching their neighbours") {
  const HeatFields out = Unpack(Pack({1000, 1000, 1000, 3, 5}));
  CHECK(out.tail == kMaxTail);
  CHECK(out.uses == kMaxUses);
  CHECK(out.turn == kMaxTurn);
  CHECK(out.level == 3);
  CHECK(out.gap == 5);
}

TEST_CASE("a heat of zeros is an ordinary page of which nothing is known") {
  CHECK(Pack({}) == 0);
  CHECK(Unpack(0).level == kLevels / 2);
}

}  // namespace
}  // namespace lamina
