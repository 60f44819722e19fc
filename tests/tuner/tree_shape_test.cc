#include "tuner/tree_shape.h"

#include <catch2/catch.hpp>
#include <set>

#include "tests/tuner/random_seed.h"

namespace lamina::tuner {
namespace {

TEST_CASE("one run everywhere is leveling, T-1 runs everywhere is tiering") {
  for (const uint32_t ratio : {2u, 3u, 10u, 64u}) {
    CHECK(UniformShape(ratio, 1, 1) == LevelingShape(ratio));
    CHECK(UniformShape(ratio, ratio - 1, ratio - 1) == TieringShape(ratio));
    CHECK(UniformShape(ratio, ratio - 1, 1) == LazyShape(ratio));
    for (uint32_t level = 0; level < 6; ++level) {
      CHECK(LevelingShape(ratio).RunsAt(level, 6) == 1);
      CHECK(TieringShape(ratio).RunsAt(level, 6) == ratio - 1);
      CHECK(LazyShape(ratio).RunsAt(level, 6) == (level == 5 ? 1 : ratio - 1));
    }
  }
}

TEST_CASE("the level that is last decides by its own limit, however deep the tree is") {
  const TreeShape shape = UniformShape(8, 5, 2);
  for (uint32_t count = 1; count < 8; ++count) {
    CHECK(shape.RunsAt(count - 1, count) == 2);
    for (uint32_t level = 0; level + 1 < count; ++level) CHECK(shape.RunsAt(level, count) == 5);
  }
}

TEST_CASE("numbers out of range are clipped when a shape is made, and found when it is checked") {
  CHECK(UniformShape(1, 9, 9).size_ratio == 2);
  CHECK(UniformShape(100, 1, 1).size_ratio == 64);
  CHECK(UniformShape(4, 0, 99).RunsAt(0, 2) == 1);
  CHECK(UniformShape(4, 0, 99).last_runs == 3);
  TreeShape shape = LevelingShape(4);
  CHECK(IsValid(shape));
  shape.last_runs = 4;
  CHECK_FALSE(IsValid(shape));
  shape = LevelingShape(4);
  shape.upper_runs[7] = 0;
  CHECK_FALSE(IsValid(shape));
  shape = LevelingShape(4);
  shape.size_ratio = 1;
  CHECK_FALSE(IsValid(shape));
  shape = LevelingShape(4);
  shape.memtable_bytes = 0;
  CHECK_FALSE(IsValid(shape));
}

TEST_CASE("shapes have the names that people use") {
  CHECK(ShapeName(LevelingShape(10), 3) == "leveling T=10");
  CHECK(ShapeName(TieringShape(4), 3) == "tiering T=4");
  CHECK(ShapeName(LazyShape(6), 3) == "lazy T=6");
  CHECK(ShapeName(UniformShape(10, 3, 2), 4) == "T=10 K=3 Z=2");
  TreeShape mixed = UniformShape(10, 3, 2);
  mixed.upper_runs[1] = 5;
  CHECK(ShapeName(mixed, 4) == "T=10 K=3,5,3 Z=2");
  CHECK(ShapeName(mixed, 2) == "T=10 K=3 Z=2");
}

TEST_CASE("a level holds T-1 batches, and the next one's batch is a full level and one more") {
  TreeShape shape = LevelingShape(10);
  shape.memtable_bytes = 40000;
  CHECK(BatchEntries(shape, 40, 0) == 1000);
  CHECK(LevelCapacity(shape, 40, 0) == 9000);
  CHECK(BatchEntries(shape, 40, 1) == 10000);
  CHECK(LevelCapacity(shape, 40, 2) == 900000);
  CHECK(LevelCount(shape, 40, 0) == 1);
  CHECK(LevelCount(shape, 40, 9000) == 1);
  CHECK(LevelCount(shape, 40, 9001) == 2);
  CHECK(LevelCount(shape, 40, 99000) == 2);
  CHECK(LevelCount(shape, 40, 999000) == 3);
  CHECK(LevelCount(shape, 40, 1e300) == kMaxLevels);
}

TEST_CASE("batches are split over runs as evenly as can be") {
  CHECK(BatchesOfRun(9, 1, 0) == 9);
  CHECK(BatchesOfRun(9, 3, 2) == 3);
  CHECK(BatchesOfRun(9, 4, 0) == 3);
  CHECK(BatchesOfRun(9, 4, 1) == 2);
  for (uint32_t runs = 1; runs <= 9; ++runs) {
    uint32_t sum = 0;
    for (uint32_t run = 0; run < runs; ++run) sum += BatchesOfRun(9, runs, run);
    CHECK(sum == 9);
  }
}

TEST_CASE("random shapes are valid, differ, and keep the memory") {
  LAMINA_TUNER_SEED(seed, 5);
  uint64_t state = seed;
  TreeShape memory = LevelingShape(4);
  memory.memtable_bytes = 12345;
  memory.filter_bits = 678;
  std::set<uint32_t> ratios;
  for (int i = 0; i < 2000; ++i) {
    const TreeShape shape = RandomShape(&state, memory);
    REQUIRE(IsValid(shape));
    CHECK(shape.memtable_bytes == 12345);
    CHECK(shape.filter_bits == 678);
    ratios.insert(shape.size_ratio);
  }
  CHECK(ratios.size() == kMaxSizeRatio - kMinSizeRatio + 1);
}

}  // namespace
}  // namespace lamina::tuner
