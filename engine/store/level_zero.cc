// Keeps level 0 short: each of its runs is one more that every lookup asks, and only compaction
// takes runs away. While compaction is behind, every flush would add one.
//
// So puts wait once level 0 is full, and are refused when the wait ends without room: a miss is
// legal, a store that gets slower without end is not. Flushes go on, since durability is not to
// wait for compaction; as no pages come in, what they can add is what came in before. Reads go on
// in any case.
#include <algorithm>

#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// A batch is one run, and compaction takes four small ones for a job: with so many it is behind by
// several jobs. Two merges of a whole level may go on at the same time, so it grows with T.
uint64_t MostLevelZeroRuns(const Shape& shape) noexcept {
  constexpr uint32_t kLeast = 12;
  return std::max(kLeast, 2 * shape.size_ratio);
}

}  // namespace

Status Store::Impl::WaitForLevelZero(Scheduler::Clock::time_point deadline) noexcept {
  const auto runs = [&] { return level_zero_runs_.load(std::memory_order_acquire); };
  if (runs() < MostLevelZeroRuns(Shape::Leveling(Shape::kMinSizeRatio))) return Status::Ok();
  const uint64_t most = MostLevelZeroRuns(TargetShape());
  const auto has_room = [&] { return runs() < most; };
  if (has_room()) return Status::Ok();
  RetryHalted();
  {
    // No compaction will be installed any more.
    std::lock_guard lock(manifest_mutex_);
    LAMINA_RETURN_IF_ERROR(manifest_->status());
  }
  const Status room = scheduler_->WaitForRoom(WorkClass::kCompaction, has_room, deadline);
  if (room.ok() || room.code() == StatusCode::kClosed) return room;
  return Status::Busy("put: level 0 of the index holds " + std::to_string(runs()) +
                      " runs, as many as may wait for compaction; pages are taken again when it "
                      "has caught up: " +
                      std::string(room.message()));
}

}  // namespace lamina
