// Level 0 stays bounded whatever becomes of compaction.
#include <catch2/catch.hpp>

#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

TEST_CASE("while compaction is behind puts are refused and level 0 stays within its bound",
          "[simulated]") {
  const auto [ratio, most] = GENERATE(std::pair(2, size_t{12}), std::pair(10, size_t{20}));
  QuietStore store("size_ratio=" + std::to_string(ratio));
  store.scheduler().Pause();
  size_t stored = 0;
  for (size_t page = 0; page < 60; ++page) {
    if (store.PutAndFlush(page)) ++stored;
    REQUIRE(store.LevelZeroRuns() <= most);
  }
  REQUIRE(stored == most);
  REQUIRE(store.LevelZeroRuns() == most);
  REQUIRE(store.Reads(stored));
  const std::string stats = store.Stats();
  REQUIRE(StatOf(stats, "for_compaction") == 60 - most);
  REQUIRE(StatOf(stats, "for_flush") == 0);
  REQUIRE(StatOf(stats, "rejected_stalled") == 60 - most);
  REQUIRE_THAT(stats, Catch::Contains("holds " + std::to_string(most) + " runs"));

  store.scheduler().Resume();
  REQUIRE(store.PutAndFlush(stored));
  REQUIRE(store.LevelZeroRuns() < most);
  REQUIRE(store.Reads(stored + 1));
}

TEST_CASE("while compaction fails puts are refused with its error, and reads go on",
          "[simulated]") {
  QuietStore store("size_ratio=4");
  size_t stored = 0;
  for (; stored < 12; ++stored) REQUIRE(store.PutAndFlush(stored));
  SimulatedFaults faults;
  faults.write_error = 1;
  faults.only_in = ".sst";
  store.disk().SetFaults(faults);
  for (size_t page = stored; page < 60; ++page) REQUIRE_FALSE(store.PutAndFlush(page));
  REQUIRE(store.LevelZeroRuns() == 12);
  REQUIRE_THAT(store.Stats(), Catch::Contains("holds 12 runs") && Catch::Contains("EIO"));
  REQUIRE(store.Reads(stored));

  store.disk().SetFaults({});
  store.scheduler().ClearError(WorkClass::kCompaction);  // as when a while has passed
  REQUIRE(store.PutAndFlush(stored));
  REQUIRE(store.LevelZeroRuns() < 12);
}

TEST_CASE("a store that is opened with a full level 0 takes pages once it has been compacted",
          "[simulated]") {
  QuietStore store("size_ratio=2");
  for (size_t page = 0; page < 12; ++page) REQUIRE(store.PutAndFlush(page));
  store.Reopen();
  REQUIRE(store.LevelZeroRuns() == 12);
  REQUIRE(store.PutAndFlush(12));
  REQUIRE(store.LevelZeroRuns() < 12);
  REQUIRE(store.Reads(13));
}

}  // namespace
}  // namespace lamina::testing
