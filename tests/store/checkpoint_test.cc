// What a flush makes of pages with several entries, and what stays bounded when flushes fail or the
// index grows.
#include <catch2/catch.hpp>

#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;
constexpr uint64_t kSeed = 11;

std::unique_ptr<Store> OpenOn(SimulatedDisk& disk, const std::string& options) {
  auto store = OpenSimulatedStore(disk.Restart(), options);
  if (!store.ok()) FAIL(store.status().ToString());
  return std::move(*store);
}

TEST_CASE("while no checkpoint succeeds puts are rejected before memtables pile up",
          "[simulated]") {
  SimulatedDisk disk(kSeed);
  const auto store = OpenOn(disk, "");
  TestPath path = MakePath(*store, "model", Tokens(0, 100));
  REQUIRE(CountOk(PutPages(*store, path, 0, 1, kPage)) == 1);
  // Segments and the journal have their space already; tables have none.
  disk.SetCapacity(0);
  for (size_t page = 1; page < 40; ++page) {
    PutPages(*store, path, page, 1, kPage);
    REQUIRE_FALSE(store->Flush().ok());
    REQUIRE(StatOf(store->StatsJson(), "frozen_memtables") <= 4);
  }
  REQUIRE(StatOf(store->StatsJson(), "rejected_no_space") > 0);

  disk.SetCapacity(UINT64_MAX);
  REQUIRE(store->Flush().ok());
  REQUIRE(CountOk(PutPages(*store, path, 0, 100, kPage)) == 100);
  const GetOutcome got = GetPages(*store, path, 0, 100, kPage);
  REQUIRE(CountOk(got.states) == 100);
  REQUIRE(got.wrong == 0);
}

TEST_CASE("while checkpoints fail the journal ends, with a reason, and goes on when they succeed",
          "[simulated]") {
  constexpr uint64_t kJournalFile = 1 << 20;
  SimulatedDisk disk(kSeed);
  const auto store = OpenOn(disk, "memtable_bytes=4M");
  TestPath path = MakePath(*store, "model", Tokens(0, 8000));
  const auto put = [&](size_t page) {
    return *store->impl()->PutEntries(*path.path->impl(), page, 1, kPage) == 1;
  };
  const auto journal_bytes = [&] {
    uint64_t bytes = 0;
    const auto view = disk.Attach();
    for (const std::string& file : disk.Files())
      if (file.ends_with(".journal")) bytes += *view->AllocatedBytes(file);
    return bytes;
  };
  disk.SetFaults({.write_error = 1, .only_in = ".sst"});
  size_t stored = 0;
  while (stored < 8000 && put(stored)) ++stored;
  CHECK(stored >= 8 * kJournalFile / 4096);
  CHECK(stored < 9 * kJournalFile / 4096);
  CHECK(journal_bytes() <= 9 * kJournalFile);
  const std::string stats = store->StatsJson();
  CHECK(StatOf(stats, "rejected_stalled") == 1);
  CHECK_THAT(TextOf(stats, "last_rejection"),
             Catch::Contains("the journal has grown to 8388608 bytes") && Catch::Contains(".sst"));
  for (size_t i = 0; i < 20; ++i) CHECK_FALSE(put(stored));
  CHECK(journal_bytes() <= 9 * kJournalFile);
  disk.SetFaults({});
  while (stored < 8000 && put(stored)) ++stored;
  CHECK(stored == 8000);
  CHECK(journal_bytes() <= 18 * kJournalFile);
}

TEST_CASE("another capacity has other journal files and checkpoint intervals", "[simulated]") {
  SimulatedDisk disk(kSeed);
  const auto store = OpenOn(disk, "memtable_bytes=4M");
  TestPath path = MakePath(*store, "model", Tokens(0, 100000));
  size_t next = 0;
  // Journal bytes that a number of blocks add, once earlier files have gone.
  const auto journal_after = [&](size_t blocks) {
    for (size_t i = 0; i < blocks; ++i, ++next)
      REQUIRE(*store->impl()->PutEntries(*path.path->impl(), next, 1, kPage) == 1);
    for (int i = 0; i < 2; ++i) REQUIRE(store->impl()->Checkpoint(false).ok());
    return StatOf(store->StatsJson(), "file_bytes");
  };
  const auto checkpoints_after_8_mib = [&] {
    const uint64_t before = StatOf(store->StatsJson(), "checkpoints");
    for (int i = 0; i < 8; ++i, next += 256) PutPages(*store, path, next, 256, kPage);
    while (store->impl()->scheduler().RunOne()) {
    }
    return StatOf(store->StatsJson(), "checkpoints") - before;
  };
  CHECK(journal_after(300) == 1 << 20);
  CHECK(checkpoints_after_8_mib() >= 1);
  REQUIRE(store->SetCapacity(uint64_t{16} << 30).ok());
  CHECK(journal_after(300) == 16 << 20);
  CHECK(checkpoints_after_8_mib() == 0);
  REQUIRE(store->SetCapacity(uint64_t{64} << 20).ok());
  CHECK(journal_after(4400) == 1 << 20);
  CHECK(checkpoints_after_8_mib() >= 1);
}

TEST_CASE("a closed store keeps of its journal what was written", "[simulated]") {
  QuietStore store("capacity_bytes=64G");  // journal files of 64 MiB
  store.PutAndFlush(0);
  const auto journal_bytes = [&] {
    const auto fs = store.disk().Attach();
    uint64_t bytes = 0;
    for (const std::string& name : store.disk().Files())
      if (name.ends_with(".journal")) bytes += *fs->AllocatedBytes(name);
    return bytes;
  };
  CHECK(journal_bytes() >= uint64_t{64} << 20);
  uint64_t closed = UINT64_MAX;
  store.Reopen([&] { closed = journal_bytes(); });
  CHECK(closed < uint64_t{1} << 20);
  CHECK(store.Reads(1));
}

TEST_CASE("a flush of several tables never parts the entries of a page", "[simulated]") {
  constexpr uint32_t kPaths = 200;
  constexpr char kOptions[] = "capacity_bytes=8G;memtable_bytes=4M;table_bytes=64K";
  SimulatedDisk disk(kSeed);
  {
    const auto store = OpenOn(disk, kOptions);
    for (uint32_t i = 0; i < kPaths; ++i) {
      TestPath path = MakePath(*store, "model", Tokens(i * 1000, 64));
      Path::Impl& pages = *path.path->impl();
      REQUIRE(*store->impl()->PutEntries(pages, 0, 64, kPage) == 64);
      REQUIRE(CountOk(ProbePages(*store, path, 0, 64)) == 64);
      // Their slots are given up, so that the next put takes others. The journal knows both: after
      // a crash each page has two entries whose slots bear its tag.
      for (size_t page = 0; page < 64; ++page) {
        const Entry& entry = pages.locations[page].entry;
        REQUIRE(store->impl()->log().Free(entry.slot, entry.tag(pages.fingerprints[page])));
      }
      REQUIRE(*store->impl()->PutEntries(pages, 0, 64, kPage) == 64);
    }
    disk.Crash(SimulatedCrash::kProcess);
  }
  // The open ends with a checkpoint of what was replayed.
  const auto store = OpenOn(disk, kOptions);
  const TreePtr tree = store->impl()->CurrentView()->tree;
  REQUIRE(tree->Check().ok());
  REQUIRE(tree->table_count() > 3);
  REQUIRE(tree->entries() == 2 * 64 * kPaths);
  for (uint32_t i = 0; i < kPaths; ++i) {
    TestPath path = MakePath(*store, "model", Tokens(i * 1000, 64));
    REQUIRE(CountOk(ProbePages(*store, path, 0, 64)) == 64);
  }
}

TEST_CASE("a page that is lost and put again many times is searched for in a few places only",
          "[simulated]") {
  SimulatedDisk disk(kSeed);
  const auto store = OpenOn(disk, "capacity_bytes=1G;memtable_bytes=4M");
  TestPath path = MakePath(*store, "model", Tokens(0, 1));
  Path::Impl& page = *path.path->impl();
  for (int time = 0; time < 2000; ++time) {
    REQUIRE(*store->impl()->PutEntries(page, 0, 1, kPage) == 1);
    const Entry& entry = page.locations[0].entry;
    REQUIRE(store->impl()->log().Free(entry.slot, entry.tag(page.fingerprints[0])));
  }
  REQUIRE(store->impl()->CurrentView()->active->entry_count() == 1);
}

TEST_CASE("a page that is put again during the walk for orphans, where it was one, stays",
          "[simulated]") {
  SimulatedDisk disk(kSeed);
  {
    const auto store = OpenOn(disk, "");
    TestPath path = MakePath(*store, "model", Tokens(0, 4));
    REQUIRE(CountOk(PutPages(*store, path, 0, 4, kPage)) == 4);
    disk.Crash(SimulatedCrash::kProcess);
  }
  const auto store = OpenOn(disk, "");
  TensorLog& log = store->impl()->log();
  TestPath page = MakePath(*store, "model", Tokens(1000, 1));
  REQUIRE(CountOk(PutPages(*store, page, 0, 1, kPage)) == 1);
  const Location& at = page.path->impl()->locations[0];
  const uint64_t tag = at.entry.tag(page.path->impl()->fingerprints[0]);
  REQUIRE(store->Erase(*page.path, 0, 1).ok());
  // The page's tag, without an entry, in the slot that is next to be overwritten.
  TestPath other = MakePath(*store, "model", Tokens(2000, 1));
  REQUIRE(CountOk(PutPages(*store, other, 0, 1, kPage)) == 1);
  const SlotRef before = other.path->impl()->locations[0].entry.slot;
  const SlotRef next{before.segment, before.slot + 1};
  for (const SlotRun& run : log.TakeIn(next.segment, 8)) {
    for (uint32_t i = 0; i < run.count; ++i) {
      if (run.slot(i) != next) {
        log.Release(run.slot(i));
        continue;
      }
      log.Publish(next, tag, 1, {1, 0});
      REQUIRE(log.Condemn(next, tag));
    }
  }
  Scheduler& scheduler = store->impl()->scheduler();
  REQUIRE(scheduler.RunOne());
  REQUIRE(CountOk(PutPages(*store, page, 0, 1, kPage)) == 1);
  REQUIRE(at.entry.slot == next);
  while (scheduler.RunOne()) {
  }
  CHECK(CountOk(GetPages(*store, page, 0, 1, kPage).states) == 1);
  CHECK(StatOf(store->StatsJson(), "orphan_slots_freed") == 0);
}

TEST_CASE("a compaction during the walk for orphans costs no page", "[simulated]") {
  constexpr char kOptions[] = "capacity_bytes=256M;memtable_bytes=4M";
  constexpr uint32_t kPaths = 6;
  SimulatedDisk disk(kSeed);
  const auto path_of = [](Store& store, uint32_t i) {
    return MakePath(store, "model", Tokens(i * 1000, 64));
  };
  {
    const auto store = OpenOn(disk, kOptions);
    for (uint32_t i = 0; i < kPaths; ++i) {
      TestPath path = path_of(*store, i);
      REQUIRE(CountOk(PutPages(*store, path, 0, 64, kPage)) == 64);
      REQUIRE(store->Flush().ok());
    }
    disk.Crash(SimulatedCrash::kProcess);
  }
  const auto store = OpenOn(disk, kOptions);
  Scheduler& scheduler = store->impl()->scheduler();
  REQUIRE(store->impl()->CurrentView()->runs.size() >= kPaths);
  // Begun by this call are a merge of all runs and, behind it, the walk, which takes one step.
  REQUIRE(scheduler.RunOne(1));
  REQUIRE(scheduler.RunOne(0));
  REQUIRE(store->impl()->CurrentView()->runs.size() == 1);
  while (scheduler.RunOne()) {
  }
  REQUIRE(StatOf(store->StatsJson(), "orphan_slots_freed") == 0);
  for (uint32_t i = 0; i < kPaths; ++i) {
    TestPath path = path_of(*store, i);
    REQUIRE(CountOk(GetPages(*store, path, 0, 64, kPage).states) == 64);
  }
}

TEST_CASE("the block cache gives way as slots and filters grow, so that memory stays in budget",
          "[simulated]") {
  constexpr uint64_t kMemory = uint64_t{16} << 20;
  SimulatedDisk disk(kSeed);
  const auto store =
      OpenOn(disk, "capacity_bytes=1G;memory_bytes=16M;memtable_bytes=64K;filter_bits=20");
  const size_t at_open = store->impl()->block_cache().capacity_bytes();
  for (uint32_t i = 0; i < 60; ++i) {
    TestPath path = MakePath(*store, "model", Tokens(i * 1000, 64));
    REQUIRE(*store->impl()->PutEntries(*path.path->impl(), 0, 64, kPage) == 64);
  }
  REQUIRE(store->Flush().ok());
  const std::string stats = store->StatsJson();
  const uint64_t rest = StatOf(stats, "slots") + StatOf(stats, "filters_and_top_indexes") +
                        StatOf(stats, "memtables_and_buffers");
  REQUIRE(store->impl()->block_cache().capacity_bytes() < at_open);
  REQUIRE(rest + store->impl()->block_cache().capacity_bytes() <= kMemory);
}

}  // namespace
}  // namespace lamina::testing
