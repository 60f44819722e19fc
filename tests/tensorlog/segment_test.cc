// Segments: files, counts, what a checkpoint needs to know; and the table that finds them.
#include "tensorlog/segment.h"

#include <catch2/catch.hpp>
#include <thread>

#include "tensorlog/segment_table.h"
#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

struct Fixture {
  TemporaryDirectory dir;
  FailingFileSystem fs;
  std::unique_ptr<LogDir> log_dir;
  SegmentInfo info{.id = 9, .log_dir = 0, .slot_bytes = 8192, .slot_count = 16};

  Fixture() {
    auto opened = LogDir::Open(fs, dir.File("log"), kTestStore, 0, LogDir::IfMissing::kCreate);
    REQUIRE(opened.ok());
    log_dir = std::move(*opened);
  }
  std::unique_ptr<Segment> Create() {
    auto segment = Segment::Create(fs, *log_dir, info);
    REQUIRE(segment.ok());
    return std::move(*segment);
  }
};

void Put(Segment& segment, uint32_t i, uint64_t tag, JournalPosition position) {
  REQUIRE(segment.Take(i));
  segment.Publish(i, tag, 1, position);
}

TEST_CASE("a new segment has all its blocks on disk") {
  Fixture f;
  const auto segment = f.Create();
  CHECK_FALSE(segment->absent());
  CHECK(std::filesystem::file_size(f.log_dir->SegmentPath(9)) == f.info.bytes());
  const auto allocated = f.fs.AllocatedBytes(f.log_dir->SegmentPath(9));
  REQUIRE(allocated.ok());
  CHECK(*allocated >= f.info.bytes());
}

TEST_CASE("a segment that the device has no room for leaves nothing behind") {
  Fixture f;
  f.fs.failures.code = StatusCode::kNoSpace;
  f.fs.failures.allocate_at = 1;
  const auto segment = Segment::Create(f.fs, *f.log_dir, f.info);
  REQUIRE_FALSE(segment.ok());
  CHECK(segment.status().code() == StatusCode::kNoSpace);
  CHECK_FALSE(std::filesystem::exists(f.log_dir->SegmentPath(9)));
}

TEST_CASE("a segment whose file is missing or short is absent and says why") {
  Fixture f;
  CHECK(Segment::Open(f.fs, *f.log_dir, f.info, false)->absent());
  f.Create();
  CHECK_FALSE(Segment::Open(f.fs, *f.log_dir, f.info, false)->absent());
  std::filesystem::resize_file(f.log_dir->SegmentPath(9), f.info.bytes() - 1);
  const auto segment = Segment::Open(f.fs, *f.log_dir, f.info, false);
  CHECK(segment->absent());
  CHECK(segment->problem().find("131071 bytes instead of 131072") != std::string::npos);
  segment->Restore(0, SlotState::kLive, false, 5, 1, HeatValue{});
  CHECK_FALSE(segment->Pin(0, 5));
}

TEST_CASE("slots are counted by state, and any change but heat makes the segment dirty") {
  Fixture f;
  const auto segment = f.Create();
  CHECK(segment->counts().free == 16);
  CHECK_FALSE(segment->dirty());
  const auto check = [&](uint64_t free, uint64_t writing, uint64_t live, uint64_t condemned) {
    const SlotCounts counts = segment->counts();
    CHECK(counts.free == free);
    CHECK(counts.writing == writing);
    CHECK(counts.live == live);
    CHECK(counts.condemned == condemned);
    CHECK(segment->reusable() == free + condemned);
    CHECK(segment->ClearDirty());
  };
  REQUIRE(segment->Take(3));
  check(15, 1, 0, 0);
  segment->Publish(3, 77, 1, {1, 0});
  check(15, 0, 1, 0);
  REQUIRE(segment->Condemn(3, 77));
  check(15, 0, 0, 1);
  REQUIRE(segment->Revive(3, 77));
  check(15, 0, 1, 0);
  REQUIRE(segment->Free(3, 77));
  check(16, 0, 0, 0);
  segment->Restore(4, SlotState::kLive, true, 78, 1, HeatValue{});
  segment->slot(4).set_heat(0, 1);
  CHECK_FALSE(segment->dirty());
  REQUIRE(segment->MarkProven(4, 78));
  check(15, 0, 1, 0);
  REQUIRE(segment->MarkProven(4, 78));
  CHECK_FALSE(segment->dirty());
}

TEST_CASE("a segment knows which slots were put at or above a journal position") {
  Fixture f;
  const auto segment = f.Create();
  Put(*segment, 0, 10, {1, 5});
  Put(*segment, 1, 11, {1, 5});
  Put(*segment, 4, 12, {1, 9});
  Put(*segment, 2, 13, {2, 0});
  std::vector<bool> expected(16, false);
  expected[2] = expected[4] = true;
  CHECK(segment->PutAtOrAbove({1, 6}) == expected);
  expected[4] = false;
  CHECK(segment->PutAtOrAbove({1, 10}) == expected);
  CHECK_FALSE(segment->AnyPutAtOrAbove({2, 1}));
  segment->ForgetPutsBelow({2, 0});
  CHECK(segment->PutAtOrAbove({0, 0}) == expected);
}

TEST_CASE("after a failed sync only pages that no sync has covered are freed") {
  Fixture f;
  const auto segment = f.Create();
  segment->NoteWritten();
  Put(*segment, 0, 10, {1, 0});
  REQUIRE(segment->Sync().ok());
  CHECK_FALSE(segment->unsynced());
  segment->NoteWritten();
  Put(*segment, 1, 11, {1, 1});
  CHECK(segment->unsynced());
  f.fs.failures.sync_at = 1;
  CHECK_FALSE(segment->Sync().ok());
  f.fs.failures.sync_at = 0;
  CHECK(f.log_dir->sync_failed());
  // Not tried again, whatever the device says now.
  CHECK_FALSE(segment->Sync().ok());
  CHECK(segment->FreeUnsyncedPuts() == 1);
  CHECK(segment->slot(0).tag() == 10);
  CHECK(segment->slot(1).tag() == 0);
  CHECK(segment->FreeUnsyncedPuts() == 0);
}

TEST_CASE("a page that was synced before it was published outlives others' failed syncs") {
  Fixture f;
  const auto segment = f.Create();
  segment->NoteWritten();
  REQUIRE(segment->Sync().ok());
  // Another payload is complete before the first page is published.
  segment->NoteWritten();
  REQUIRE(segment->Take(0));
  segment->Publish(0, 10, 1, {1, 0}, /*synced=*/true);
  Put(*segment, 1, 11, {1, 0});
  f.fs.failures.sync_at = 1;
  CHECK_FALSE(segment->Sync().ok());
  CHECK(segment->FreeUnsyncedPuts() == 1);
  CHECK(segment->slot(0).tag() == 10);
  CHECK(segment->slot(1).tag() == 0);
}

TEST_CASE("the table finds segments by id, and forgets removed ones") {
  Fixture f;
  SegmentTable table;
  for (const uint32_t id : {0u, 1u, 5000u, SegmentTable::kMaxSegmentId}) {
    f.info.id = id;
    table.Add(Segment::Open(f.fs, *f.log_dir, f.info, false));
  }
  {
    const SegmentTable::ReadSection section(table);
    REQUIRE(section.Find(5000) != nullptr);
    CHECK(section.Find(5000)->id() == 5000);
    CHECK(section.Find(2) == nullptr);
    CHECK(section.Find(UINT32_MAX) == nullptr);
  }
  CHECK(table.Remove(5000)->id() == 5000);
  CHECK(table.Remove(5000) == nullptr);
  CHECK(SegmentTable::ReadSection(table).Find(5000) == nullptr);
  CHECK(table.All().size() == 3);
}

TEST_CASE("a segment that a reader has found is not removed under it") {
  Fixture f;
  SegmentTable table;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> found{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const SegmentTable::ReadSection section(table);
        for (uint32_t id = 0; id < 4; ++id) {
          // Use after free, under AddressSanitizer, if the table got it wrong.
          if (Segment* segment = section.Find(id)) found += segment->slot(0).tag() == id + 1;
        }
      }
    });
  }
  for (int round = 0; round < 400; ++round) {
    f.info.id = static_cast<uint32_t>(round % 4);
    auto segment = Segment::Open(f.fs, *f.log_dir, f.info, false);
    segment->Restore(0, SlotState::kLive, false, f.info.id + 1, 1, HeatValue{});
    table.Add(std::move(segment));
    if (round >= 2) table.Remove(static_cast<uint32_t>((round - 2) % 4));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(table.All().size() == 2);
}

}  // namespace
}  // namespace lamina
