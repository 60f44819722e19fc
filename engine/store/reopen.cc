// Tables that could not be opened for want of memory, file descriptors or a working device: the
// store goes on without them, their pages are misses, and they are tried again.
#include "engine/store/store_impl.h"

namespace lamina {

// Replaces the view by one of the same tree, with the tables that can be had by now.
class ReopenTask final : public BackgroundTask {
 public:
  explicit ReopenTask(Store::Impl& store) noexcept : store_(store) {}
  Result<Progress> Step() noexcept override {
    std::lock_guard lock(store_.manifest_mutex_);
    store_.InstallTree();
    store_.SizeCache();
    return Progress::kDone;
  }
  void Cancel() noexcept override {}

 private:
  Store::Impl& store_;
};

// By a lookup that may have missed something: at most once a second, and not in its own time.
void Store::Impl::RetryTables() noexcept {
  constexpr auto kRetryAfter = std::chrono::seconds(1);
  const auto now = Scheduler::Clock::now().time_since_epoch();
  auto last = tables_retried_.load(std::memory_order_relaxed);
  const bool lately = last != 0 && now - Scheduler::Clock::duration(last) < kRetryAfter;
  if (lately && !environment_.single_threaded) return;
  if (!tables_retried_.compare_exchange_strong(last, now.count(), std::memory_order_relaxed))
    return;
  RetryHalted();
  reopen_tables_.store(true, std::memory_order_release);
  scheduler_->Wake(WorkClass::kVerify);
}

std::unique_ptr<BackgroundTask> Store::Impl::NextVerification() noexcept {
  if (reopen_tables_.exchange(false, std::memory_order_acq_rel))
    return std::make_unique<ReopenTask>(*this);
  return NextOrphanWalk();
}

}  // namespace lamina
