// Sectors of the index, and of pages that are to be moved, that the device cannot read.
#include <catch2/catch.hpp>

#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kFlushes = 4;
constexpr size_t kPerFlush = 500;  // pages, several blocks of a table

// Tables in level 0, one a flush, in the order of their flushes.
std::vector<TableMeta> FlushedTables(QuietStore& store) {
  for (size_t flush = 0; flush < kFlushes; ++flush) {
    store.PutEntries(flush * kPerFlush, kPerFlush);
    REQUIRE(store.store().Flush().ok());
  }
  std::vector<TableMeta> tables;
  const auto& runs = store.store().impl()->CurrentView()->tree->level(0).runs;
  for (auto run = runs.rbegin(); run != runs.rend(); ++run)
    tables.push_back((*run)->tables.front());
  REQUIRE(tables.size() == kFlushes);
  return tables;
}

// One try of all background work, as when a while has passed since the last one failed.
Status TryCompaction(QuietStore& store) {
  store.scheduler().ClearError(WorkClass::kCompaction);
  while (store.scheduler().RunOne()) {
  }
  return store.scheduler().error(WorkClass::kCompaction);
}

size_t Found(QuietStore& store) {
  TestPath path = MakePath(store.store(), "model", Tokens(0, QuietStore::kPages));
  return CountOk(ProbePages(store.store(), path, 0, kFlushes * kPerFlush));
}

TEST_CASE("an unreadable sector is given up after some tries and costs the pages of its block",
          "[simulated]") {
  QuietStore store("size_ratio=4");
  const std::vector<TableMeta> tables = FlushedTables(store);
  REQUIRE(tables[1].data_blocks >= 3);
  const std::string path = TablePath("/store", tables[1].number);
  REQUIRE(store.disk().MakeUnreadable(path, kTableBlockBytes + 512, 512).ok());
  for (uint32_t attempt = 1; attempt < ReadTries::kTries; ++attempt) {
    REQUIRE(TryCompaction(store).code() == StatusCode::kIoError);
    REQUIRE(StatOf(store.Stats(), "index_given_up") == 0);
  }
  REQUIRE(TryCompaction(store).ok());
  REQUIRE(store.store().impl()->CurrentView()->tree->run_count() == 1);
  const std::string stats = store.Stats();
  REQUIRE(StatOf(stats, "index_given_up") == 1);
  REQUIRE(StatOf(stats, "index_damage") >= 1);
  REQUIRE_THAT(stats, Catch::Contains("offset 4096") && Catch::Contains("EIO"));

  const size_t lost = kFlushes * kPerFlush - Found(store);
  REQUIRE(lost > 0);
  REQUIRE(lost <= 2 * kPerFlush / tables[1].data_blocks);
  // What they lay in is free again, and they can be put again.
  REQUIRE(StatOf(stats, "orphan_slots_freed") == lost);
  store.PutEntries(0, kFlushes * kPerFlush);
  REQUIRE(Found(store) == kFlushes * kPerFlush);
}

TEST_CASE("a table whose footer cannot be read is given up as a whole", "[simulated]") {
  QuietStore store("size_ratio=4");
  const std::vector<TableMeta> tables = FlushedTables(store);
  const std::string path = TablePath("/store", tables[2].number);
  store.Reopen(
      [&] { REQUIRE(store.disk().MakeUnreadable(path, tables[2].file_bytes - 4096, 4096).ok()); });
  for (uint32_t attempt = 1; attempt < ReadTries::kTries; ++attempt)
    REQUIRE(TryCompaction(store).code() == StatusCode::kIoError);
  REQUIRE(TryCompaction(store).ok());
  REQUIRE(Found(store) == (kFlushes - 1) * kPerFlush);
}

TEST_CASE("a device that reads nothing for a while costs no page, however often it is tried",
          "[simulated]") {
  QuietStore store("size_ratio=4");
  FlushedTables(store);
  SimulatedFaults faults;
  faults.read_error = 1;
  faults.only_in = ".sst";
  store.disk().SetFaults(faults);
  for (uint32_t attempt = 0; attempt < 3 * ReadTries::kTries; ++attempt)
    REQUIRE(TryCompaction(store).code() == StatusCode::kIoError);
  store.disk().SetFaults({});
  REQUIRE(TryCompaction(store).ok());
  REQUIRE(store.store().impl()->CurrentView()->tree->run_count() == 1);
  REQUIRE(Found(store) == kFlushes * kPerFlush);
}

// ---- Pages that are to be moved -----------------------------------------------------------------

constexpr size_t kStored = 300;  // pages, in two segments; the second one has room for many more
constexpr size_t kStoredPage = 4096;

// Where the last page lies, which is in the second segment.
SlotRef StorePages(QuietStore& store) {
  PutPages(store.store(), store.path(), 0, kStored, kStoredPage);
  const SlotRef last = store.path().path->impl()->locations[kStored - 1].entry.slot;
  REQUIRE(last.segment == 2);
  return last;
}

Status TryRetirement(QuietStore& store, uint32_t segment, Store::Impl::RetireReport* report) {
  const uint32_t ids[] = {segment};
  return store.store().impl()->RetireSegments(ids, true, nullptr, report);
}

TEST_CASE("a page that cannot be read is given up after some tries, so that its segment can go",
          "[simulated]") {
  QuietStore store("");
  const SlotRef last = StorePages(store);
  // Room for what is to be moved.
  REQUIRE(store.store().Erase(*store.path().path, 0, 100).ok());
  const std::string file = store.store().impl()->log().log_dirs()[0]->SegmentPath(last.segment);
  REQUIRE(store.disk().MakeUnreadable(file, last.slot * kStoredPage + 512, 512).ok());
  Store::Impl::RetireReport report;
  for (uint32_t attempt = 1; attempt < ReadTries::kTries; ++attempt)
    REQUIRE(TryRetirement(store, last.segment, &report).code() == StatusCode::kIoError);
  REQUIRE(report.segments == 0);
  REQUIRE(report.pages_bad == 0);
  REQUIRE(TryRetirement(store, last.segment, &report).ok());
  REQUIRE(report.segments == 1);
  REQUIRE(report.pages_bad == 1);
  REQUIRE_THAT(store.Stats(), Catch::Contains("could not be read, and was not moved"));

  const auto got = [&] { return GetPages(store.store(), store.path(), 100, 200, kStoredPage); };
  REQUIRE(got().wrong == 0);
  REQUIRE(CountOk(got().states) == 199);
  REQUIRE(PutPages(store.store(), store.path(), kStored - 1, 1, kStoredPage)[0] == PageState::kOk);
  REQUIRE(CountOk(got().states) == 200);
}

TEST_CASE("a log directory that reads nothing for a while costs no page, however often it is tried",
          "[simulated]") {
  QuietStore store("");
  const SlotRef last = StorePages(store);
  REQUIRE(store.store().Erase(*store.path().path, 0, 100).ok());
  SimulatedFaults faults;
  faults.read_error = 1;
  faults.only_in = ".segment";
  store.disk().SetFaults(faults);
  Store::Impl::RetireReport report;
  for (uint32_t attempt = 0; attempt < 3 * ReadTries::kTries; ++attempt)
    REQUIRE(TryRetirement(store, last.segment, &report).code() == StatusCode::kIoError);
  store.disk().SetFaults({});
  REQUIRE(TryRetirement(store, last.segment, &report).ok());
  REQUIRE(report.pages_bad == 0);
  const GetOutcome got = GetPages(store.store(), store.path(), 100, 200, kStoredPage);
  REQUIRE(CountOk(got.states) == 200);
  REQUIRE(got.wrong == 0);
}

}  // namespace
}  // namespace lamina::testing
