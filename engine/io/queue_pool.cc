#include "engine/io/queue_pool.h"

namespace lamina {

QueuePool::Lease& QueuePool::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = std::exchange(other.pool_, nullptr);
  queue_ = std::move(other.queue_);
  return *this;
}

void QueuePool::Lease::Release() noexcept {
  if (queue_ == nullptr) return;
  while (queue_->Wait() != nullptr) {
  }
  std::exchange(pool_, nullptr)->Return(std::move(queue_));
}

QueuePool::~QueuePool() { LAMINA_CHECK(leased_ == 0); }

Result<QueuePool::Lease> QueuePool::Acquire() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<IoQueue> queue = std::move(idle_.back());
      idle_.pop_back();
      ++leased_;
      return Lease(this, std::move(queue));
    }
  }
  // Outside the mutex: it is slow, and others may return a queue meanwhile.
  LAMINA_ASSIGN_OR_RETURN(std::unique_ptr<IoQueue> queue, file_system_->NewQueue(depth_));
  const std::lock_guard lock(mutex_);
  ++created_;
  ++leased_;
  return Lease(this, std::move(queue));
}

void QueuePool::Return(std::unique_ptr<IoQueue> queue) noexcept {
  const std::lock_guard lock(mutex_);
  --leased_;
  // One too many, or of no use, is destroyed with the parameter, after the mutex is released.
  if (queue->usable() && idle_.size() < max_idle_) idle_.push_back(std::move(queue));
}

QueuePool::Stats QueuePool::stats() const noexcept {
  const std::lock_guard lock(mutex_);
  return {.created = created_, .leased = leased_, .idle = idle_.size()};
}

}  // namespace lamina
