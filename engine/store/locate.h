// Finds where the pages of a path lie.
//
// Take the first page not yet found, ask each source for it, newest first (memtables directly, runs
// through their filters), and where it may be, seek and walk while the source's keys follow the
// path; repeat from the next page not found. An entry counts only if its slot bears its tag, and
// any that counts is right, since pages are immutable: there is no "newest wins".
//
// What is not in memory is fetched first, over all stems and runs together, and once more for what
// later pages need if they lie in other runs: so a cold path costs one to four device latencies and
// not one for each stem and run.
#ifndef LAMINA_ENGINE_STORE_LOCATE_H_
#define LAMINA_ENGINE_STORE_LOCATE_H_

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/status.h"
#include "engine/index/block_fetch.h"
#include "engine/index/stem_key.h"
#include "engine/io/queue_pool.h"
#include "engine/store/counters.h"
#include "engine/store/path.h"
#include "engine/store/view.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

// For one call on one path; used by one thread.
class Locator {
 public:
  // `cache` may be null: blocks are then not fetched ahead. Entries of the slots in `avoid` do not
  // count: copies that cannot be read now. All outlive the locator.
  Locator(const View& view, const TensorLog& log, BlockCache* cache, QueuePool& queues,
          StoreCounters& counters, std::span<const SlotRef> avoid = {}) noexcept;

  // Brings path.locations[first, first + count) up to date. With `stop_at_miss`, pages behind the
  // first missing one are left as they are. Damage in the index is counted and makes pages missing.
  // Returns how many times the runs were asked for a page.
  uint64_t Locate(Path::Impl& path, size_t first, size_t count, bool stop_at_miss) noexcept;

  // Appends every entry of a page in any source, whether it counts or not. An index block that
  // cannot be read is an error here: what it holds is not known.
  Status AllEntries(const Path::Impl& path, size_t page, std::vector<Entry>* entries) noexcept;

 private:
  // The pages [first, end) of the path that lie in one stem.
  struct Stem {
    size_t begin = 0;   // the stem's first page on the path
    StemLookup lookup;  // pages count from `begin`
  };
  // A table that may hold a stem's first missing page, as its filter says.
  struct Candidate {
    size_t stem;  // index into stems_
    const Table* table;
    StemLookup lookup;
  };

  void SplitIntoStems(const Path::Impl& path, size_t first, size_t count) noexcept;
  void FindInMemtables(Path::Impl& path, const Stem& stem) noexcept;
  void AskFilters(const Path::Impl& path) noexcept;
  void FetchBlocks(std::span<Candidate> candidates) noexcept;
  void AskFiltersAhead(const Path::Impl& path, size_t first_stem) noexcept;
  // Returns the lookup to make in `lookup`'s place, which blocks may have been fetched for.
  StemLookup* FetchAhead(const Path::Impl& path, size_t stem, const Table& table,
                         StemLookup* lookup) noexcept;
  // False when a page is missing and `stop_at_miss`. `candidate` moves behind those of the stem.
  bool FindInRuns(Path::Impl& path, size_t stem, bool stop_at_miss, size_t* candidate) noexcept;
  void FindInTable(Path::Impl& path, const Stem& stem, const Table& table,
                   StemLookup* lookup) noexcept;
  void Accept(Path::Impl& path, size_t stem_begin, const FoundEntry& found) noexcept;
  void Tally(uint64_t found) noexcept;
  void TallyMissing() noexcept;
  void TallyRest(const Path::Impl& path, size_t stem, size_t candidate) noexcept;
  void CountTally() noexcept;
  [[nodiscard]] bool Counts(const Path::Impl& path, size_t page, const Entry& entry) const noexcept;
  // First page of [from, stem.lookup.end) that is not located, or end.
  [[nodiscard]] uint32_t NextMissing(const Path::Impl& path, const Stem& stem,
                                     uint32_t from) const noexcept;

  const View& view_;
  const TensorLog& log_;
  BlockCache* const cache_;
  QueuePool& queues_;
  StoreCounters& counters_;
  const std::span<const SlotRef> avoid_;
  std::vector<Stem> stems_;
  std::vector<Candidate> candidates_;  // by stem, then newest run first
  std::vector<Candidate> ahead_;       // likewise, for pages behind a stem's first missing one
  bool asked_ahead_ = false;
  // Pins what was fetched until it has been looked at: a small cache might lose it before.
  std::optional<BlockFetcher> fetcher_;
  std::vector<FoundEntry> found_;
  uint64_t accepted_ = 0;  // pages
  // Of this call, as in StoreCounters.
  uint64_t lookups_missing_ = 0;
  uint64_t lookups_existing_ = 0;
  uint64_t stem_scans_ = 0;
  uint64_t stem_scan_pages_ = 0;
  uint64_t missing_stems_ = 0;
  uint64_t missing_stem_pages_ = 0;
  uint64_t missing_in_stem_ = 0;  // pages of the stem at hand, not in the above yet
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_LOCATE_H_
