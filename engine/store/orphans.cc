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

  // Suspects are the slots that bear a tag now. Their entries were published before, so they are in
  // the view that is taken here too, all of them in frozen memtables or tables. What is published
  // later is no suspect: its tag is another.
  Result<Progress> Step() noexcept override {
    const auto view = CollectSuspects();
    for (const auto& memtable : view->frozen)
      LAMINA_RETURN_IF_ERROR(Clear(*memtable->NewIterator()));
    for (const OpenRun& run : view->runs) {
      for (const TableMeta& meta : run.run->tables) {
        auto table = store_.tables_->Get(meta);
        if (table.ok()) {
          LAMINA_RETURN_IF_ERROR(Clear(*(*table)->NewIterator(SkippingDamage())));
        } else if (table.status().code() != StatusCode::kCorruption) {
          return table.status();  // what it names is not known now; another walk will know
        }
      }
    }
    FreeSuspects();
    store_.orphan_walk_owed_ = false;
    return Progress::kDone;
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

  TableIterateOptions SkippingDamage() noexcept {
    TableIterateOptions how;
    how.on_damage = [&](const Status& damage) {
      StoreCounters::Add(store_.counters_.index_damage, 1);
      store_.NoteBackgroundError(damage);
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
  }

  Store::Impl& store_;
  std::map<uint32_t, std::vector<uint64_t>> suspects_;  // by segment: a slot's tag, or 0
};

std::unique_ptr<BackgroundTask> Store::Impl::NextOrphanWalk() noexcept {
  // Asked again after a walk that failed.
  if (!walk_orphans_.exchange(false) && !orphan_walk_owed_) return nullptr;
  return std::make_unique<OrphanTask>(*this);
}

}  // namespace lamina
