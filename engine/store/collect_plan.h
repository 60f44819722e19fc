// Which segments to give up, and in which groups, so that disk space comes back for little copying.
//
// The sparsest segments of a class go together: what is live in a group of them is copied, path by
// path, into new segments of just the size that it needs, and the group is unlinked. The cheapest
// group, by bytes copied over bytes gained, comes first. Segments with more than 7/8 live are left
// alone: at that share a byte gained costs seven to be copied.
//
// Pure.
#ifndef LAMINA_ENGINE_STORE_COLLECT_PLAN_H_
#define LAMINA_ENGINE_STORE_COLLECT_PLAN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tensorlog/segment.h"

namespace lamina {

// What a segment holds. What is being written counts as live.
struct SegmentUse {
  SegmentInfo info;
  SlotCounts slots;
  [[nodiscard]] uint64_t live() const noexcept { return slots.live + slots.writing; }
};

// One group, of one class and one log directory.
struct CollectionStep {
  uint32_t log_dir = 0;
  uint32_t slot_bytes = 0;
  std::vector<uint32_t> segments;      // to be given up, sparsest first
  uint64_t bytes = 0;                  // of their files
  uint64_t pages = 0;                  // live in them: to be moved
  uint64_t condemned = 0;              // to be dropped
  std::vector<uint32_t> new_segments;  // slots of each segment for what is moved

  [[nodiscard]] uint64_t new_bytes() const noexcept;
  [[nodiscard]] uint64_t gained_bytes() const noexcept { return bytes - new_bytes(); }
  [[nodiscard]] uint64_t copied_bytes() const noexcept { return pages * slot_bytes; }
};

// Whether a segment is sparse enough to be planned for.
bool WorthCollecting(const SegmentUse& use) noexcept;

// What a log may grow by before it shrinks.
inline uint64_t CollectionStepBytes(uint64_t log_bytes) noexcept { return log_bytes / 8; }

// Steps in the order in which to take them, until `target_bytes` are gained or nothing more can be.
// Every step gains something. A step needs disk space for its new segments before it gives any
// back: `step_bytes` or one segment, whichever is more, and up to eight segments where less would
// gain nothing. The more, the more of a path's pages come to lie together.
std::vector<CollectionStep> PlanCollection(std::span<const SegmentUse> segments,
                                           uint64_t target_bytes, uint64_t step_bytes) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_COLLECT_PLAN_H_
