// What the store knows about itself, as JSON.
#include <algorithm>

#include "engine/base/json_writer.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

using Counter = std::atomic<uint64_t>;

struct NamedCounter {
  const char* name;
  Counter StoreCounters::*counter;
};

constexpr NamedCounter kCallCounters[] = {
    {"probes", &StoreCounters::probes},   {"puts", &StoreCounters::puts},
    {"gets", &StoreCounters::gets},       {"touches", &StoreCounters::touches},
    {"erases", &StoreCounters::erases},   {"root_erases", &StoreCounters::root_erases},
    {"flushes", &StoreCounters::flushes},
};
constexpr NamedCounter kPageCounters[] = {
    {"probed", &StoreCounters::pages_probed},
    {"probed_present", &StoreCounters::pages_probed_present},
    {"got", &StoreCounters::pages_got},
    {"bytes_got", &StoreCounters::bytes_got},
    {"misses_absent", &StoreCounters::misses_absent},
    {"misses_wrong_size", &StoreCounters::misses_wrong_size},
    {"misses_io_error", &StoreCounters::misses_io_error},
    {"misses_checksum", &StoreCounters::misses_checksum},
    {"misses_buffer", &StoreCounters::misses_buffer},
    {"cancelled", &StoreCounters::pages_cancelled},
    {"overtaken_reads", &StoreCounters::misses_gone},
    {"checksum_failures", &StoreCounters::checksum_failures},
    {"reread_successes", &StoreCounters::reread_successes},
    {"unproven_torn", &StoreCounters::unproven_torn},
    {"put", &StoreCounters::pages_put},
    {"bytes_put", &StoreCounters::bytes_put},
    {"already_present", &StoreCounters::pages_already_present},
    {"duplicates_lost", &StoreCounters::duplicates_lost},
    {"rejected_no_space", &StoreCounters::rejected_no_space},
    {"rejected_io_error", &StoreCounters::rejected_io_error},
    {"rejected_latched", &StoreCounters::rejected_latched},
    {"rejected_wear", &StoreCounters::rejected_wear},
    {"rejected_stalled", &StoreCounters::rejected_stalled},
    {"rejected_erased", &StoreCounters::rejected_erased},
    {"rejected_policy", &StoreCounters::rejected_policy},
    {"rejected_follows", &StoreCounters::rejected_follows},
};
constexpr NamedCounter kLookupCounters[] = {
    {"missing", &StoreCounters::lookups_missing},
    {"existing", &StoreCounters::lookups_existing},
    {"stem_scans", &StoreCounters::stem_scans},
    {"stem_scan_pages", &StoreCounters::stem_scan_pages},
    {"missing_stems", &StoreCounters::missing_stems},
    {"missing_stem_pages", &StoreCounters::missing_stem_pages},
    {"blocks_wanted", &StoreCounters::blocks_wanted},
    {"blocks_cached", &StoreCounters::blocks_cached},
};
constexpr NamedCounter kUpkeepCounters[] = {
    {"checkpoints", &StoreCounters::checkpoints},
    {"checkpoint_failures", &StoreCounters::checkpoint_failures},
    {"tables_written", &StoreCounters::tables_written},
    {"table_bytes_written", &StoreCounters::table_bytes_written},
    {"slot_table_bytes_written", &StoreCounters::slot_table_bytes_written},
    {"orphan_slots_freed", &StoreCounters::orphan_slots_freed},
    {"scrub_failures", &StoreCounters::scrub_failures},
    {"pages_moved", &StoreCounters::pages_moved},
    {"bytes_moved", &StoreCounters::bytes_moved},
    {"segments_retired", &StoreCounters::segments_retired},
    {"index_damage", &StoreCounters::index_damage},
    {"index_given_up", &StoreCounters::index_given_up},
    {"guard_mismatches", &StoreCounters::guard_mismatches},
    {"compactions", &StoreCounters::compactions},
    {"compaction_moves", &StoreCounters::compaction_moves},
    {"compaction_bytes_read", &StoreCounters::compaction_bytes_read},
    {"compaction_bytes_written", &StoreCounters::compaction_bytes_written},
    {"compaction_eager_bytes", &StoreCounters::compaction_eager_bytes},
    {"compaction_entries_copied", &StoreCounters::compaction_entries_copied},
    {"compaction_entries_dropped", &StoreCounters::compaction_entries_dropped},
    {"entries_flushed", &StoreCounters::entries_flushed},
};

uint64_t Value(const Counter& counter) { return counter.load(std::memory_order_relaxed); }

template <size_t N>
void WriteCounters(JsonWriter& json, const char* key, const NamedCounter (&named)[N],
                   const StoreCounters& counters) {
  json.Key(key).BeginObject();
  for (const NamedCounter& one : named) json.Field(one.name, Value(counters.*one.counter));
  json.End();
}

constexpr NamedCounter kEvictionCounters[] = {
    {"requests", &StoreCounters::policy_requests},
    {"evicted_pages", &StoreCounters::pages_evicted},
    {"condemned_hits", &StoreCounters::condemned_hits},
    {"stranded_pages", &StoreCounters::pages_stranded},
    {"rejected_policy", &StoreCounters::rejected_policy},
    {"restored_pages", &StoreCounters::pages_got},
    {"restored_in_runs", &StoreCounters::restored_in_runs},
    {"segments_transferred", &StoreCounters::segments_transferred},
    {"segments_given_up", &StoreCounters::segments_given_up},
};

void WriteIndex(JsonWriter& json, const IndexCounters& c) {
  json.Field("block_reads_true", Value(c.block_reads_true))
      .Field("block_reads_false_positive", Value(c.block_reads_false_positive))
      .Field("block_reads_unused", Value(c.block_reads_unused))
      .Field("block_reads_seek", Value(c.block_reads_seek))
      .Field("filter_checks", Value(c.filter_checks))
      .Field("filter_negatives", Value(c.filter_negatives))
      .Field("table_lookups", Value(c.table_lookups))
      .Field("table_lookups_empty", Value(c.table_lookups_empty))
      .Field("cache_hits", Value(c.cache_hits))
      .Field("corrupt_blocks", Value(c.corrupt_blocks));
}

void WriteTree(JsonWriter& json, const Tree& tree) {
  json.Field("entries", tree.entries()).Field("table_bytes", tree.bytes());
  json.Field("runs", tree.run_count()).Field("tables", tree.table_count());
  json.Key("levels").BeginArray();
  uint32_t number = 0;
  for (const Level& level : tree.levels()) {
    json.BeginObject()
        .Field("level", number++)
        .Field("runs", level.runs.size())
        .Field("entries", level.entries())
        .Field("bytes", level.bytes())
        .Field("filter_bits", level.filter_bits())
        .End();
  }
  json.End();
}

// What merges have read from each level and written into it, down to the last that took part.
void WriteCompaction(JsonWriter& json, const StoreCounters& counters) {
  const auto& levels = counters.compaction_levels;
  size_t end = levels.size();
  while (end > 0 && Value(levels[end - 1].bytes_read) + Value(levels[end - 1].bytes_written) == 0)
    --end;
  json.Key("compaction_levels").BeginArray();
  for (size_t level = 0; level < end; ++level) {
    json.BeginObject()
        .Field("level", level)
        .Field("bytes_read", Value(levels[level].bytes_read))
        .Field("bytes_written", Value(levels[level].bytes_written))
        .Field("entries_copied", Value(levels[level].entries_copied))
        .End();
  }
  json.End();
  const uint64_t flushed = Value(counters.entries_flushed);
  const auto copied = static_cast<double>(Value(counters.compaction_entries_copied));
  json.Field("copies_per_entry", flushed == 0 ? 0.0 : copied / static_cast<double>(flushed));
}

void WriteLog(JsonWriter& json, const TensorLog& log) {
  json.Key("log").BeginObject();
  json.Field("segment_bytes", log.file_bytes()).Field("slot_memory_bytes", log.memory_bytes());
  json.Key("classes").BeginArray();
  for (const ClassStats& one : log.Stats(true)) {
    json.BeginObject()
        .Field("slot_bytes", one.slot_bytes)
        .Field("segments", one.segments)
        .Field("bytes", one.bytes)
        .Field("free", one.slots.free)
        .Field("writing", one.slots.writing)
        .Field("live", one.slots.live)
        .Field("condemned", one.slots.condemned)
        .Field("pinned", one.pinned)
        .End();
  }
  json.End();
  json.Key("directories").BeginArray();
  for (const auto& dir : log.log_dirs()) {
    json.BeginObject()
        .Field("path", dir->path())
        .Field("present", dir->present())
        .Field("writable", dir->writable())
        .Field("problem", (dir->unreadable() ? dir->absence() : dir->latch_status()).message())
        .End();
  }
  json.End().End();
}

void WriteGovernor(JsonWriter& json, const IoGovernor& governor) {
  json.Key("governor").BeginObject();
  for (size_t i = 0; i < kIoClasses; ++i) {
    const auto io_class = static_cast<IoClass>(i);
    json.Key(IoClassName(io_class))
        .BeginObject()
        .Field("active", governor.active(io_class))
        .Field("asked", governor.asked(io_class))
        .Field("held_back", governor.held_back(io_class))
        .End();
  }
  json.End();
}

}  // namespace

void Store::Impl::WriteSubmitted(JsonWriter& json) noexcept {
  const TicketQueue::Load load = tickets_.load();
  const LoadModel::Error error = load_model_.error();
  json.Key("submitted").BeginObject();
  json.Field("queued", load.queued)
      .Field("running", load.running)
      .Field("not_released", load.finished)
      .Field("queued_get_bytes", load.get_bytes)
      .Field("oldest_pin_us", load_model_.oldest_running().count())
      .Field("estimates_checked", error.observed)
      .Field("estimate_error_p50", error.p50)
      .Field("estimate_error_p95", error.p95)
      .End();
}

std::string Store::Impl::StatsJson() noexcept {
  const Call call(*this);
  JsonWriter json;
  json.BeginObject();
  json.Field("version", Version()).Field("directory", directory_);
  json.Field("options", options_.ToString());
  json.Key("io").BeginObject();
  json.Field("backend", fs_->QueueDescription()).Field("fallbacks", fs_->Fallbacks());
  json.Field("read_requests", Value(counters_.read_requests))
      .Field("read_bytes", Value(counters_.read_bytes))
      .Field("write_requests", Value(counters_.write_requests))
      .Field("write_bytes", Value(counters_.write_bytes))
      .Field("bounced_bytes", Value(counters_.bounced_bytes))
      .Field("huge_pages", bounce_->stats().huge);
  json.End();
  WriteGovernor(json, governor_);
  WriteSubmitted(json);
  WriteCounters(json, "calls", kCallCounters, counters_);
  WriteCounters(json, "pages", kPageCounters, counters_);
  WriteCounters(json, "lookups", kLookupCounters, counters_);
  WriteCounters(json, "upkeep", kUpkeepCounters, counters_);

  const auto view = CurrentView();
  json.Key("index").BeginObject();
  WriteTree(json, *view->tree);
  WriteCompaction(json, counters_);
  json.Field("shape", TargetShape().ToString());
  json.Field("memtable_entries", view->active->entry_count());
  json.Field("memtable_bytes", view->active->bytes());
  json.Field("frozen_memtables", view->frozen.size());
  WriteIndex(json, index_counters_);
  json.Field("tables_lost", tables_->lost())
      .Field("tables_unopened", tables_->unopened())
      .Field("table_open_failures", tables_->open_failures());
  json.Key("table_problems").BeginArray();
  for (const std::string& problem : tables_->problems()) json.Value(problem);
  json.End().End();
  WriteLog(json, *log_);
  WriteSpace(json);
  WriteCounters(json, "eviction", kEvictionCounters, counters_);

  const JournalWriter::Stats journal = journal_->stats();
  json.Key("journal").BeginObject();
  json.Field("blocks", journal.blocks)
      .Field("records", journal.records)
      .Field("groups", journal.groups)
      .Field("syncs", journal.syncs)
      .Field("files", journal.files)
      .Field("file_bytes", journal.file_bytes)
      .End();
  const Scheduler::Stats background = scheduler_->stats();
  json.Key("stalls").BeginObject();
  json.Field("count", background.stalls)
      .Field("timeouts", background.stall_timeouts)
      .Field("us", background.stall_us);
  for (const WorkClass work : {WorkClass::kFlush, WorkClass::kCompaction}) {
    json.Field(std::string("for_") + WorkClassName(work),
               background.classes[static_cast<size_t>(work)].stalls);
  }
  json.End();
  json.Key("memory").BeginObject();
  json.Field("slots", log_->memory_bytes())
      .Field("filters_and_top_indexes", tables_->memory_bytes())
      .Field("block_cache", cache_->bytes())
      .Field("memtables_and_buffers", FixedMemoryBytes())
      .Field("eviction", evictor_->memory_bytes())
      .End();
  WriteRoots(json);
  json.Key("ballast").BeginObject();
  json.Field("held", ballast_->held()).Field("uses", ballast_->uses()).End();
  json.Field("latched", LatchStatus().message());
  json.Field("replayed_pages", replayed_pages_);
  json.Key("open_us").BeginObject();
  for (const Phase& phase : open_phases_) json.Field(phase.name, phase.us);
  json.End();
  json.Key("recovery_notes").BeginArray();
  for (const std::string& note : recovery_notes_) json.Value(note);
  json.End();
  {
    std::lock_guard lock(notes_mutex_);
    json.Field("last_rejection", last_rejection_);
    json.Field("last_background_error", last_background_error_);
  }
  json.End();
  return json.Take();
}

std::string Store::Impl::Explain() noexcept {
  const Call call(*this);
  evictor_->ShowNoted();
  return "{\"eviction\": " + evictor_->Explain() + ", \"tuner\": " + ExplainTuner() + "}";
}

namespace {

double Ratio(uint64_t a, uint64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

}  // namespace

// Physical bytes are those of segments in the ratios: what a slot costs beyond its page. What holds
// no page yet, before the log has wrapped, counts in them too.
void Store::Impl::WriteSpace(JsonWriter& json) noexcept {
  json.Key("space").BeginObject();
  json.Field("capacity_bytes", budget_.capacity());
  const SpaceUse use = MeasureSpace();
  json.Field("physical_bytes", use.total())
      .Field("segment_bytes", use.segments)
      .Field("table_bytes", use.tables)
      .Field("slot_table_bytes", use.slot_tables)
      .Field("journal_bytes", use.journal)
      .Field("manifest_bytes", use.manifest)
      .Field("policy_bytes", use.policy)
      .Field("other_bytes", use.other)
      .Field("unlisted_directories", use.unlisted);
  SlotCounts slots;
  uint64_t bytes = 0, used = 0, readable = 0;
  for (const ClassStats& one : log_->Stats(false)) {
    slots.free += one.slots.free;
    slots.live += one.slots.live + one.slots.writing;
    slots.condemned += one.slots.condemned;
    bytes += one.bytes;
    used += (one.slots.live + one.slots.writing) * one.slot_bytes;
    readable += (one.slots.live + one.slots.condemned) * one.slot_bytes;
  }
  json.Field("slots", slots.total())
      .Field("free", slots.free)
      .Field("live", slots.live)
      .Field("condemned", slots.condemned)
      .Field("physical_over_not_condemned", Ratio(bytes, used))
      .Field("physical_over_readable", Ratio(bytes, readable))
      .Field("tensor_write_amplification",
             Ratio(Value(counters_.write_payload_bytes), Value(counters_.bytes_put)))
      .End();
}

void Store::Impl::WriteRoots(JsonWriter& json) noexcept {
  // A store may have a root per tenant: the list is bounded, the totals are above.
  constexpr size_t kMostRoots = 1000;
  const auto records = roots_.Records();
  json.Field("root_count", records.size());
  json.Key("roots").BeginArray();
  for (size_t i = 0; i < std::min(records.size(), kMostRoots); ++i) {
    const auto root = roots_.Find(records[i].name);
    json.BeginObject()
        .Field("root", records[i].text)
        .Field("number", records[i].number)
        .Field("epoch", records[i].epoch)
        .Field("pages_put", Value(root->pages_put))
        .Field("bytes_put", Value(root->bytes_put))
        .Field("pages_hit", Value(root->pages_hit))
        .Field("bytes_got", Value(root->bytes_got))
        .End();
  }
  json.End();
}

}  // namespace lamina
