#include "engine/store/locate.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "engine/base/mutation.h"

namespace lamina {
namespace {

// The run's table that may hold this page of the lookup, as its filter says, or nullptr.
const Table* Claiming(const OpenRun& run, const StemLookup& lookup, uint32_t page) noexcept {
  const Table* const table = run.TableFor(lookup.key(page));
  return table != nullptr && table->MayContain(lookup.page_key(page)) ? table : nullptr;
}

}  // namespace

Locator::Locator(const View& view, const TensorLog& log, BlockCache* cache, QueuePool& queues,
                 StoreCounters& counters, std::span<const SlotRef> avoid) noexcept
    : view_(view), log_(log), cache_(cache), queues_(queues), counters_(counters), avoid_(avoid) {}

bool Locator::Counts(const Path::Impl& path, size_t page, const Entry& entry) const noexcept {
  if (entry.guard != path.guard(page) && !Mutated(Mutation::kIgnoreGuard)) {
    StoreCounters::Add(counters_.guard_mismatches, 1);
    return false;
  }
  if (std::find(avoid_.begin(), avoid_.end(), entry.slot) != avoid_.end()) return false;
  if (Mutated(Mutation::kTrustEntryWithoutTag)) return true;
  return log_.Bears(entry.slot, entry.tag(path.fingerprints[page]));
}

void Locator::SplitIntoStems(const Path::Impl& path, size_t first, size_t count) noexcept {
  stems_.clear();
  for (size_t page = first; page < first + count;) {
    const size_t begin = path.stem_begin(page);
    const size_t end = std::min(first + count, path.stem_end(page));
    Stem& stem = stems_.emplace_back();
    stem.begin = begin;
    stem.lookup.anchor = path.anchor(page);
    stem.lookup.fingerprints = std::span(path.fingerprints).subspan(begin, end - begin);
    stem.lookup.first = static_cast<uint32_t>(page - begin);
    stem.lookup.end = static_cast<uint32_t>(end - begin);
    page = end;
  }
}

uint32_t Locator::NextMissing(const Path::Impl& path, const Stem& stem,
                              uint32_t from) const noexcept {
  while (from < stem.lookup.end && path.locations[stem.begin + from].found) ++from;
  return from;
}

void Locator::Accept(Path::Impl& path, size_t stem_begin, const FoundEntry& found) noexcept {
  const size_t page = stem_begin + found.page;
  Location& location = path.locations[page];
  if (location.found || !Counts(path, page, found.entry)) return;
  location.entry = found.entry;
  location.found = true;
  ++accepted_;
}

// The runs were asked for a page; so many were found, it and those behind it.
void Locator::Tally(uint64_t found) noexcept {
  if (found == 0) {
    ++missing_in_stem_;
  } else if (found == 1) {
    ++lookups_existing_;
  } else {
    ++stem_scans_;
    stem_scan_pages_ += found;
  }
}

// A stem is done with. What its later pages need has been read for the first one, as a rule.
void Locator::TallyMissing() noexcept {
  const uint64_t pages = std::exchange(missing_in_stem_, 0);
  if (pages == 1) ++lookups_missing_;
  if (pages <= 1) return;
  ++missing_stems_;
  missing_stem_pages_ += pages;
}

// Of stems that no answer was waited for, filters were asked and blocks fetched all the same.
void Locator::TallyRest(const Path::Impl& path, size_t stem, size_t candidate) noexcept {
  for (; stem < stems_.size(); ++stem) {
    const Stem& one = stems_[stem];
    if (NextMissing(path, one, one.lookup.first) == one.lookup.end) continue;
    const size_t before = candidate;
    while (candidate < candidates_.size() && candidates_[candidate].stem <= stem) ++candidate;
    Tally(candidate > before ? 1 : 0);
    TallyMissing();
  }
}

void Locator::CountTally() noexcept {
  StoreCounters::Add(counters_.lookups_missing, lookups_missing_);
  StoreCounters::Add(counters_.lookups_existing, lookups_existing_);
  StoreCounters::Add(counters_.stem_scans, stem_scans_);
  StoreCounters::Add(counters_.stem_scan_pages, stem_scan_pages_);
  StoreCounters::Add(counters_.missing_stems, missing_stems_);
  StoreCounters::Add(counters_.missing_stem_pages, missing_stem_pages_);
}

uint64_t Locator::Locate(Path::Impl& path, size_t first, size_t count, bool stop_at_miss) noexcept {
  for (size_t page = first; page < first + count; ++page) {
    Location& location = path.locations[page];
    location.found = location.found && Counts(path, page, location.entry);
  }
  SplitIntoStems(path, first, count);
  ahead_.clear();
  asked_ahead_ = false;
  for (const Stem& stem : stems_) FindInMemtables(path, stem);
  if (view_.runs.empty()) return 0;
  AskFilters(path);
  FetchBlocks(candidates_);
  size_t candidate = 0;
  for (size_t stem = 0; stem < stems_.size(); ++stem) {
    const bool go_on = FindInRuns(path, stem, stop_at_miss, &candidate);
    TallyMissing();
    if (go_on) continue;
    TallyRest(path, stem + 1, candidate);
    break;
  }
  for (const auto* fetched : {&candidates_, &ahead_})
    for (const Candidate& one : *fetched) one.table->CountUnused(one.lookup);
  CountTally();
  return lookups_missing_ + lookups_existing_ + stem_scans_ + missing_stem_pages_;
}

void Locator::FindInMemtables(Path::Impl& path, const Stem& stem) noexcept {
  const auto find_in = [&](const Memtable& memtable) {
    StemLookup lookup = stem.lookup;
    lookup.first = NextMissing(path, stem, lookup.first);
    if (lookup.first == lookup.end || memtable.empty()) return;
    found_.clear();
    memtable.Find(lookup, &found_);
    for (const FoundEntry& found : found_) Accept(path, stem.begin, found);
  };
  find_in(*view_.active);
  for (const auto& memtable : view_.frozen) find_in(*memtable);
}

// Which tables may hold each stem's first missing page. Later pages of a stem mostly lie in the
// same tables; where they do not, their filters are asked when their turn comes.
void Locator::AskFilters(const Path::Impl& path) noexcept {
  candidates_.clear();
  for (size_t i = 0; i < stems_.size(); ++i) {
    const Stem& stem = stems_[i];
    const uint32_t page = NextMissing(path, stem, stem.lookup.first);
    if (page == stem.lookup.end) continue;
    for (const OpenRun& run : view_.runs) {
      const Table* const table = Claiming(run, stem.lookup, page);
      if (table == nullptr) continue;
      Candidate& candidate = candidates_.emplace_back(Candidate{i, table, stem.lookup});
      candidate.lookup.first = page;
    }
  }
}

// Blocks that are not cached are read over all stems and runs together.
void Locator::FetchBlocks(std::span<Candidate> candidates) noexcept {
  if (cache_ == nullptr || candidates.empty()) return;
  bool missing = false;
  std::vector<uint64_t> offsets;
  size_t cached = 0;
  for (const Candidate& candidate : candidates) {
    const bool all_known = candidate.table->BlocksFor(candidate.lookup, &offsets, &cached);
    missing = missing || !all_known || !offsets.empty();
  }
  // Later ones find blocks that this call itself has fetched, which says nothing of the cache.
  if (!asked_ahead_) {
    StoreCounters::Add(counters_.blocks_wanted, offsets.size() + cached);
    StoreCounters::Add(counters_.blocks_cached, cached);
  }
  if (!missing) return;
  auto queue = queues_.Acquire();
  if (!queue.ok()) return;  // no matter: blocks are then read one by one
  if (!fetcher_) fetcher_.emplace(cache_);
  for (Candidate& candidate : candidates) fetcher_->Add(candidate.table, &candidate.lookup);
  const auto began = std::chrono::steady_clock::now();
  const size_t blocks = fetcher_->Run(queue->get());
  StoreCounters::Add(counters_.blocks_fetched, blocks);
  // More of them at a time wait for each other.
  constexpr size_t kFew = 4;
  if (blocks == 0 || blocks > kFew) return;
  const auto took = std::chrono::steady_clock::now() - began;
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
  StoreCounters::Add(counters_.lone_fetches, 1);
  StoreCounters::Add(counters_.lone_fetch_ns, static_cast<uint64_t>(ns));
}

// The tables that a search for the rest of this stem and for all stems behind it will walk, as far
// as filters tell. Of tables that claim the same page those count that claim the next one too: one
// that does not most likely claims by mistake.
void Locator::AskFiltersAhead(const Path::Impl& path, size_t first_stem) noexcept {
  std::vector<const Table*> claiming;
  for (size_t i = first_stem; i < stems_.size(); ++i) {
    const Stem& stem = stems_[i];
    const auto claims = [&](const Table* table, uint32_t page) {
      return page < stem.lookup.end && table->MayContain(stem.lookup.page_key(page));
    };
    uint32_t page = NextMissing(path, stem, stem.lookup.first);
    while (page < stem.lookup.end) {
      claiming.clear();
      for (const OpenRun& run : view_.runs) {
        const Table* const table = Claiming(run, stem.lookup, page);
        if (table != nullptr) claiming.push_back(table);
      }
      const auto one_page =
          std::stable_partition(claiming.begin(), claiming.end(),
                                [&](const Table* table) { return claims(table, page + 1); });
      if (one_page != claiming.begin()) claiming.erase(one_page, claiming.end());
      for (const Table* table : claiming) {
        Candidate& candidate = ahead_.emplace_back(Candidate{i, table, stem.lookup});
        candidate.lookup.first = page;
      }
      do ++page;
      while (std::any_of(claiming.begin(), claiming.end(),
                         [&](const Table* table) { return claims(table, page); }));
      page = NextMissing(path, stem, page);
    }
  }
}

// Before a lookup that no block was fetched for. The first that needs one fetches for all that are
// to come: a path that was put turn by turn lies in many runs, one behind the other.
StemLookup* Locator::FetchAhead(const Path::Impl& path, size_t stem, const Table& table,
                                StemLookup* lookup) noexcept {
  if (cache_ == nullptr) return lookup;
  if (!asked_ahead_) {
    std::vector<uint64_t> offsets;
    if (table.BlocksFor(*lookup, &offsets) && offsets.empty()) return lookup;
    asked_ahead_ = true;
    AskFiltersAhead(path, stem);
    FetchBlocks(ahead_);
  }
  for (Candidate& one : ahead_) {
    if (one.stem != stem || one.table != &table || one.lookup.first > lookup->first) continue;
    one.lookup.first = lookup->first;
    return &one.lookup;
  }
  return lookup;
}

bool Locator::FindInRuns(Path::Impl& path, size_t stem_index, bool stop_at_miss,
                         size_t* candidate) noexcept {
  const Stem& stem = stems_[stem_index];
  const auto found = [&](uint32_t page) { return path.locations[stem.begin + page].found; };
  uint32_t page = NextMissing(path, stem, stem.lookup.first);
  if (page == stem.lookup.end) return true;
  uint64_t before = accepted_;
  for (; *candidate < candidates_.size() && candidates_[*candidate].stem == stem_index;
       ++*candidate) {
    Candidate& one = candidates_[*candidate];
    if (!found(page)) FindInTable(path, stem, *one.table, &one.lookup);
  }
  Tally(accepted_ - before);
  while (true) {
    if (!found(page)) {
      if (stop_at_miss) return false;
      ++page;
    }
    page = NextMissing(path, stem, page);
    if (page == stem.lookup.end) return true;
    before = accepted_;
    for (const OpenRun& run : view_.runs) {
      const Table* const table = Claiming(run, stem.lookup, page);
      if (table == nullptr) continue;
      StemLookup lookup = stem.lookup;
      lookup.first = page;
      FindInTable(path, stem, *table, FetchAhead(path, stem_index, *table, &lookup));
      if (found(page)) break;
    }
    Tally(accepted_ - before);
  }
}

void Locator::FindInTable(Path::Impl& path, const Stem& stem, const Table& table,
                          StemLookup* lookup) noexcept {
  found_.clear();
  const Status status = table.Find(lookup, &found_);
  if (!status.ok()) StoreCounters::Add(counters_.index_damage, 1);
  for (const FoundEntry& found : found_) Accept(path, stem.begin, found);
}

Status Locator::AllEntries(const Path::Impl& path, size_t page,
                           std::vector<Entry>* entries) noexcept {
  SplitIntoStems(path, page, 1);
  StemLookup lookup = stems_.front().lookup;
  found_.clear();
  view_.active->Find(lookup, &found_);
  for (const auto& memtable : view_.frozen) memtable->Find(lookup, &found_);
  for (const OpenRun& run : view_.runs) {
    const size_t index = run.IndexFor(lookup.key(lookup.first));
    if (index == run.tables.size()) continue;
    const Table* table = run.tables[index].get();
    if (table == nullptr) {
      return Status::IoError("table " + std::to_string(run.run->tables[index].number) +
                             " of the index could not be opened, and may name the page");
    }
    if (!table->MayContain(lookup.page_key(lookup.first))) continue;
    LAMINA_RETURN_IF_ERROR(table->Find(&lookup, &found_));
  }
  for (const FoundEntry& found : found_) entries->push_back(found.entry);
  return Status::Ok();
}

}  // namespace lamina
