// Threads that share the pages of a batch among them.
#ifndef LAMINA_BENCH_WORKER_POOL_H_
#define LAMINA_BENCH_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lamina::bench {

// Thread-safe: batches of several callers are worked on in the order in which they came, and a
// worker that finds nothing left in one goes on to the next.
class WorkerPool {
 public:
  explicit WorkerPool(unsigned workers);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Calls work(0) to work(count - 1), each once, from the workers; returns when all have returned.
  void ForEach(size_t count, const std::function<void(size_t)>& work);

 private:
  struct Batch {
    const std::function<void(size_t)>* work;
    size_t count;
    size_t next = 0;      // to be handed out
    size_t finished = 0;  // returned
    std::condition_variable done;
  };

  void Work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Batch*> batches_;  // with indexes to hand out
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_WORKER_POOL_H_
