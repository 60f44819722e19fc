#include "tensorlog/eviction/hazard_model.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/eviction/requests.h"

namespace lamina {
namespace {

constexpr FeatureBins kLikely = 1;  // the first feature's bins
constexpr FeatureBins kUnlikely = 2;

uint32_t Bits(uint32_t level, uint32_t gap = 0) { return Pack({0, 1, 0, level, gap}); }

// Shows the model one page from its use on: it returns at that age, or is given up at `until`.
void Live(HazardModel* model, FeatureBins bins, uint64_t now, double returns_at, double until) {
  const uint32_t bits = Bits(model->LevelOf(bins));
  for (uint32_t k = 0; k < kAgeBuckets; ++k) {
    const double end = std::min(kBucketStart[k + 1], until);
    const bool returns = returns_at < end;
    model->Watch(bits, now, k, 1);
    model->Learn(bins, bits, k, (returns ? returns_at : end) - kBucketStart[k], returns);
    model->Watch(bits, now, k, -1);
    if (returns || end >= until) return;
  }
}

double Exponential(SplitMix* random, double mean) {
  return -mean * std::log((random->Below(1 << 30) + 1.0) / (1 << 30));
}

TEST_CASE("a model that has learned nothing ranks by age alone") {
  const HazardModel model;
  CHECK(model.LevelOf(kLikely) == kLevels / 2);
  CHECK(model.LevelOf(kUnlikely) == kLevels / 2);
  for (uint32_t k = 1; k + 1 < kAgeBuckets; ++k)
    CHECK(model.Worth(0, StartOf(k)) > model.Worth(0, StartOf(k + 1)));
}

TEST_CASE("worth rises with the level at every age and gap") {
  const HazardModel model;
  for (const uint32_t gap : {0u, 9u, 40u, kHotGap}) {
    for (uint32_t k = 0; k < kAgeBuckets; ++k) {
      for (uint32_t level = 8; level < 120; level += 8)
        CHECK(model.Worth(Bits(level, gap), StartOf(k)) <
              model.Worth(Bits(level + 8, gap), StartOf(k)));
    }
  }
}

TEST_CASE("the model learns which pages return eight times as often") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  SplitMix random(seed);
  HazardModel model;
  for (uint64_t now = 10; now < 40'000; now += 10) {
    for (int page = 0; page < 5; ++page) {
      Live(&model, kLikely, now, Exponential(&random, 500), 2000);
      Live(&model, kUnlikely, now, Exponential(&random, 4000), 2000);
    }
    model.EndRequest(10, now);
  }
  const double levels =
      static_cast<double>(model.LevelOf(kLikely)) - static_cast<double>(model.LevelOf(kUnlikely));
  // Not all of it is believed yet.
  CHECK(std::exp(levels / 16) > 3.5);
  CHECK(std::exp(levels / 16) < 12);
}

TEST_CASE("a constant return rate becomes the worth at every age that was seen") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  SplitMix random(seed);
  HazardModel model;
  constexpr double kMean = 300;
  for (uint64_t now = 10; now < 40'000; now += 10) {
    for (int page = 0; page < 10; ++page)
      Live(&model, kLikely, now, Exponential(&random, kMean), 1500);
    model.EndRequest(10, now);
  }
  const uint32_t bits = Bits(model.LevelOf(kLikely));
  for (const uint32_t age : {0u, 50u, 200u, 600u})
    CHECK(model.Worth(bits, age) * kMean == Approx(1).epsilon(.3));
}

TEST_CASE("a page that always returns at one age is worth keeping until then, and not after") {
  HazardModel model;
  for (uint64_t now = 10; now < 40'000; now += 10) {
    for (int page = 0; page < 5; ++page) {
      Live(&model, kLikely, now, 200, 8000);
      Live(&model, kLikely, now, 1e9, 8000);
    }
    model.EndRequest(10, now);
  }
  const uint32_t bits = Bits(model.LevelOf(kLikely));
  // No page returned before age 181, yet half of them do then: some .5 hits in some 200 ticks.
  CHECK(model.Worth(bits, 0) * 200 > .3);
  CHECK(model.Worth(bits, 150) > model.Worth(bits, 0));
  CHECK(model.Worth(bits, 400) < .2 * model.Worth(bits, 0));
}

TEST_CASE("pages that are still watched count as not having returned") {
  HazardModel model;
  HazardModel watching;
  for (uint64_t now = 10; now < 20'000; now += 10) {
    for (HazardModel* m : {&model, &watching}) {
      for (int page = 0; page < 5; ++page) Live(m, kLikely, now, 3000, 4000);
      m->EndRequest(10, now);
    }
    for (int page = 0; page < 5; ++page) watching.Watch(Bits(64), 0, BucketOf(3000), 1);
  }
  model.Renew(20'000);
  watching.Renew(20'000);
  CHECK(watching.Worth(Bits(64), 2950) < .5 * model.Worth(Bits(64), 2950));
}

TEST_CASE("what was learned counts less once everything is different") {
  const auto teach = [](HazardModel* model, uint64_t from, uint64_t to, double returns_at) {
    for (uint64_t now = from; now < to; now += 10) {
      for (int page = 0; page < 10; ++page) Live(model, kLikely, now, returns_at, 400);
      model->EndRequest(10, now);
    }
  };
  HazardModel model;
  teach(&model, 10, 100'000, 1e9);
  const double before = model.Worth(Bits(model.LevelOf(kLikely)), 0);
  // A tenth as many requests.
  teach(&model, 100'000, 110'000, 100);
  CHECK(model.Worth(Bits(model.LevelOf(kLikely)), 0) > 50 * before);
}

TEST_CASE("a saved model is the same when it is read back") {
  SplitMix random(3);
  HazardModel model;
  for (uint64_t now = 10; now < 5000; now += 10) {
    Live(&model, kLikely, now, Exponential(&random, 500), 2000);
    model.EndRequest(10, now);
  }
  std::string saved;
  model.Save(&saved);
  HazardModel copy;
  REQUIRE(copy.Load(saved).ok());
  for (uint32_t k = 0; k < kAgeBuckets; ++k)
    CHECK(copy.Worth(Bits(70), StartOf(k)) == model.Worth(Bits(70), StartOf(k)));
  CHECK(copy.LevelOf(kLikely) == model.LevelOf(kLikely));
}

TEST_CASE("bins of features are legal only within their ranges") {
  CHECK(HazardModel::Legal(0));
  CHECK(HazardModel::Legal(0x999999));
  CHECK(!HazardModel::Legal(0xA));
  CHECK(!HazardModel::Legal(0xA00000));
  CHECK(!HazardModel::Legal(0x1000000));
}

}  // namespace
}  // namespace lamina
