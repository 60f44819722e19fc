#include "tensorlog/cursor.h"

#include <algorithm>
#include <utility>

#include "tensorlog/slot_table_format.h"

namespace lamina {

SlotClass::SlotClass(uint32_t slot_bytes, std::span<const std::unique_ptr<LogDir>> dirs,
                     uint64_t stripe_bytes) noexcept
    : slot_bytes_(slot_bytes),
      stripe_slots_(static_cast<uint32_t>(std::max<uint64_t>(1, stripe_bytes / slot_bytes))),
      min_run_slots_(MinRunSlots(slot_bytes)),
      stripe_left_(stripe_slots_) {
  for (const auto& dir : dirs) lanes_.emplace_back().dir = dir.get();
}

SlotClass::Lane& SlotClass::LaneOf(const Segment& segment) noexcept {
  return lanes_[segment.info().log_dir];
}

void SlotClass::Add(Segment* segment) noexcept {
  const std::lock_guard lock(mutex_);
  Lane& lane = LaneOf(*segment);
  const auto behind =
      std::upper_bound(lane.segments.begin(), lane.segments.end(), segment->id(),
                       [](uint32_t id, const Segment* other) { return id < other->id(); });
  const auto index = static_cast<size_t>(behind - lane.segments.begin());
  lane.segments.insert(behind, segment);
  // What the cursor points to stays; a cursor at the end now points to the new segment.
  if (index < lane.at) ++lane.at;
}

void SlotClass::Remove(Segment* segment) noexcept {
  const std::lock_guard lock(mutex_);
  Lane& lane = LaneOf(*segment);
  const auto found = std::find(lane.segments.begin(), lane.segments.end(), segment);
  if (found == lane.segments.end()) return;
  const auto index = static_cast<size_t>(found - lane.segments.begin());
  lane.segments.erase(found);
  if (index < lane.at) --lane.at;
  if (index == lane.at) lane.slot = 0;
}

void SlotClass::SetCursor(uint32_t segment, uint32_t slot) noexcept {
  const std::lock_guard lock(mutex_);
  for (Lane& lane : lanes_) {
    for (size_t i = 0; i < lane.segments.size(); ++i) {
      if (lane.segments[i]->id() != segment) continue;
      lane.at = i;
      lane.slot = slot;
      return;
    }
  }
}

uint32_t SlotClass::CursorIn(const Segment& segment) const noexcept {
  const std::lock_guard lock(mutex_);
  const Lane& lane = lanes_[segment.info().log_dir];
  if (lane.segments.empty()) return kNoCursor;
  // At the end of the lane: behind the last slot of its last segment.
  if (lane.at == lane.segments.size()) {
    return lane.segments.back() == &segment ? segment.slot_count() : kNoCursor;
  }
  return lane.segments[lane.at] == &segment ? lane.slot : kNoCursor;
}

std::vector<Segment*> SlotClass::Segments() const noexcept {
  const std::lock_guard lock(mutex_);
  std::vector<Segment*> all;
  for (const Lane& lane : lanes_) {
    all.insert(all.end(), lane.segments.begin(), lane.segments.end());
  }
  std::sort(all.begin(), all.end(),
            [](const Segment* a, const Segment* b) { return a->id() < b->id(); });
  return all;
}

Result<size_t> SlotClass::Take(size_t count, const StartSegment& start,
                               std::vector<SlotRun>* runs) noexcept {
  std::unique_lock lock(mutex_);
  size_t taken = 0;
  size_t lanes_without = 0;
  Status error;
  while (taken < count && lanes_without < lanes_.size()) {
    const size_t turn = turn_;
    Lane& lane = lanes_[turn];
    const size_t rest = count - taken;
    // A stripe ends with a run that is worth reading, not with what is left of it.
    const size_t stripe = lanes_.size() == 1 ? rest : std::max(stripe_left_, min_run_slots_);
    const auto want = static_cast<uint32_t>(std::min<size_t>({rest, stripe, UINT32_MAX}));
    const size_t got = TakeFrom(lane, want, start, &error, runs, lock);
    taken += got;
    lanes_without = got == 0 ? lanes_without + 1 : 0;
    // Another thread may have moved on to the next lane while this one had no lock.
    if (turn != turn_) continue;
    stripe_left_ -= static_cast<uint32_t>(std::min<size_t>(got, stripe_left_));
    if (got == 0 || stripe_left_ == 0) {
      turn_ = (turn_ + 1) % lanes_.size();
      stripe_left_ = stripe_slots_;
    }
  }
  if (taken == 0 && !error.ok()) return error;
  return taken;
}

size_t SlotClass::TakeFrom(Lane& lane, uint32_t want, const StartSegment& start, Status* error,
                           std::vector<SlotRun>* runs,
                           std::unique_lock<std::mutex>& lock) noexcept {
  if (!lane.dir->writable()) {
    if (error->ok()) *error = lane.dir->latch_status();
    return 0;
  }
  bool may_grow = true;
  // Each round ends with slots, with a segment made or refused, or with a run lost to readers that
  // pinned it; the bound is for the last.
  for (int round = 0; round < 64; ++round) {
    Search search{.want = want,
                  .need = std::min(want, min_run_slots_),
                  .segments_left = lane.segments.size() + 1,
                  .may_grow = may_grow,
                  .longest = {}};
    Run run;
    switch (FindRun(lane, search, &run)) {
      case Found::kRun:
        if (const size_t taken = TakeRun(lane, run, runs); taken > 0) return taken;
        break;
      case Found::kEnd:
        if (Status status = Grow(lane, start, lock); !status.ok()) {
          may_grow = false;
          if (status.code() != StatusCode::kNoSpace && error->ok()) *error = std::move(status);
        }
        if (!lane.dir->writable()) return 0;
        break;
      case Found::kNothing:
        return 0;
    }
  }
  return 0;
}

// At the lane's end: another segment, unless a whole one's worth of slots has been freed behind the
// cursor, which is used first.
bool SlotClass::WantsSegment(const Lane& lane) noexcept {
  uint64_t free = 0;
  uint32_t largest = 0;
  for (const Segment* segment : lane.segments) {
    if (segment->absent() || segment->draining()) continue;
    free += segment->counts().free;
    largest = std::max(largest, segment->slot_count());
  }
  return free < largest || largest == 0;
}

SlotClass::Found SlotClass::FindRun(Lane& lane, Search& search, Run* run) noexcept {
  // One visit more than there are segments: the turn ends where it began, within a segment.
  while (search.segments_left > 0) {
    if (lane.at == lane.segments.size()) {
      if (search.may_grow && WantsSegment(lane)) return Found::kEnd;
      if (lane.segments.empty()) return Found::kNothing;
      // The end is passed once in a search; segments are made at the end only.
      search.may_grow = false;
      lane.at = 0;
      lane.slot = 0;
    }
    if (ScanSegment(lane, search, run)) return Found::kRun;
    if (search.scanned > kMaxScanSlots && search.longest.count > 0) break;
    ++lane.at;
    lane.slot = 0;
    --search.segments_left;
  }
  if (search.longest.count == 0) return Found::kNothing;
  *run = search.longest;
  return Found::kRun;
}

// Looks for a run from the cursor to the end of its segment, and remembers the longest.
bool SlotClass::ScanSegment(Lane& lane, Search& search, Run* run) noexcept {
  const Segment& segment = *lane.segments[lane.at];
  // A segment with fewer reusable slots than the longest run so far has nothing better.
  if (segment.absent() || segment.draining() || segment.reusable() <= search.longest.count) {
    return false;
  }
  uint32_t first = lane.slot;
  uint32_t i = lane.slot;
  for (; i < segment.slot_count(); ++i) {
    if (!segment.slot(i).takeable()) {
      if (i - first > search.longest.count) search.longest = {lane.at, first, i - first};
      if (i - first >= search.need) break;
      first = i + 1;
    } else if (i + 1 - first == search.want) {
      ++i;
      break;
    }
  }
  search.scanned += i - lane.slot;
  if (i - first > search.longest.count) search.longest = {lane.at, first, i - first};
  if (i - first < search.need) return false;
  *run = {lane.at, first, i - first};
  return true;
}

// Takes a run from its beginning as far as nobody was faster; the cursor moves behind it.
size_t SlotClass::TakeRun(Lane& lane, const Run& run, std::vector<SlotRun>* runs) noexcept {
  Segment& segment = *lane.segments[run.at];
  uint32_t taken = 0;
  while (taken < run.count && segment.Take(run.first + taken)) ++taken;
  lane.at = run.at;
  // A slot that could not be taken was revived or pinned: the search goes on behind it.
  lane.slot = run.first + std::max(taken, 1u);
  if (lane.slot >= segment.slot_count()) {
    ++lane.at;
    lane.slot = 0;
  }
  if (taken > 0) runs->push_back({segment.id(), run.first, taken});
  return taken;
}

// Makes a segment, or waits for the thread that is making one. Ok: search again.
Status SlotClass::Grow(Lane& lane, const StartSegment& start,
                       std::unique_lock<std::mutex>& lock) noexcept {
  if (lane.starting) {
    started_.wait(lock, [&] { return !lane.starting; });
    return Status::Ok();
  }
  lane.starting = true;
  const uint32_t dir = lane.dir->index();
  lock.unlock();
  Status status = start(dir);
  lock.lock();
  lane.starting = false;
  started_.notify_all();
  return status;
}

}  // namespace lamina
