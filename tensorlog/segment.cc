#include "tensorlog/segment.h"

#include <algorithm>
#include <utility>

#include "engine/base/mutation.h"

namespace lamina {

Segment::Segment(LogDir& dir, const SegmentInfo& info) noexcept
    : info_(info), dir_(dir), slots_(std::make_unique<Slot[]>(info.slot_count)) {
  LAMINA_CHECK(info.slot_count > 0 && info.slot_bytes > 0 && info.slot_bytes % kSlotUnitBytes == 0);
  CountOf(SlotState::kFree).store(info.slot_count, std::memory_order_relaxed);
}

Result<std::unique_ptr<Segment>> Segment::Create(FileSystem& fs, LogDir& dir,
                                                 const SegmentInfo& info) noexcept {
  std::unique_ptr<Segment> segment(new Segment(dir, info));
  const std::string path = dir.SegmentPath(info.id);
  const auto make = [&]() noexcept -> Status {
    // A file of this name is what a crash left before the manifest knew it: start it over.
    LAMINA_ASSIGN_OR_RETURN(
        segment->file_,
        fs.Open(path, {.write = true, .create = true, .direct = true, .truncate = true}));
    const Alignment alignment = segment->file_->alignment();
    if (alignment.offset > kSlotUnitBytes || alignment.memory > kSlotUnitBytes) {
      return Status::NotSupported(path + ": direct I/O there needs an alignment of " +
                                  std::to_string(alignment.offset) + " bytes, slots have " +
                                  std::to_string(kSlotUnitBytes));
    }
    LAMINA_RETURN_IF_ERROR(segment->file_->Allocate(info.bytes()));
    LAMINA_RETURN_IF_ERROR(segment->file_->Sync());
    return fs.SyncDirectory(dir.path());
  };
  if (Status status = make(); !status.ok()) {
    // Best effort: if the file stays, it is an orphan that the next open removes.
    if (segment->file_ != nullptr) (void)fs.Remove(path);
    return status;
  }
  return segment;
}

std::unique_ptr<Segment> Segment::Open(FileSystem& fs, LogDir& dir, const SegmentInfo& info,
                                       bool read_only) noexcept {
  std::unique_ptr<Segment> segment(new Segment(dir, info));
  const std::string path = dir.SegmentPath(info.id);
  if (!dir.present()) {
    segment->problem_ = dir.absence().message();
    return segment;
  }
  auto file = fs.Open(path, {.write = !read_only, .direct = true});
  if (!file.ok()) {
    segment->problem_ = file.status().ToString();
    return segment;
  }
  const auto size = (*file)->Size();
  if (!size.ok()) {
    segment->problem_ = size.status().ToString();
  } else if (*size < info.bytes()) {
    segment->problem_ = path + " has " + std::to_string(*size) + " bytes instead of " +
                        std::to_string(info.bytes());
  } else {
    segment->file_ = std::move(*file);
  }
  return segment;
}

void Segment::CountMove(SlotState from, SlotState to) noexcept {
  CountOf(from).fetch_sub(1, std::memory_order_relaxed);
  CountOf(to).fetch_add(1, std::memory_order_relaxed);
}

bool Segment::Take(uint32_t i) noexcept {
  SlotState was;
  if (!slots_[i].Take(&was)) return false;
  CountMove(was, SlotState::kWriting);
  set_dirty();
  return true;
}

void Segment::Publish(uint32_t i, uint64_t tag, uint32_t root, JournalPosition position,
                      bool synced) noexcept {
  // Before the tag: a checkpoint that sees the tag must see where its record is.
  NotePut(i, position, synced);
  CountMove(SlotState::kWriting, SlotState::kLive);
  slots_[i].Publish(tag, root);
  set_dirty();
  WakeWaiter();
}

void Segment::Release(uint32_t i) noexcept {
  if (freed_slots_ != nullptr) return freed_slots_->Add({info_.id, i});
  ReleaseScrubbed(i);
}

void Segment::QueueIfFree(uint32_t i) noexcept {
  if (slots_[i].state() != SlotState::kFree) return;
  SlotState was;
  if (!slots_[i].Take(&was)) return;
  // It held no page, so the saved table stays right.
  CountMove(was, SlotState::kWriting);
  freed_slots_->Add({info_.id, i});
}

void Segment::ReleaseScrubbed(uint32_t i) noexcept {
  CountMove(SlotState::kWriting, SlotState::kFree);
  slots_[i].Release();
  WakeWaiter();
}

bool Segment::Condemn(uint32_t i, uint64_t tag) noexcept {
  const bool condemned = slots_[i].Condemn(tag);
  if (condemned) {
    CountMove(SlotState::kLive, SlotState::kCondemned);
    set_dirty();
  }
  WakeWaiter();
  return condemned;
}

bool Segment::Revive(uint32_t i, uint64_t tag) noexcept {
  // Under a pin of its own, so that a segment that is being closed is seen to be, or waits.
  if (!Pin(i, tag)) return false;
  const bool revived = slots_[i].Revive(tag);
  if (revived) {
    CountMove(SlotState::kCondemned, SlotState::kLive);
    set_dirty();
  }
  Unpin(i);
  return revived;
}

bool Segment::Free(uint32_t i, uint64_t tag) noexcept {
  SlotState was;
  const bool erases = freed_slots_ != nullptr;
  const bool freed = erases ? slots_[i].Seize(tag, &was) : slots_[i].Free(tag, &was);
  if (freed) {
    CountMove(was, erases ? SlotState::kWriting : SlotState::kFree);
    set_dirty();
    if (erases) freed_slots_->Add({info_.id, i});
  }
  WakeWaiter();
  return freed;
}

bool Segment::MarkProven(uint32_t i, uint64_t tag) noexcept {
  if (!slots_[i].unproven()) return slots_[i].tag() == tag;
  const bool marked = slots_[i].MarkProven(tag);
  if (marked) set_dirty();
  WakeWaiter();
  return marked;
}

bool Segment::Doubt(uint32_t i, uint64_t tag) noexcept {
  const bool doubted = slots_[i].Doubt(tag);
  WakeWaiter();
  return doubted;
}

bool Segment::Pin(uint32_t i, uint64_t tag) noexcept {
  if (absent()) return false;
  if (!slots_[i].Pin(tag)) {
    WakeWaiter();  // it may have been pinned for a moment, to look at the tag
    return false;
  }
  // Who closes sets the flag and then looks at the pins; so either it sees this one, or this sees
  // the flag.
  if (!closed()) return true;
  Unpin(i);
  return false;
}

void Segment::Unpin(uint32_t i) noexcept {
  slots_[i].Unpin();
  WakeWaiter();
}

void Segment::NotifyWaiter() noexcept {
  const std::lock_guard lock(waiter_mutex_);
  waiter_.notify_all();
}

// `ready` is asked again whenever a pin or a write has ended.
template <class Ready>
bool Segment::Await(Deadline deadline, Ready&& ready) noexcept {
  waiters_.fetch_add(1, std::memory_order_seq_cst);
  std::unique_lock lock(waiter_mutex_);
  const bool done = waiter_.wait_until(lock, deadline, ready);
  waiters_.fetch_sub(1, std::memory_order_seq_cst);
  return done;
}

bool Segment::AwaitUnpinned(uint32_t i, Deadline deadline) noexcept {
  if (slots_[i].unpinned()) return true;
  return Await(deadline, [&] { return slots_[i].unpinned(); });
}

bool Segment::AwaitWriters(Deadline deadline) noexcept {
  uint32_t quiet = 0;  // slots before it are not being written, and will not be
  return Await(deadline, [&] {
    while (quiet < slot_count() && slots_[quiet].state() != SlotState::kWriting) ++quiet;
    return quiet == slot_count();
  });
}

bool Segment::AwaitIdle(Deadline deadline) noexcept {
  uint32_t idle = 0;
  bool live = false;
  const bool done = Await(deadline, [&] {
    while (idle < slot_count() && slots_[idle].idle()) ++idle;
    live = idle < slot_count() && slots_[idle].state() == SlotState::kLive;
    return live || idle == slot_count();
  });
  return done && !live;
}

void Segment::Restore(uint32_t i, SlotState state, bool unproven, uint64_t tag, uint32_t root,
                      const HeatValue& heat) noexcept {
  LAMINA_CHECK((tag == 0) == (state == SlotState::kFree) && state != SlotState::kWriting);
  CountMove(slots_[i].state(), state);
  slots_[i].Restore(state, unproven, tag, root, heat);
}

SlotCounts Segment::counts() const noexcept {
  const auto load = [this](SlotState state) {
    return counts_[static_cast<size_t>(state)].load(std::memory_order_relaxed);
  };
  return {.free = load(SlotState::kFree),
          .writing = load(SlotState::kWriting),
          .live = load(SlotState::kLive),
          .condemned = load(SlotState::kCondemned)};
}

uint32_t Segment::reusable() const noexcept {
  const SlotCounts now = counts();
  // Moves between two counts are not atomic, so the sum may be off, never by more than the moves.
  return static_cast<uint32_t>(std::min<uint64_t>(now.free + now.condemned, info_.slot_count));
}

void Segment::NotePut(uint32_t i, JournalPosition position, bool synced) noexcept {
  const uint64_t written = synced ? 0 : written_.load(std::memory_order_acquire);
  const std::lock_guard lock(puts_mutex_);
  if (!puts_.empty()) {
    PutRun& last = puts_.back();
    const bool alike = last.position == position && (last.written == 0) == (written == 0);
    if (alike && last.first + last.count == i) {
      ++last.count;
      last.written = written;
      return;
    }
  }
  puts_.push_back({i, 1, position, written});
}

std::vector<bool> Segment::PutAtOrAbove(JournalPosition position) const noexcept {
  std::vector<bool> above(info_.slot_count, false);
  const std::lock_guard lock(puts_mutex_);
  for (const PutRun& run : puts_) {
    if (run.position < position) continue;
    std::fill_n(above.begin() + run.first, run.count, true);
  }
  return above;
}

bool Segment::AnyPutAtOrAbove(JournalPosition position) const noexcept {
  const std::lock_guard lock(puts_mutex_);
  return std::any_of(puts_.begin(), puts_.end(),
                     [&](const PutRun& run) { return run.position >= position; });
}

void Segment::ForgetPutsBelow(JournalPosition position) noexcept {
  const std::lock_guard lock(puts_mutex_);
  std::erase_if(puts_, [&](const PutRun& run) { return run.position < position; });
  if (puts_.empty()) puts_.shrink_to_fit();
}

Status Segment::Sync() noexcept {
  if (absent()) return Status::Ok();
  const uint64_t covered = written_.load(std::memory_order_acquire);
  if (Mutated(Mutation::kSkipPayloadSync)) return Status::Ok();
  Status status = sync_.Sync(*file_);
  if (!status.ok()) {
    if (Mutated(Mutation::kRetryFailedSync)) return status;
    dir_.Latch(LogDir::Failure::kSync, status);
    return status;
  }
  uint64_t synced = synced_.load(std::memory_order_relaxed);
  while (synced < covered &&
         !synced_.compare_exchange_weak(synced, covered, std::memory_order_acq_rel)) {
  }
  return status;
}

uint64_t Segment::FreeUnsyncedPuts() noexcept {
  const uint64_t synced = synced_.load(std::memory_order_acquire);
  std::vector<PutRun> runs;
  {
    const std::lock_guard lock(puts_mutex_);
    std::erase_if(puts_, [&](const PutRun& run) {
      if (run.written <= synced) return false;
      runs.push_back(run);
      return true;
    });
  }
  uint64_t freed = 0;
  for (const PutRun& run : runs) {
    for (uint32_t i = run.first; i < run.first + run.count; ++i) {
      const uint64_t tag = slots_[i].tag();
      if (tag != 0 && Free(i, tag)) ++freed;
    }
  }
  return freed;
}

}  // namespace lamina
