// What the store was asked to do, lately: counters, and the mix of operations that they mean.
//
// A window closes after a number of operations, not after a time: a mix from few operations is
// noise. Puts look before they write (put-if-absent), which is a lookup of its own; the effective
// shares account for it. Pure.
#ifndef LAMINA_TUNER_WORKLOAD_WINDOW_H_
#define LAMINA_TUNER_WORKLOAD_WINDOW_H_

#include <cstdint>

namespace lamina::tuner {

// Operations on the index. A page that was located with its stem's neighbours by one seek counts in
// the stem scan, not as a lookup.
struct WorkloadCounters {
  uint64_t puts_written = 0;  // pages that got a new entry
  uint64_t puts_present = 0;  // pages that were there already
  // Of the two above, how many the index had to be asked for, unless those are counted below.
  uint64_t put_lookups = 0;
  uint64_t lookups_missing = 0;
  uint64_t lookups_existing = 0;
  uint64_t stem_scans = 0;  // seeks that then walked along a path
  uint64_t stem_scan_entries = 0;
  // Lookups of several neighbouring pages of a stem that found none of them, as a put of new pages
  // makes: filters are asked for each page, but each run's block is read once at most.
  uint64_t missing_stems = 0;
  uint64_t missing_stem_entries = 0;
  uint64_t long_scans = 0;  // walks over a key range that filters cannot help
  uint64_t long_scan_entries = 0;

  [[nodiscard]] uint64_t operations() const noexcept {
    return puts_written + puts_present + lookups_missing + lookups_existing + stem_scans +
           missing_stems + long_scans;
  }
  WorkloadCounters& operator+=(const WorkloadCounters& other) noexcept;
  // What was counted from `b` to `a`.
  friend WorkloadCounters operator-(const WorkloadCounters& a, const WorkloadCounters& b) noexcept;
  friend bool operator==(const WorkloadCounters&, const WorkloadCounters&) = default;
};

// Fractions of all operations; puts + missing + existing + stem_scans + missing_stems +
// long_scans = 1.
struct WorkloadMix {
  double puts = 0;      // w
  double missing = 0;   // z0
  double existing = 0;  // z1
  double stem_scans = 0;
  double missing_stems = 0;
  double long_scans = 0;
  double put_duplicates = 0;      // of puts: share that was present and wrote nothing
  double put_lookups = 1;         // of puts: share that asked the index
  double stem_scan_entries = 64;  // mean of a stem scan
  double missing_stem_entries = 64;
  double long_scan_entries = 0;  // mean of a long scan

  // Entries written per operation.
  [[nodiscard]] double written() const noexcept { return puts * (1 - put_duplicates); }
  // z0_eff = z0 + w (1 - dup), z1_eff = z1 + w dup, for the puts that had to look.
  [[nodiscard]] double effective_missing() const noexcept {
    return missing + puts * put_lookups * (1 - put_duplicates);
  }
  [[nodiscard]] double effective_existing() const noexcept {
    return existing + puts * put_lookups * put_duplicates;
  }
  friend bool operator==(const WorkloadMix&, const WorkloadMix&) = default;
};

// The mix of these counters; the default mix when they are all 0.
WorkloadMix MixOf(const WorkloadCounters& counters) noexcept;

// Total variation distance of two mixes over the six classes, 0 to 1.
double TotalVariation(const WorkloadMix& a, const WorkloadMix& b) noexcept;

// Sums counters until there are enough operations to tell a mix. At 1,000 operations chance moves
// the total variation past 0.05 in one window of 2,000; at 10,000 practically never.
class WorkloadWindow {
 public:
  explicit WorkloadWindow(uint64_t operations = 10000) noexcept : operations_(operations) {}
  void Add(const WorkloadCounters& counters) noexcept { counters_ += counters; }
  [[nodiscard]] bool full() const noexcept { return counters_.operations() >= operations_; }
  [[nodiscard]] const WorkloadCounters& counters() const noexcept { return counters_; }
  // Returns what was counted and starts anew.
  WorkloadCounters Take() noexcept;

 private:
  uint64_t operations_;
  WorkloadCounters counters_;
};

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_WORKLOAD_WINDOW_H_
