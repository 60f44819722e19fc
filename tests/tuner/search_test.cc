#include "tuner/search.h"

#include <catch2/catch.hpp>
#include <functional>
#include <random>
#include <string>

#include "tests/tuner/random_seed.h"

namespace lamina::tuner {
namespace {

CostInputs Store(double entries) {
  CostInputs inputs;
  inputs.facts.entries = entries;
  return inputs;
}

SearchSpace Space(uint64_t memtable_bytes, uint64_t memory_bytes) {
  SearchSpace space;
  space.memory_bytes = memory_bytes;
  space.min_memtable_bytes = memtable_bytes;
  space.max_memtable_bytes = memtable_bytes;
  return space;
}

WorkloadMix RandomMix(std::mt19937_64* random) {
  return MixOf({.puts_written = 1 + (*random)() % 1000,
                .put_lookups = (*random)() % 1000,
                .lookups_missing = (*random)() % 300,
                .lookups_existing = (*random)() % 300,
                .stem_scans = (*random)() % 100,
                .stem_scan_entries = 6400,
                .long_scans = (*random)() % 10,
                .long_scan_entries = 1000});
}

// Every K of every level, by recursion.
double BestByTryingAll(const CostInputs& inputs, const WorkloadMix& mix, const SearchSpace& space,
                       uint64_t memtable_bytes) {
  double best = 1e9;
  for (uint32_t ratio = space.min_size_ratio; ratio <= space.max_size_ratio; ++ratio) {
    TreeShape shape = LevelingShape(ratio);
    shape.memtable_bytes = memtable_bytes;
    shape.filter_bits = FilterBudget(space, inputs.facts, memtable_bytes);
    const uint32_t count = LevelCount(shape, inputs.facts.entry_bytes, inputs.facts.entries);
    const std::function<void(uint32_t)> descend = [&](uint32_t level) {
      if (level == count) {
        best = std::min(best, PredictShape(inputs, mix, shape).index_s);
        return;
      }
      for (uint32_t runs = 1; runs < ratio; ++runs) {
        (level + 1 == count ? shape.last_runs : shape.upper_runs[level]) =
            static_cast<uint8_t>(runs);
        descend(level + 1);
      }
    };
    descend(0);
  }
  return best;
}

TEST_CASE("the search finds the best of all mixes of runs per level") {
  LAMINA_TUNER_SEED(seed, 7);
  std::mt19937_64 random(seed);
  SearchSpace space = Space(1 << 20, 3 << 20);
  space.max_size_ratio = 7;
  for (int round = 0; round < 30; ++round) {
    const CostInputs inputs = Store(static_cast<double>(100000 + random() % 3000000));
    const WorkloadMix mix = RandomMix(&random);
    const SearchResult found = FindBestShapes(inputs, mix, space);
    REQUIRE(!found.best.empty());
    const double best = BestByTryingAll(inputs, mix, space, 1 << 20);
    CHECK(found.best[0].prediction.index_s >= best * (1 - 1e-12));
    CHECK(found.best[0].prediction.index_s <= best * 1.002);
  }
}

TEST_CASE("writes alone choose tiering, lookups alone leveling") {
  const CostInputs inputs = Store(3e6);
  const SearchSpace space = Space(1 << 20, 2 << 20);
  const auto best = [&](const WorkloadCounters& counters) {
    return FindBestShapes(inputs, MixOf(counters), space, 1).best[0];
  };
  const Candidate writes = best({.puts_written = 1000});
  CHECK(writes.prediction.copies < 1.2);
  const Candidate reads = best({.lookups_missing = 500, .lookups_existing = 500});
  for (uint32_t i = 0; i < reads.prediction.level_count; ++i) {
    CHECK(reads.shape.RunsAt(i, reads.prediction.level_count) == 1);
  }
  CHECK(reads.prediction.missing_reads < writes.prediction.missing_reads);
}

TEST_CASE("pins are kept") {
  const CostInputs inputs = Store(3e6);
  const WorkloadMix mix = MixOf({.puts_written = 500, .lookups_missing = 500});
  SearchSpace space = Space(1 << 20, 4 << 20);
  space.policy = SearchSpace::Policy::kLazy;
  for (const Candidate& candidate : FindBestShapes(inputs, mix, space).best) {
    CHECK(WithMemory(LazyShape(candidate.shape.size_ratio), candidate.shape) == candidate.shape);
  }
  space.min_size_ratio = space.max_size_ratio = 10;
  const SearchResult one = FindBestShapes(inputs, mix, space);
  REQUIRE(one.best.size() == 1);
  CHECK(one.best[0].shape == WithMemory(LazyShape(10), one.best[0].shape));
  space.policy = SearchSpace::Policy::kLeveling;
  CHECK(FindBestShapes(inputs, mix, space).best[0].shape.last_runs == 1);
  space.policy = SearchSpace::Policy::kTiering;
  CHECK(FindBestShapes(inputs, mix, space).best[0].shape.last_runs == 9);
  space.policy = SearchSpace::Policy::kAny;
  CHECK(FindBestShapes(inputs, mix, space).best[0].shape.size_ratio == 10);
  space.filter_bits_per_key = 2.5;
  const Candidate pinned = FindBestShapes(inputs, mix, space).best[0];
  CHECK(pinned.shape.filter_bits == 7500000);
  CHECK(pinned.prediction.filter_bits == Approx(7500000));
}

TEST_CASE("candidates are distinct, cheapest first, and as many as were asked for") {
  const SearchResult found = FindBestShapes(
      Store(3e6), MixOf({.puts_written = 500, .lookups_missing = 500}), Space(1 << 20, 4 << 20), 5);
  REQUIRE(found.best.size() == 5);
  CHECK(found.shapes_tried > 40000);
  for (size_t i = 1; i < found.best.size(); ++i) {
    const Candidate& a = found.best[i - 1];
    const Candidate& b = found.best[i];
    CHECK(a.prediction.index_s <= b.prediction.index_s);
    CHECK(ShapeName(a.shape, a.prediction.level_count) !=
          ShapeName(b.shape, b.prediction.level_count));
  }
}

TEST_CASE("memory goes to memtables when everything is written, to filters when it is looked up") {
  const CostInputs inputs = Store(3e6);
  SearchSpace space = Space(1 << 20, 8 << 20);
  space.max_memtable_bytes = 7 << 20;
  space.memtable_steps = 4;
  space.policy = SearchSpace::Policy::kLeveling;
  space.min_size_ratio = space.max_size_ratio = 4;
  const Candidate writes = FindBestShapes(inputs, MixOf({.puts_written = 1000}), space).best[0];
  const Candidate reads = FindBestShapes(inputs, MixOf({.lookups_missing = 1000}), space).best[0];
  CHECK(writes.shape.memtable_bytes == 7 << 20);
  CHECK(reads.shape.memtable_bytes < 3 << 20);
  for (const Candidate& candidate : {writes, reads}) {
    CHECK(candidate.shape.memtable_bytes * 8 + candidate.shape.filter_bits == (8u << 20) * 8);
  }
}

TEST_CASE("a measured curve decides the prices of what is returned") {
  CostInputs inputs = Store(3e6);
  Result<FprCurve> curve = FprCurve::FromPoints(
      std::vector<FprPoint>{{1, 0.66}, {2, 0.42}, {4, 0.18}, {8, 0.04}, {16, 0.005}});
  REQUIRE(curve.ok());
  inputs.curve = *curve;
  const WorkloadMix mix = MixOf({.puts_written = 500, .lookups_missing = 500});
  for (const Candidate& candidate : FindBestShapes(inputs, mix, Space(1 << 20, 3 << 20)).best) {
    CHECK(candidate.prediction == PredictShape(inputs, mix, candidate.shape));
  }
}

}  // namespace
}  // namespace lamina::tuner
