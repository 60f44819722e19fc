#include "engine/store/move.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "compaction/run_iterator.h"
#include "engine/base/mutation.h"
#include "engine/index/merging_iterator.h"

namespace lamina {
namespace {

// What is read before it is written, bytes; two syncs are paid for each batch. Less when memory is
// scarce; more for a page that is larger.
constexpr uint64_t kBatchBytes = uint64_t{16} << 20;
constexpr uint64_t kMemoryShare = 32;
constexpr size_t kMaxBatchPages = 1024;

// Moves have time: a few requests in flight leave the device to those who wait for it.
constexpr uint32_t kDepth = 4;

size_t RoundUp(size_t bytes) noexcept { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

}  // namespace

PageMover::PageMover(Store::Impl& store, std::span<const uint32_t> from,
                     const Store::Impl::RetireHow& how, Store::Impl::RetireReport* report) noexcept
    : store_(store), from_(from), how_(how), report_(report) {}

Status PageMover::Run() noexcept {
  CollectWanted();
  if (wanted_left_ == 0) return Status::Ok();
  for (const RootRecord& root : store_.roots_.Records())
    roots_[root.number] = store_.roots_.Find(root.name);
  LAMINA_RETURN_IF_ERROR(Walk());
  return unreadable_;
}

// ---- Finding the pages
// ---------------------------------------------------------------------------

// What is live now was published before, entry and tag in one step: so its entry is in the view
// that is taken here too, in a frozen memtable or a table.
void PageMover::CollectWanted() noexcept {
  std::lock_guard lock(store_.publish_mutex_);
  for (const uint32_t id : from_) {
    const SegmentTable::ReadSection section(store_.log_->table());
    const Segment* const segment = section.Find(id);
    if (segment == nullptr) continue;
    std::vector<uint64_t>& tags = wanted_[id];
    tags.resize(segment->slot_count());
    for (uint32_t i = 0; i < segment->slot_count(); ++i) {
      if (segment->slot(i).state() != SlotState::kLive) continue;
      tags[i] = segment->slot(i).tag();
      wanted_left_ += tags[i] != 0 ? 1 : 0;
    }
  }
  if (wanted_left_ > 0 && !store_.CurrentView()->active->empty()) store_.FreezeActive();
  view_ = store_.CurrentView();
}

// Over everything that the view has, newest first under equal keys. Damaged blocks and tables are
// counted and skipped: what only they named is lost. What cannot be read now ends the walk.
std::unique_ptr<EntryIterator> PageMover::AllEntries() noexcept {
  std::vector<std::unique_ptr<EntryIterator>> sources;
  for (const auto& memtable : view_->frozen) sources.push_back(memtable->NewIterator());
  const auto damaged = [this](const Status& damage) {
    StoreCounters::Add(store_.counters_.index_damage, 1);
    store_.NoteBackgroundError(damage);
  };
  for (const OpenRun& run : view_->runs) {
    RunIterator::Options options;
    // The view's own tables: a compaction may have removed the files since.
    options.open = [this, &run](const TableMeta& meta) -> Result<std::shared_ptr<Table>> {
      for (const auto& table : run.tables) {
        if (table != nullptr && table->number() == meta.number) return table;
      }
      return store_.tables_->Get(meta);
    };
    options.table.on_damage = damaged;
    options.on_lost_table = [this, damaged](const TableMeta&, const Status& why) {
      damaged(why);
      // What it names may have gone to a table that is not in the view.
      if (store_.CurrentView()->tree != view_->tree) unreached_known_ = false;
    };
    sources.push_back(std::make_unique<RunIterator>(run.run->tables, std::move(options)));
  }
  return std::make_unique<MergingIterator>(std::move(sources));
}

Status PageMover::Walk() noexcept {
  const auto entries = AllEntries();
  for (entries->SeekToFirst(); entries->Valid() && wanted_left_ > 0; entries->Next())
    LAMINA_RETURN_IF_ERROR(Consider(entries->key(), entries->entry()));
  LAMINA_RETURN_IF_ERROR(MoveBatch());
  LAMINA_RETURN_IF_ERROR(entries->status());
  if (!entries->Valid()) FreeUnreached();
  return Status::Ok();
}

Status PageMover::Consider(const StemKey& key, const Entry& entry) noexcept {
  const auto segment = wanted_.find(entry.slot.segment);
  if (segment == wanted_.end() || entry.slot.slot >= segment->second.size()) return Status::Ok();
  uint64_t& tag = segment->second[entry.slot.slot];
  if (tag == 0 || tag != entry.tag(key.fingerprints.back())) return Status::Ok();
  tag = 0;
  --wanted_left_;
  const size_t bytes = RoundUp(entry.length);
  const size_t batch_bytes = std::min(kBatchBytes, store_.options_.memory_bytes / kMemoryShare);
  if (!batch_.empty() && (batch_.size() == kMaxBatchPages || scratch_used_ + bytes > batch_bytes))
    LAMINA_RETURN_IF_ERROR(MoveBatch());
  if (scratch_.size() < std::max(bytes, batch_bytes))
    scratch_ = AlignedBuffer(std::max(bytes, batch_bytes));
  Page& page = batch_.emplace_back();
  page.key = OwnedStemKey(key);
  page.entry = entry;
  page.offset = scratch_used_;
  scratch_used_ += bytes;
  return Status::Ok();
}

// As after an unclean shutdown: no lookup finds these, and nothing could be said of a copy.
void PageMover::FreeUnreached() noexcept {
  if (!unreached_known_) return;
  uint64_t freed = 0;
  for (const auto& [segment, tags] : wanted_) {
    for (uint32_t slot = 0; slot < tags.size(); ++slot)
      if (tags[slot] != 0 && store_.log_->Free({segment, slot}, tags[slot])) ++freed;
  }
  StoreCounters::Add(store_.counters_.orphan_slots_freed, freed);
  if (freed > 0) store_.dirty_.store(true, std::memory_order_release);
}

// ---- A batch
// -------------------------------------------------------------------------------------

Status PageMover::MoveBatch() noexcept {
  if (store_.Stopped(how_))
    return Status::Busy("moving pages was stopped before all of them had moved");
  const auto move = [this]() noexcept -> Status {
    LAMINA_RETURN_IF_ERROR(ReadBatch());
    LAMINA_RETURN_IF_ERROR(MakeRoom());
    const Status taken = TakeSlots();  // for as many as there is room for
    if (!batch_.empty()) {
      // Erases and moves take turns, so that no page is erased between its copying and publication,
      // nor the root's epoch raised.
      std::lock_guard erase_lock(store_.erase_mutex_);
      DropGone();
      if (batch_.empty()) return taken;
      LAMINA_RETURN_IF_ERROR(WriteBatch());
      LAMINA_RETURN_IF_ERROR(JournalAndPublish());
    }
    return taken;
  };
  Status status = batch_.empty() ? Status::Ok() : move();
  batch_.clear();
  scratch_used_ = 0;
  return status;
}

// As puts do, except that it flushes by itself instead of waiting: background work may not wait for
// other background work.
Status PageMover::MakeRoom() noexcept {
  if (store_.ActiveIsFull() || !store_.JournalHasRoom()) return store_.Checkpoint(false);
  if (store_.bytes_since_checkpoint_.load(std::memory_order_relaxed) >= store_.checkpoint_bytes_)
    store_.WakeCheckpoint();
  return Status::Ok();
}

// Pages marked in `drop` leave the batch.
void PageMover::DropPages(const std::vector<bool>& drop) noexcept {
  size_t kept = 0;
  for (size_t i = 0; i < batch_.size(); ++i) {
    if (drop[i]) continue;
    if (kept != i) batch_[kept] = std::move(batch_[i]);
    ++kept;
  }
  batch_.resize(kept);
}

// Leaves in the batch what was read and is right. A page that is wrong twice is freed.
Status PageMover::ReadBatch() noexcept {
  std::vector<size_t> pages(batch_.size());
  for (size_t i = 0; i < batch_.size(); ++i) {
    pages[i] = i;
    batch_[i].fragment = {scratch_.data() + batch_[i].offset, batch_[i].entry.length};
  }
  auto queue = store_.queues_->Acquire();
  LAMINA_RETURN_IF_ERROR(queue.status());
  std::vector<bool> drop(batch_.size(), false);
  for (int attempt = 0; attempt < 2 && !pages.empty(); ++attempt) {
    std::vector<PageRead> reads;
    for (const size_t i : pages) {
      const Page& page = batch_[i];
      reads.push_back({.slot = page.entry.slot,
                       .fingerprint = page.fingerprint(),
                       .checksum = page.entry.checksum,
                       .length = page.entry.length,
                       .fragments = std::span(&page.fragment, 1)});
    }
    IoTally tally;
    const FixedDepth depth(kDepth);
    store_.log_->ReadPages(**queue, reads, {store_.options_.request_bytes, &depth}, nullptr,
                           &tally);
    store_.CountTally(tally, false);
    std::vector<size_t> wrong;
    for (size_t k = 0; k < reads.size(); ++k) {
      const size_t i = pages[k];
      drop[i] = reads[k].outcome != ReadOutcome::kOk;
      if (reads[k].outcome == ReadOutcome::kMismatch) wrong.push_back(i);
      if (reads[k].outcome == ReadOutcome::kIoError) MeetUnreadable(batch_[i]);
    }
    StoreCounters::Add(store_.counters_.checksum_failures, wrong.size());
    pages = std::move(wrong);
  }
  for (const size_t i : pages)
    FreeBad(batch_[i], store_.log_->Unproven(batch_[i].entry.slot, batch_[i].tag()));
  DropPages(drop);
  return Status::Ok();
}

// `torn`: by a put that a crash cut off, which is no damage.
void PageMover::FreeBad(const Page& page, bool torn) noexcept {
  if (!store_.log_->Free(page.entry.slot, page.tag())) return;
  StoreCounters::Add(store_.counters_.unproven_torn, torn ? 1 : 0);
  report_->pages_bad += torn ? 0 : 1;
  store_.dirty_.store(true, std::memory_order_release);
}

// After some tries it goes, lest it keep its segment for ever.
void PageMover::MeetUnreadable(const Page& page) noexcept {
  const SlotRef at = page.entry.slot;
  std::string path;
  {
    const SegmentTable::ReadSection section(store_.log_->table());
    const Segment* const segment = section.Find(at.segment);
    if (segment == nullptr || segment->absent()) return;
    path = segment->file()->path();
  }
  const Status why = Status::IoError("a page in slot " + std::to_string(at.slot) + " of " + path +
                                     " could not be read, and was not moved");
  if (!store_.page_tries_.GiveUp(*store_.fs_, page.tag(), path)) {
    if (unreadable_.ok()) unreadable_ = why;
    return;
  }
  store_.page_tries_.Forget(page.tag());
  store_.NoteBackgroundError(why);
  FreeBad(page, /*torn=*/false);
}

Result<std::vector<SlotRun>> PageMover::TakeRuns(uint64_t page_bytes, size_t count) noexcept {
  if (how_.into.empty()) {
    auto taken = store_.log_->TakeExisting(page_bytes, count);
    const bool full = !taken.ok() && taken.status().code() == StatusCode::kNoSpace;
    return full && how_.may_add ? store_.log_->Take(page_bytes, count) : taken;
  }
  std::vector<SlotRun> runs;
  for (const uint32_t segment : how_.into) {
    runs = store_.log_->TakeIn(segment, count);
    if (!runs.empty()) return runs;
  }
  return Status::NoSpace("the segments that were made for moved pages are full");
}

// Pages that get no slot leave the batch: the last ones.
Status PageMover::TakeSlots() noexcept {
  Status status;
  size_t i = 0;
  while (i < batch_.size()) {
    const uint32_t slot_bytes = SlotBytesFor(batch_[i].entry.length);
    size_t end = i + 1;
    while (end < batch_.size() && SlotBytesFor(batch_[end].entry.length) == slot_bytes) ++end;
    const auto runs = TakeRuns(batch_[i].entry.length, end - i);
    if (!runs.ok()) {
      status = runs.status();
      break;
    }
    for (const SlotRun& run : *runs)
      for (uint32_t k = 0; k < run.count; ++k) batch_[i++].to = run.slot(k);
  }
  batch_.resize(i);
  return status;
}

// Leaves in the batch what is written and durable; gives back the slots of the rest.
Status PageMover::WriteBatch() noexcept {
  std::vector<PageWrite> writes(batch_.size());
  for (size_t i = 0; i < batch_.size(); ++i) {
    writes[i].slot = batch_[i].to;
    writes[i].fingerprint = batch_[i].fingerprint();
    writes[i].fragments = std::span(&batch_[i].fragment, 1);
  }
  auto queue = store_.queues_->Acquire();
  Status status = queue.status();
  if (status.ok()) {
    IoTally tally;
    const IoGovernor::Session session(store_.governor_, IoClass::kReclaim, kDepth);
    status = store_.log_->WritePages(**queue, writes, {store_.options_.request_bytes, &session},
                                     /*sync=*/!Mutated(Mutation::kUnlinkBeforeCheckpoint), &tally);
    store_.CountTally(tally, true);
  }
  std::vector<bool> drop(batch_.size());
  for (size_t i = 0; i < batch_.size(); ++i) {
    // Bytes that changed between reading and writing are not the page's.
    drop[i] = !writes[i].ok || writes[i].checksum != batch_[i].entry.checksum;
    if (drop[i]) store_.log_->Release(batch_[i].to);
  }
  DropPages(drop);
  // What was written before an error stays: its slots bear no tag, so they go back, too.
  if (!status.ok()) {
    for (const Page& page : batch_) store_.log_->Release(page.to);
    batch_.clear();
  }
  return status;
}

// ---- The switch
// ----------------------------------------------------------------------------------

// What is not live any more leaves the batch, and its slot goes back.
void PageMover::DropGone() noexcept {
  std::vector<bool> drop(batch_.size());
  for (size_t i = 0; i < batch_.size(); ++i) {
    Page& page = batch_[i];
    const auto live = store_.log_->LiveRoot(page.entry.slot, page.tag());
    page.root = live.value_or(0);
    drop[i] = !live || !roots_.contains(page.root);
    if (drop[i]) store_.log_->Release(page.to);
  }
  DropPages(drop);
}

// Under erase_mutex_.
Status PageMover::JournalAndPublish() noexcept {
  DropGone();
  if (batch_.empty()) return Status::Ok();
  JournalWriter::Guard guard = store_.journal_->Begin();
  if (Status status = Journal(guard); !status.ok()) {
    guard.Release();
    std::vector<SlotRef> to;
    for (const Page& page : batch_) to.push_back(page.to);
    store_.HoldDoubtful(std::move(to));
    return status;
  }
  Publish(guard.position());
  return Status::Ok();
}

// One past the last page of the stretch that begins at batch_[begin]: each the child of the one
// before, in one stem.
size_t PageMover::StretchEnd(size_t begin) const noexcept {
  size_t end = begin + 1;
  for (; end < batch_.size(); ++end) {
    const OwnedStemKey& parent = batch_[end - 1].key;
    const OwnedStemKey& child = batch_[end].key;
    if (child.anchor != parent.anchor || batch_[end].root != batch_[begin].root ||
        child.fingerprints.size() != parent.fingerprints.size() + 1 ||
        !std::equal(parent.fingerprints.begin(), parent.fingerprints.end(),
                    child.fingerprints.begin()))
      break;
  }
  return end;
}

// Durable on return: from here on the move stands, whatever becomes of the original.
Status PageMover::Journal(const JournalWriter::Guard& guard) noexcept {
  JournalRecords records;
  std::vector<JournalPage> places;
  std::vector<SlotRef> from;
  for (size_t begin = 0; begin < batch_.size();) {
    const size_t end = StretchEnd(begin);
    places.clear();
    from.clear();
    for (size_t i = begin; i < end; ++i) {
      const Entry& entry = batch_[i].entry;
      places.push_back({batch_[i].to, entry.length, entry.guard, entry.checksum});
      from.push_back(entry.slot);
    }
    const RootState& root = *roots_.at(batch_[begin].root);
    MoveRecord record;
    record.put.root_name = root.name;
    record.put.root_epoch = root.epoch.load(std::memory_order_relaxed);
    record.put.anchor = batch_[end - 1].key.anchor;
    record.put.fingerprints = batch_[end - 1].key.fingerprints;
    record.put.first_page = static_cast<uint32_t>(batch_[begin].key.fingerprints.size() - 1);
    record.put.pages = places;
    record.from = from;
    records.AddMove(record);
    begin = end;
  }
  LAMINA_RETURN_IF_ERROR(store_.journal_->Append(guard, records).status());
  if (Mutated(Mutation::kUnlinkBeforeCheckpoint)) return Status::Ok();
  return store_.journal_->Sync();
}

void PageMover::Publish(JournalPosition position) noexcept {
  std::lock_guard lock(store_.publish_mutex_);
  store_.move_generation_.fetch_add(1, std::memory_order_acq_rel);
  const auto live = [this](const Page& page) {
    return store_.log_->LiveRoot(page.entry.slot, page.tag()).has_value();
  };
  for (size_t i = 0; i < batch_.size();) {
    // Freed, because its bytes were wrong for a reader, or condemned since.
    if (!live(batch_[i])) {
      store_.log_->Release(batch_[i++].to);
      continue;
    }
    const size_t stretch_end = StretchEnd(i);
    size_t end = i + 1;
    while (end < stretch_end && live(batch_[end])) ++end;
    PublishStretch(i, end, position);
    i = end;
  }
  store_.move_generation_.fetch_add(1, std::memory_order_acq_rel);
  store_.move_generation_.notify_all();
  store_.dirty_.store(true, std::memory_order_release);
}

void PageMover::PublishStretch(size_t begin, size_t end, JournalPosition position) noexcept {
  std::vector<Entry> entries;
  for (size_t i = begin; i < end; ++i) {
    entries.push_back(batch_[i].entry);
    entries.back().slot = batch_[i].to;
  }
  const OwnedStemKey& last = batch_[end - 1].key;
  store_.CurrentView()->active->Insert(last.anchor, last.fingerprints,
                                       batch_[begin].key.fingerprints.size() - 1, entries,
                                       position.sequence, store_.oracle_.get());
  uint64_t bytes = 0;
  uint64_t written = 0;
  for (size_t i = begin; i < end; ++i) {
    const Page& page = batch_[i];
    HeatValue heat{};
    store_.log_->LoadHeat(page.entry.slot, page.tag(), &heat);
    // The link to the page that followed it goes along where that one moves, too.
    if (i + 1 < batch_.size() && ChildOf(heat[1]) == batch_[i + 1].entry.slot)
      heat[1] = ChildWord(batch_[i + 1].to);
    store_.log_->Publish(page.to, page.tag(), page.root, position, /*synced=*/true);
    store_.log_->StoreHeat(page.to, page.tag(), heat);
    store_.log_->Free(page.entry.slot, page.tag());
    bytes += page.entry.length;
    written += SlotBytesFor(page.entry.length);
  }
  report_->pages_moved += end - begin;
  report_->bytes_moved += bytes;
  StoreCounters::Add(store_.counters_.pages_moved, end - begin);
  StoreCounters::Add(store_.counters_.bytes_moved, bytes);
  store_.bytes_since_checkpoint_.fetch_add(bytes, std::memory_order_relaxed);
  store_.write_allowance_.Charge(written);
}

}  // namespace lamina
