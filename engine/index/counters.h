// What the index did, by cause. The tuner, Stats and the experiments live on these.
#ifndef LAMINA_ENGINE_INDEX_COUNTERS_H_
#define LAMINA_ENGINE_INDEX_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace lamina {

// Shared by all tables of a store; each field only grows and is updated with relaxed order, so a
// reader sees each one exactly and their sum approximately.
struct IndexCounters {
  using Counter = std::atomic<uint64_t>;
  static void Add(Counter& counter, uint64_t n) noexcept {
    if (n != 0) counter.fetch_add(n, std::memory_order_relaxed);
  }

  // 4 KiB blocks read from files by lookups that found a page there ...
  Counter block_reads_true{0};
  // ... by lookups that found none: the filter was wrong, or the table has none ...
  Counter block_reads_false_positive{0};
  // ... fetched for lookups that were then not made, the page having been found in a newer run ...
  Counter block_reads_unused{0};
  // ... and by iterators (flush, compaction, scans), read-ahead included.
  Counter block_reads_seek{0};
  // Lookups within a table's key range that asked its filter, and those that it turned away.
  Counter filter_checks{0};
  Counter filter_negatives{0};
  // Lookups after a filter said yes (or was absent), and those of them that found nothing.
  Counter table_lookups{0};
  Counter table_lookups_empty{0};
  // Blocks that a lookup or iterator found in the block cache.
  Counter cache_hits{0};
  // Blocks whose checksum or content was wrong.
  Counter corrupt_blocks{0};
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_COUNTERS_H_
