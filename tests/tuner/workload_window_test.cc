#include "tuner/workload_window.h"

#include <catch2/catch.hpp>

namespace lamina::tuner {
namespace {

TEST_CASE("a mix is the counters' shares, and puts look before they write") {
  const WorkloadCounters counters = {.puts_written = 30,
                                     .puts_present = 10,
                                     .put_lookups = 20,
                                     .lookups_missing = 25,
                                     .lookups_existing = 15,
                                     .stem_scans = 15,
                                     .stem_scan_entries = 300,
                                     .long_scans = 5,
                                     .long_scan_entries = 5000};
  CHECK(counters.operations() == 100);
  const WorkloadMix mix = MixOf(counters);
  CHECK(mix.puts == Approx(0.40));
  CHECK(mix.missing == Approx(0.25));
  CHECK(mix.existing == Approx(0.15));
  CHECK(mix.stem_scans == Approx(0.15));
  CHECK(mix.long_scans == Approx(0.05));
  CHECK(mix.put_duplicates == Approx(0.25));
  CHECK(mix.put_lookups == Approx(0.5));
  CHECK(mix.stem_scan_entries == Approx(20));
  CHECK(mix.long_scan_entries == Approx(1000));
  CHECK(mix.written() == Approx(0.30));
  // z0 + w * (1 - dup) and z1 + w * dup, for the half that had to look.
  CHECK(mix.effective_missing() == Approx(0.25 + 0.4 * 0.5 * 0.75));
  CHECK(mix.effective_existing() == Approx(0.15 + 0.4 * 0.5 * 0.25));
}

TEST_CASE("stems that were looked for in vain are one operation each, of so many pages") {
  const WorkloadMix mix =
      MixOf({.puts_written = 90, .missing_stems = 10, .missing_stem_entries = 320});
  CHECK(mix.missing_stems == Approx(0.1));
  CHECK(mix.missing_stem_entries == Approx(32));
  CHECK(mix.missing == 0);
  CHECK(TotalVariation(mix, MixOf({.puts_written = 100})) == Approx(0.1));
}

TEST_CASE("no operations make no mix") {
  const WorkloadMix mix = MixOf({});
  CHECK(mix == WorkloadMix());
  CHECK(mix.written() == 0);
}

TEST_CASE("total variation is the share of operations that changed class") {
  const WorkloadMix puts = MixOf({.puts_written = 100});
  const WorkloadMix gets = MixOf({.lookups_existing = 100});
  const WorkloadMix half = MixOf({.puts_written = 50, .lookups_existing = 50});
  CHECK(TotalVariation(puts, puts) == 0);
  CHECK(TotalVariation(puts, gets) == Approx(1));
  CHECK(TotalVariation(puts, half) == Approx(0.5));
  CHECK(TotalVariation(half, gets) == Approx(0.5));
}

TEST_CASE("a window closes after its operations, and starts anew") {
  WorkloadWindow window(1000);
  CHECK_FALSE(window.full());
  window.Add({.puts_written = 400, .lookups_missing = 599});
  CHECK_FALSE(window.full());
  window.Add({.stem_scans = 1, .stem_scan_entries = 64});
  CHECK(window.full());
  const WorkloadCounters counters = window.Take();
  CHECK(counters.puts_written == 400);
  CHECK(counters.stem_scan_entries == 64);
  CHECK_FALSE(window.full());
  CHECK(window.counters() == WorkloadCounters());
}

}  // namespace
}  // namespace lamina::tuner
