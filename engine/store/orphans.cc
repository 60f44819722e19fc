// After an unclean shutdown a slot may bear a tag that no entry reaches: the entry was in a block
// that is damaged, or in a record that was lost. Such slots would never be found again. This walk
// reads the whole index once and frees tagged slots that it does not mention.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "engine/store/store_impl.h"

namespace lamina {

class OrphanTask final : public BackgroundTask {
 public:
  explicit OrphanTask(Store::Impl& store) noexcept : store_(store) {}

  // A memtable or a table a step. Suspects are the slots that bear a tag when the walk begins;
  // their entries were published before. Any of them may be put into meanwhile: so before anything
  // is freed, what was published during the walk is walked, too.
  Result<Progress> Step() noexcept override {
    if (view_ == nullptr) {
      CollectSuspects();
    } else if (!memtables_.empty()) {
      const auto memtable = std::move(memtables_.back());
      memtables_.pop_back();
      LAMINA_RETURN_IF_ERROR(Clear(*memtable->NewIterator()));
    } else if (!tables_.empty()) {
      const auto [meta, table] = std::move(tables_.back());
      tables_.pop_back();
      LAMINA_RETURN_IF_ERROR(ClearTable(meta, table));
    } else {
      LAMINA_ASSIGN_OR_RETURN(const bool freed, FreeSuspects());
      if (!freed) return Progress::kMore;
      store_.orphan_walk_owed_ = false;
      return Progress::kDone;
    }
    return Progress::kMore;
  }
  void Cancel() noexcept override {}

 private:
  void CollectSuspects() noexcept {
    // Entry and tag are published in one step: under this lock no slot is between the two.
    std::lock_guard lock(store_.publish_mutex_);
    store_.log_->ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
      std::vector<bool>& suspect = suspects_[segment.id()];
      suspect.resize(segment.slot_count());
      suspect[number] = slot.tag() != 0;
    });
    TakeView();
  }

  // Plans to walk what is in the store's view now and was in none before. Under publish_mutex_.
  void TakeView() noexcept {
    if (!store_.CurrentView()->active->empty()) store_.FreezeActive();
    view_ = store_.CurrentView();
    for (const auto& memtable : view_->frozen)
      if (known_memtables_.insert(memtable).second) memtables_.push_back(memtable);
    for (const OpenRun& run : view_->runs) {
      for (size_t i = 0; i < run.tables.size(); ++i) {
        const TableMeta& meta = run.run->tables[i];
        if (known_tables_.insert(meta.number).second) tables_.emplace_back(meta, run.tables[i]);
      }
    }
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
      const uint64_t tag = entry.tag(entries.key().fingerprints.back());
      if (store_.log_->Keeps(entry.slot, tag)) segment->second[entry.slot.slot] = false;
    }
    return entries.status();
  }

  // False: there are tables that were not walked yet.
  Result<bool> FreeSuspects() noexcept {
    uint64_t freed = 0;
    {
      std::lock_guard lock(store_.publish_mutex_);
      TakeView();
      if (!tables_.empty()) return false;
      // What was put since the last table: a memtable or two.
      for (const auto& memtable : memtables_)
        LAMINA_RETURN_IF_ERROR(Clear(*memtable->NewIterator()));
      memtables_.clear();
      for (const auto& [id, suspect] : suspects_) {
        const SegmentTable::ReadSection section(store_.log_->table());
        Segment* const segment = section.Find(id);
        if (segment == nullptr) continue;
        for (uint32_t i = 0; i < suspect.size(); ++i) {
          if (!suspect[i]) continue;
          const uint64_t tag = segment->slot(i).tag();
          if (tag != 0 && segment->Free(i, tag)) ++freed;
        }
      }
    }
    StoreCounters::Add(store_.counters_.orphan_slots_freed, freed);
    if (freed > 0) store_.dirty_.store(true, std::memory_order_release);
    (void)store_.ScrubFreed();
    return true;
  }

  Store::Impl& store_;
  std::shared_ptr<const View> view_;
  std::vector<std::shared_ptr<Memtable>> memtables_;  // to be walked
  std::vector<std::pair<TableMeta, std::shared_ptr<Table>>> tables_;
  std::set<std::shared_ptr<Memtable>> known_memtables_;  // walked, or to be
  std::set<TableNumber> known_tables_;
  std::map<uint32_t, std::vector<bool>> suspects_;  // by segment and slot
};

std::unique_ptr<BackgroundTask> Store::Impl::NextOrphanWalk() noexcept {
  // Asked again after a walk that failed.
  if (!walk_orphans_.exchange(false) && !orphan_walk_owed_) return nullptr;
  return std::make_unique<OrphanTask>(*this);
}

}  // namespace lamina
