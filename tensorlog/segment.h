// A segment: a preallocated file of equal slots, and what its slots hold, in memory.
//
// A segment belongs to one log directory and one class (slot size) for all its life; its id is
// never used again. A segment whose file is not there (its directory is missing, or the file is) is
// *absent*: its slots are known, nothing in it can be pinned or taken.
//
// Thread-safe except where noted. Changes of slots go through the segment, which counts them.
#ifndef LAMINA_TENSORLOG_SEGMENT_H_
#define LAMINA_TENSORLOG_SEGMENT_H_

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/base/slot_ref.h"
#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "tensorlog/freed_slots.h"
#include "tensorlog/journal_position.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/shared_sync.h"
#include "tensorlog/slot.h"

namespace lamina {

inline constexpr uint32_t kSlotUnitBytes = 4096;

// What a segment is, as the manifest keeps it.
struct SegmentInfo {
  uint32_t id = 0;
  uint32_t log_dir = 0;     // index of the directory
  uint32_t slot_bytes = 0;  // a multiple of kSlotUnitBytes
  uint32_t slot_count = 0;
  [[nodiscard]] uint64_t bytes() const noexcept { return uint64_t{slot_bytes} * slot_count; }
  friend bool operator==(const SegmentInfo&, const SegmentInfo&) = default;
};

struct SlotCounts {
  uint64_t free = 0;
  uint64_t writing = 0;
  uint64_t live = 0;
  uint64_t condemned = 0;
  [[nodiscard]] uint64_t total() const noexcept { return free + writing + live + condemned; }
};

class Segment {
 public:
  // Creates the file with all its blocks reserved (O_DIRECT where allowed) and syncs it and its
  // directory. Errors: kNoSpace when the device has no room (nothing is left behind), kIoError.
  static Result<std::unique_ptr<Segment>> Create(FileSystem& fs, LogDir& dir,
                                                 const SegmentInfo& info) noexcept;
  // Opens an existing segment with empty slots. Never fails for what is missing or too short: the
  // segment is then absent and problem() says why.
  static std::unique_ptr<Segment> Open(FileSystem& fs, LogDir& dir, const SegmentInfo& info,
                                       bool read_only) noexcept;

  [[nodiscard]] const SegmentInfo& info() const noexcept { return info_; }
  [[nodiscard]] uint32_t id() const noexcept { return info_.id; }
  [[nodiscard]] uint32_t slot_bytes() const noexcept { return info_.slot_bytes; }
  [[nodiscard]] uint32_t slot_count() const noexcept { return info_.slot_count; }
  [[nodiscard]] uint64_t OffsetOf(uint32_t slot) const noexcept {
    return uint64_t{slot} * info_.slot_bytes;
  }
  [[nodiscard]] LogDir& dir() const noexcept { return dir_; }
  // Null when absent.
  [[nodiscard]] File* file() const noexcept { return file_.get(); }
  [[nodiscard]] bool absent() const noexcept { return file_ == nullptr; }
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

  [[nodiscard]] Slot& slot(uint32_t i) noexcept { return slots_[i]; }
  [[nodiscard]] const Slot& slot(uint32_t i) const noexcept { return slots_[i]; }

  // Transitions of one slot (slot.h), with the counts and the dirty flag kept.
  bool Take(uint32_t i) noexcept;
  void Publish(uint32_t i, uint64_t tag, uint32_t root, JournalPosition position,
               bool synced = false) noexcept;
  void Release(uint32_t i) noexcept;
  bool Condemn(uint32_t i, uint64_t tag) noexcept;
  bool Revive(uint32_t i, uint64_t tag) noexcept;
  bool Free(uint32_t i, uint64_t tag) noexcept;
  bool MarkProven(uint32_t i, uint64_t tag) noexcept;
  bool Doubt(uint32_t i, uint64_t tag) noexcept;

  // With such a list (erase=physical), a slot that is freed or released becomes not free but one of
  // the list, in state writing, until ReleaseScrubbed. Set before the slots are used; outlives the
  // segment.
  void set_freed_slots(FreedSlots* list) noexcept { freed_slots_ = list; }
  // A slot that is free goes to the list, too.
  void QueueIfFree(uint32_t i) noexcept;
  // Waits until a slot that is being written has no pins left of before. False at the deadline.
  bool AwaitUnpinned(uint32_t i, std::chrono::steady_clock::time_point deadline) noexcept;
  // The bytes of a slot of the list are gone: it is free.
  void ReleaseScrubbed(uint32_t i) noexcept;

  // Fails on an absent segment, and on a closed one.
  bool Pin(uint32_t i, uint64_t tag) noexcept;
  // Within a read section of the table: the pin, which kept the segment, is gone before this ends.
  void Unpin(uint32_t i) noexcept;
  // Not while other threads use the slot: loading and replay. Does not make the segment dirty.
  void Restore(uint32_t i, SlotState state, bool unproven, uint64_t tag, uint32_t root,
               const HeatValue& heat) noexcept;
  // Notes the position of a put, as Publish does. For replay. `synced`: its payload is durable.
  void NotePut(uint32_t i, JournalPosition position, bool synced = false) noexcept;

  // Each count is right at rest and off by slots in transition otherwise.
  [[nodiscard]] SlotCounts counts() const noexcept;
  // Slots that a sweep may find: free and condemned.
  [[nodiscard]] uint32_t reusable() const noexcept;

  // The saved slot table is not what is in memory. Set by Take, Publish, Free and changes between
  // live and condemned; heat alone does not.
  [[nodiscard]] bool dirty() const noexcept { return dirty_.load(std::memory_order_acquire); }
  void set_dirty() noexcept { dirty_.store(true, std::memory_order_release); }
  // Clears the flag before the slots are copied, so that a change meanwhile sets it again.
  bool ClearDirty() noexcept { return dirty_.exchange(false, std::memory_order_acq_rel); }

  // No new pages: it is to be emptied and removed.
  [[nodiscard]] bool draining() const noexcept { return draining_.load(std::memory_order_acquire); }
  void set_draining(bool draining) noexcept {
    draining_.store(draining, std::memory_order_release);
  }

  // ---- Removal

  // Closed: no slot can be pinned or revived, and none is found by its tag. Its class must have
  // forgotten it before. What was pinned before stays pinned: AwaitIdle.
  [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_seq_cst); }
  void set_closed(bool closed) noexcept { closed_.store(closed, std::memory_order_seq_cst); }
  using Deadline = std::chrono::steady_clock::time_point;
  // Waits until no slot is being written. The class gives out none meanwhile (draining). False at
  // the deadline.
  bool AwaitWriters(Deadline deadline) noexcept;
  // Waits until every slot is free or condemned and has no pin, and stays so (closed). False at
  // once when a slot is live, and at the deadline.
  bool AwaitIdle(Deadline deadline) noexcept;

  // Which slots were put at or above a journal position. A side list of runs rather than a field in
  // the slot: a position is 16 bytes, needed only between checkpoints and only for what was
  // written since; one run (40 bytes) covers a whole put, and no wrap of a shortened number can
  // make an old page look new.
  [[nodiscard]] std::vector<bool> PutAtOrAbove(JournalPosition position) const noexcept;
  // True when PutAtOrAbove would have a slot.
  [[nodiscard]] bool AnyPutAtOrAbove(JournalPosition position) const noexcept;
  // A checkpoint at `position` is durable: forgets what was put below it.
  void ForgetPutsBelow(JournalPosition position) noexcept;

  // Payload writes to the file are complete; Sync has something to do.
  void NoteWritten() noexcept { written_.fetch_add(1, std::memory_order_acq_rel); }
  [[nodiscard]] bool unsynced() const noexcept {
    return synced_.load(std::memory_order_acquire) < written_.load(std::memory_order_acquire);
  }
  // Makes the payloads that were written before this call durable; shared with concurrent callers.
  // A failure latches the directory; FreeUnsyncedPuts is then due for all of its segments.
  Status Sync() noexcept;
  // Frees every slot whose put was not covered by a sync: one has failed, so what they hold on the
  // device is not known. Returns how many.
  uint64_t FreeUnsyncedPuts() noexcept;

 private:
  struct PutRun {
    uint32_t first = 0;
    uint32_t count = 0;
    JournalPosition position;
    // written_ when it was noted: synced_ at or above it covers the payload. 0: it was synced.
    uint64_t written = 0;
  };

  Segment(LogDir& dir, const SegmentInfo& info) noexcept;
  std::atomic<uint32_t>& CountOf(SlotState state) noexcept {
    return counts_[static_cast<size_t>(state)];
  }
  void CountMove(SlotState from, SlotState to) noexcept;
  // Behind every change that ends a pin or a write.
  void WakeWaiter() noexcept {
    if (waiters_.load(std::memory_order_seq_cst) != 0) [[unlikely]]
      NotifyWaiter();
  }
  void NotifyWaiter() noexcept;
  template <class Ready>
  bool Await(Deadline deadline, Ready&& ready) noexcept;

  const SegmentInfo info_;
  LogDir& dir_;
  std::unique_ptr<File> file_;
  std::string problem_;
  std::unique_ptr<Slot[]> slots_;
  std::array<std::atomic<uint32_t>, 4> counts_{};
  std::atomic<bool> dirty_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> closed_{false};
  FreedSlots* freed_slots_ = nullptr;
  std::atomic<uint32_t> waiters_{0};
  std::mutex waiter_mutex_;
  std::condition_variable waiter_;
  std::atomic<uint64_t> written_{0};  // times NoteWritten was called
  std::atomic<uint64_t> synced_{0};   // up to which of them a sync has covered
  SharedSync sync_;

  mutable std::mutex puts_mutex_;
  std::vector<PutRun> puts_;
};

// Memory that a segment of so many slots takes while it is open.
constexpr uint64_t SegmentMemory(uint64_t slot_count) noexcept {
  return sizeof(Segment) + slot_count * sizeof(Slot);
}

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SEGMENT_H_
