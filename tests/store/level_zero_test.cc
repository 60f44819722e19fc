// Level 0 stays bounded whatever becomes of compaction.
#include <catch2/catch.hpp>

#include "engine/io/simulated_file_system.h"
#include "engine/store/store_impl.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

// Everything runs on this thread; compaction within puts that wait for it.
class QuietStore {
 public:
  explicit QuietStore(const std::string& options) {
    auto parsed = Options::Parse(
        "capacity_bytes=64M;min_free_bytes=0;memory_bytes=64M;checkpoint_seconds=0;" + options);
    REQUIRE(parsed.ok());
    options_ = *parsed;
    Reopen();
  }

  void Reopen() {
    store_.reset();
    StoreEnvironment environment;
    environment.file_system = disk_.Restart();
    environment.seed = kSeed;
    environment.background_threads = 0;
    auto impl = Store::Impl::Open("/store", options_, std::move(environment));
    REQUIRE(impl.ok());
    store_ = std::make_unique<Store>(std::move(*impl));
    path_ = MakePath(*store_, "model", Tokens(0, 200));
  }

  // One page and a flush of it, as a checkpoint that is due by time makes one of whatever there is.
  bool PutAndFlush(size_t page) {
    const bool stored = CountOk(PutPages(*store_, path_, page, 1, kPage)) == 1;
    REQUIRE(store_->Flush().ok());
    return stored;
  }
  bool Reads(size_t pages) {
    const GetOutcome got = GetPages(*store_, path_, 0, pages, kPage);
    return CountOk(got.states) == pages && got.wrong == 0;
  }
  size_t LevelZeroRuns() { return store_->impl()->CurrentView()->tree->level(0).runs.size(); }
  Scheduler& scheduler() { return store_->impl()->scheduler(); }
  SimulatedDisk& disk() { return disk_; }
  std::string Stats() { return store_->StatsJson(); }

 private:
  static constexpr uint64_t kSeed = 3;
  SimulatedDisk disk_{kSeed};
  Options options_;
  std::unique_ptr<Store> store_;
  TestPath path_;
};

TEST_CASE("while compaction is behind puts are refused and level 0 stays within its bound") {
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

TEST_CASE("while compaction fails puts are refused with its error, and reads go on") {
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

TEST_CASE("a store that is opened with a full level 0 takes pages once it has been compacted") {
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
