// Tables that cannot be opened now, and can be later.
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPagesPut = 500;

size_t Found(QuietStore& store) {
  TestPath path = MakePath(store.store(), "model", Tokens(0, kPagesPut));
  return CountOk(ProbePages(store.store(), path, 0, kPagesPut));
}

void RunAll(QuietStore& store) {
  while (store.scheduler().RunOne()) {
  }
}

SimulatedFaults UnreadableTables() {
  SimulatedFaults faults;
  faults.read_error = 1;
  faults.only_in = ".sst";
  return faults;
}

TEST_CASE("a table that could not be opened with the store is noted, and opened by a later lookup",
          "[simulated]") {
  QuietStore store("");
  store.PutEntries(0, kPagesPut);
  REQUIRE(store.store().Flush().ok());
  store.Reopen([&] { store.disk().SetFaults(UnreadableTables()); });
  std::string stats = store.Stats();
  REQUIRE(StatOf(stats, "tables_unopened") == 1);
  REQUIRE(StatOf(stats, "tables_lost") == 0);
  REQUIRE(StatOf(stats, "table_open_failures") >= 1);
  REQUIRE_THAT(stats, Catch::Contains("EIO"));

  REQUIRE(Found(store) == 0);
  store.disk().SetFaults({});
  RunAll(store);
  REQUIRE(Found(store) == kPagesPut);
  stats = store.Stats();
  REQUIRE(StatOf(stats, "tables_unopened") == 0);
  REQUIRE_THAT(stats, Catch::Contains("\"table_problems\":[]"));
}

TEST_CASE("a table that could not be opened after its flush is opened with the next one",
          "[simulated]") {
  QuietStore store("");
  store.PutEntries(0, kPagesPut - 1);
  store.disk().SetFaults(UnreadableTables());
  REQUIRE(store.store().Flush().ok());
  REQUIRE(StatOf(store.Stats(), "tables_unopened") == 1);
  store.disk().SetFaults({});
  store.PutEntries(kPagesPut - 1, 1);
  REQUIRE(store.store().Flush().ok());
  REQUIRE(StatOf(store.Stats(), "tables_unopened") == 0);
  REQUIRE(Found(store) == kPagesPut);
}

TEST_CASE("a table that only a job has opened since is opened by a later lookup, too",
          "[simulated]") {
  constexpr size_t kFlushes = 4;
  QuietStore store("size_ratio=4");
  for (size_t flush = 0; flush < kFlushes; ++flush) {
    store.PutEntries(flush * kPagesPut / kFlushes, kPagesPut / kFlushes);
    REQUIRE(store.store().Flush().ok());
  }
  store.Reopen([&] { store.disk().SetFaults(UnreadableTables()); });
  REQUIRE(StatOf(store.Stats(), "tables_unopened") == kFlushes);
  // A merge that reads its inputs, but has no room for what it writes.
  store.disk().SetFaults({});
  store.disk().FailOperation(1, ENOSPC, 1000);
  const uint64_t tried = StatOf(store.Stats(), "table_open_failures");
  store.scheduler().ClearError(WorkClass::kCompaction);
  RunAll(store);
  store.disk().FailOperation(0, 0);
  REQUIRE(store.scheduler().error(WorkClass::kCompaction).code() == StatusCode::kNoSpace);
  REQUIRE(StatOf(store.Stats(), "table_open_failures") == tried);

  REQUIRE(Found(store) == 0);
  RunAll(store);
  REQUIRE(Found(store) == kPagesPut);
}

TEST_CASE("tables that cannot be opened are not tried at every lookup", "[simulated]") {
  QuietStore store("");
  store.PutEntries(0, kPagesPut);
  REQUIRE(store.store().Flush().ok());
  store.Reopen([&] { store.disk().SetFaults(UnreadableTables()); });
  const uint64_t at_open = StatOf(store.Stats(), "table_open_failures");
  for (int lookup = 0; lookup < 20; ++lookup) {
    REQUIRE(Found(store) == 0);
    RunAll(store);
  }
  REQUIRE(StatOf(store.Stats(), "table_open_failures") < at_open + 10);
}

}  // namespace
}  // namespace lamina::testing
