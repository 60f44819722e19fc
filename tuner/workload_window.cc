#include "tuner/workload_window.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {

WorkloadCounters& WorkloadCounters::operator+=(const WorkloadCounters& other) noexcept {
  puts_written += other.puts_written;
  puts_present += other.puts_present;
  put_lookups += other.put_lookups;
  lookups_missing += other.lookups_missing;
  lookups_existing += other.lookups_existing;
  stem_scans += other.stem_scans;
  stem_scan_entries += other.stem_scan_entries;
  missing_stems += other.missing_stems;
  missing_stem_entries += other.missing_stem_entries;
  long_scans += other.long_scans;
  long_scan_entries += other.long_scan_entries;
  return *this;
}

WorkloadCounters operator-(const WorkloadCounters& a, const WorkloadCounters& b) noexcept {
  return {.puts_written = a.puts_written - b.puts_written,
          .puts_present = a.puts_present - b.puts_present,
          .put_lookups = a.put_lookups - b.put_lookups,
          .lookups_missing = a.lookups_missing - b.lookups_missing,
          .lookups_existing = a.lookups_existing - b.lookups_existing,
          .stem_scans = a.stem_scans - b.stem_scans,
          .stem_scan_entries = a.stem_scan_entries - b.stem_scan_entries,
          .missing_stems = a.missing_stems - b.missing_stems,
          .missing_stem_entries = a.missing_stem_entries - b.missing_stem_entries,
          .long_scans = a.long_scans - b.long_scans,
          .long_scan_entries = a.long_scan_entries - b.long_scan_entries};
}

WorkloadMix MixOf(const WorkloadCounters& counters) noexcept {
  WorkloadMix mix;
  const auto all = static_cast<double>(counters.operations());
  if (all == 0) return mix;
  const auto share = [](uint64_t part, double whole) { return static_cast<double>(part) / whole; };
  const auto puts = static_cast<double>(counters.puts_written + counters.puts_present);
  mix.puts = puts / all;
  mix.missing = share(counters.lookups_missing, all);
  mix.existing = share(counters.lookups_existing, all);
  mix.stem_scans = share(counters.stem_scans, all);
  mix.missing_stems = share(counters.missing_stems, all);
  mix.long_scans = share(counters.long_scans, all);
  if (puts > 0) {
    mix.put_duplicates = share(counters.puts_present, puts);
    mix.put_lookups = std::min(1.0, share(counters.put_lookups, puts));
  }
  if (counters.stem_scans > 0) {
    mix.stem_scan_entries =
        share(counters.stem_scan_entries, static_cast<double>(counters.stem_scans));
  }
  if (counters.missing_stems > 0) {
    mix.missing_stem_entries =
        share(counters.missing_stem_entries, static_cast<double>(counters.missing_stems));
  }
  if (counters.long_scans > 0) {
    mix.long_scan_entries =
        share(counters.long_scan_entries, static_cast<double>(counters.long_scans));
  }
  return mix;
}

double TotalVariation(const WorkloadMix& a, const WorkloadMix& b) noexcept {
  return 0.5 *
         (std::abs(a.puts - b.puts) + std::abs(a.missing - b.missing) +
          std::abs(a.existing - b.existing) + std::abs(a.stem_scans - b.stem_scans) +
          std::abs(a.missing_stems - b.missing_stems) + std::abs(a.long_scans - b.long_scans));
}

WorkloadCounters WorkloadWindow::Take() noexcept {
  const WorkloadCounters counters = counters_;
  counters_ = {};
  return counters;
}

}  // namespace lamina::tuner
