// Put: skip what is there, take slots, write payloads, journal, publish.
//
// The journal block goes out beside the last of the payloads, as soon as their checksums are known;
// nothing is published or acknowledged before both are complete. A crash in between leaves a record
// of a page whose payload may be torn, which is what replay takes every page for until it has been
// verified. Not with durability=batch, where a record on stable storage stands for a payload that
// is, nor with erase=physical, where it stands for a slot without older bytes.
#include <algorithm>
#include <optional>
#include <utility>

#include "engine/base/mutation.h"
#include "engine/store/store_impl.h"

namespace lamina {

// One put call. What can wait (memtable room, slots) is had before the journal position is held;
// from then on the put only does I/O, so a checkpoint's position never waits for another put.
class PutOperation {
 public:
  PutOperation(Store::Impl& store, Path::Impl& path, size_t first, size_t count,
               const PutBuffers& buffers, std::span<PageState> states,
               bool index_only = false) noexcept
      : store_(store),
        path_(path),
        first_(first),
        count_(count),
        buffers_(buffers),
        states_(states),
        index_only_(index_only) {}

  // Argument errors were checked. Pages that cannot be stored are kRejected; the call itself
  // succeeds.
  size_t Run() noexcept {
    std::fill(states_.begin(), states_.end(), PageState::kPending);
    if (!AwaitCheckpoint()) return 0;
    located_in_ = store_.CurrentView()->tree;
    store_.Locate(path_, first_, count_, false);
    if (!index_only_) store_.ProveLocated(path_, first_, count_);
    CollectMissing();
    if (!index_only_) store_.NoteUse(path_, first_, count_);
    if (!pages_.empty() && MakeRoom() && MayWrite() && Admit() && TakeAllowance() && TakeSlots()) {
      const uint64_t ticket = Register();
      guard_ = store_.journal_->Begin();
      if (index_only_) {
        PretendWritten();
      } else {
        WritePayloads();
      }
      if (!journal_status_) journal_status_ = Journal();
      if (Mutated(Mutation::kAckBeforeJournal) || Journaled()) Publish();
      guard_.Release();
      // First: an erase that has waited for this put erases the bytes of its slots, too.
      ReleaseUnpublished();
      store_.NotePutDone(ticket);
    } else {
      ReleaseUnpublished();
    }
    Unreserve();
    if (freed_) (void)store_.ScrubFreed();
    store_.write_allowance_.GiveBack(allowance_left_);
    return Finish();
  }

 private:
  struct Page {
    size_t page = 0;  // in the path
    uint32_t length = 0;
    size_t first_fragment = 0;
    SlotRef slot;
    bool taken = false;
    uint64_t checksum = 0;
  };

  PageState& state(size_t page) noexcept { return states_[page - first_]; }

  // Pages that are present, and will be, are skipped. One whose payload could not be proven may be
  // torn, and one that is condemned in a segment which is being given up goes with it: these are
  // written again rather than relied on.
  void CollectMissing() noexcept {
    uint64_t present = 0;
    for (size_t page = first_; page < first_ + count_; ++page) {
      const Location& location = path_.locations[page];
      if (location.found &&
          (Mutated(Mutation::kTrustUnproven) ||
           Stays(location.entry.slot, location.entry.tag(path_.fingerprints[page])))) {
        state(page) = PageState::kOk;
        ++present;
        continue;
      }
      Page& missing = pages_.emplace_back();
      missing.page = page;
      missing.first_fragment = fragments_.size();
      size_t bytes = 0;
      const size_t at = (page - first_) * buffers_.buffers_per_page;
      for (size_t i = at; i < at + buffers_.buffers_per_page; ++i) {
        fragments_.push_back({const_cast<void*>(buffers_.buffers[i]), buffers_.sizes[i]});
        bytes += buffers_.sizes[i];
      }
      missing.length = static_cast<uint32_t>(bytes);
    }
    StoreCounters::Add(store_.counters_.pages_already_present, present);
  }

  // Of a page that is present.
  bool Stays(SlotRef slot, uint64_t tag) const noexcept {
    return !store_.log_->Unproven(slot, tag) && !store_.log_->Leaving(slot, tag);
  }

  // What is counted: lack of space, whatever lacked it, or else `other`.
  StoreCounters::Counter& SpaceOr(StoreCounters::Counter& other, const Status& why) noexcept {
    return why.code() == StatusCode::kNoSpace ? store_.counters_.rejected_no_space : other;
  }

  // Before anything is found to be present.
  bool AwaitCheckpoint() noexcept {
    const Status paid = store_.AwaitOwedCheckpoint();
    if (paid.ok()) return true;
    StoreCounters::Add(SpaceOr(store_.counters_.rejected_stalled, paid), 1);
    StoreCounters::Add(store_.counters_.rejected_follows, count_ - 1);
    store_.NoteRejection(paid);
    std::fill(states_.begin(), states_.end(), PageState::kRejected);
    return false;
  }

  bool MakeRoom() noexcept {
    if (const Status latched = store_.LatchStatus(); !latched.ok()) {
      RejectFrom(0, store_.counters_.rejected_latched, latched);
      return false;
    }
    // Or the policy, which sees no slots, would say that the store is full.
    if (const Status writable = store_.log_->WritableStatus(); !writable.ok()) {
      RejectFrom(0, store_.counters_.rejected_io_error, writable);
      return false;
    }
    const Status room = store_.MakeMemtableRoom();
    if (!room.ok()) RejectFrom(0, SpaceOr(store_.counters_.rejected_stalled, room), room);
    return room.ok();
  }

  // Where write_bytes_per_day does not allow the first page, the policy is not asked to make room.
  bool MayWrite() noexcept {
    if (index_only_) return true;
    const uint64_t bytes = SlotBytesFor(pages_.front().length);
    if (!store_.write_allowance_.Allows(bytes, WriteAllowance::Clock::now())) RejectAsWear(0);
    return !pages_.empty();
  }

  // As many leading pages as write_bytes_per_day allows now; the rest is rejected. Of those that
  // the policy has let in: what it turns away keeps no other put from writing.
  bool TakeAllowance() noexcept {
    if (index_only_) return true;
    const auto now = WriteAllowance::Clock::now();
    for (size_t i = 0; i < pages_.size(); ++i) {
      const uint64_t bytes = SlotBytesFor(pages_[i].length);
      if (store_.write_allowance_.TryTake(bytes, now)) {
        allowance_left_ += bytes;
      } else {
        RejectAsWear(i);
      }
    }
    return !pages_.empty();
  }

  void RejectAsWear(size_t i) noexcept {
    RejectFrom(i, store_.counters_.rejected_wear,
               Status::NoSpace("put: write_bytes_per_day=" +
                               std::to_string(store_.options_.write_bytes_per_day) +
                               " allows no more for now"));
  }

  // One past the last page that has the slot size of pages_[i].
  size_t ClassEnd(size_t i) const noexcept {
    const uint32_t slot_bytes = SlotBytesFor(pages_[i].length);
    size_t end = i + 1;
    while (end < pages_.size() && SlotBytesFor(pages_[end].length) == slot_bytes) ++end;
    return end;
  }

  // The eviction policy makes room for the pages that are worth it, which are leading ones.
  bool Admit() noexcept {
    if (index_only_) return true;
    std::vector<size_t> group;
    for (size_t i = 0; i < pages_.size();) {
      const size_t end = ClassEnd(i);
      group.clear();
      for (size_t k = i; k < end; ++k) group.push_back(pages_[k].page);
      const uint32_t slot_bytes = SlotBytesFor(pages_[i].length);
      const size_t kept = store_.Admit(path_, group, slot_bytes);
      if (kept > 0) reserved_.push_back({slot_bytes, kept});
      i += kept;
      if (kept == group.size()) continue;
      RejectFrom(i, store_.counters_.rejected_policy,
                 Status::NoSpace("put: the store is full, and the pages that would have to go are "
                                 "worth more (option admission)"));
    }
    return !pages_.empty();
  }

  void Unreserve() noexcept {
    for (const auto& [slot_bytes, pages] : reserved_) store_.evictor_->Unreserve(slot_bytes, pages);
  }

  // Slots for as many leading pages as can be had; the rest is rejected.
  bool TakeSlots() noexcept {
    for (size_t i = 0; i < pages_.size();) {
      auto runs = store_.TakeSlots(pages_[i].length, ClassEnd(i) - i);
      if (!runs.ok() || runs->empty()) {
        const Status why =
            runs.ok() ? Status::NoSpace("put: no slot can be overwritten now") : runs.status();
        RejectFrom(i, SpaceOr(store_.counters_.rejected_io_error, why), why);
        break;
      }
      for (const SlotRun& run : *runs) {
        for (uint32_t k = 0; k < run.count; ++k, ++i) {
          pages_[i].slot = run.slot(k);
          pages_[i].taken = true;
        }
      }
    }
    return !pages_.empty();
  }

  // From here on an erase waits for this put. Pages that are being erased already, or whose root
  // was, are refused, so that they get neither into the journal nor into a slot.
  uint64_t Register() noexcept {
    std::lock_guard lock(store_.publish_mutex_);
    if (path_.root->epoch.load(std::memory_order_relaxed) != path_.epoch) {
      RejectFrom(0, store_.counters_.rejected_erased,
                 Status::Busy("put: the root was erased meanwhile"));
    }
    const auto barred =
        std::find_if(pages_.begin(), pages_.end(), [&](const Page& page) { return Barred(page); });
    if (barred != pages_.end()) {
      RejectFrom(static_cast<size_t>(barred - pages_.begin()), store_.counters_.rejected_erased,
                 Status::Busy("put: the page is being erased"));
    }
    return *store_.puts_in_progress_.insert(store_.next_put_++).first;
  }

  void WritePayloads() noexcept {
    if (pages_.empty()) return;
    auto queue = store_.queues_->Acquire();
    if (!queue.ok()) {
      RejectFrom(0, store_.counters_.rejected_io_error, queue.status());
      return;
    }
    std::vector<PageWrite> writes(pages_.size());
    for (size_t i = 0; i < pages_.size(); ++i) {
      allowance_left_ -= SlotBytesFor(pages_[i].length);
      writes[i].slot = pages_[i].slot;
      writes[i].fingerprint = path_.fingerprints[pages_[i].page];
      writes[i].fragments =
          std::span(fragments_).subspan(pages_[i].first_fragment, buffers_.buffers_per_page);
    }
    IoTally tally;
    const IoGovernor::Session session(store_.governor_, IoClass::kPut);
    BesidePayloads beside(*this, writes);
    const Status status = store_.log_->WritePages(
        **queue, writes, {store_.options_.request_bytes, &session}, Syncs(), &tally, &beside);
    store_.CountTally(tally, true);
    size_t good = 0;
    while (good < writes.size() && writes[good].ok) ++good;
    NoteChecksums(std::span(writes).first(good));
    // A prefix has no hole at its head: what follows a failed page is given up with it.
    if (good < pages_.size())
      RejectFrom(good, SpaceOr(store_.counters_.rejected_io_error, status), status);
  }

  void NoteChecksums(std::span<const PageWrite> writes) noexcept {
    for (size_t i = 0; i < writes.size(); ++i) pages_[i].checksum = writes[i].checksum;
  }

  // While the device has the last payloads.
  class BesidePayloads final : public WriteObserver {
   public:
    BesidePayloads(PutOperation& put, std::span<const PageWrite> writes) noexcept
        : put_(put), writes_(writes) {}
    void Summed() noexcept override {
      // First, since some devices report all that they have when the last of it is done.
      put_.store_.evictor_->Settle();
      if (!put_.JournalsBeside()) return;
      put_.NoteChecksums(writes_);
      put_.journal_status_ = put_.Journal();
    }

   private:
    PutOperation& put_;
    const std::span<const PageWrite> writes_;
  };

  bool JournalsBeside() const noexcept {
    return !Syncs() && store_.options_.erase == Options::Erase::kLogical;
  }

  // Whether payloads are on stable storage before they are published.
  bool Syncs() const noexcept {
    return store_.options_.durability == Options::Durability::kBatch && !index_only_;
  }

  void PretendWritten() noexcept {
    for (Page& page : pages_) page.checksum = path_.fingerprints[page.page] ^ page.length;
  }

  // One record for each stretch of consecutive pages of one stem.
  Status Journal() noexcept {
    if (pages_.empty()) return Status::Ok();
    JournalRecords records;
    std::vector<JournalPage> places;
    for (size_t i = 0; i < pages_.size();) {
      const size_t end = StretchEnd(i);
      places.clear();
      for (size_t k = i; k < end; ++k) {
        places.push_back(
            {pages_[k].slot, pages_[k].length, path_.guard(pages_[k].page), pages_[k].checksum});
      }
      PutRecord record;
      record.root_name = path_.root->name;
      record.root_epoch = path_.epoch;
      const StemKey key = path_.stem_key(pages_[end - 1].page);
      record.anchor = key.anchor;
      record.fingerprints = key.fingerprints;
      record.first_page = static_cast<uint32_t>(pages_[i].page - path_.stem_begin(pages_[i].page));
      record.pages = places;
      records.AddPut(record);
      i = end;
    }
    return store_.journal_->Append(guard_, records).status();
  }

  // Whether there are pages to be published. Without their records there are none.
  bool Journaled() noexcept {
    if (!pages_.empty() && !journal_status_->ok()) {
      RejectFrom(0, SpaceOr(store_.counters_.rejected_io_error, *journal_status_),
                 *journal_status_);
    }
    return !pages_.empty();
  }

  // Entries and tags become visible in one step. A put that was overtaken, by another put of the
  // page, by an erase, or by the erasure of the root, publishes nothing.
  void Publish() noexcept {
    std::unique_lock lock(store_.publish_mutex_);
    // A rival's page may have been flushed since this put looked: the memtables alone do not tell.
    for (TreePtr tree = store_.CurrentView()->tree; tree != located_in_;
         tree = store_.CurrentView()->tree) {
      lock.unlock();
      located_in_ = tree;
      store_.Locate(path_, first_, count_, false);
      lock.lock();
    }
    if (path_.root->epoch.load(std::memory_order_relaxed) != path_.epoch) {
      RejectFrom(0, store_.counters_.rejected_erased,
                 Status::Busy("put: the root was erased meanwhile"));
      return;
    }
    // Before any slot bears its number: what a checkpoint saves of these slots, it knows the root
    // of.
    store_.roots_.Register(path_.root);
    const auto view = store_.CurrentView();
    std::vector<Entry> entries;
    for (size_t i = 0; i < pages_.size();) {
      if (Barred(pages_[i])) {
        RejectFrom(i, store_.counters_.rejected_erased,
                   Status::Busy("put: the page is being erased"));
        return;
      }
      if (LostRace(*view, pages_[i])) {
        state(pages_[i].page) = PageState::kOk;
        StoreCounters::Add(store_.counters_.duplicates_lost, 1);
        ++i;
        continue;
      }
      // As many as lie together and are not lost or barred go in as one.
      size_t end = i + 1;
      const size_t stretch_end = StretchEnd(i);
      while (end < stretch_end && !Barred(pages_[end]) && !LostRace(*view, pages_[end])) ++end;
      PublishStretch(*view, i, end, &entries);
      i = end;
    }
  }

  void PublishStretch(const View& view, size_t begin, size_t end,
                      std::vector<Entry>* entries) noexcept {
    entries->clear();
    for (size_t i = begin; i < end; ++i) {
      const Page& page = pages_[i];
      entries->push_back({page.slot, page.length, path_.guard(page.page), page.checksum});
    }
    const StemKey key = path_.stem_key(pages_[end - 1].page);
    const size_t first = pages_[begin].page - path_.stem_begin(pages_[begin].page);
    view.active->Insert(key.anchor, key.fingerprints, first, *entries, guard_.position().sequence,
                        store_.oracle_.get());
    uint64_t bytes = 0;
    for (size_t i = begin; i < end; ++i) {
      Page& page = pages_[i];
      const Entry& entry = (*entries)[i - begin];
      const Fingerprint f = path_.fingerprints[page.page];
      Location& location = path_.locations[page.page];
      // What it replaces is unproven or leaving: its bytes are not needed any more.
      if (location.found) freed_ |= store_.log_->Free(location.entry.slot, location.entry.tag(f));
      store_.log_->Publish(page.slot, entry.tag(f), path_.root->number, guard_.position(), Syncs());
      page.taken = false;
      location = {entry, true};
      state(page.page) = PageState::kOk;
      bytes += page.length;
      if (!index_only_) store_.evictor_->Placed(path_, page.page);
    }
    store_.NotePublished(*path_.root, end - begin, bytes);
  }

  // Whether the page has an entry by now that can be relied on: another put was faster.
  bool LostRace(const View& view, const Page& page) noexcept {
    const PageKey key = path_.page_key(page.page);
    const Location& located = path_.locations[page.page];
    if (located.found) {
      const uint64_t tag = located.entry.tag(key.fingerprint);
      if (store_.log_->Bears(located.entry.slot, tag) && Stays(located.entry.slot, tag))
        return true;
    }
    const auto live_in = [&](const Memtable& memtable) {
      for (const auto* c = memtable.Lookup(key); c != nullptr; c = c->older) {
        const uint64_t tag = c->entry.tag(key.fingerprint);
        if (c->entry.guard != path_.guard(page.page) || c->entry.slot == page.slot ||
            !store_.log_->Bears(c->entry.slot, tag) || !Stays(c->entry.slot, tag))
          continue;
        path_.locations[page.page] = {c->entry, true};
        return true;
      }
      return false;
    };
    if (live_in(*view.active)) return true;
    return std::any_of(view.frozen.begin(), view.frozen.end(),
                       [&](const auto& memtable) { return live_in(*memtable); });
  }

  bool Barred(const Page& page) const noexcept {
    return !store_.barred_.empty() && store_.barred_.contains(path_.page_key(page.page));
  }

  // One past the last page of the stretch that begins at pages_[i]: consecutive, in one stem.
  size_t StretchEnd(size_t i) const noexcept {
    size_t end = i + 1;
    while (end < pages_.size() && pages_[end].page == pages_[end - 1].page + 1 &&
           path_.stem_begin(pages_[end].page) == path_.stem_begin(pages_[i].page))
      ++end;
    return end;
  }

  // Gives up pages_[i] and all pages of the call behind it. What they took is released at the end.
  void RejectFrom(size_t i, StoreCounters::Counter& reason, const Status& why) noexcept {
    StoreCounters::Add(reason, 1);
    StoreCounters::Add(store_.counters_.rejected_follows, pages_.size() - i - 1);
    store_.NoteRejection(why);
    if (Mutated(Mutation::kPublishRejected)) return;
    for (size_t k = i; k < pages_.size(); ++k) {
      if (pages_[k].taken) released_.push_back(pages_[k].slot);
    }
    const size_t from = pages_[i].page;
    for (size_t page = from; page < first_ + count_; ++page) {
      if (state(page) == PageState::kPending) state(page) = PageState::kRejected;
    }
    pages_.resize(i);
  }

  void ReleaseUnpublished() noexcept {
    for (const Page& page : pages_) {
      if (page.taken) released_.push_back(page.slot);
    }
    for (const SlotRef slot : released_) store_.log_->Release(slot);
    freed_ |= !released_.empty();
  }

  size_t Finish() noexcept {
    size_t leading = 0;
    while (leading < count_ && states_[leading] == PageState::kOk) ++leading;
    return leading;
  }

  Store::Impl& store_;
  Path::Impl& path_;
  const size_t first_;
  const size_t count_;
  const PutBuffers& buffers_;
  const std::span<PageState> states_;
  const bool index_only_;

  std::vector<Page> pages_;  // those to be stored, in path order
  std::vector<iovec> fragments_;
  std::vector<SlotRef> released_;
  std::vector<std::pair<uint32_t, uint64_t>> reserved_;  // slot size, pages
  bool freed_ = false;                                   // slots, which may have to be scrubbed
  uint64_t allowance_left_ = 0;                          // bytes taken of it and not written
  JournalWriter::Guard guard_;
  std::optional<Status> journal_status_;  // once the records were appended, or could not be
  TreePtr located_in_;  // the tree that the path's locations are at least as new as
};

Result<size_t> Store::Impl::Put(Path::Impl& path, size_t first, size_t count,
                                const PutBuffers& buffers, std::span<PageState> states) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("put", path, first, count, states.size()));
  LAMINA_RETURN_IF_ERROR(
      CheckBuffers("put", count, buffers.buffers, buffers.sizes, buffers.buffers_per_page));
  StoreCounters::Add(counters_.puts, 1);
  std::vector<PageState> own_states;
  if (states.empty()) {
    own_states.resize(count);
    states = own_states;
  }
  return RunPut(path, first, count, buffers, states);
}

// Arguments are right, and a call or a ticket keeps the store open.
size_t Store::Impl::RunPut(Path::Impl& path, size_t first, size_t count, const PutBuffers& buffers,
                           std::span<PageState> states) noexcept {
  path.CatchUpWithRoot();
  const size_t leading = PutOperation(*this, path, first, count, buffers, states).Run();
  NoteSlotsChanged();
  return leading;
}

Result<size_t> Store::Impl::PutEntries(Path::Impl& path, size_t first, size_t count,
                                       size_t page_bytes) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("put entries", path, first, count, std::nullopt));
  path.CatchUpWithRoot();
  const std::vector<const void*> buffers(count);
  const std::vector<size_t> sizes(count, page_bytes);
  std::vector<PageState> states(count);
  return PutOperation(*this, path, first, count, {buffers, sizes, 1}, states, true).Run();
}

void Store::Impl::NotePutDone(uint64_t ticket) noexcept {
  {
    std::lock_guard lock(publish_mutex_);
    puts_in_progress_.erase(ticket);
    put_done_.notify_all();
  }
  if (environment_.put_is_over) environment_.put_is_over();
}

void Store::Impl::NotePublished(RootState& root, uint64_t pages, uint64_t bytes) noexcept {
  StoreCounters::Add(counters_.pages_put, pages);
  StoreCounters::Add(counters_.bytes_put, bytes);
  root.pages_put.fetch_add(pages, std::memory_order_relaxed);
  root.bytes_put.fetch_add(bytes, std::memory_order_relaxed);
  dirty_.store(true, std::memory_order_release);
  bytes_since_checkpoint_.fetch_add(bytes, std::memory_order_relaxed);
  bytes_since_policy_saved_.fetch_add(bytes, std::memory_order_relaxed);
}

void Store::Impl::NoteRejection(const Status& why) noexcept {
  std::lock_guard lock(notes_mutex_);
  last_rejection_ = why.message();
}

}  // namespace lamina
