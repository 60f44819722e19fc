// Slots that were freed and whose bytes are still to be erased (erase=physical). They stay in state
// writing meanwhile, so that nobody takes them.
#ifndef LAMINA_TENSORLOG_FREED_SLOTS_H_
#define LAMINA_TENSORLOG_FREED_SLOTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/base/slot_ref.h"

namespace lamina {

// Thread-safe.
class FreedSlots {
 public:
  void Add(SlotRef slot) noexcept {
    const std::lock_guard lock(mutex_);
    slots_.push_back(slot);
    left_.fetch_add(1, std::memory_order_release);
  }
  // All that were added. Each counts as left until Done.
  [[nodiscard]] std::vector<SlotRef> Take() noexcept {
    const std::lock_guard lock(mutex_);
    return std::exchange(slots_, {});
  }
  void Done(size_t count) noexcept { left_.fetch_sub(count, std::memory_order_release); }
  // Slots that were done although their bytes could not be erased.
  void Failed(size_t count) noexcept { failures_.fetch_add(count, std::memory_order_release); }
  [[nodiscard]] uint64_t failures() const noexcept {
    return failures_.load(std::memory_order_acquire);
  }
  // Added and not done.
  [[nodiscard]] size_t left() const noexcept { return left_.load(std::memory_order_acquire); }

 private:
  std::mutex mutex_;
  std::vector<SlotRef> slots_;
  std::atomic<size_t> left_{0};
  std::atomic<uint64_t> failures_{0};
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_FREED_SLOTS_H_
