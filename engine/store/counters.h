// What the store counts. Each field only grows; relaxed order, so each is exact by itself and sums
// over fields are approximate while calls run.
#ifndef LAMINA_ENGINE_STORE_COUNTERS_H_
#define LAMINA_ENGINE_STORE_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "compaction/shape.h"

namespace lamina {

struct StoreCounters {
  using Counter = std::atomic<uint64_t>;

  // Calls.
  Counter probes{0}, puts{0}, gets{0}, touches{0}, erases{0}, root_erases{0}, flushes{0};

  // Pages asked for by probes and gets, by outcome.
  Counter pages_probed{0}, pages_probed_present{0};
  Counter pages_got{0}, bytes_got{0};
  Counter misses_absent{0};      // no entry whose slot bears its tag
  Counter misses_wrong_size{0};  // stored under another length than was asked for
  Counter misses_io_error{0};
  Counter misses_checksum{0};  // read twice, wrong twice; the slot was freed
  Counter misses_buffer{0};    // right in memory of our own, wrong in the caller's: buffers overlap
  Counter misses_gone{0};      // overwritten between locating and reading
  Counter pages_cancelled{0};  // of submitted gets, before they were read

  // What was met on the way.
  Counter checksum_failures{0};  // reads whose bytes were not the page's
  Counter reread_successes{0};   // of these, second reads that were right
  Counter unproven_torn{0};      // pages of the journal's tail whose payload was never whole
  Counter index_damage{0};       // blocks or tables of the index that did not verify
  Counter index_given_up{0};     // of these, such as could not be read
  Counter guard_mismatches{0};   // two paths with one fingerprint

  // Pages given to puts, by outcome.
  Counter pages_put{0}, bytes_put{0};
  Counter pages_already_present{0};
  Counter duplicates_lost{0};  // another put of the same page was faster
  Counter rejected_no_space{0};
  Counter rejected_io_error{0};
  Counter rejected_latched{0};  // manifest or journal has failed
  Counter rejected_wear{0};     // beyond write_bytes_per_day
  Counter rejected_stalled{0};  // no memtable room within the bound
  Counter rejected_erased{0};   // the page or its root was being erased
  Counter rejected_policy{0};   // worth less than what would have to go for it
  Counter rejected_follows{0};  // behind a rejected page of the same put

  // Eviction.
  Counter policy_requests{0};
  Counter pages_evicted{0};     // condemned, singly or with their segment
  Counter condemned_hits{0};    // condemned pages that came back to life
  Counter pages_stranded{0};    // condemned before the page behind them
  Counter restored_in_runs{0};  // pages got that lay in runs of at least 256 KiB
  Counter segments_transferred{0}, segments_given_up{0};

  // Device traffic of tensors.
  Counter read_requests{0}, read_bytes{0};
  Counter write_requests{0}, write_bytes{0};
  Counter write_payload_bytes{0};  // of pages; padding is no amplification
  Counter bounced_bytes{0};        // copied once, because the caller's buffers were not aligned

  // Questions to the index, beyond memtables: how often a page was looked for in the runs, and
  // whether none, it alone, or it and the pages behind it were found there.
  Counter lookups_missing{0}, lookups_existing{0};
  Counter stem_scans{0}, stem_scan_pages{0};
  // Stems that were asked for several pages and had none of them, and how many pages.
  Counter missing_stems{0}, missing_stem_pages{0};
  // Data blocks that a call's first questions called for, and those of them that were cached.
  Counter blocks_wanted{0}, blocks_cached{0};
  Counter blocks_fetched{0};  // ahead of the lookups that need them
  // Fetches of a few blocks while nothing else of the call was in flight, for the device's latency.
  Counter lone_fetches{0}, lone_fetch_ns{0};

  // Upkeep.
  Counter checkpoints{0}, checkpoint_failures{0};
  Counter tables_written{0}, table_bytes_written{0};
  Counter slot_table_bytes_written{0};
  Counter orphan_slots_freed{0};
  Counter scrub_failures{0};  // erase=physical: bytes of freed slots that could not be erased
  Counter pages_moved{0}, bytes_moved{0};  // out of segments that were given up
  Counter segments_retired{0};
  Counter compactions{0}, compaction_moves{0}, compaction_bytes_read{0},
      compaction_bytes_written{0};
  Counter compaction_entries_copied{0}, compaction_entries_dropped{0};
  Counter compaction_eager_bytes{0};  // of these read and written, for the sake of a lowered shape
  Counter entries_flushed{0};         // from memtables into tables: what copies are counted against
  // Of merges: bytes of the tables read from a level, bytes and entries written into it.
  struct Level {
    Counter bytes_read{0}, bytes_written{0}, entries_copied{0};
  };
  std::array<Level, kMaxLevels + 1> compaction_levels;

  static void Add(Counter& counter, uint64_t n) noexcept {
    if (n != 0) counter.fetch_add(n, std::memory_order_relaxed);
  }
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_COUNTERS_H_
