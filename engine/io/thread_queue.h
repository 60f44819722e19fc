// Queues served by a pool of threads with preadv and pwritev, for where io_uring is refused.
#ifndef LAMINA_ENGINE_IO_THREAD_QUEUE_H_
#define LAMINA_ENGINE_IO_THREAD_QUEUE_H_

#include <pthread.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/io_queue.h"
#include "engine/io/transfer.h"

namespace lamina {

class ThreadQueue;

// Threads that all thread queues of a file system share, first come first served. Thread-safe.
// Takes no signals of the process. The destructor joins; queues keep the pool alive.
class IoThreadPool {
 public:
  // Starts `threads`, or as many as the system gives; an error when it gives none.
  static Result<std::shared_ptr<IoThreadPool>> Start(size_t threads) noexcept;
  ~IoThreadPool();
  IoThreadPool(const IoThreadPool&) = delete;
  IoThreadPool& operator=(const IoThreadPool&) = delete;

  [[nodiscard]] size_t threads() const noexcept { return threads_.size(); }

 private:
  friend class ThreadQueue;
  struct Job {
    Transfer transfer;
    ThreadQueue* queue = nullptr;
  };

  IoThreadPool() noexcept = default;
  static void* ThreadMain(void* pool) noexcept;
  void Run() noexcept;
  void Push(Job* job) noexcept;

  std::vector<pthread_t> threads_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Job*> jobs_;
  bool stopping_ = false;
};

class ThreadQueue final : public IoQueue {
 public:
  ThreadQueue(std::shared_ptr<IoThreadPool> pool, size_t depth) noexcept;
  ~ThreadQueue() override;
  void Submit(IoRequest* request) noexcept override;
  IoRequest* Wait() noexcept override;
  IoRequest* Poll() noexcept override;
  [[nodiscard]] size_t pending() const noexcept override { return pending_; }
  // No more than there are threads.
  [[nodiscard]] size_t depth() const noexcept override { return jobs_.size(); }

 private:
  friend class IoThreadPool;
  // Called by a pool thread.
  void Finish(IoThreadPool::Job* job) noexcept;
  // Hands waiting requests to the pool while jobs are free.
  void StartWaiting() noexcept;
  // Moves what the pool has finished to ready_.
  void Collect(bool block) noexcept;
  IoRequest* PopReady() noexcept;

  const std::shared_ptr<IoThreadPool> pool_;
  std::vector<IoThreadPool::Job> jobs_;
  std::vector<IoThreadPool::Job*> free_jobs_;
  std::deque<IoRequest*> waiting_;
  std::deque<IoRequest*> ready_;
  size_t pending_ = 0;

  std::mutex mutex_;  // for what is below
  std::condition_variable finished_;
  std::vector<IoThreadPool::Job*> finished_jobs_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_THREAD_QUEUE_H_
