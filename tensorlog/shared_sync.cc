#include "tensorlog/shared_sync.h"

#include "engine/base/mutation.h"

namespace lamina {

Status SharedSync::Sync(File& file) noexcept {
  std::unique_lock lock(mutex_);
  // The first sync that starts after this moment covers what the caller wrote.
  const uint64_t mine = started_ + 1;
  while (completed_ < mine) {
    if (!failure_.ok()) return failure_;
    if (running_) {
      done_.wait(lock);
      continue;
    }
    running_ = true;
    const uint64_t number = ++started_;
    lock.unlock();
    Status status = file.Sync();
    lock.lock();
    running_ = false;
    if (status.ok()) {
      completed_ = number;
    } else if (Mutated(Mutation::kRetryFailedSync)) {
      return status;
    } else if (failure_.ok()) {
      failure_ = std::move(status);
    }
    done_.notify_all();
  }
  return Status::Ok();
}

uint64_t SharedSync::issued() const noexcept {
  const std::lock_guard lock(mutex_);
  return started_;
}

}  // namespace lamina
