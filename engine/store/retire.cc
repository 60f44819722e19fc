// Giving segments up: emptying them, and removing them so that nothing is lost at any moment.
//
//   1. No new pages in them, and the puts that already had slots there come to an end.
//   2. What is live is moved (move.h) or condemned.
//   3. A checkpoint, so that no replay reaches for them.
//   4. They are closed: nothing in them is found or pinned any more. A slot that stays pinned, or
//      came back to life since, keeps its segment in service.
//   5. The manifest drops them; only then are the files unlinked. What a crash leaves in between is
//      an orphan that the next open removes.
#include <algorithm>
#include <utility>

#include "engine/base/mutation.h"
#include "engine/store/move.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// Pages may come back to life between emptying a segment and closing it.
constexpr int kMaxRounds = 3;

}  // namespace

class SegmentRetirement {
 public:
  SegmentRetirement(Store::Impl& store, const Store::Impl::RetireHow& how,
                    Store::Impl::RetireReport* report) noexcept
      : store_(store),
        log_(*store.log_),
        how_(how),
        report_(report),
        // On the only thread, no reader or writer ends while it waits.
        deadline_(std::chrono::steady_clock::now() +
                  (store.environment_.single_threaded ? how.patience.zero() : how.patience)) {}

  Status Run(std::span<const uint32_t> segments) noexcept {
    Begin(segments);
    for (int round = 0; round < kMaxRounds && !left_.empty(); ++round) {
      again_ = false;
      if (Status status = Round(); !status.ok()) {
        Note(std::move(status));
        break;
      }
      if (!again_) break;
    }
    for (const uint32_t id : left_) (void)log_.SetDraining(id, false);
    if (!undecided_.ok()) return undecided_;
    if (left_.empty()) return refused_;
    if (problem_.ok()) return Status::Busy("pages came back to life in segments being given up");
    return problem_;
  }

 private:
  void Note(Status problem) noexcept {
    if (problem_.ok()) problem_ = std::move(problem);
  }

  // A segment whose file is not there may come back with its directory: it is kept.
  void Begin(std::span<const uint32_t> segments) noexcept {
    for (const uint32_t id : segments) {
      if (std::find(left_.begin(), left_.end(), id) != left_.end()) continue;
      Status status = log_.SetDraining(id, true);
      if (status.ok() && SegmentTable::ReadSection(log_.table()).Find(id)->absent()) {
        (void)log_.SetDraining(id, false);
        status = Status::IoError("segment " + std::to_string(id) +
                                 " cannot be given up: its file is not there");
      }
      if (status.ok()) {
        left_.push_back(id);
      } else if (refused_.ok()) {
        refused_ = std::move(status);
      }
    }
  }

  Status Round() noexcept {
    LAMINA_RETURN_IF_ERROR(CheckStop());
    std::vector<uint32_t> quiet;
    for (const uint32_t id : left_) {
      if (Status status = log_.AwaitWriters(id, deadline_); status.ok()) {
        quiet.push_back(id);
      } else {
        Note(std::move(status));
      }
    }
    PageMover mover(store_, quiet, how_, report_);
    Status emptied;
    if (how_.move_live) {
      emptied = mover.Run();
    } else {
      CondemnAll(quiet);
    }
    LAMINA_RETURN_IF_ERROR(CheckStop());
    if (!Mutated(Mutation::kUnlinkBeforeCheckpoint))
      LAMINA_RETURN_IF_ERROR(store_.Checkpoint(false));
    // Those that could be emptied go even if others could not.
    LAMINA_RETURN_IF_ERROR(Drop(Close(quiet, emptied.ok())));
    return emptied;
  }

  Status CheckStop() const noexcept {
    if (!store_.Stopped(how_)) return Status::Ok();
    return Status::Busy("giving segments up was stopped");
  }

  void CondemnAll(std::span<const uint32_t> segments) noexcept {
    for (const uint32_t id : segments) {
      const SegmentTable::ReadSection section(log_.table());
      Segment* const segment = section.Find(id);
      for (uint32_t i = 0; i < segment->slot_count(); ++i) {
        if (segment->slot(i).state() == SlotState::kLive &&
            segment->Condemn(i, segment->slot(i).tag()))
          StoreCounters::Add(store_.counters_.pages_evicted, 1);
      }
    }
    store_.dirty_.store(true, std::memory_order_release);
  }

  [[nodiscard]] bool HoldsLive(uint32_t id) const noexcept {
    const SegmentTable::ReadSection section(log_.table());
    const Segment& segment = *section.Find(id);
    for (uint32_t i = 0; i < segment.slot_count(); ++i)
      if (segment.slot(i).state() == SlotState::kLive) return true;
    return false;
  }

  // The segments that nobody uses any more, closed. With `emptied`, one that holds live pages again
  // is worth another round.
  std::vector<uint32_t> Close(std::span<const uint32_t> segments, bool emptied) noexcept {
    std::vector<uint32_t> closed;
    for (const uint32_t id : segments) {
      Status status = log_.CloseSegment(id, deadline_);
      if (status.ok()) {
        closed.push_back(id);
      } else if (emptied && HoldsLive(id)) {
        again_ = true;
      } else if (emptied) {
        Note(std::move(status));
      }
    }
    return closed;
  }

  Status Drop(const std::vector<uint32_t>& closed) noexcept {
    if (closed.empty()) return Status::Ok();
    // Between its copies of slot tables and its edit no checkpoint may meet a dropped segment.
    std::lock_guard checkpoint_lock(store_.checkpoint_mutex_);
    Status status = CommitDrop(closed);
    if (status.ok()) {
      for (const uint32_t id : closed) Remove(id);
    } else if (StillThere()) {
      for (const uint32_t id : closed) log_.ReopenSegment(id);
      return status;
    } else {
      undecided_ = status;
    }
    std::erase_if(left_, [&](uint32_t id) {
      return std::find(closed.begin(), closed.end(), id) != closed.end();
    });
    return status;
  }

  // After an edit that failed. Where it has latched the manifest it may have reached the disk, and
  // the next open may find the segments dropped: they stay closed, so that puts which are under way
  // do not get slots there.
  [[nodiscard]] bool StillThere() const noexcept {
    std::lock_guard lock(store_.manifest_mutex_);
    return store_.manifest_->status().ok();
  }

  Status CommitDrop(const std::vector<uint32_t>& closed) noexcept {
    std::lock_guard lock(store_.manifest_mutex_);
    ManifestEdit edit;
    edit.drop_segments = closed;
    return store_.manifest_->Commit(edit);
  }

  void Remove(uint32_t id) noexcept {
    SegmentInfo info;
    uint64_t condemned = 0;
    {
      const SegmentTable::ReadSection section(log_.table());
      const Segment& segment = *section.Find(id);
      info = segment.info();
      condemned = segment.counts().condemned;
    }
    bool file_left = false;
    const Status unlinked = log_.RemoveSegment(id, &file_left);
    ++report_->segments;
    report_->pages_condemned += condemned;
    StoreCounters::Add(store_.counters_.segments_retired, 1);
    if (!unlinked.ok()) store_.NoteBackgroundError(unlinked);
    store_.budget_.Remove(info);
    // A file that is still there still takes its space, until the next open removes it.
    if (file_left) return store_.budget_.AddOrphanBytes(info.bytes());
    report_->bytes_freed += info.bytes();
  }

  Store::Impl& store_;
  TensorLog& log_;
  const Store::Impl::RetireHow& how_;
  Store::Impl::RetireReport* const report_;
  const TensorLog::Deadline deadline_;
  std::vector<uint32_t> left_;  // draining, and not gone
  bool again_ = false;
  Status refused_;    // of segments that there are not
  Status problem_;    // why something is left
  Status undecided_;  // why nobody knows whether the manifest has dropped some
};

bool Store::Impl::Stopped(const RetireHow& how) const noexcept {
  return closing_ || (how.stop != nullptr && how.stop->load(std::memory_order_relaxed));
}

void Store::Impl::HoldDoubtful(std::vector<SlotRef> slots) noexcept {
  const std::lock_guard lock(doubtful_mutex_);
  doubtful_.push_back({journal_->CurrentPosition(), std::move(slots)});
}

void Store::Impl::ReleaseDoubtful(JournalPosition checkpoint) noexcept {
  const std::lock_guard lock(doubtful_mutex_);
  std::erase_if(doubtful_, [&](const DoubtfulSlots& doubtful) {
    if (checkpoint < doubtful.end) return false;
    for (const SlotRef slot : doubtful.slots) log_->Release(slot);
    return true;
  });
}

Status Store::Impl::SettleHeld() noexcept {
  bool held = log_->holds_originals();
  {
    const std::lock_guard lock(doubtful_mutex_);
    held |= !doubtful_.empty();
  }
  return held ? Checkpoint(false) : Status::Ok();
}

Status Store::Impl::Retire(std::span<const uint32_t> segments, const RetireHow& how,
                           RetireReport* report) noexcept {
  std::lock_guard lock(retire_mutex_);
  LAMINA_RETURN_IF_ERROR(SettleHeld());
  Status status = SegmentRetirement(*this, how, report).Run(segments);
  (void)ScrubFreed();  // copies that came to nothing
  return status;
}

Status Store::Impl::RetireSegments(std::span<const uint32_t> segments, bool move_live,
                                   const std::atomic<bool>* stop, RetireReport* report) noexcept {
  RetireHow how;
  how.move_live = move_live;
  how.stop = stop;
  return Retire(segments, how, report);
}

}  // namespace lamina
