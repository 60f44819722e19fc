// The log as the store uses it: checkpoints, restarts, replay, failures, erasure, segments.
#include "tensorlog/tensor_log.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

constexpr size_t kPage = 65536;
constexpr uint64_t kCapacity = 8 << 20;  // segments of 8 slots

std::vector<TestPage> Pages(uint64_t first, size_t count, size_t bytes = kPage) {
  std::vector<TestPage> pages;
  for (uint64_t i = 0; i < count; ++i) pages.emplace_back(first + i, bytes);
  return pages;
}

uint64_t Tag(const TestPage& page) { return TestLog::TagOfPage(page); }

TEST_CASE("pages are there after a checkpoint and a restart, with root, state and heat") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 12);
  const auto slots = t.Put(pages, {1, 3}, 9);
  REQUIRE(slots.size() == 12);
  REQUIRE(t.log->Condemn(slots[5], Tag(pages[5])));
  REQUIRE(t.log->StoreHeat(slots[6], Tag(pages[6]), HeatValue{11, 12}));
  REQUIRE(t.Checkpoint({1, 4}).ok());
  t.Reopen();
  for (size_t i = 0; i < 12; ++i) {
    CHECK(t.log->Bears(slots[i], Tag(pages[i])));
    CHECK_FALSE(t.log->Unproven(slots[i], Tag(pages[i])));
    CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kOk);
  }
  CHECK(t.log->Stats(false).at(0).slots.condemned == 1);
  HeatValue heat{};
  REQUIRE(t.log->LoadHeat(slots[6], Tag(pages[6]), &heat));
  CHECK(heat == HeatValue{11, 12});
  CHECK(t.log->FreeRoot(9) == 12);
  CHECK(t.log->FreeRoot(9) == 0);
}

TEST_CASE("heat alone is saved when all tables are, and only then") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 1);
  const auto slots = t.Put(pages);
  REQUIRE(t.Checkpoint({2, 0}).ok());
  REQUIRE(t.log->StoreHeat(slots[0], Tag(pages[0]), HeatValue{5, 6}));
  auto saved = t.log->SaveSlotTables({2, 0}, ++t.generation, false);
  REQUIRE(saved.ok());
  CHECK(saved->empty());
  REQUIRE(t.Checkpoint({2, 0}, true).ok());
  t.Reopen();
  HeatValue heat{};
  REQUIRE(t.log->LoadHeat(slots[0], Tag(pages[0]), &heat));
  CHECK(heat == HeatValue{5, 6});
}

TEST_CASE("what was put at or above the checkpoint is left to the journal, and saved by the next") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 2);
  const SlotRef below = t.PutOne(pages[0], {1, 3});
  const SlotRef above = t.PutOne(pages[1], {1, 4});
  REQUIRE(t.Checkpoint({1, 4}).ok());
  SECTION("lost in a crash that took the journal, too") {
    t.Reopen();
    CHECK(t.log->Bears(below, Tag(pages[0])));
    CHECK_FALSE(t.log->Bears(above, Tag(pages[1])));
  }
  SECTION("in the next table, though nothing has changed since") {
    REQUIRE(t.Checkpoint({1, 5}).ok());
    t.Reopen();
    CHECK(t.log->Bears(above, Tag(pages[1])));
  }
}

TEST_CASE("a replayed page is unproven until it was read whole, over further restarts too") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 2);
  const auto slots = t.Put(pages, {1, 0});
  REQUIRE(t.Checkpoint({1, 0}).ok());
  t.Open(true);
  CHECK(t.log->Keeps({77, 0}, 5));
  for (size_t i = 0; i < 2; ++i) REQUIRE(t.log->Replay({1, i}, slots[i], Tag(pages[i]), 7));
  CHECK_FALSE(t.log->Replay({1, 2}, {99, 0}, 5, 7));
  CHECK_FALSE(t.log->Replay({1, 2}, {slots[0].segment, 1000}, 5, 7));
  t.log->FinishReplay();
  CHECK_FALSE(t.log->Keeps({77, 0}, 5));
  CHECK(t.log->Unproven(slots[0], Tag(pages[0])));
  CHECK(t.Get(pages[0], slots[0]) == ReadOutcome::kOk);
  CHECK_FALSE(t.log->Unproven(slots[0], Tag(pages[0])));
  REQUIRE(t.Checkpoint({2, 0}).ok());
  t.Reopen();
  CHECK_FALSE(t.log->Unproven(slots[0], Tag(pages[0])));
  CHECK(t.log->Unproven(slots[1], Tag(pages[1])));
  t.log->MarkProven(slots[1], Tag(pages[1]));
  CHECK_FALSE(t.log->Unproven(slots[1], Tag(pages[1])));
}

TEST_CASE("what a replayed move has left keeps its entry and its slot until a checkpoint") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 3);
  const auto slots = t.Put(pages, {1, 0});
  REQUIRE(t.Checkpoint({1, 1}).ok());
  t.Open(true);
  const uint64_t moved = Tag(pages[0]);
  const SlotRef to = {slots[0].segment, 7};
  REQUIRE(t.log->Replay({1, 1}, to, moved, 1));
  t.log->ReplayMoved(slots[0], moved);
  t.log->ReplayMoved(slots[1], moved);  // which is another page's
  // Nothing is held of a slot that was used again.
  t.log->ReplayMoved(slots[2], Tag(pages[2]));
  REQUIRE(t.log->Replay({1, 2}, slots[2], Tag(pages[1]), 1));
  t.log->FinishReplay();
  const auto taken = [&] {
    std::vector<uint32_t> numbers;
    for (const SlotRun& run : t.log->TakeIn(to.segment, 8)) {
      for (uint32_t i = 0; i < run.count; ++i) numbers.push_back(run.slot(i).slot);
      t.log->Release(run);
    }
    return numbers;
  };
  CHECK(t.log->holds_originals());
  CHECK_FALSE(t.log->Bears(slots[0], moved));
  CHECK(t.log->Bears(slots[1], Tag(pages[1])));
  CHECK(t.log->Bears(slots[2], Tag(pages[1])));
  CHECK(t.log->Keeps(slots[0], moved));
  CHECK_FALSE(t.log->Keeps(slots[0], moved + 1));
  CHECK_FALSE(t.log->Keeps(slots[1], moved));
  CHECK(taken() == std::vector<uint32_t>{3, 4, 5, 6});
  REQUIRE(t.Checkpoint({2, 0}).ok());
  CHECK_FALSE(t.log->holds_originals());
  CHECK_FALSE(t.log->Keeps(slots[0], moved));
  CHECK(taken() == std::vector<uint32_t>{0, 3, 4, 5, 6});
}

TEST_CASE("a later record overrides the slot, whatever the table or an earlier record said") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 3);
  const SlotRef slot = t.PutOne(pages[0], {1, 0});
  REQUIRE(t.Checkpoint({1, 1}).ok());
  t.Open(true);
  REQUIRE(t.log->Replay({1, 1}, slot, Tag(pages[1]), 7));
  REQUIRE(t.log->Replay({1, 2}, slot, Tag(pages[2]), 8));
  t.log->FinishReplay();
  CHECK_FALSE(t.log->Bears(slot, Tag(pages[0])));
  CHECK_FALSE(t.log->Bears(slot, Tag(pages[1])));
  CHECK(t.log->Bears(slot, Tag(pages[2])));
  // Its payload was never written: a miss, not a wrong page.
  CHECK(t.Get(pages[2], slot) == ReadOutcome::kMismatch);
  CHECK(t.log->Stats(false).at(0).slots.live == 1);
}

TEST_CASE("what was replayed is synced by the next checkpoint") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 1);
  const SlotRef slot = t.PutOne(pages[0], {1, 0});
  REQUIRE(t.Checkpoint({1, 0}).ok());
  t.Open(true);
  REQUIRE(t.log->Replay({1, 0}, slot, Tag(pages[0]), 7));
  t.log->FinishReplay();
  t.fs.failures.syncs = 0;
  REQUIRE(t.log->SyncPayloads().ok());
  CHECK(t.fs.failures.syncs == 1);
  REQUIRE(t.log->SyncPayloads().ok());
  CHECK(t.fs.failures.syncs == 1);
}

TEST_CASE("a lost or damaged slot table means empty slots, which is reported") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 4);
  const auto slots = t.Put(pages);
  REQUIRE(t.Checkpoint({2, 0}).ok());
  const std::string path = SlotTablePath(t.options.slot_table_dir, slots[0].segment, t.generation);
  SECTION("lost") { std::filesystem::remove(path); }
  SECTION("damaged") { FlipBit(path, 100, 3); }
  t.Reopen();
  REQUIRE(t.recovered.size() == 1);
  CHECK_FALSE(t.recovered[0].problem.ok());
  CHECK(t.recovered[0].slots_lost == 8);
  CHECK_FALSE(t.log->Bears(slots[0], Tag(pages[0])));
  CHECK(t.Put(pages).size() == 4);
}

TEST_CASE("a missing directory makes its pages misses, keeps their entries, and may come back") {
  TestLog t(4, kCapacity, 2);
  t.options.stripe_bytes = kPage;
  t.Open(true);
  t.log->FinishReplay();
  auto pages = Pages(1, 12);
  const auto slots = t.Put(pages);
  REQUIRE(slots.size() == 12);
  REQUIRE(t.Checkpoint({2, 0}).ok());
  const std::string away = t.dir.File("away");
  std::filesystem::rename(t.options.log_dirs[0], away);
  t.Reopen();
  size_t missing = 0;
  size_t erased = pages.size();
  for (size_t i = 0; i < pages.size(); ++i) {
    CHECK(t.log->Keeps(slots[i], Tag(pages[i])));
    if (t.log->Bears(slots[i], Tag(pages[i]))) {
      CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kOk);
      continue;
    }
    ++missing;
    CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kGone);
    erased = i;
  }
  CHECK(missing >= 4);
  REQUIRE(erased < pages.size());
  // Erased while away stays erased.
  REQUIRE(t.log->Free(slots[erased], Tag(pages[erased])));
  CHECK(t.log->WritableStatus().ok());
  REQUIRE(t.log->Take(kPage, 1).ok());
  REQUIRE(t.Checkpoint({3, 0}).ok());
  std::filesystem::rename(away, t.options.log_dirs[0]);
  t.Reopen();
  for (size_t i = 0; i < pages.size(); ++i) {
    CHECK(t.log->Bears(slots[i], Tag(pages[i])) == (i != erased));
  }
}

TEST_CASE("a log without any directory opens, and says why it takes nothing") {
  TestLog t(4, kCapacity);
  std::filesystem::remove_all(t.options.log_dirs[0]);
  t.Reopen();
  CHECK(t.log->Take(kPage, 1).status().code() == StatusCode::kIoError);
  CHECK(t.log->WritableStatus().message().find(t.options.log_dirs[0]) != std::string_view::npos);
}

TEST_CASE("a failed sync frees what it cannot vouch for, and the next checkpoint goes through") {
  TestLog t(8, kCapacity, 2);
  t.options.stripe_bytes = kPage;
  t.Open(true);
  t.log->FinishReplay();
  auto old_pages = Pages(1, 8);
  const auto old_slots = t.Put(old_pages, {1, 0});
  REQUIRE(t.Checkpoint({1, 1}).ok());
  auto pages = Pages(100, 8);
  const auto slots = t.Put(pages, {1, 1});
  t.fs.failures.only_in = "/log0/";
  t.fs.failures.sync_at = 1;
  CHECK_FALSE(t.Checkpoint({1, 2}).ok());
  t.fs.failures.sync_at = 0;
  for (size_t i = 0; i < 8; ++i) CHECK(t.Get(old_pages[i], old_slots[i]) == ReadOutcome::kOk);
  size_t kept = 0;
  for (size_t i = 0; i < 8; ++i) {
    const bool bears = t.log->Bears(slots[i], Tag(pages[i]));
    kept += bears;
    for (const SegmentInfo& info : t.log->Segments()) {
      if (info.id == slots[i].segment) CHECK(bears == (info.log_dir == 1));
    }
  }
  CHECK(kept == 4);
  CHECK_FALSE(t.log->log_dirs()[0]->writable());
  const uint64_t syncs = t.fs.failures.syncs;
  CHECK(t.Checkpoint({1, 2}).ok());
  CHECK(t.fs.failures.syncs > syncs);
  t.Reopen();
  for (size_t i = 0; i < 8; ++i) CHECK(t.log->Bears(old_slots[i], Tag(old_pages[i])));
}

TEST_CASE("a checkpoint that is given up leaves its segments to the next, and no files") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 12);
  const auto slots = t.Put(pages, {1, 0});
  auto saved = t.log->SaveSlotTables({1, 1}, ++t.generation, false);
  REQUIRE(saved.ok());
  CHECK(saved->size() == 2);
  t.log->CheckpointFailed(*saved);
  CHECK(std::filesystem::is_empty(t.options.slot_table_dir));
  REQUIRE(t.Checkpoint({1, 1}).ok());
  t.Reopen();
  for (size_t i = 0; i < 12; ++i) CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kOk);
}

TEST_CASE("writing with a sync fails the pages whose sync failed") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 2);
  auto runs = t.log->Take(kPage, 2);
  REQUIRE(runs.ok());
  std::vector<PageWrite> writes;
  for (uint32_t i = 0; i < 2; ++i) writes.push_back(pages[i].Write((*runs)[0].slot(i)));
  t.fs.failures.syncs = 0;
  REQUIRE(t.log->WritePages(*t.queue, writes, {}, true, nullptr).ok());
  CHECK(t.fs.failures.syncs == 1);
  t.fs.failures.sync_at = 1;
  CHECK_FALSE(t.log->WritePages(*t.queue, writes, {}, true, nullptr).ok());
  for (const PageWrite& write : writes) CHECK_FALSE(write.ok);
  t.log->Release((*runs)[0]);
}

TEST_CASE("slot tables that cannot be written leave the log as it was") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 4);
  const auto slots = t.Put(pages, {1, 0});
  REQUIRE(t.Checkpoint({1, 1}).ok());
  REQUIRE(t.log->Condemn(slots[0], Tag(pages[0])));
  t.fs.failures.only_in = ".slots";
  t.fs.failures.code = StatusCode::kNoSpace;
  SECTION("write") { t.fs.failures.write_at = 1; }
  SECTION("sync") { t.fs.failures.sync_at = 1; }
  CHECK(t.Checkpoint({1, 1}).code() == StatusCode::kNoSpace);
  t.fs.failures.write_at = 0;
  t.fs.failures.sync_at = 0;
  CHECK(t.log->log_dirs()[0]->writable());
  CHECK(std::distance(std::filesystem::directory_iterator(t.options.slot_table_dir), {}) == 1);
  REQUIRE(t.Checkpoint({1, 1}).ok());
  CHECK(std::distance(std::filesystem::directory_iterator(t.options.slot_table_dir), {}) == 1);
  t.Reopen();
  CHECK(t.log->Stats(false).at(0).slots.condemned == 1);
}

TEST_CASE("orphans of a crash are removed, and nothing else") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 4);
  const auto slots = t.Put(pages);
  REQUIRE(t.Checkpoint({2, 0}).ok());
  const std::string orphan = t.log->log_dirs()[0]->SegmentPath(50);
  WriteWhole(orphan, std::string(8192, 'x'));
  WriteWhole(SlotTablePath(t.options.slot_table_dir, 1, 999), "x");
  WriteWhole(SlotTablePath(t.options.slot_table_dir, 60, 1), "x");
  WriteWhole(t.options.slot_table_dir + "/keep.txt", "x");
  t.Reopen();
  const auto removed = t.log->RemoveOrphans();
  REQUIRE(removed.ok());
  CHECK(removed->removed_bytes >= 8192);
  CHECK(removed->kept_bytes == 0);
  CHECK(removed->problems.empty());
  CHECK_FALSE(std::filesystem::exists(orphan));
  CHECK(std::distance(std::filesystem::directory_iterator(t.options.slot_table_dir), {}) == 2);
  CHECK(std::filesystem::exists(t.log->log_dirs()[0]->path() + "/" + kLogDirMarkerName));
  CHECK(t.Get(pages[0], slots[0]) == ReadOutcome::kOk);
}

TEST_CASE("a segment that is cut anew under an id that a crash left behind starts empty") {
  TestLog t(4, kCapacity);
  std::filesystem::create_directories(t.options.log_dirs[0]);
  WriteWhole(t.log->log_dirs()[0]->SegmentPath(1), "left behind");
  auto pages = Pages(1, 1);
  const SlotRef slot = t.PutOne(pages[0]);
  CHECK(slot.segment == 1);
  CHECK(t.Get(pages[0], slot) == ReadOutcome::kOk);
}

TEST_CASE("a segment goes only when nothing in it is live, written or pinned") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 8);
  const auto slots = t.Put(pages);
  REQUIRE(t.Checkpoint({2, 0}).ok());
  const std::string file = t.log->log_dirs()[0]->SegmentPath(1);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  CHECK(t.log->CloseSegment(1, now()).code() == StatusCode::kBusy);
  CHECK(t.Get(pages[0], slots[0]) == ReadOutcome::kOk);
  for (size_t i = 0; i < 8; ++i) REQUIRE(t.log->Condemn(slots[i], Tag(pages[i])));
  REQUIRE(t.log->Pin(slots[3], Tag(pages[3])));
  CHECK(t.log->CloseSegment(1, now()).code() == StatusCode::kBusy);
  t.log->Unpin(slots[3]);
  CHECK(std::filesystem::exists(file));
  for (size_t i = 0; i < 8; ++i) CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kOk);
  REQUIRE(t.log->CloseSegment(1, now()).ok());
  REQUIRE(t.log->RemoveSegment(1).ok());
  CHECK_FALSE(std::filesystem::exists(file));
  CHECK(std::filesystem::is_empty(t.options.slot_table_dir));
  CHECK(t.log->Segments().empty());
  CHECK_FALSE(t.log->Bears(slots[3], Tag(pages[3])));
  CHECK(t.Get(pages[3], slots[3]) == ReadOutcome::kGone);
  CHECK(t.log->CloseSegment(1, now()).code() == StatusCode::kInvalidArgument);
  CHECK(t.log->RemoveSegment(1).code() == StatusCode::kInvalidArgument);
  CHECK(t.log->file_bytes() == 0);
}

TEST_CASE("a closed segment shows nothing, and everything again when it is opened") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 8);
  const auto slots = t.Put(pages);
  for (size_t i = 0; i < 8; ++i) REQUIRE(t.log->Condemn(slots[i], Tag(pages[i])));
  REQUIRE(t.log->CloseSegment(1, std::chrono::steady_clock::now()).ok());
  CHECK_FALSE(t.log->Bears(slots[0], Tag(pages[0])));
  CHECK(t.log->Keeps(slots[0], Tag(pages[0])));
  CHECK_FALSE(t.log->Pin(slots[0], Tag(pages[0])));
  CHECK_FALSE(t.log->Revive(slots[0], Tag(pages[0])));
  CHECK(t.Get(pages[0], slots[0]) == ReadOutcome::kGone);
  CHECK(t.log->TakeIn(1, 8).empty());
  CHECK(t.log->TakeExisting(pages[0].bytes(), 1).status().code() == StatusCode::kNoSpace);
  t.log->ReopenSegment(1);
  for (size_t i = 0; i < 8; ++i) CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kOk);
  CHECK(t.log->Revive(slots[0], Tag(pages[0])));
  CHECK(t.log->TakeExisting(pages[0].bytes(), 1).ok());
}

TEST_CASE("closing a segment waits for its last reader and its last writer") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 7);
  const auto slots = t.Put(pages);
  for (size_t i = 0; i < 7; ++i) REQUIRE(t.log->Condemn(slots[i], Tag(pages[i])));
  REQUIRE(t.log->Pin(slots[3], Tag(pages[3])));
  const auto taken = t.log->TakeIn(1, 8);
  REQUIRE(taken.size() == 2);  // all but the pinned one
  REQUIRE(t.log->SetDraining(1, true).ok());
  const auto far = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  std::thread others([&] {
    for (const SlotRun& run : taken) t.log->Release(run);
    t.log->Unpin(slots[3]);
  });
  CHECK(t.log->AwaitWriters(1, far).ok());
  CHECK(t.log->CloseSegment(1, far).ok());
  others.join();
  CHECK(t.log->RemoveSegment(1).ok());
}

TEST_CASE("an empty segment for moves gives its slots in order, and to nobody else") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 8);
  t.Put(pages);
  const auto id = t.log->AddEmptySegment(0, kPage, 3);
  REQUIRE(id.ok());
  CHECK(t.log->Segments().back().slot_count == kMinSegmentSlots);
  CHECK(t.log->TakeExisting(pages[0].bytes(), 1).status().code() == StatusCode::kNoSpace);
  CHECK(t.log->TakeIn(*id, 5) == std::vector<SlotRun>{{*id, 0, 5}});
  CHECK(t.log->TakeIn(*id, 5) == std::vector<SlotRun>{{*id, 5, 3}});
  CHECK(t.log->TakeIn(*id, 5).empty());
}

TEST_CASE("impossible segments of a manifest are refused") {
  TestLog t(4, kCapacity);
  t.Open(true);
  const SegmentInfo good{.id = 9, .log_dir = 0, .slot_bytes = 4096, .slot_count = 8};
  REQUIRE(t.log->AddSegment(good, 0).ok());
  const auto code = [&](SegmentInfo info) { return t.log->AddSegment(info, 0).status().code(); };
  CHECK(code(good) == StatusCode::kCorruption);
  CHECK(code({10, 1, 4096, 8}) == StatusCode::kCorruption);
  CHECK(code({10, 0, 4095, 8}) == StatusCode::kCorruption);
  CHECK(code({10, 0, 0, 8}) == StatusCode::kCorruption);
  CHECK(code({10, 0, 4096, 0}) == StatusCode::kCorruption);
  CHECK(code({10, 0, 1u << 31, UINT32_MAX}) == StatusCode::kCorruption);
  CHECK(code({UINT32_MAX, 0, 4096, 8}) == StatusCode::kCorruption);
}

TEST_CASE("erasing a root frees its pages alone, condemned and live, and only once") {
  TestLog t(8, kCapacity);
  auto mine = Pages(1, 6);
  auto other = Pages(100, 6);
  const auto my_slots = t.Put(mine, {1, 0}, 1);
  const auto other_slots = t.Put(other, {1, 0}, 2);
  REQUIRE(t.log->Condemn(my_slots[2], Tag(mine[2])));
  CHECK(t.log->FreeRoot(1) == 6);
  for (size_t i = 0; i < 6; ++i) {
    CHECK_FALSE(t.log->Bears(my_slots[i], Tag(mine[i])));
    CHECK(t.Get(other[i], other_slots[i]) == ReadOutcome::kOk);
  }
}

TEST_CASE("bytes are counted as the file system counts them") {
  TestLog t(4, kCapacity);
  auto pages = Pages(1, 20);
  REQUIRE(t.Put(pages).size() == 20);
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(t.options.log_dirs[0])) {
    if (file.path().extension() == ".segment") bytes += file.file_size();
  }
  CHECK(t.log->file_bytes() == bytes);
  CHECK(t.log->memory_bytes() >= 24 * sizeof(Slot));
  CHECK(t.log->SegmentsOfClass(kPage).size() == 3);
  CHECK(t.log->SegmentsOfClass(4096).empty());
}

}  // namespace
}  // namespace lamina
