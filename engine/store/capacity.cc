// Keeps the store within its capacity, and the classes in balance: segments are added, given up
// when the capacity shrinks, and pass from one class to another.
#include <algorithm>
#include <utility>

#include "engine/store/policy_file.h"
#include "engine/store/store_impl.h"
#include "tensorlog/journal_format.h"

namespace lamina {
namespace {

constexpr auto kDiskLookupPeriod = std::chrono::milliseconds(100);
// How long a put waits for a slot: for readers to unpin, or for a first segment of its class.
constexpr auto kSlotWait = std::chrono::milliseconds(200);
// The same where there is one thread, which works instead of waiting.
constexpr int kMaxStepsForSlots = 1000;

// Those of the segments that are not gone.
std::vector<uint32_t> LeftOf(std::span<const uint32_t> segments, const TensorLog& log) noexcept {
  const SegmentTable::ReadSection section(log.table());
  std::vector<uint32_t> left;
  for (const uint32_t id : segments)
    if (section.Find(id) != nullptr) left.push_back(id);
  return left;
}

// Whether the segment was cut for a capacity that was much larger.
bool Coarse(const SegmentInfo& info, uint64_t capacity) noexcept {
  constexpr uint64_t kTimes = 4;
  const auto whole = SegmentSlotsFor(info.slot_bytes, capacity);
  return whole.ok() && info.slot_count > kTimes * *whole;
}

}  // namespace

// ---- What there is ------------------------------------------------------------------------------

// Sums up what the file system says, so that it agrees with `du` at any time.
SpaceUse Store::Impl::MeasureSpace() const noexcept {
  SpaceUse use;
  use.main_listed = MeasureDirectory(directory_, &use);
  use.unlisted = use.main_listed ? 0 : 1;
  for (const auto& dir : log_->log_dirs()) {
    if (!dir->present() || MeasureDirectory(dir->path(), &use)) continue;
    MeasureUnlisted(*dir, &use);
    ++use.unlisted;
  }
  return use;
}

// False, and nothing is counted, when it cannot be listed.
bool Store::Impl::MeasureDirectory(const std::string& directory, SpaceUse* use) const noexcept {
  const auto names = fs_->List(directory);
  if (!names.ok()) return false;
  if (const auto bytes = fs_->AllocatedBytes(directory); bytes.ok()) use->other += *bytes;
  for (const std::string& name : *names) {
    const std::string path = directory + "/" + name;
    const bool is_log_dir = std::any_of(log_->log_dirs().begin(), log_->log_dirs().end(),
                                        [&](const auto& dir) { return dir->path() == path; });
    if (is_log_dir) continue;
    const auto bytes = fs_->AllocatedBytes(path);
    if (!bytes.ok()) continue;  // unlinked since
    uint64_t number = 0;
    uint32_t segment = 0;
    uint64_t* kind = &use->other;
    if (ParseSegmentFileName(name, &segment)) kind = &use->segments;
    if (ParseTableFileName(name, &number)) kind = &use->tables;
    if (ParseSlotTableFileName(name, &segment, &number)) kind = &use->slot_tables;
    if (ParseJournalFileName(name, &number)) kind = &use->journal;
    if (ParseManifestFileName(name, &number)) kind = &use->manifest;
    if (ParsePolicyFileName(name, &number)) kind = &use->policy;
    *kind += *bytes;
  }
  return true;
}

// A disk that is ill may still say how much each file takes.
void Store::Impl::MeasureUnlisted(const LogDir& dir, SpaceUse* use) const noexcept {
  for (const std::string& path : {dir.path(), dir.path() + "/" + kLogDirMarkerName})
    if (const auto bytes = fs_->AllocatedBytes(path); bytes.ok()) use->other += *bytes;
  std::vector<SegmentInfo> infos;
  {
    const SegmentTable::ReadSection section(log_->table());
    for (const Segment* segment : log_->table().All())
      if (&segment->dir() == &dir && !segment->absent()) infos.push_back(segment->info());
  }
  for (const SegmentInfo& info : infos) {
    const auto bytes = fs_->AllocatedBytes(dir.SegmentPath(info.id));
    use->segments += bytes.ok() ? *bytes : info.bytes();
  }
}

// After each checkpoint, which is when metadata grows and goes.
void Store::Impl::UpdateSpace() noexcept {
  const SpaceUse use = MeasureSpace();
  if (!use.main_listed) return;
  budget_.SetMetadataBytes(use.total() - use.segments);
  if (budget_.OverBytes() > 0) WakeReclaim();
}

// What the store may take of the directory's disk: min_free_bytes is for others.
uint64_t Store::Impl::DiskRoom(const LogDir& dir) const noexcept {
  const auto space = fs_->Space(dir.path());
  if (!space.ok() || space->free_bytes < options_.min_free_bytes) return 0;
  return space->free_bytes - options_.min_free_bytes;
}

void Store::Impl::LookUpDisk(bool now) noexcept {
  const auto time = std::chrono::steady_clock::now().time_since_epoch().count();
  const auto period = std::chrono::steady_clock::duration(kDiskLookupPeriod).count();
  auto last = disk_looked_up_.load(std::memory_order_relaxed);
  now = now || environment_.single_threaded;
  if (!now && last != 0 && time - last < period) return;
  if (!disk_looked_up_.compare_exchange_strong(last, time, std::memory_order_relaxed) && !now)
    return;
  uint64_t free = 0;
  for (const auto& dir : log_->log_dirs()) {
    if (!dir->writable()) continue;
    // Directories on one file system have its space together; the most is a bound for all. What
    // each of them has is asked when a segment is made in it.
    free = std::max(free, DiskRoom(*dir));
  }
  budget_.SetDiskBytes(free);
}

uint64_t Store::Impl::GrowableSlots(uint32_t slot_bytes) noexcept {
  LookUpDisk(false);
  const auto whole = SegmentSlotsFor(slot_bytes, budget_.capacity());
  return whole.ok() ? budget_.Growable(slot_bytes, *whole) : 0;
}

// ---- Segments -----------------------------------------------------------------------------------

Result<uint32_t> Store::Impl::ReserveSegment(uint32_t log_dir, uint32_t slot_bytes,
                                             uint32_t* slot_count) noexcept {
  LookUpDisk(true);
  const LogDir& dir = *log_->log_dirs()[log_dir];
  const uint64_t room = DiskRoom(dir);
  std::lock_guard lock(manifest_mutex_);
  LAMINA_RETURN_IF_ERROR(manifest_->status());
  if (!TryAddSegment(slot_bytes, room, slot_count)) {
    return Status::NoSpace(dir.path() + ": no room for another segment of slots of " +
                           std::to_string(slot_bytes) +
                           " bytes within capacity_bytes=" + std::to_string(budget_.capacity()) +
                           ", min_free_bytes=" + std::to_string(options_.min_free_bytes) +
                           " and memory_bytes=" + std::to_string(options_.memory_bytes));
  }
  return next_segment_id_++;
}

Status Store::Impl::SegmentCreated(const SegmentInfo& info) noexcept {
  std::lock_guard lock(manifest_mutex_);
  ManifestEdit edit;
  edit.next_segment_id = next_segment_id_;
  edit.add_segments.push_back(info);
  return manifest_->Commit(edit);
}

void Store::Impl::SegmentFailed(const SegmentInfo& info, const Status& why) noexcept {
  budget_.Remove(info);
  NoteBackgroundError(why);
}

// ---- Slots for a put ----------------------------------------------------------------------------

uint64_t Store::Impl::SlotsChanged() noexcept {
  std::lock_guard lock(slots_mutex_);
  return slots_changed_;
}

bool Store::Impl::AwaitSlots(uint64_t seen,
                             std::chrono::steady_clock::time_point deadline) noexcept {
  WakeReclaim();
  if (environment_.single_threaded) {
    // Nobody else gives up slots meanwhile. The bound ends background work that never does.
    for (int i = 0; i < kMaxStepsForSlots && SlotsChanged() == seen; ++i) {
      if (!scheduler_->RunOne() || !scheduler_->error(WorkClass::kReclaim).ok()) return false;
    }
    return SlotsChanged() != seen;
  }
  // Slots may change again and again without one for this put.
  if (std::chrono::steady_clock::now() >= deadline) return false;
  std::unique_lock lock(slots_mutex_);
  ++slot_waiters_;
  const bool changed =
      slots_freed_.wait_until(lock, deadline, [&] { return slots_changed_ != seen || closing_; });
  --slot_waiters_;
  return changed && !closing_;
}

size_t Store::Impl::Admit(const Path::Impl& path, std::span<const size_t> pages,
                          uint32_t slot_bytes) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + kSlotWait;
  for (;;) {
    const uint64_t seen = SlotsChanged();
    const std::optional<size_t> kept = evictor_->Admit(path, pages, slot_bytes);
    if (evictor_->transfer_due()) WakeReclaim();
    if (kept) return *kept;
    // A page that is too large for the capacity will not fit later.
    if (!SegmentSlotsFor(slot_bytes, budget_.capacity()).ok()) return 0;
    evictor_->NoteShort(slot_bytes);
    if (!AwaitSlots(seen, deadline)) return 0;
  }
}

Result<std::vector<SlotRun>> Store::Impl::TakeSlots(uint32_t page_bytes, size_t count) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + kSlotWait;
  for (;;) {
    const uint64_t seen = SlotsChanged();
    auto runs = log_->Take(page_bytes, count);
    if (runs.ok() && !runs->empty()) return runs;
    if (!runs.ok() && runs.status().code() != StatusCode::kNoSpace) return runs;
    if (!SegmentSlotsFor(SlotBytesFor(page_bytes), budget_.capacity()).ok()) return runs;
    evictor_->NoteShort(SlotBytesFor(page_bytes));
    if (AwaitSlots(seen, deadline)) continue;
    if (!runs.ok()) return runs;
    return Status::NoSpace("no slot of " + std::to_string(SlotBytesFor(page_bytes)) +
                           " bytes came free in time");
  }
}

// A put or get has ended, or a segment has gone: what waits for slots looks again.
void Store::Impl::NoteSlotsChanged() noexcept {
  std::lock_guard lock(slots_mutex_);
  ++slots_changed_;
  if (slot_waiters_ > 0) slots_freed_.notify_all();
}

// ---- In the background --------------------------------------------------------------------------

class ReclaimTask final : public BackgroundTask {
 public:
  explicit ReclaimTask(Store::Impl& store) noexcept : store_(store) {}

  Result<Progress> Step() noexcept override {
    store_.evictor_->ShowNoted();
    store_.evictor_->Settle();
    if (store_.budget_.OverBytes() > 0) {
      LAMINA_RETURN_IF_ERROR(store_.ShrinkToBudget());
      return Progress::kDone;
    }
    const auto transfer = store_.evictor_->NextTransfer();
    if (!transfer) return Progress::kDone;
    LAMINA_RETURN_IF_ERROR(store_.TransferSegment(*transfer));
    return Progress::kMore;
  }
  void Cancel() noexcept override {}

 private:
  Store::Impl& store_;
};

void Store::Impl::WakeReclaim() noexcept {
  RetryHalted();
  reclaim_wanted_.store(true, std::memory_order_release);
  scheduler_->Wake(WorkClass::kReclaim);
}

std::unique_ptr<BackgroundTask> Store::Impl::NextReclaim() noexcept {
  if (!reclaim_wanted_.exchange(false, std::memory_order_acq_rel)) return nullptr;
  return std::make_unique<ReclaimTask>(*this);
}

Status Store::Impl::TransferSegment(const Evictor::Transfer& transfer) noexcept {
  uint64_t bytes = 0;
  {
    const SegmentTable::ReadSection section(log_->table());
    for (const uint32_t id : transfer.segments) {
      if (const Segment* segment = section.Find(id)) bytes += segment->info().bytes();
    }
  }
  budget_.Earmark(transfer.slot_bytes, bytes);
  RetireReport report;
  Status status = RetireSegments(transfer.segments, false, &closing_, &report);
  // Readers hold it: the next put that is short asks again.
  if (!status.ok()) budget_.Earmark(0, 0);
  StoreCounters::Add(counters_.segments_transferred, report.segments);
  // A put that waits for a transfer of what it has itself taken slots in would ask for ever.
  if (report.segments > 0) NoteSlotsChanged();
  return status.code() == StatusCode::kBusy ? Status::Ok() : status;
}

// Gives up segments until the rest fits. What is live in them moves to what eviction has left over
// elsewhere; where segments are coarse for a new capacity, to new ones: one may be larger than all
// of it, and then nothing that stays has room for what is worth most. Those that leave are there
// beside them for a while, so they are not for a capacity that the store has kept to before, and
// only for rounds in which all goes that is to go.
Status Store::Impl::ShrinkToBudget() noexcept {
  std::lock_guard shrink_lock(shrink_mutex_);
  const uint64_t capacity = budget_.capacity();
  bool replaces = capacity != kept_capacity_;
  while (const uint64_t over = budget_.OverBytes()) {
    if (closing_) return Status::Closed(directory_ + ": the store is being closed");
    std::vector<uint32_t> leaving;
    uint64_t gained = 0;
    uint64_t bytes = 0;
    uint64_t slots = 0;
    bool coarse = false;
    {
      const auto candidates = evictor_->SegmentsByLiveBytes();
      const SegmentTable::ReadSection section(log_->table());
      for (const uint32_t id : candidates) {
        if (gained >= over) break;
        const Segment* const segment = section.Find(id);
        if (segment == nullptr) continue;
        leaving.push_back(id);
        bytes += segment->info().bytes();
        slots += segment->slot_count();
        gained = bytes + kSlotReserveBytes * slots;
        coarse = coarse || Coarse(segment->info(), capacity);
      }
      for (const uint32_t id : leaving) (void)log_->SetDraining(id, true);
    }
    if (leaving.empty()) return Status::Ok();
    const bool may_add = replaces && coarse;
    if (may_add) budget_.SetLeaving(bytes, slots);
    // Draining segments count no more: what is left of the classes, and what they may grow by, is
    // what has to hold their pages.
    evictor_->TrimAll();
    RetireReport report;
    RetireHow how;
    how.may_add = may_add;
    how.stop = &closing_;
    Status status = Retire(leaving, how, &report);
    // Classes were promised the same room. What got none of it is what goes.
    if (may_add && status.code() == StatusCode::kNoSpace) {
      how.move_live = false;
      status = Retire(LeftOf(leaving, *log_), how, &report);
    }
    budget_.SetLeaving(0, 0);
    StoreCounters::Add(counters_.segments_given_up, report.segments);
    NoteSlotsChanged();
    // One that stays does not keep the others: they are asked again while any of them goes.
    replaces = replaces && report.segments == leaving.size();
    if (report.segments > 0) continue;
    return status.ok() ? Status::Busy("no segment could be given up now") : status;
  }
  kept_capacity_ = capacity;
  return Status::Ok();
}

Status Store::Impl::SetCapacity(uint64_t capacity_bytes) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  Options changed = options_;
  changed.capacity_bytes = capacity_bytes;
  if (environment_.capacity_bytes == 0) LAMINA_RETURN_IF_ERROR(changed.Validate());
  budget_.SetCapacity(capacity_bytes);
  log_->SetCapacity(capacity_bytes);
  SizeByCapacity();
  LookUpDisk(true);
  evictor_->ShowNoted();
  LAMINA_RETURN_IF_ERROR(ShrinkToBudget());
  evictor_->TrimAll();
  return Status::Ok();
}

}  // namespace lamina
