// The first error of something that must not be written to again after it: what a failed write or
// sync has left on the device cannot be known, so nothing is tried as if it had not failed.
#ifndef LAMINA_ENGINE_BASE_LATCH_H_
#define LAMINA_ENGINE_BASE_LATCH_H_

#include <atomic>
#include <mutex>

#include "engine/base/status.h"

namespace lamina {

// Thread-safe.
class Latch {
 public:
  // The first reason stays.
  void Set(const Status& reason) noexcept {
    const std::lock_guard lock(mutex_);
    if (!reason_.ok()) return;
    reason_ = reason;
    set_.store(!reason.ok(), std::memory_order_release);
  }
  // Without a lock.
  [[nodiscard]] bool set() const noexcept { return set_.load(std::memory_order_acquire); }
  // Ok, or the reason.
  [[nodiscard]] Status status() const noexcept {
    if (!set()) return Status::Ok();
    const std::lock_guard lock(mutex_);
    return reason_;
  }

 private:
  std::atomic<bool> set_{false};
  mutable std::mutex mutex_;
  Status reason_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_LATCH_H_
