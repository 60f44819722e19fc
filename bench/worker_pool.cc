#include "bench/worker_pool.h"

namespace lamina::bench {

WorkerPool::WorkerPool(unsigned workers) {
  threads_.reserve(workers);
  for (unsigned i = 0; i < workers; ++i) threads_.emplace_back([this] { Work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::ForEach(size_t count, const std::function<void(size_t)>& work) {
  if (count == 0) return;
  Batch batch{.work = &work, .count = count, .done = {}};
  std::unique_lock lock(mutex_);
  batches_.push_back(&batch);
  // One worker is woken for one page, so that a batch of one does not wake eight.
  for (size_t i = 0; i < count && i < threads_.size(); ++i) wake_.notify_one();
  batch.done.wait(lock, [&] { return batch.finished == batch.count; });
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !batches_.empty(); });
    if (batches_.empty()) return;
    Batch* const batch = batches_.front();
    const size_t index = batch->next++;
    if (batch->next == batch->count) batches_.pop_front();
    lock.unlock();
    (*batch->work)(index);
    lock.lock();
    if (++batch->finished == batch->count) batch->done.notify_one();
  }
}

}  // namespace lamina::bench
