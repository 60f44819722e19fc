// Which slots are overwritten next: a cursor that moves forward over one class's segments.
//
// A class is a slot size. In each log directory it has a *lane*: its segments there in the order of
// their ids, and a cursor. Slots are given out from the cursor on, in runs of at least 256 KiB,
// skipping what is live or pinned. A lane that has never reached its last slot is a plain log, and
// so is its use of a new segment. At the end of the last segment the lane asks for another one;
// when it may not have it, or when a whole segment's worth of slots has been freed behind it, the
// cursor starts over. Lanes take turns every few MiB.
//
// There is no free list: what is free is what the cursor meets. (research: refill in place, oldest
// first, beats every form of cleaning, and needs no copying.)
//
// Finding a run: the next one of at least min(rest, 256 KiB / slot) slots. After a full turn
// without one, or after kMaxScanSlots slots with anything found, the longest that was met. Segments
// without enough reusable slots are skipped whole by their counts.
#ifndef LAMINA_TENSORLOG_CURSOR_H_
#define LAMINA_TENSORLOG_CURSOR_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "engine/base/status.h"
#include "tensorlog/geometry.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/segment.h"
#include "tensorlog/slot_run.h"

namespace lamina {

// Where new segments come from: the store. Thread-safe.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  // A segment of `*slot_count` slots of `slot_bytes` is wanted in log directory `log_dir`. Checks
  // the budget, which may allow fewer slots (`*slot_count` then says how many), reserves it, and
  // returns a new id. Called without locks of the log held; only one call per class at a time.
  // kNoSpace: none may be added (the sweep goes on over what is there); any other error fails the
  // Take.
  virtual Result<uint32_t> ReserveSegment(uint32_t log_dir, uint32_t slot_bytes,
                                          uint32_t* slot_count) noexcept = 0;
  // The file is there, with its blocks, and synced: make the segment durable in the manifest. It is
  // used when this returns Ok.
  virtual Status SegmentCreated(const SegmentInfo& info) noexcept = 0;
  // The file could not be made, or SegmentCreated failed (the file is gone again after kNoSpace;
  // after other errors it stays, since the edit may be on disk): the reservation is void, the id
  // burnt.
  virtual void SegmentFailed(const SegmentInfo& info, const Status& why) noexcept = 0;
};

// The lanes of one class. Thread-safe.
class SlotClass {
 public:
  // Slots looked at in one search once there is something to give.
  static constexpr uint64_t kMaxScanSlots = uint64_t{1} << 22;

  SlotClass(uint32_t slot_bytes, std::span<const std::unique_ptr<LogDir>> dirs,
            uint64_t stripe_bytes) noexcept;

  [[nodiscard]] uint32_t slot_bytes() const noexcept { return slot_bytes_; }

  // Makes a segment of this class known. Its id is above those of its lane.
  void Add(Segment* segment) noexcept;
  void Remove(Segment* segment) noexcept;
  // The lane's cursor stands behind this slot.
  void SetCursor(uint32_t segment, uint32_t slot) noexcept;
  // Where the lane's cursor stands in the segment, or kNoCursor.
  [[nodiscard]] uint32_t CursorIn(const Segment& segment) const noexcept;

  // Takes up to `count` slots and appends them to `runs`; the number taken. When a lane is at its
  // end, calls start(dir) without the lock, once at a time per lane; it calls Add. kNoSpace from it
  // means sweep on; another error is returned if nothing was taken. 0 slots without an error: all
  // are live or pinned.
  using StartSegment = std::function<Status(uint32_t dir)>;
  Result<size_t> Take(size_t count, const StartSegment& start, std::vector<SlotRun>* runs) noexcept;

  [[nodiscard]] std::vector<Segment*> Segments() const noexcept;

 private:
  struct Lane {
    LogDir* dir = nullptr;
    std::vector<Segment*> segments;  // by id
    size_t at = 0;                   // the cursor: index of a segment, segments.size() at the end
    uint32_t slot = 0;
    bool starting = false;  // a thread is making a segment
  };
  struct Run {
    size_t at = 0;
    uint32_t first = 0;
    uint32_t count = 0;
  };
  enum class Found : uint8_t { kRun, kEnd, kNothing };

  // Where a search stands; it may be interrupted at the lane's end and go on.
  struct Search {
    uint32_t want = 0;
    uint32_t need = 0;
    size_t segments_left = 0;
    uint64_t scanned = 0;
    bool may_grow = true;
    Run longest;
  };
  static Found FindRun(Lane& lane, Search& search, Run* run) noexcept;
  static bool ScanSegment(Lane& lane, Search& search, Run* run) noexcept;
  static bool WantsSegment(const Lane& lane) noexcept;
  size_t TakeRun(Lane& lane, const Run& run, std::vector<SlotRun>* runs) noexcept;
  size_t TakeFrom(Lane& lane, uint32_t want, const StartSegment& start, Status* error,
                  std::vector<SlotRun>* runs, std::unique_lock<std::mutex>& lock) noexcept;
  Status Grow(Lane& lane, const StartSegment& start, std::unique_lock<std::mutex>& lock) noexcept;
  Lane& LaneOf(const Segment& segment) noexcept;

  const uint32_t slot_bytes_;
  const uint32_t stripe_slots_;
  const uint32_t min_run_slots_;

  mutable std::mutex mutex_;
  std::condition_variable started_;
  std::vector<Lane> lanes_;
  size_t turn_ = 0;           // the lane that gives out slots now
  uint32_t stripe_left_ = 0;  // slots until the next one's turn
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_CURSOR_H_
