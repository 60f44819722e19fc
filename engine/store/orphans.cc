// After an unclean shutdown a slot may bear a tag that no entry reaches: the entry was in a block
// that is damaged, or in a record that was lost. Such slots would never be found again. This walk
// reads the whole index once and frees tagged slots that it does not mention.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "engine/store/store_impl.h"

namespace lamina {

class OrphanTask final : public BackgroundTask {
 public:
  explicit OrphanTask(Store::Impl& store) noexcept : store_(store) {}

  // A memtable or a table a step. Suspects are the slots that bear a tag when the walk begins.
  // Their entries were published before, so they are in the view that is taken then, all of them in
  // frozen memtables or tables. What is published later is no suspect: its tag is another.
  Result<Progress> Step() noexcept override {
    if (view_ == nullptr) {
      view_ = CollectSuspects();
    } else if (memtable_ < view_->frozen.size()) {
      LAMINA_RETURN_IF_ERROR(Clear(*view_->frozen[memtable_++]->NewIterator()));
    } else if (run_ < view_->runs.size()) {
      const OpenRun& run = view_->runs[run_];
      LAMINA_RETURN_IF_ERROR(ClearTable(run.run->tables[table_], run.tables[table_]));
      if (++table_ == run.tables.size()) {
        ++run_;
        table_ = 0;
      }
    } else {
      FreeSuspects();
      store_.orphan_walk_owed_ = false;
      return Progress::kDone;
    }
    return Progress::kMore;
  }
  void Cancel() noexcept override {}

 private:
  std::shared_ptr<const View> CollectSuspects() noexcept {
    // Entry and tag are published in one step: under this lock no slot is between the two.
    std::lock_guard lock(store_.publish_mutex_);
    if (!store_.CurrentView()->active->empty()) store_.FreezeActive();
    store_.log_->ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
      std::vector<uint64_t>& tags = suspects_[segment.id()];
      tags.resize(segment.slot_count());
      tags[number] = slot.tag();
    });
    return store_.CurrentView();
  }

  // The view's own tables: compaction may have replaced them since, and removed their files.
  Status ClearTable(const TableMeta& meta, std::shared_ptr<const Table> table) noexcept {
    if (table == nullptr) {
      auto opened = store_.tables_->Get(meta);
      if (!opened.ok()) {
        // What it names is not known now, or has moved to a table that is not in the view: another
        // walk will know.
        if (opened.status().code() != StatusCode::kCorruption &&
            !store_.GiveUpReading(meta.number, opened.status()))
          return opened.status();
        if (store_.CurrentView()->tree != view_->tree)
          return Status::Busy("orphan walk: the index changed around a damaged table");
        return Status::Ok();
      }
      table = std::move(*opened);
    }
    return Clear(*table->NewIterator(SkippingDamage()));
  }

  TableIterateOptions SkippingDamage() noexcept {
    TableIterateOptions how;
    how.on_damage = [&](const Status& damage) {
      StoreCounters::Add(store_.counters_.index_damage, 1);
      store_.NoteBackgroundError(damage);
    };
    how.give_up = [&](const Table& table, const Status& why) {
      return store_.GiveUpReading(table.number(), why);
    };
    return how;
  }

  // Clears of suspicion what these entries mention.
  Status Clear(EntryIterator& entries) noexcept {
    for (entries.SeekToFirst(); entries.Valid(); entries.Next()) {
      const Entry& entry = entries.entry();
      const auto segment = suspects_.find(entry.slot.segment);
      if (segment == suspects_.end() || entry.slot.slot >= segment->second.size()) continue;
      uint64_t& tag = segment->second[entry.slot.slot];
      if (tag == entry.tag(entries.key().fingerprints.back())) tag = 0;
    }
    return entries.status();
  }

  void FreeSuspects() noexcept {
    uint64_t freed = 0;
    for (const auto& [segment, tags] : suspects_) {
      for (uint32_t slot = 0; slot < tags.size(); ++slot) {
        if (tags[slot] != 0 && store_.log_->Free({segment, slot}, tags[slot])) ++freed;
      }
    }
    StoreCounters::Add(store_.counters_.orphan_slots_freed, freed);
    if (freed > 0) store_.dirty_.store(true, std::memory_order_release);
    (void)store_.ScrubFreed();
  }

  Store::Impl& store_;
  std::shared_ptr<const View> view_;
  size_t memtable_ = 0;  // next to be walked, of the view
  size_t run_ = 0;
  size_t table_ = 0;
  std::map<uint32_t, std::vector<uint64_t>> suspects_;  // by segment: a slot's tag, or 0
};

std::unique_ptr<BackgroundTask> Store::Impl::NextOrphanWalk() noexcept {
  // Asked again after a walk that failed.
  if (!walk_orphans_.exchange(false) && !orphan_walk_owed_) return nullptr;
  return std::make_unique<OrphanTask>(*this);
}

}  // namespace lamina
