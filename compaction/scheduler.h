// Background work in order of urgency: threads, preemption between steps, stalls, clean shutdown.
//
// It knows nothing of the store. Each class of work has a *source*, a function that makes the next
// task or says that there is none, and a task runs in bounded *steps*. After each step the worker
// takes up whatever is most urgent then: a task of a higher class, or of the same class and lower
// `rank`, is not kept waiting longer than one step of another. Everything waits on condition
// variables; nothing polls or spins.
//
// With threads = 0 nothing runs by itself: RunOne takes one step inline, chosen by the caller's
// random number, so that a simulation repeats from its seed.
//
// A task that fails halts its class (other classes go on) until ClearError, so that a full disk
// is not hammered; the first error is kept. Sources and tasks are called without the scheduler's
// lock and may call Wake, NotifyRoom and stats; they must not call Stop, Pause, RunOne,
// WaitForRoom or WaitIdle.
//
// Thread-safe. The destructor stops.
#ifndef LAMINA_COMPACTION_SCHEDULER_H_
#define LAMINA_COMPACTION_SCHEDULER_H_

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/base/status.h"

namespace lamina {

// In order of urgency.
enum class WorkClass : uint8_t { kFlush = 0, kCompaction = 1, kReclaim = 2, kVerify = 3 };
inline constexpr size_t kWorkClasses = 4;
const char* WorkClassName(WorkClass work) noexcept;

// One piece of background work, done in steps. Used by one thread at a time, not always the same.
class BackgroundTask {
 public:
  virtual ~BackgroundTask() = default;
  enum class Progress : uint8_t { kMore, kDone };
  // Does a bounded amount of work. An error ends the task; Cancel is not called then, the task
  // has cleaned up. Not called again after kDone or an error.
  virtual Result<Progress> Step() noexcept = 0;
  // Called instead of further steps when the scheduler stops: undoes what was not finished. The
  // destructor follows.
  virtual void Cancel() noexcept = 0;
  // Order within the class, lower first; constant. Compaction uses the target level.
  [[nodiscard]] virtual uint32_t rank() const noexcept { return 0; }
};

struct SchedulerOptions {
  // Worker threads, 0 to 64. 0: see RunOne.
  size_t threads = 2;
  // Tasks of a class that are begun and unfinished at a time; its source is not asked beyond that.
  std::array<size_t, kWorkClasses> max_tasks = {1, 4, 1, 1};
};

class Scheduler {
 public:
  using Clock = std::chrono::steady_clock;
  // Makes the next task of a class, or nullptr when there is nothing to do now. Called after Wake
  // and after each task of the class; calls for one class never overlap.
  using Source = std::function<std::unique_ptr<BackgroundTask>()>;
  // Told of each failed task, outside the lock.
  using ErrorListener = std::function<void(WorkClass, const Status&)>;

  explicit Scheduler(const SchedulerOptions& options, ErrorListener on_error = nullptr) noexcept;
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Once per class, before its first Wake. Classes without a source have no work.
  void SetSource(WorkClass work, Source source) noexcept;
  // There may be work of this class: its source will be asked. Cheap; call it freely.
  void Wake(WorkClass work) noexcept;

  // Ends all: running steps finish, begun tasks are cancelled, waiters return, threads join.
  // Idempotent. No source is called afterwards.
  void Stop() noexcept;

  // No step starts between Pause, which returns when none is running, and Resume. Nests.
  void Pause() noexcept;
  void Resume() noexcept;

  // With threads = 0: asks the sources that may have work, then takes one step of one begun task.
  // `choice` picks which among all begun tasks, so that a simulation meets every interleaving;
  // without it the most urgent. False when there was nothing to do.
  bool RunOne(std::optional<uint64_t> choice = std::nullopt) noexcept;

  // A writer's stall, on work of class `work`: returns Ok as soon as `has_room` holds, kTimedOut at
  // the deadline, kClosed when stopping, and the class's error when it is halted, since no room
  // can come then. `has_room` is called often and under the scheduler's lock: it reads an atomic
  // or two and calls nothing here. What changes its answer is followed by NotifyRoom or by the end
  // of a step. A call that finds room at first is no stall. With threads = 0 it runs steps inline
  // instead of waiting, and returns kTimedOut when there are none.
  Status WaitForRoom(WorkClass work, const std::function<bool()>& has_room,
                     Clock::time_point deadline) noexcept;
  void NotifyRoom() noexcept;

  // Returns when no class has work begun or to ask for (halted classes aside): Ok, or the first
  // error of a halted class, kTimedOut, kClosed. Steps run inline with threads = 0.
  Status WaitIdle(Clock::time_point deadline) noexcept;

  // The error that halts a class; Ok when it is not halted.
  [[nodiscard]] Status error(WorkClass work) const noexcept;
  // Lets a halted class go on, and asks its source again.
  void ClearError(WorkClass work) noexcept;

  struct ClassStats {
    uint64_t tasks_begun = 0;
    uint64_t tasks_done = 0;
    uint64_t tasks_failed = 0;
    uint64_t tasks_cancelled = 0;
    uint64_t steps = 0;
    uint64_t preemptions = 0;  // a begun task made way for a more urgent one
    uint64_t busy_us = 0;      // in steps
    uint64_t stalls = 0;       // of writers that waited for this class
  };
  struct Stats {
    std::array<ClassStats, kWorkClasses> classes;
    uint64_t stalls = 0;          // WaitForRoom calls that found no room at first
    uint64_t stall_timeouts = 0;  // of these, how many ended without room at the deadline
    uint64_t stall_us = 0;
    uint64_t stalled_now = 0;  // writers waiting
  };
  [[nodiscard]] Stats stats() const noexcept;

 private:
  struct ClassState {
    Source source;
    bool ask = false;     // the source may have work
    bool asking = false;  // a worker is in the source
    size_t begun = 0;     // unfinished tasks, running ones included
    Status error;
    ClassStats stats;
  };
  // A task that is begun and not running.
  struct Ready {
    WorkClass work = WorkClass::kFlush;
    uint64_t order = 0;  // of creation: ties go to the older
    std::unique_ptr<BackgroundTask> task;
  };
  using Lock = std::unique_lock<std::mutex>;

  void WorkerLoop() noexcept;
  [[nodiscard]] ClassState& StateOf(WorkClass work) noexcept;
  [[nodiscard]] bool CanAsk(WorkClass work) const noexcept;
  // The most urgent class, down to `least`, whose source may be asked.
  [[nodiscard]] std::optional<WorkClass> Askable(WorkClass least) const noexcept;
  // Begun tasks or sources to ask; `chosen` is spoken for.
  [[nodiscard]] bool HasWork() const noexcept;
  [[nodiscard]] bool HasWorkBeside(size_t chosen) const noexcept;
  [[nodiscard]] bool Idle() const noexcept;
  // The place in ready_ of the most urgent task; ready_.size() when there is none.
  [[nodiscard]] size_t MostUrgent() const noexcept;
  void CountPreemption(uint64_t previous_order, size_t chosen) noexcept;
  // These let go of the lock while they call out.
  void Ask(WorkClass work, Lock* lock) noexcept;
  bool RunOneLocked(std::optional<uint64_t> choice, Lock* lock) noexcept;
  // Takes one step of ready_[index]. The order of that task if it is to go on, else nothing.
  std::optional<uint64_t> Step(size_t index, Lock* lock) noexcept;

  const ErrorListener on_error_;
  const std::array<size_t, kWorkClasses> max_tasks_;

  mutable std::mutex mutex_;
  std::condition_variable work_cv_;    // workers: something to ask or to step, or stopping
  std::condition_variable change_cv_;  // everyone else: a step or an asking ended, or the like
  std::array<ClassState, kWorkClasses> classes_;
  std::vector<Ready> ready_;
  uint64_t next_order_ = 0;
  size_t running_ = 0;  // steps and source calls under way
  size_t waiting_ = 0;  // callers in WaitForRoom, WaitIdle and Pause
  size_t pauses_ = 0;
  bool stopping_ = false;
  uint64_t stalls_ = 0;
  uint64_t stall_timeouts_ = 0;
  uint64_t stall_us_ = 0;
  size_t stalled_now_ = 0;
  bool inline_ = false;  // there are no threads
  std::mutex join_mutex_;
  std::vector<std::thread> threads_;
};

}  // namespace lamina

#endif  // LAMINA_COMPACTION_SCHEDULER_H_
