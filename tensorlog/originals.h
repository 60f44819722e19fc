// The slots that replayed moves have left, until a checkpoint stands for the moves.
//
// The record of a move may be there to be read and not be durable yet: then a power cut takes it,
// and the page is found where it was. So until then neither the bytes in such a slot go nor the
// entry that names it. The slot is taken: nobody writes there, nor erases it.
#ifndef LAMINA_TENSORLOG_ORIGINALS_H_
#define LAMINA_TENSORLOG_ORIGINALS_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "engine/base/slot_ref.h"
#include "tensorlog/segment_table.h"

namespace lamina {

// Add and Hold while the log is opened, the rest at any time, from any thread.
class Originals {
 public:
  // The page with this tag has moved out of the slot.
  void Add(SlotRef slot, uint64_t tag) noexcept;
  // Once all is replayed: takes those slots that nothing was put in since.
  void Hold(const SegmentTable& table) noexcept;

  [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_acquire); }
  [[nodiscard]] bool Has(SlotRef slot, uint64_t tag) const noexcept;
  // Gives the slots back: a checkpoint that has the moves is durable.
  void Release(const SegmentTable& table) noexcept;

 private:
  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;  // before those of segments
  std::set<std::pair<SlotRef, uint64_t>> pages_;
  std::vector<SlotRef> held_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_ORIGINALS_H_
