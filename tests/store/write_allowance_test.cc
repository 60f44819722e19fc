// The bound on tensor bytes written per day.
#include "engine/store/write_allowance.h"

#include <catch2/catch.hpp>

#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

using Catch::Contains;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
const WriteAllowance::Clock::time_point kStart{};

TEST_CASE("without a bound everything may be written") {
  WriteAllowance allowance(0, kStart);
  CHECK(allowance.TryTake(UINT64_MAX, kStart));
  CHECK(allowance.TryTake(UINT64_MAX, kStart));
  CHECK(allowance.Available(kStart) == UINT64_MAX);
}

TEST_CASE("an hour's worth may be written at once, and never more than 64 MiB less") {
  CHECK(WriteAllowance(240 * kGiB, kStart).burst_bytes() == 10 * kGiB);
  CHECK(WriteAllowance(kGiB, kStart).burst_bytes() == 64 * kMiB);
  WriteAllowance allowance(240 * kGiB, kStart);
  CHECK(allowance.TryTake(6 * kGiB, kStart));
  CHECK_FALSE(allowance.TryTake(5 * kGiB, kStart));
  CHECK(allowance.TryTake(4 * kGiB, kStart));
  CHECK_FALSE(allowance.TryTake(1, kStart));
}

TEST_CASE("the allowance comes back at the day's rate, and no further than the burst") {
  WriteAllowance allowance(240 * kGiB, kStart);
  CHECK(allowance.TryTake(10 * kGiB, kStart));
  CHECK_FALSE(allowance.TryTake(kGiB, kStart + minutes(6) - seconds(1)));
  CHECK(allowance.TryTake(kGiB, kStart + minutes(6) + seconds(1)));
  CHECK(allowance.Available(kStart + hours(100)) == 10 * kGiB);
}

TEST_CASE("over a day no more is written than the day's bytes and one burst") {
  WriteAllowance allowance(24 * kGiB, kStart);
  uint64_t written = 0;
  for (int minute = 0; minute < 24 * 60; ++minute) {
    while (allowance.TryTake(10 * kMiB, kStart + minutes(minute))) written += 10 * kMiB;
  }
  CHECK(written <= 25 * kGiB);
  CHECK(written >= 24 * kGiB);
}

TEST_CASE("a page larger than the burst passes when all of it is there, and leaves a debt") {
  WriteAllowance allowance(24 * 64 * kMiB, kStart);
  CHECK(allowance.TryTake(1, kStart));
  CHECK_FALSE(allowance.TryTake(128 * kMiB, kStart));
  CHECK(allowance.TryTake(128 * kMiB, kStart + hours(1)));
  CHECK(allowance.Available(kStart + hours(1)) == 0);
  CHECK_FALSE(allowance.TryTake(1, kStart + minutes(119)));
  CHECK(allowance.TryTake(1, kStart + minutes(121)));
}

TEST_CASE("what is given back may be taken again, and what was written unasked may not") {
  WriteAllowance allowance(kGiB, kStart);
  CHECK(allowance.TryTake(64 * kMiB, kStart));
  allowance.GiveBack(kMiB);
  CHECK(allowance.Available(kStart) == kMiB);
  allowance.Charge(2 * kMiB);
  CHECK_FALSE(allowance.TryTake(1, kStart));
  allowance.GiveBack(100 * kMiB);
  CHECK(allowance.Available(kStart) == 64 * kMiB);
}

TEST_CASE("time that goes backwards gives nothing") {
  WriteAllowance allowance(kGiB, kStart + hours(5));
  CHECK(allowance.TryTake(64 * kMiB, kStart + hours(5)));
  CHECK_FALSE(allowance.TryTake(1, kStart));
  CHECK(allowance.Available(kStart + hours(5)) == 0);
}

TEST_CASE("a restored level goes on where it was, with what came back while the store was closed") {
  const WriteAllowance::WallTime day{hours(24 * 20000)};
  WriteAllowance before(24 * kGiB, kStart);
  CHECK(before.TryTake(kGiB, kStart));
  before.Charge(512 * kMiB);
  const WriteLevel saved = before.Save(kStart, day).value();
  CHECK(saved == WriteLevel{-512 * static_cast<int64_t>(kMiB), 20000 * 86400});

  WriteAllowance at_once(24 * kGiB, kStart);
  at_once.Restore(saved, day);
  CHECK_FALSE(at_once.TryTake(1, kStart));
  CHECK(at_once.Available(kStart + minutes(45)) == 256 * kMiB);

  WriteAllowance later(24 * kGiB, kStart);
  later.Restore(saved, day + minutes(45));
  CHECK(later.Available(kStart) == 256 * kMiB);
  later.Restore(saved, day + hours(100));
  CHECK(later.Available(kStart) == kGiB);
  later.Restore(saved, day - hours(100));  // the clock was set back
  CHECK(later.Available(kStart) == 0);
}

TEST_CASE("without a bound a restored level is charged and kept, and its time is refilled later") {
  const WriteAllowance::WallTime day{hours(24 * 20000)};
  // More than the least burst, so that nothing may cut it down meanwhile.
  WriteAllowance before(24 * kGiB, kStart);
  CHECK(before.TryTake(256 * kMiB, kStart));
  const WriteLevel saved = before.Save(kStart, day).value();

  WriteAllowance unbounded(0, kStart);
  CHECK_FALSE(unbounded.Save(kStart, day).has_value());
  unbounded.Charge(kGiB);
  unbounded.Restore(saved, day + minutes(5));
  CHECK(unbounded.Save(kStart, day + minutes(5)) == saved);
  CHECK(unbounded.TryTake(100 * kGiB, kStart));
  unbounded.Charge(512 * kMiB);
  CHECK(unbounded.Available(kStart) == UINT64_MAX);
  const WriteLevel kept = unbounded.Save(kStart + minutes(10), day + minutes(10)).value();
  CHECK(kept == WriteLevel{256 * static_cast<int64_t>(kMiB), saved.unix_seconds});

  WriteAllowance after(24 * kGiB, kStart);
  after.Restore(kept, day + minutes(15));
  CHECK(after.Available(kStart) == 512 * kMiB);
}

TEST_CASE("opening a store again gives no new allowance, whether it was closed or killed",
          "[simulated]") {
  constexpr size_t kPage = 1 << 20;
  const bool killed = GENERATE(false, true);
  const bool checkpointed = GENERATE(false, true);
  CAPTURE(killed, checkpointed);
  SimulatedDisk disk(3);
  const char* options = "capacity_bytes=1G;write_bytes_per_day=1";
  auto opened = OpenSimulatedStore(disk.Restart(), options);
  REQUIRE(opened.ok());
  TestPath path = MakePath(**opened, "model", Tokens(0, 80));
  REQUIRE(CountOk(PutPages(**opened, path, 0, 40, kPage)) == 40);
  if (checkpointed) REQUIRE((*opened)->Flush().ok());
  if (killed) disk.Crash(SimulatedCrash::kProcess);
  opened->reset();

  opened = OpenSimulatedStore(disk.Restart(), options);
  REQUIRE(opened.ok());
  TestPath again = MakePath(**opened, "model", Tokens(0, 80));
  REQUIRE(CountOk(GetPages(**opened, again, 0, 40, kPage).states) == 40);
  CHECK(CountOk(PutPages(**opened, again, 40, 40, kPage)) == 24);
  CHECK(StatOf((*opened)->StatsJson(), "rejected_wear") == 1);
}

TEST_CASE("an open without a bound between two with one is charged what it replays and moves",
          "[simulated]") {
  constexpr size_t kPage = 1 << 20;
  const bool killed = GENERATE(false, true);
  CAPTURE(killed);
  SimulatedDisk disk(3);
  const std::string unbounded = "capacity_bytes=1G;";
  const std::string bounded = unbounded + "write_bytes_per_day=1";
  auto opened = OpenSimulatedStore(disk.Restart(), bounded);
  REQUIRE(opened.ok());
  TestPath path = MakePath(**opened, "model", Tokens(0, 80));
  REQUIRE(CountOk(PutPages(**opened, path, 0, 40, kPage)) == 40);
  if (killed) disk.Crash(SimulatedCrash::kProcess);
  opened->reset();

  opened = OpenSimulatedStore(disk.Restart(), unbounded);
  REQUIRE(opened.ok());
  path = MakePath(**opened, "model", Tokens(0, 80));
  REQUIRE((*opened)->Erase(*path.path, 10, 30).ok());
  CollectReport collected;
  REQUIRE((*opened)->impl()->CollectGarbage({}, nullptr, &collected).ok());
  REQUIRE(collected.pages_moved > 0);
  opened->reset();

  opened = OpenSimulatedStore(disk.Restart(), bounded);
  REQUIRE(opened.ok());
  path = MakePath(**opened, "model", Tokens(0, 80));
  REQUIRE(CountOk(GetPages(**opened, path, 0, 10, kPage).states) == 10);
  CHECK(CountOk(PutPages(**opened, path, 10, 40, kPage)) == 24 - collected.pages_moved);
}

TEST_CASE("puts beyond write_bytes_per_day are rejected with that reason, and read pages stay",
          "[simulated]") {
  constexpr size_t kPage = 1 << 20;
  SimulatedDisk disk(3);
  // A rate so low that nothing comes back while the test runs.
  auto opened = OpenSimulatedStore(disk.Restart(), "capacity_bytes=1G;write_bytes_per_day=1");
  REQUIRE(opened.ok());
  TestPath path = MakePath(**opened, "model", Tokens(0, 80));
  const auto states = PutPages(**opened, path, 0, 80, kPage);
  CHECK(CountOk(states) == 64);
  CHECK(states[63] == PageState::kOk);
  CHECK(states[64] == PageState::kRejected);
  const std::string stats = (*opened)->StatsJson();
  CHECK(StatOf(stats, "rejected_wear") == 1);
  CHECK(StatOf(stats, "rejected_follows") == 15);
  CHECK_THAT(TextOf(stats, "last_rejection"), Contains("write_bytes_per_day"));
  // Present pages cost nothing.
  CHECK(CountOk(PutPages(**opened, path, 0, 64, kPage)) == 64);
  CHECK(CountOk(GetPages(**opened, path, 0, 64, kPage).states) == 64);
}

TEST_CASE("pages that the policy turns away cost nothing of write_bytes_per_day, at no time",
          "[simulated]") {
  constexpr size_t kPage = 1 << 20;
  SimulatedDisk disk(3);
  auto opened = OpenSimulatedStore(disk.Restart(),
                                   "capacity_bytes=1G;write_bytes_per_day=1;admission=second_use");
  REQUIRE(opened.ok());
  TestPath path = MakePath(**opened, "model", Tokens(0, 80));
  CHECK(CountOk(PutPages(**opened, path, 0, 80, kPage)) == 0);
  // More than the allowance was offered, and none of it asked for.
  CHECK(StatOf((*opened)->StatsJson(), "rejected_policy") == 1);
  CHECK(StatOf((*opened)->StatsJson(), "rejected_wear") == 0);
  path = MakePath(**opened, "model", Tokens(0, 80));
  CHECK(CountOk(PutPages(**opened, path, 0, 80, kPage)) == 64);
  CHECK(StatOf((*opened)->StatsJson(), "rejected_wear") == 1);
  // Nor does the policy see what may not be written at all.
  TestPath other = MakePath(**opened, "model", Tokens(100, 10));
  CHECK(CountOk(PutPages(**opened, other, 0, 10, kPage)) == 0);
  CHECK(StatOf((*opened)->StatsJson(), "rejected_wear") == 2);
  CHECK(StatOf((*opened)->StatsJson(), "rejected_policy") == 1);
}

TEST_CASE("pages that get no slot cost nothing of write_bytes_per_day", "[simulated]") {
  constexpr size_t kPage = 1 << 20;
  SimulatedDisk disk(3);
  auto opened = OpenSimulatedStore(disk.Restart(), "capacity_bytes=1G;write_bytes_per_day=1");
  REQUIRE(opened.ok());
  TestPath path = MakePath(**opened, "model", Tokens(0, 64));
  REQUIRE(CountOk(PutPages(**opened, path, 0, 1, kPage)) == 1);
  disk.SetCapacity(1);
  const size_t stored = 1 + CountOk(PutPages(**opened, path, 1, 63, kPage));
  REQUIRE(stored < 64);
  REQUIRE(StatOf((*opened)->StatsJson(), "rejected_wear") == 0);
  disk.SetCapacity(UINT64_MAX);
  CHECK(CountOk(PutPages(**opened, path, 0, 64, kPage)) == 64);
}

}  // namespace
}  // namespace lamina::testing
