#include "compaction/shape.h"

#include <catch2/catch.hpp>
#include <string>

namespace lamina {
namespace {

TEST_CASE("the named shapes cap runs as their names say") {
  for (const uint32_t ratio : {2u, 4u, 10u, 64u}) {
    for (uint32_t level = 1; level <= 5; ++level) {
      CHECK(Shape::Leveling(ratio).RunCap(level, 5) == 1);
      CHECK(Shape::Tiering(ratio).RunCap(level, 5) == ratio - 1);
      CHECK(Shape::Lazy(ratio).RunCap(level, 5) == (level == 5 ? 1 : ratio - 1));
    }
  }
}

TEST_CASE("a level below the last one of the tree counts as the last") {
  CHECK(Shape::Lazy(10).RunCap(3, 2) == 1);
  CHECK(Shape::Tiering(10).RunCap(3, 2) == 9);
}

TEST_CASE("the last run cap named stands for all deeper levels") {
  const Shape shape{.size_ratio = 10, .run_caps = {9, 3}, .last_run_cap = 0};
  CHECK(shape.RunCap(1, 9) == 9);
  CHECK(shape.RunCap(2, 9) == 3);
  CHECK(shape.RunCap(7, 9) == 3);
}

TEST_CASE("capacities grow by the size ratio and sum to all batches below") {
  const Shape shape = Shape::Leveling(4);
  CHECK(shape.CapacityEntries(1, 100) == 300);
  CHECK(shape.CapacityEntries(2, 100) == 1200);
  CHECK(shape.CapacityEntries(3, 100) == 4800);
  // What levels 1 to i hold, and one batch more, is one batch for level i + 1.
  CHECK(300 + 1200 + 100 == shape.BatchEntries(3, 100));
  CHECK(shape.LevelFor(300, 100) == 1);
  CHECK(shape.LevelFor(301, 100) == 2);
  CHECK(shape.LevelFor(1e300, 1) == kMaxLevels);
}

TEST_CASE("batches split over runs as evenly as possible, older runs taking the remainder") {
  CHECK(CumulativeQuota(10, 3, 1) == 3);
  CHECK(CumulativeQuota(10, 3, 2) == 6);
  CHECK(CumulativeQuota(10, 3, 3) == 9);
  CHECK(CumulativeQuota(10, 4, 1) == 3);  // 3 + 2 + 2 + 2
  CHECK(CumulativeQuota(10, 4, 2) == 5);
  CHECK(CumulativeQuota(10, 4, 3) == 7);
  for (uint32_t ratio = 2; ratio <= 16; ++ratio) {
    for (uint32_t cap = 1; cap < ratio; ++cap) {
      CHECK(CumulativeQuota(ratio, cap, 0) == 0);
      CHECK(CumulativeQuota(ratio, cap, cap) == ratio - 1);
      CHECK(CumulativeQuota(ratio, cap, cap + 5) == ratio - 1);
      for (uint32_t run = 1; run <= cap; ++run) {
        const uint32_t batches =
            CumulativeQuota(ratio, cap, run) - CumulativeQuota(ratio, cap, run - 1);
        CHECK(batches >= (ratio - 1) / cap);
        CHECK(batches <= (ratio - 1 + cap - 1) / cap);
      }
    }
  }
}

TEST_CASE("a shape out of range is refused with the field and its range") {
  const auto message = [](const Shape& shape) { return std::string(shape.Validate().message()); };
  CHECK_THAT(message({.size_ratio = 1, .run_caps = {1}, .last_run_cap = 0}),
             Catch::Contains("size ratio 1") && Catch::Contains("2 to 64"));
  CHECK_THAT(message({.size_ratio = 65, .run_caps = {1}, .last_run_cap = 0}),
             Catch::Contains("size ratio 65"));
  CHECK_THAT(message({.size_ratio = 4, .run_caps = {3, 4}, .last_run_cap = 0}),
             Catch::Contains("run cap 4 of level 2") && Catch::Contains("1 to 3"));
  CHECK_THAT(message({.size_ratio = 4, .run_caps = {0}, .last_run_cap = 0}),
             Catch::Contains("run cap 0 of level 1"));
  CHECK_THAT(message({.size_ratio = 4, .run_caps = {3}, .last_run_cap = 4}),
             Catch::Contains("last level") && Catch::Contains("1 to 3"));
  CHECK_FALSE(Shape{.size_ratio = 4, .run_caps = {}, .last_run_cap = 1}.Validate().ok());
  CHECK_FALSE(
      Shape{.size_ratio = 4, .run_caps = std::vector<uint32_t>(kMaxLevels + 1, 1)}.Validate().ok());
  CHECK(Shape().Validate().ok());
}

TEST_CASE("a shape reads back what it writes") {
  for (const char* text : {"leveling:10", "tiering:4", "lazy:64", "custom:10:9,3,1",
                           "custom:10:9,3/2", "leveling:2"}) {
    const Result<Shape> shape = Shape::Parse(text);
    REQUIRE(shape.ok());
    CHECK(shape->ToString() == text);
    CHECK(*Shape::Parse(shape->ToString()) == *shape);
  }
  CHECK(Shape::Parse("custom:10:9,9,9")->ToString() == "tiering:10");
  CHECK(*Shape::Parse("custom:10:9/1") == Shape::Lazy(10));
  CHECK_FALSE(Shape::Lazy(10) == Shape::Tiering(10));
}

TEST_CASE("text that is no shape is refused") {
  for (const char* text : {"",
                           "leveling",
                           "leveling:",
                           "leveling:x",
                           "leveling:1",
                           "tiering:65",
                           "lazy:10:3",
                           "lazy:-1",
                           "lazy:99999999999",
                           "custom:10",
                           "custom:10:",
                           "custom:10:10",
                           "custom:10:0",
                           "custom:10:1,",
                           "custom:10:,1",
                           "custom:10:1/",
                           "custom:10:1/0",
                           "custom:10:1/x",
                           "custom:10:/1",
                           "other:10",
                           "lazy: 10"}) {
    CAPTURE(text);
    const Result<Shape> shape = Shape::Parse(text);
    CHECK_FALSE(shape.ok());
    if (!shape.ok()) CHECK(shape.status().code() == StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace lamina
