// Checkpoints: memtables become a run, slot tables are saved, and the journal may be forgotten up
// to here.
//
// The order is what makes it safe (DESIGN: tensor log and journal):
//   1. Freeze the active memtable and fix the journal position C, in one step with respect to
//      publication: at or below every put in progress, and below nothing that is not in a frozen
//      memtable.
//   2. Write and sync the tables of the frozen memtables.
//   3. Save the slot tables of dirty segments; slots put at or above C are saved as free, since the
//      replay from C brings them back.
//   4. Sync payloads, journal, directory.
//   5. Commit one manifest edit with all of it.
//   6. Only then forget: replaced slot tables, memtables, journal files below the previous C, and
//      what moves have left that may not have been durable before.
#include <algorithm>
#include <utility>

#include "compaction/run_iterator.h"
#include "engine/base/mutation.h"
#include "engine/index/merging_iterator.h"
#include "engine/index/table_builder.h"
#include "engine/store/policy_file.h"
#include "engine/store/store_impl.h"
#include "tensorlog/journal_format.h"

namespace lamina {

// Frozen memtables at which writers wait for a flush.
inline constexpr uint64_t kMaxFrozenMemtables = 2;
// Journal files beyond the last checkpoint at which writers wait for one.
inline constexpr uint64_t kMaxJournalFiles = 8;
// How long a put waits for memtable room before it is rejected.
inline constexpr auto kMaxStall = std::chrono::seconds(10);

struct Store::Impl::CheckpointPlan {
  bool closing = false;
  JournalPosition position;
  std::vector<std::shared_ptr<Memtable>> memtables;  // newest first
  std::vector<RootRecord> roots;
  uint64_t generation = 0;     // of the slot tables
  uint64_t policy_number = 0;  // of the policy's file, if one is written
  std::vector<TableMeta> tables;
  std::vector<SavedSlotTable> slot_tables;
  std::string policy_file;  // empty: the one there is stays
};

// Walks frozen memtables as one, newest first, and drops what is dead.
class FlushIterator {
 public:
  FlushIterator(const std::vector<std::shared_ptr<Memtable>>& memtables, const TensorLog& log)
      : log_(log) {
    std::vector<std::unique_ptr<EntryIterator>> sources;
    for (const auto& memtable : memtables) sources.push_back(memtable->NewIterator());
    merged_ = std::make_unique<MergingIterator>(std::move(sources));
    merged_->SeekToFirst();
    SkipDead();
  }
  [[nodiscard]] bool Valid() const noexcept { return merged_->Valid(); }
  void Next() noexcept {
    merged_->Next();
    SkipDead();
  }
  [[nodiscard]] StemKey key() const noexcept { return merged_->key(); }
  [[nodiscard]] const Entry& entry() const noexcept { return merged_->entry(); }
  [[nodiscard]] uint64_t dropped() const noexcept { return dropped_; }

 private:
  void SkipDead() noexcept {
    for (; merged_->Valid(); merged_->Next()) {
      const Entry& entry = merged_->entry();
      if (log_.Keeps(entry.slot, entry.tag(merged_->key().fingerprints.back()))) return;
      ++dropped_;
    }
  }
  const TensorLog& log_;
  std::unique_ptr<MergingIterator> merged_;
  uint64_t dropped_ = 0;
};

// ---- Memtables
// ---------------------------------------------------------------------------------------

void Store::Impl::InstallView(const std::function<void(View*)>& change) noexcept {
  std::lock_guard lock(view_mutex_);
  auto next = std::make_shared<View>(*view_);
  change(next.get());
  frozen_memtables_.store(next->frozen.size(), std::memory_order_release);
  level_zero_runs_.store(next->tree->level(0).runs.size(), std::memory_order_release);
  view_ = std::move(next);
}

void Store::Impl::FreezeActive() noexcept {
  InstallView([&](View* view) {
    view->active->Freeze();
    view->frozen.insert(view->frozen.begin(), view->active);
    view->active = NewMemtable();
  });
}

std::shared_ptr<Memtable> Store::Impl::NewMemtable() const noexcept {
  return std::make_shared<Memtable>(static_cast<size_t>(memtable_entries_));
}

// Full by entries, so that flushes are batches of one size; by bytes where stems are so short that
// their keys outweigh the entries.
bool Store::Impl::ActiveIsFull() const noexcept {
  // A memtable grows by whole chunks; the last ones may be all but empty.
  constexpr uint64_t kChunkSlack = 2 * Arena::kChunkBytes;
  const auto view = CurrentView();
  return view->active->entry_count() >= memtable_entries_ ||
         view->active->bytes() >= memtable_bytes_ + memtable_bytes_ / 4 + kChunkSlack;
}

// Bytes of journal that a replay would read now.
uint64_t Store::Impl::JournalSinceCheckpoint() const noexcept {
  const uint64_t from = checkpoint_sequence_.load(std::memory_order_relaxed);
  const uint64_t now = journal_->CurrentPosition().sequence;
  return now > from ? (now - from) * kJournalBlockBytes : 0;
}

// Whatever keeps checkpoints from succeeding, or makes them slow, the journal ends here; so does
// what a replay has to read. Files go one checkpoint late, so that there are twice as many at most,
// and what was on its way.
bool Store::Impl::JournalHasRoom() const noexcept {
  const uint64_t from = committed_sequence_.load(std::memory_order_relaxed);
  const uint64_t blocks = journal_->CurrentPosition().sequence - from;
  return blocks * kJournalBlockBytes < kMaxJournalFiles * journal_file_bytes_.load();
}

Status Store::Impl::MakeJournalRoom(Scheduler::Clock::time_point deadline) noexcept {
  if (JournalHasRoom()) return Status::Ok();
  WakeCheckpoint();
  const Status room = scheduler_->WaitForRoom(
      WorkClass::kFlush, [&] { return JournalHasRoom(); }, deadline);
  if (room.ok()) return room;
  return {room.code(), "put: the journal has grown to " +
                           std::to_string(kMaxJournalFiles * journal_file_bytes_.load()) +
                           " bytes since the last checkpoint that succeeded, and takes no more "
                           "until one does: " +
                           std::string(room.message())};
}

// With durability=batch what an earlier process has put counts as present only when a checkpoint
// has made it durable.
Status Store::Impl::AwaitOwedCheckpoint() noexcept {
  const auto paid = [&] { return !checkpoint_owed_.load(std::memory_order_acquire); };
  if (paid()) return Status::Ok();
  LAMINA_RETURN_IF_ERROR(LatchStatus());
  WakeCheckpoint();
  return scheduler_->WaitForRoom(WorkClass::kFlush, paid, Scheduler::Clock::now() + kMaxStall);
}

Status Store::Impl::MakeMemtableRoom() noexcept {
  const auto deadline = Scheduler::Clock::now() + kMaxStall;
  LAMINA_RETURN_IF_ERROR(WaitForLevelZero(deadline));
  LAMINA_RETURN_IF_ERROR(MakeJournalRoom(deadline));
  const auto has_room = [&] {
    return frozen_memtables_.load(std::memory_order_acquire) < kMaxFrozenMemtables;
  };
  // A checkpoint freezes a memtable that is not full as well. More than that one on top only pile
  // up when checkpoints fail; without waiting here each failure would leave one more in memory.
  const auto must_wait_or_freeze = [&] {
    return ActiveIsFull() ||
           frozen_memtables_.load(std::memory_order_acquire) > kMaxFrozenMemtables + 1;
  };
  bool wake = bytes_since_checkpoint_.load(std::memory_order_relaxed) >= checkpoint_bytes_ ||
              JournalSinceCheckpoint() >= journal_file_bytes_;
  while (must_wait_or_freeze()) {
    {
      std::lock_guard lock(publish_mutex_);
      if (!must_wait_or_freeze()) break;
      if (has_room()) {
        FreezeActive();
        wake = true;
        break;
      }
    }
    WakeCheckpoint();
    LAMINA_RETURN_IF_ERROR(scheduler_->WaitForRoom(WorkClass::kFlush, has_room, deadline));
  }
  if (wake) WakeCheckpoint();
  return Status::Ok();
}

// ---- A checkpoint
// ------------------------------------------------------------------------------------

void Store::Impl::FreezeForCheckpoint(CheckpointPlan* plan) noexcept {
  std::lock_guard lock(publish_mutex_);
  dirty_.store(false, std::memory_order_release);
  bytes_since_checkpoint_.store(0, std::memory_order_relaxed);
  if (!CurrentView()->active->empty()) FreezeActive();
  plan->position = journal_->LowWater();
  checkpoint_sequence_.store(plan->position.sequence, std::memory_order_relaxed);
  plan->memtables = CurrentView()->frozen;
  plan->roots = roots_.Records();
}

TableBuilderOptions Store::Impl::NewTableOptions(double filter_bits) noexcept {
  TableBuilderOptions how;
  {
    std::lock_guard lock(manifest_mutex_);
    how.number = manifest_->TakeFileNumber();
  }
  how.filter_bits_per_key = filter_bits;
  how.store_id = store_id_.high;
  how.job_id = how.number;
  how.shape = TargetShape().ToString();
  return how;
}

Status Store::Impl::WriteTables(CheckpointPlan* plan) noexcept {
  if (plan->memtables.empty()) return Status::Ok();
  uint64_t entries = 0;
  for (const auto& memtable : plan->memtables) entries += memtable->entry_count();
  const double filter_bits = FilterBitsFor(kFlushWriter, 0, entries, {});
  FlushIterator source(plan->memtables, *log_);
  while (source.Valid()) {
    TableBuilderOptions how = NewTableOptions(filter_bits);
    LAMINA_ASSIGN_OR_RETURN(
        auto builder, TableBuilder::Create(fs_.get(), TablePath(directory_, how.number), how));
    // Never between the entries of one page: tables of a run do not share keys.
    PageKey last;
    for (; source.Valid(); source.Next()) {
      const PageKey page = source.key().page_key();
      if (builder->data_bytes() >= options_.table_bytes && page != last) break;
      LAMINA_RETURN_IF_ERROR(builder->Add(source.key(), source.entry()));
      last = page;
    }
    if (!source.Valid()) builder->AddDropped(source.dropped());
    LAMINA_ASSIGN_OR_RETURN(TableMeta meta, builder->Finish());
    StoreCounters::Add(counters_.tables_written, 1);
    StoreCounters::Add(counters_.table_bytes_written, meta.file_bytes);
    StoreCounters::Add(counters_.entries_flushed, meta.entry_count);
    plan->tables.push_back(std::move(meta));
  }
  return Status::Ok();
}

Status Store::Impl::CommitCheckpoint(CheckpointPlan* plan) noexcept {
  std::lock_guard lock(manifest_mutex_);
  ManifestEdit edit;
  edit.checkpoint = plan->position;
  for (const RootRecord& root : plan->roots) {
    const auto known = manifest_->state().roots.find(root.name);
    if (known == manifest_->state().roots.end()) {
      edit.roots.push_back(root);
      continue;
    }
    // The root may have been erased since it was copied: an epoch never goes back.
    RootRecord now = root;
    now.epoch = std::max(now.epoch, known->second.epoch);
    if (known->second != now) edit.roots.push_back(std::move(now));
  }
  for (const SavedSlotTable& saved : plan->slot_tables)
    edit.slot_tables.emplace_back(saved.segment, saved.generation);
  if (!plan->tables.empty()) {
    Run& run = edit.tree.add_runs.emplace_back();
    run.id = manifest_->state().next_run_id;
    run.oldest_flush = run.newest_flush = manifest_->state().next_flush;
    run.tables = plan->tables;
    run.Summarize();
    edit.next_run_id = run.id + 1;
    edit.next_flush = run.newest_flush + 1;
  }
  if (plan->closing && !orphan_walk_owed_) edit.clean_close = true;
  const std::string old_policy_file = manifest_->state().policy_state;
  if (!plan->policy_file.empty()) edit.policy_state = plan->policy_file;
  edit.write_level =
      write_allowance_.Save(WriteAllowance::Clock::now(), std::chrono::system_clock::now());
  LAMINA_RETURN_IF_ERROR(manifest_->Commit(edit));

  committed_sequence_.store(plan->position.sequence, std::memory_order_relaxed);
  log_->CheckpointDone(plan->position, plan->slot_tables);
  // An orphan if that fails: the next open removes it.
  if (!plan->policy_file.empty() && !old_policy_file.empty())
    (void)fs_->Remove(directory_ + "/" + old_policy_file);
  const TreePtr tree = manifest_->state().tree;
  auto runs = tables_->OpenRuns(*tree);
  InstallView([&](View* view) {
    view->tree = tree;
    view->runs = std::move(runs);
    // Those frozen since stay; the plan's are the oldest.
    view->frozen.resize(view->frozen.size() - plan->memtables.size());
  });
  SizeCache();
  return Status::Ok();
}

// What the policy has learned. Without it a killed process costs hits until it is learned anew; to
// write it costs the bytes of its records, a sixteenth of what was put since at most.
Status Store::Impl::SavePolicy(CheckpointPlan* plan) noexcept {
  constexpr uint64_t kPutBytesPerByte = 16;
  const uint64_t due = kPutBytesPerByte * policy_file_bytes_;
  if (!plan->closing && bytes_since_policy_saved_.load(std::memory_order_relaxed) < due)
    return Status::Ok();
  const std::string state = evictor_->Save();
  const std::string name = PolicyFileName(plan->policy_number);
  plan->policy_file = name;
  LAMINA_RETURN_IF_ERROR(WritePolicyFile(*fs_, directory_ + "/" + name, state));
  bytes_since_policy_saved_.store(0, std::memory_order_relaxed);
  policy_file_bytes_ = state.size();
  return Status::Ok();
}

// Steps 2 to 4: everything that the edit will name is on stable storage.
Status Store::Impl::PrepareCheckpoint(CheckpointPlan* plan) noexcept {
  const IoGovernor::Session session(governor_, IoClass::kFlush);
  (void)ScrubFreed();  // what moves have freed
  LAMINA_RETURN_IF_ERROR(WriteTables(plan));
  LAMINA_ASSIGN_OR_RETURN(plan->slot_tables,
                          log_->SaveSlotTables(plan->position, plan->generation, plan->closing));
  for (const SavedSlotTable& saved : plan->slot_tables)
    StoreCounters::Add(counters_.slot_table_bytes_written, saved.file_bytes);
  LAMINA_RETURN_IF_ERROR(SavePolicy(plan));
  LAMINA_RETURN_IF_ERROR(log_->SyncPayloads());
  LAMINA_RETURN_IF_ERROR(journal_->Sync());
  if (Mutated(Mutation::kSkipDirectorySync)) return Status::Ok();
  return fs_->SyncDirectory(directory_);
}

// One try. After an error everything is as before, and the next checkpoint does it all.
Status Store::Impl::TryCheckpoint(bool closing) noexcept {
  CheckpointPlan plan;
  plan.closing = closing;
  {
    // Before the freeze, which says that nothing is left to be made durable.
    std::lock_guard manifest_lock(manifest_mutex_);
    LAMINA_RETURN_IF_ERROR(manifest_->status());
    plan.generation = manifest_->TakeFileNumber();
    plan.policy_number = manifest_->TakeFileNumber();
  }
  FreezeForCheckpoint(&plan);
  Status status = PrepareCheckpoint(&plan);
  if (Mutated(Mutation::kLatePosition)) plan.position = journal_->LowWater();
  if (status.ok()) status = CommitCheckpoint(&plan);
  ForgetFilters(kFlushWriter);
  if (!status.ok()) {
    dirty_.store(true, std::memory_order_release);
    // With the manifest latched the edit may have reached the disk, and what it names must stay.
    if (!manifest_->status().ok()) return status;
    for (const TableMeta& table : plan.tables)
      (void)fs_->Remove(TablePath(directory_, table.number));
    if (!plan.policy_file.empty()) (void)fs_->Remove(directory_ + "/" + plan.policy_file);
    log_->CheckpointFailed(plan.slot_tables);
    return status;
  }
  checkpoint_owed_.store(false, std::memory_order_release);
  ReleaseDoubtful(plan.position);
  (void)ScrubFreed();  // what has waited for this
  scheduler_->NotifyRoom();
  scheduler_->Wake(WorkClass::kCompaction);
  // One checkpoint late: a manifest whose last record is lost still finds its journal.
  const Status deleted = journal_->DeleteBelow(previous_checkpoint_);
  if (!deleted.ok()) NoteBackgroundError(deleted);  // the checkpoint stands
  // The journal files of earlier opens, which may have been large, go with the first checkpoints:
  // no page is to make room for them.
  const bool settled = previous_checkpoint_.epoch == plan.position.epoch;
  previous_checkpoint_ = plan.position;
  if (settled) UpdateSpace();
  return Status::Ok();
}

// A checkpoint is what a full disk needs most: it lets go of journal files.
//
// One that met a failed sync has freed the pages that this has cost, but the journal has them: a
// replay would take their bytes, if the system still shows them, for stored. So the next one, which
// goes beyond those records, is not left to whoever flushes next. But for the first one with
// durability=batch: what was replayed has been synced by the process that put it, and stays in the
// journal for the next open.
Status Store::Impl::RunCheckpoint(bool closing) noexcept {
  std::lock_guard lock(checkpoint_mutex_);
  const size_t failed_before = log_->DirsThatFailedToSync();
  Status status = TryCheckpoint(closing);
  if (status.code() == StatusCode::kNoSpace && ballast_->GiveUp()) status = TryCheckpoint(closing);
  const bool lost = !status.ok() && log_->DirsThatFailedToSync() != failed_before;
  if (lost && !checkpoint_owed_.load(std::memory_order_acquire)) (void)TryCheckpoint(closing);
  (void)ballast_->Make();  // without room now, with the next checkpoint
  return status;
}

Status Store::Impl::Checkpoint(bool closing) noexcept {
  Status status = RunCheckpoint(closing);
  StoreCounters::Add(status.ok() ? counters_.checkpoints : counters_.checkpoint_failures, 1);
  return status;
}

Status Store::Impl::Flush() noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  StoreCounters::Add(counters_.flushes, 1);
  // With nothing new there may still be a checkpoint under way that is not durable yet: wait for
  // it.
  if (!dirty_.load(std::memory_order_acquire)) {
    std::lock_guard lock(checkpoint_mutex_);
    if (!dirty_.load(std::memory_order_acquire)) return Status::Ok();
  }
  return Checkpoint(false);
}

// ---- In the background
// -------------------------------------------------------------------------------

class CheckpointTask final : public BackgroundTask {
 public:
  explicit CheckpointTask(Store::Impl& store) noexcept : store_(store) {}
  Result<Progress> Step() noexcept override {
    LAMINA_RETURN_IF_ERROR(store_.Checkpoint(false));
    return Progress::kDone;
  }
  void Cancel() noexcept override {}

 private:
  Store::Impl& store_;
};

// Work that failed halts its class, so that a full disk is not hammered. It is tried again when a
// while has passed: the store resumes by itself.
void Store::Impl::RetryHalted() noexcept {
  for (const WorkClass work :
       {WorkClass::kFlush, WorkClass::kCompaction, WorkClass::kReclaim, WorkClass::kVerify}) {
    if (scheduler_->error(work).ok()) continue;
    {
      std::lock_guard lock(notes_mutex_);
      const auto now = Scheduler::Clock::now();
      auto& last = last_retry_[static_cast<size_t>(work)];
      if (now - last < environment_.retry_after) continue;
      last = now;
    }
    scheduler_->ClearError(work);
  }
}

void Store::Impl::WakeCheckpoint() noexcept {
  RetryHalted();
  flush_wanted_.store(true, std::memory_order_release);
  scheduler_->Wake(WorkClass::kFlush);
}

std::unique_ptr<BackgroundTask> Store::Impl::NextCheckpoint() noexcept {
  if (!flush_wanted_.exchange(false, std::memory_order_acq_rel)) return nullptr;
  return std::make_unique<CheckpointTask>(*this);
}

void Store::Impl::RunTimer() noexcept {
  std::unique_lock lock(timer_mutex_);
  const auto period = std::chrono::seconds(options_.checkpoint_seconds);
  while (!timer_wake_.wait_for(lock, period, [&] { return closing_.load(); })) {
    RetryHalted();
    if (dirty_.load(std::memory_order_acquire)) WakeCheckpoint();
  }
}

}  // namespace lamina
