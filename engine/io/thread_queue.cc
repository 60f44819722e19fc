#include "engine/io/thread_queue.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "engine/io/io_error.h"

namespace lamina {

Result<std::shared_ptr<IoThreadPool>> IoThreadPool::Start(size_t threads) noexcept {
  std::shared_ptr<IoThreadPool> pool(new IoThreadPool);
  // Threads inherit the mask: signals of the process are the caller's to handle.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  while (error == 0 && pool->threads_.size() < threads) {
    pthread_t thread;
    error = pthread_create(&thread, nullptr, &ThreadMain, pool.get());
    if (error == 0) {
      pthread_setname_np(thread, "lamina-io");
      pool->threads_.push_back(thread);
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pool->threads_.empty())
    return Status::IoError("cannot start an I/O thread: " + ErrnoText(error) +
                           ": raise the limit of threads (ulimit -u, the container's pids limit)");
  return pool;
}

IoThreadPool::~IoThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

void* IoThreadPool::ThreadMain(void* pool) noexcept {
  static_cast<IoThreadPool*>(pool)->Run();
  return nullptr;
}

void IoThreadPool::Run() noexcept {
  for (;;) {
    Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = jobs_.front();
      jobs_.pop_front();
    }
    RunTransfer(&job->transfer);
    job->queue->Finish(job);
  }
}

void IoThreadPool::Push(Job* job) noexcept {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(job);
  }
  work_.notify_one();
}

ThreadQueue::ThreadQueue(std::shared_ptr<IoThreadPool> pool, size_t depth) noexcept
    : pool_(std::move(pool)), jobs_(std::clamp<size_t>(depth, 1, pool_->threads())) {
  for (IoThreadPool::Job& job : jobs_) {
    job.queue = this;
    free_jobs_.push_back(&job);
  }
}

ThreadQueue::~ThreadQueue() {
  waiting_.clear();
  while (free_jobs_.size() < jobs_.size()) Collect(/*block=*/true);
}

void ThreadQueue::Submit(IoRequest* request) noexcept {
  ++pending_;
  waiting_.push_back(request);
  StartWaiting();
}

IoRequest* ThreadQueue::Wait() noexcept {
  if (ready_.empty() && pending_ > 0) Collect(/*block=*/true);
  return PopReady();
}

IoRequest* ThreadQueue::Poll() noexcept {
  if (ready_.empty() && pending_ > 0) Collect(/*block=*/false);
  return PopReady();
}

void ThreadQueue::Finish(IoThreadPool::Job* job) noexcept {
  const std::lock_guard lock(mutex_);
  finished_jobs_.push_back(job);
  // Under the lock: once it is released the queue may be destroyed.
  finished_.notify_one();
}

void ThreadQueue::StartWaiting() noexcept {
  while (!waiting_.empty() && !free_jobs_.empty()) {
    IoThreadPool::Job* const job = free_jobs_.back();
    free_jobs_.pop_back();
    job->transfer.Begin(waiting_.front());
    waiting_.pop_front();
    pool_->Push(job);
  }
}

void ThreadQueue::Collect(bool block) noexcept {
  {
    std::unique_lock lock(mutex_);
    if (block) finished_.wait(lock, [this] { return !finished_jobs_.empty(); });
    for (IoThreadPool::Job* job : finished_jobs_) {
      ready_.push_back(job->transfer.request());
      free_jobs_.push_back(job);
    }
    finished_jobs_.clear();
  }
  StartWaiting();
}

IoRequest* ThreadQueue::PopReady() noexcept {
  if (ready_.empty()) return nullptr;
  IoRequest* const request = ready_.front();
  ready_.pop_front();
  --pending_;
  return request;
}

}  // namespace lamina
