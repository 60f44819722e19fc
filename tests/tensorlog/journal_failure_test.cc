// The journal when writes and syncs fail, and when there is no space.
#include <catch2/catch.hpp>
#include <cerrno>
#include <thread>

#include "engine/io/ballast.h"
#include "engine/io/simulated_file_system.h"
#include "tests/tensorlog/journal_fixture.h"

namespace lamina {
namespace {

TEST_CASE("a failed write latches the journal, with one clear error for everyone") {
  JournalFixture f;
  auto writer = f.Open(1);
  AppendOne(*writer, 1);
  f.fs.failures.write_at = 1;
  JournalRecords records;
  AddOne(&records, 2);
  const auto guard = writer->Begin();
  const auto failed = writer->Append(guard, records);
  REQUIRE_FALSE(failed.ok());
  f.fs.failures.write_at = 0;
  const uint64_t writes = f.fs.failures.writes;
  CHECK(writer->Append(guard, records).status().message() == failed.status().message());
  CHECK(writer->Sync().message() == failed.status().message());
  CHECK_FALSE(writer->status().ok());
  CHECK(f.fs.failures.writes == writes);
  Collector seen;
  f.Replay(seen);
  CHECK(Names(seen) == std::set<uint64_t>{1});
}

TEST_CASE("a failed sync acknowledges nothing and latches") {
  JournalFixture f;
  f.options.sync = true;
  auto writer = f.Open(1);
  AppendOne(*writer, 1);
  f.fs.failures.sync_at = 1;
  JournalRecords records;
  AddOne(&records, 2);
  const auto guard = writer->Begin();
  CHECK_FALSE(writer->Append(guard, records).ok());
  f.fs.failures.sync_at = 0;
  const uint64_t syncs = f.fs.failures.syncs;
  CHECK_FALSE(writer->Append(guard, records).ok());
  CHECK_FALSE(writer->Sync().ok());
  CHECK(f.fs.failures.syncs == syncs);
}

TEST_CASE("a file that cannot be reserved fails the append, and the next one may succeed") {
  JournalFixture f;
  auto writer = f.Open(1, 2 * 4096);
  AppendOne(*writer, 1);
  AppendOne(*writer, 2);
  f.fs.failures.code = StatusCode::kNoSpace;
  f.fs.failures.allocate_at = 1;
  JournalRecords records;
  AddOne(&records, 3);
  const auto guard = writer->Begin();
  CHECK(writer->Append(guard, records).status().code() == StatusCode::kNoSpace);
  CHECK(writer->status().ok());
  f.fs.failures.allocate_at = 0;
  AppendOne(*writer, 4);
  Collector seen;
  f.Replay(seen);
  CHECK(Names(seen) == std::set<uint64_t>{1, 2, 4});
}

TEST_CASE("a write that lacks space is not repeated in place; the journal goes on in a new file") {
  JournalFixture f;
  auto writer = f.Open(1, 64 * 4096);
  AppendOne(*writer, 1);
  f.fs.failures.code = StatusCode::kNoSpace;
  f.fs.failures.write_at = 1;
  JournalRecords records;
  AddOne(&records, 2);
  {
    const auto guard = writer->Begin();
    CHECK(writer->Append(guard, records).status().code() == StatusCode::kNoSpace);
  }
  f.fs.failures.write_at = 0;
  AppendOne(*writer, 3);
  CHECK(writer->stats().files == 2);
  Collector seen;
  f.Replay(seen);
  CHECK(Names(seen) == std::set<uint64_t>{1, 3});
  REQUIRE(writer->DeleteBelow(writer->CurrentPosition()).ok());
  CHECK(writer->stats().files == 1);
}

TEST_CASE("blocks whose write failed are not acknowledged, though their numbers are used up") {
  JournalFixture f;
  auto writer = f.Open(1, 64 * 4096);
  f.fs.failures.code = StatusCode::kNoSpace;
  f.fs.failures.write_at = 1;
  JournalRecords records;
  for (uint64_t name = 0; name < 200; ++name) AddOne(&records, name);
  {
    const auto guard = writer->Begin();
    CHECK(writer->Append(guard, records).status().code() == StatusCode::kNoSpace);
  }
  f.fs.failures.write_at = 0;
  const JournalPosition behind = writer->CurrentPosition();
  CHECK(behind > JournalPosition{1, 0});
  CHECK(AppendOne(*writer, 500).first == behind);
}

TEST_CASE("a write that lacks space is made again where it was once the ballast is given up") {
  SimulatedDisk disk(4);
  const auto fs = disk.Restart();
  REQUIRE(fs->MakeDirectory("/j").ok());
  Ballast ballast(*fs, "/j", kBallastBytes, 0);
  REQUIRE(ballast.Make().ok());
  auto writer = *JournalWriter::Open(*fs, {.directory = "/j",
                                           .store_id = kTestStore,
                                           .epoch = 1,
                                           .file_bytes = 64 * 4096,
                                           .ballast = &ballast});
  AppendOne(*writer, 1);
  disk.FailOperation(1, ENOSPC);
  const auto second = AppendOne(*writer, 2);
  CHECK(second.first == JournalPosition{1, 1});
  CHECK(ballast.uses() == 1);
  CHECK(writer->stats().files == 1);
  Collector seen;
  REQUIRE(ReplayJournal(*fs, "/j", kTestStore, {}, seen).ok());
  CHECK(Names(seen) == std::set<uint64_t>{1, 2});
}

TEST_CASE("a journal that finds no space for its first file opens, and begins when there is some") {
  SimulatedDisk disk(5, {.capacity_bytes = 16 * 4096});
  const auto fs = disk.Restart();
  REQUIRE(fs->MakeDirectory("/j").ok());
  auto writer = *JournalWriter::Open(
      *fs, {.directory = "/j", .store_id = kTestStore, .epoch = 1, .file_bytes = 64 * 4096});
  CHECK(writer->stats().files == 0);
  REQUIRE(writer->Sync().ok());
  REQUIRE(writer->DeleteBelow(writer->CurrentPosition()).ok());
  JournalRecords records;
  AddOne(&records, 1);
  CHECK(writer->Append(writer->Begin(), records).status().code() == StatusCode::kNoSpace);
  disk.SetCapacity(128 * 4096);
  AppendOne(*writer, 2);
  Collector seen;
  REQUIRE(ReplayJournal(*fs, "/j", kTestStore, {}, seen).ok());
  CHECK(Names(seen) == std::set<uint64_t>{2});
}

}  // namespace
}  // namespace lamina
