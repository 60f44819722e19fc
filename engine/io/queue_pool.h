// Queues kept for reuse: setting up a ring costs more than a read.
#ifndef LAMINA_ENGINE_IO_QUEUE_POOL_H_
#define LAMINA_ENGINE_IO_QUEUE_POOL_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "engine/io/io_queue.h"

namespace lamina {

// Hands queues of one depth to callers, one each, creating them when none is idle. Thread-safe.
// Outlives its leases; the file system outlives the pool.
class QueuePool {
 public:
  // A queue while one caller uses it. Move-only. On return the queue is drained: requests that are
  // still pending are waited for.
  class Lease {
   public:
    Lease() noexcept = default;
    ~Lease() { Release(); }
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), queue_(std::move(other.queue_)) {}
    Lease& operator=(Lease&& other) noexcept;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    explicit operator bool() const noexcept { return queue_ != nullptr; }
    [[nodiscard]] IoQueue* get() const noexcept { return queue_.get(); }
    IoQueue* operator->() const noexcept { return queue_.get(); }
    IoQueue& operator*() const noexcept { return *queue_; }
    void Release() noexcept;

   private:
    friend class QueuePool;
    Lease(QueuePool* pool, std::unique_ptr<IoQueue> queue) noexcept
        : pool_(pool), queue_(std::move(queue)) {}

    QueuePool* pool_ = nullptr;
    std::unique_ptr<IoQueue> queue_;
  };

  // Queues for `depth` requests in flight; at most `max_idle` are kept while nobody uses them.
  QueuePool(FileSystem* file_system, size_t depth, size_t max_idle) noexcept
      : file_system_(file_system), depth_(depth), max_idle_(max_idle) {}
  ~QueuePool();
  QueuePool(const QueuePool&) = delete;
  QueuePool& operator=(const QueuePool&) = delete;

  // The error is NewQueue's.
  [[nodiscard]] Result<Lease> Acquire() noexcept;

  struct Stats {
    size_t created = 0;  // since the pool was made
    size_t leased = 0;
    size_t idle = 0;
  };
  [[nodiscard]] Stats stats() const noexcept;

 private:
  void Return(std::unique_ptr<IoQueue> queue) noexcept;

  FileSystem* const file_system_;
  const size_t depth_;
  const size_t max_idle_;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<IoQueue>> idle_;  // the warmest last
  size_t created_ = 0;
  size_t leased_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_QUEUE_POOL_H_
