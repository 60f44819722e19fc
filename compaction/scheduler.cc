#include "compaction/scheduler.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace lamina {
namespace {

uint64_t MicrosecondsSince(Scheduler::Clock::time_point start) noexcept {
  const auto elapsed = Scheduler::Clock::now() - start;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
}

Status Closing() noexcept { return Status::Closed("the store is closing"); }

// Counts one up for as long as it lives; the count is guarded by a lock held at both ends.
class Counted {
 public:
  explicit Counted(size_t* count) noexcept : count_(count) { ++*count_; }
  ~Counted() { --*count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  size_t* count_;
};

}  // namespace

const char* WorkClassName(WorkClass work) noexcept {
  switch (work) {
    case WorkClass::kFlush:
      return "flush";
    case WorkClass::kCompaction:
      return "compaction";
    case WorkClass::kReclaim:
      return "reclaim";
    case WorkClass::kVerify:
      return "verify";
  }
  return "unknown";
}

Scheduler::Scheduler(const SchedulerOptions& options, ErrorListener on_error) noexcept
    : on_error_(std::move(on_error)), max_tasks_(options.max_tasks) {
  LAMINA_CHECK(options.threads <= 64);
  inline_ = options.threads == 0;
  for (size_t i = 0; i < options.threads; ++i) {
    threads_.emplace_back([this] { WorkerLoop(); });
  }
}

Scheduler::~Scheduler() { Stop(); }

void Scheduler::SetSource(WorkClass work, Source source) noexcept {
  const Lock lock(mutex_);
  ClassState& state = StateOf(work);
  LAMINA_CHECK(!state.source);
  state.source = std::move(source);
}

void Scheduler::Wake(WorkClass work) noexcept {
  {
    const Lock lock(mutex_);
    StateOf(work).ask = true;
  }
  work_cv_.notify_one();
}

void Scheduler::Stop() noexcept {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  work_cv_.notify_all();
  change_cv_.notify_all();
  {
    const std::lock_guard join(join_mutex_);
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  Lock lock(mutex_);
  change_cv_.wait(lock, [this] { return running_ == 0 && waiting_ == 0; });
  std::vector<Ready> cancelled = std::exchange(ready_, {});
  for (const Ready& ready : cancelled) {
    ++StateOf(ready.work).stats.tasks_cancelled;
    --StateOf(ready.work).begun;
  }
  lock.unlock();
  for (Ready& ready : cancelled) {
    ready.task->Cancel();
    ready.task.reset();
  }
}

void Scheduler::Pause() noexcept {
  Lock lock(mutex_);
  ++pauses_;
  const Counted waiting(&waiting_);
  change_cv_.wait(lock, [this] { return running_ == 0; });
  change_cv_.notify_all();
}

void Scheduler::Resume() noexcept {
  {
    const Lock lock(mutex_);
    LAMINA_CHECK(pauses_ > 0);
    --pauses_;
  }
  work_cv_.notify_all();
}

bool Scheduler::RunOne(std::optional<uint64_t> choice) noexcept {
  Lock lock(mutex_);
  LAMINA_CHECK(inline_);
  return RunOneLocked(choice, &lock);
}

bool Scheduler::RunOneLocked(std::optional<uint64_t> choice, Lock* lock) noexcept {
  if (stopping_ || pauses_ > 0) return false;
  while (const std::optional<WorkClass> work = Askable(WorkClass::kVerify)) Ask(*work, lock);
  if (stopping_ || ready_.empty()) return false;
  Step(choice ? static_cast<size_t>(*choice % ready_.size()) : MostUrgent(), lock);
  return true;
}

Status Scheduler::WaitForRoom(WorkClass work, const std::function<bool()>& has_room,
                              Clock::time_point deadline) noexcept {
  Lock lock(mutex_);
  if (stopping_) return Closing();
  if (has_room()) return Status::Ok();
  const Clock::time_point start = Clock::now();
  ++stalls_;
  ++StateOf(work).stats.stalls;
  const Counted waiting(&waiting_);
  const Counted stalled(&stalled_now_);
  bool room = false;
  const auto ended = [&] {
    room = has_room();
    return room || stopping_ || !StateOf(work).error.ok();
  };
  if (inline_) {
    while (!ended() && RunOneLocked(std::nullopt, &lock)) {
    }
  } else {
    change_cv_.wait_until(lock, deadline, ended);
  }
  stall_us_ += MicrosecondsSince(start);
  if (stopping_) change_cv_.notify_all();  // Stop waits for waiters
  if (room) return Status::Ok();
  if (stopping_) return Closing();
  if (!StateOf(work).error.ok()) return StateOf(work).error;
  ++stall_timeouts_;
  return Status::TimedOut(std::string("no room after a bounded wait for ") + WorkClassName(work));
}

void Scheduler::NotifyRoom() noexcept {
  // Passing through the lock orders the caller's change before the waiter's next look.
  { const Lock lock(mutex_); }
  change_cv_.notify_all();
}

Status Scheduler::WaitIdle(Clock::time_point deadline) noexcept {
  Lock lock(mutex_);
  const Counted waiting(&waiting_);
  const auto ended = [this] { return stopping_ || Idle(); };
  if (inline_) {
    while (!ended() && RunOneLocked(std::nullopt, &lock)) {
    }
  } else {
    change_cv_.wait_until(lock, deadline, ended);
  }
  if (stopping_) {
    change_cv_.notify_all();
    return Closing();
  }
  for (const ClassState& state : classes_) LAMINA_RETURN_IF_ERROR(state.error);
  if (Idle()) return Status::Ok();
  return Status::TimedOut("background work is still going on");
}

Status Scheduler::error(WorkClass work) const noexcept {
  const Lock lock(mutex_);
  return classes_[static_cast<size_t>(work)].error;
}

void Scheduler::ClearError(WorkClass work) noexcept {
  {
    const Lock lock(mutex_);
    StateOf(work).error = Status::Ok();
    StateOf(work).ask = true;
  }
  work_cv_.notify_one();
}

Scheduler::Stats Scheduler::stats() const noexcept {
  const Lock lock(mutex_);
  Stats stats;
  for (size_t i = 0; i < kWorkClasses; ++i) stats.classes[i] = classes_[i].stats;
  stats.stalls = stalls_;
  stats.stall_timeouts = stall_timeouts_;
  stats.stall_us = stall_us_;
  stats.stalled_now = stalled_now_;
  return stats;
}

Scheduler::ClassState& Scheduler::StateOf(WorkClass work) noexcept {
  return classes_[static_cast<size_t>(work)];
}

bool Scheduler::CanAsk(WorkClass work) const noexcept {
  const auto c = static_cast<size_t>(work);
  const ClassState& state = classes_[c];
  return state.source && state.ask && !state.asking && state.error.ok() &&
         state.begun < max_tasks_[c];
}

bool Scheduler::HasWork() const noexcept {
  return !ready_.empty() || Askable(WorkClass::kVerify).has_value();
}

bool Scheduler::HasWorkBeside(size_t chosen) const noexcept {
  return ready_.size() > (chosen < ready_.size() ? 1 : 0) ||
         Askable(WorkClass::kVerify).has_value();
}

bool Scheduler::Idle() const noexcept {
  if (running_ > 0 || !ready_.empty()) return false;
  return std::none_of(classes_.begin(), classes_.end(), [](const ClassState& state) {
    return state.source && state.ask && state.error.ok();
  });
}

size_t Scheduler::MostUrgent() const noexcept {
  const auto urgency = [](const Ready& r) { return std::tuple(r.work, r.task->rank(), r.order); };
  const auto most =
      std::min_element(ready_.begin(), ready_.end(),
                       [&](const Ready& a, const Ready& b) { return urgency(a) < urgency(b); });
  return static_cast<size_t>(most - ready_.begin());
}

std::optional<WorkClass> Scheduler::Askable(WorkClass least) const noexcept {
  for (size_t c = 0; c <= static_cast<size_t>(least); ++c) {
    if (CanAsk(static_cast<WorkClass>(c))) return static_cast<WorkClass>(c);
  }
  return std::nullopt;
}

void Scheduler::Ask(WorkClass work, Lock* lock) noexcept {
  ClassState& state = StateOf(work);
  state.ask = false;  // a Wake from here on counts
  state.asking = true;
  ++running_;
  lock->unlock();
  std::unique_ptr<BackgroundTask> task = state.source();
  lock->lock();
  --running_;
  state.asking = false;
  if (task != nullptr) {
    state.ask = true;  // there may be more
    ++state.begun;
    ++state.stats.tasks_begun;
    ready_.push_back({work, next_order_++, std::move(task)});
  }
  change_cv_.notify_all();
}

std::optional<uint64_t> Scheduler::Step(size_t index, Lock* lock) noexcept {
  Ready ready = std::move(ready_[index]);
  ready_.erase(ready_.begin() + static_cast<ptrdiff_t>(index));
  ++running_;
  lock->unlock();

  const Clock::time_point start = Clock::now();
  const Result<BackgroundTask::Progress> progress = ready.task->Step();
  const uint64_t busy_us = MicrosecondsSince(start);
  const bool more = progress.ok() && *progress == BackgroundTask::Progress::kMore;
  if (!more) ready.task.reset();
  if (!progress.ok() && on_error_) on_error_(ready.work, progress.status());

  lock->lock();
  --running_;
  ClassState& state = StateOf(ready.work);
  ++state.stats.steps;
  state.stats.busy_us += busy_us;
  change_cv_.notify_all();
  if (more) {
    const uint64_t order = ready.order;
    ready_.push_back(std::move(ready));
    return order;
  }
  --state.begun;
  state.ask = true;  // what this one held up may go now
  if (progress.ok()) {
    ++state.stats.tasks_done;
  } else {
    ++state.stats.tasks_failed;
    if (state.error.ok()) state.error = progress.status();
  }
  return std::nullopt;
}

// The task that this worker was at is left for another one.
void Scheduler::CountPreemption(uint64_t previous_order, size_t chosen) noexcept {
  if (ready_[chosen].order == previous_order) return;
  for (const Ready& ready : ready_) {
    if (ready.order == previous_order) ++StateOf(ready.work).stats.preemptions;
  }
}

void Scheduler::WorkerLoop() noexcept {
  Lock lock(mutex_);
  std::optional<uint64_t> previous;
  while (true) {
    work_cv_.wait(lock, [this] { return stopping_ || (pauses_ == 0 && HasWork()); });
    if (stopping_) return;
    const size_t chosen = MostUrgent();
    const WorkClass least = ready_.empty() ? WorkClass::kVerify : ready_[chosen].work;
    if (const std::optional<WorkClass> work = Askable(least)) {
      Ask(*work, &lock);
      continue;
    }
    if (previous) CountPreemption(*previous, chosen);
    // Whoever takes work sees to it that the rest of it finds a worker.
    if (HasWorkBeside(chosen)) work_cv_.notify_one();
    previous = Step(chosen, &lock);
  }
}

}  // namespace lamina
