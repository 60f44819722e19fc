// No test here sleeps or asserts on time: threads meet through gates, and a deadline, where one is
// needed, is far away or already past.
#include "compaction/scheduler.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace lamina {
namespace {

using Progress = BackgroundTask::Progress;

const Scheduler::Clock::time_point kFarAway = Scheduler::Clock::now() + std::chrono::hours(1);
const Scheduler::Clock::time_point kPast = Scheduler::Clock::now() - std::chrono::hours(1);

// Closed until opened.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    cv_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    cv_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable cv_;
  bool open_ = false;
};

// What happened, in order.
class Log {
 public:
  void Add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    events_.push_back(what);
  }
  std::vector<std::string> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
};

// A task of so many steps. `on_step` is told the number of each, from 1.
struct TestTask : BackgroundTask {
  std::string name;
  int steps = 1;
  uint32_t rank_of_it = 0;
  Log* log = nullptr;
  std::function<Status(int)> on_step;
  std::function<void()> on_end;
  int at = 0;
  bool cancelled = false;

  ~TestTask() override {
    if (on_end) on_end();
  }
  Result<Progress> Step() noexcept override {
    ++at;
    if (log != nullptr) log->Add(name + std::to_string(at));
    if (on_step) {
      const Status status = on_step(at);
      if (!status.ok()) return status;
    }
    return at < steps ? Progress::kMore : Progress::kDone;
  }
  void Cancel() noexcept override {
    cancelled = true;
    if (log != nullptr) log->Add(name + " cancelled");
  }
  uint32_t rank() const noexcept override { return rank_of_it; }
};

// A queue of tasks that serves as the source of a class.
class Queue {
 public:
  void Push(std::unique_ptr<TestTask> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  Scheduler::Source source() {
    return [this]() -> std::unique_ptr<BackgroundTask> {
      const std::lock_guard lock(mutex_);
      ++asked_;
      if (tasks_.empty()) return nullptr;
      std::unique_ptr<TestTask> task = std::move(tasks_.front());
      tasks_.pop_front();
      return task;
    };
  }
  int asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::unique_ptr<TestTask>> tasks_;
  int asked_ = 0;
};

std::unique_ptr<TestTask> Task(const std::string& name, int steps, Log* log = nullptr) {
  auto task = std::make_unique<TestTask>();
  task->name = name;
  task->steps = steps;
  task->log = log;
  return task;
}

TEST_CASE("tasks run to their end, each step once") {
  Log log;
  Queue queue;
  Scheduler scheduler({.threads = 2});
  scheduler.SetSource(WorkClass::kCompaction, queue.source());
  for (int i = 0; i < 20; ++i) queue.Push(Task("t", 5, &log));
  scheduler.Wake(WorkClass::kCompaction);
  REQUIRE(scheduler.WaitIdle(kFarAway).ok());
  CHECK(log.events().size() == 100);
  const auto stats = scheduler.stats().classes[1];
  CHECK(stats.tasks_begun == 20);
  CHECK(stats.tasks_done == 20);
  CHECK(stats.steps == 100);
}

TEST_CASE("a source that has nothing is not asked again before a wake") {
  Queue queue;
  Scheduler scheduler({.threads = 2});
  scheduler.SetSource(WorkClass::kReclaim, queue.source());
  CHECK(scheduler.WaitIdle(kFarAway).ok());
  CHECK(queue.asked() == 0);
  scheduler.Wake(WorkClass::kReclaim);
  CHECK(scheduler.WaitIdle(kFarAway).ok());
  CHECK(queue.asked() == 1);
}

TEST_CASE("more urgent work comes between two steps of less urgent work") {
  for (const size_t more_threads : {size_t{0}, size_t{1}}) {
    Log log;
    Queue flushes;
    Queue compactions;
    Scheduler scheduler({.threads = 1 + more_threads});
    scheduler.SetSource(WorkClass::kFlush, flushes.source());
    scheduler.SetSource(WorkClass::kCompaction, compactions.source());
    auto compaction = Task("compaction", 3, &log);
    compaction->on_step = [&](int step) {
      if (step == 1) {
        flushes.Push(Task("flush", 2, &log));
        scheduler.Wake(WorkClass::kFlush);
      }
      return Status::Ok();
    };
    compactions.Push(std::move(compaction));
    scheduler.Wake(WorkClass::kCompaction);
    REQUIRE(scheduler.WaitIdle(kFarAway).ok());
    if (more_threads == 0) {
      CHECK(log.events() == std::vector<std::string>{"compaction1", "flush1", "flush2",
                                                     "compaction2", "compaction3"});
      CHECK(scheduler.stats().classes[1].preemptions == 1);
    } else {
      CHECK(log.events().size() == 5);
    }
  }
}

TEST_CASE("within a class the lower rank goes first, then the older task") {
  Log log;
  Queue queue;
  Scheduler scheduler({.threads = 1});
  scheduler.SetSource(WorkClass::kCompaction, queue.source());
  scheduler.Pause();
  for (const auto& [name, rank] : {std::pair{"c", 3u}, {"a", 1u}, {"b", 1u}}) {
    auto task = Task(name, 2, &log);
    task->rank_of_it = rank;
    queue.Push(std::move(task));
  }
  scheduler.Wake(WorkClass::kCompaction);
  scheduler.Resume();
  REQUIRE(scheduler.WaitIdle(kFarAway).ok());
  CHECK(log.events() == std::vector<std::string>{"a1", "a2", "b1", "b2", "c1", "c2"});
}

TEST_CASE("no more tasks of a class are begun than its limit") {
  Queue queue;
  SchedulerOptions options{.threads = 4};
  options.max_tasks[static_cast<size_t>(WorkClass::kCompaction)] = 2;
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  for (int i = 0; i < 50; ++i) {
    auto task = Task("t", 3);
    task->on_step = [&](int step) {
      if (step == 1) {
        const int count = ++now;
        int seen = most.load();
        while (seen < count && !most.compare_exchange_weak(seen, count)) {
        }
      }
      if (step == 3) --now;
      return Status::Ok();
    };
    queue.Push(std::move(task));
  }
  Scheduler scheduler(options);
  scheduler.SetSource(WorkClass::kCompaction, queue.source());
  scheduler.Wake(WorkClass::kCompaction);
  REQUIRE(scheduler.WaitIdle(kFarAway).ok());
  CHECK(most.load() <= 2);
  CHECK(scheduler.stats().classes[1].tasks_done == 50);
}

TEST_CASE("several threads work at the same time") {
  Queue queue;
  Scheduler scheduler({.threads = 2});
  scheduler.SetSource(WorkClass::kCompaction, queue.source());
  // Each of two tasks ends only when the other has begun.
  Gate gates[2];
  for (int i = 0; i < 2; ++i) {
    auto task = Task("t", 1);
    task->on_step = [&gates, i](int) {
      gates[i].Open();
      gates[1 - i].Pass();
      return Status::Ok();
    };
    queue.Push(std::move(task));
  }
  scheduler.Wake(WorkClass::kCompaction);
  CHECK(scheduler.WaitIdle(kFarAway).ok());
}

TEST_CASE("stopping in the middle of a job cancels it and joins all threads") {
  for (const size_t threads : {1u, 2u, 3u}) {
    Log log;
    Queue queue;
    Gate in_step;
    Gate go_on;
    std::atomic<int> destroyed{0};
    auto scheduler = std::make_unique<Scheduler>(SchedulerOptions{.threads = threads});
    scheduler->SetSource(WorkClass::kCompaction, queue.source());
    auto task = Task("t", 100000, &log);
    task->on_step = [&](int step) {
      if (step == 2) {
        in_step.Open();
        go_on.Pass();
      }
      return Status::Ok();
    };
    task->on_end = [&] { ++destroyed; };
    queue.Push(std::move(task));
    scheduler->Wake(WorkClass::kCompaction);
    in_step.Pass();
    std::thread stopper([&] { scheduler->Stop(); });
    // The step that runs is let finish; Stop waits for it.
    CHECK(destroyed.load() == 0);
    go_on.Open();
    stopper.join();
    CHECK(destroyed.load() == 1);
    CHECK(log.events().back() == "t cancelled");
    CHECK(scheduler->stats().classes[1].tasks_cancelled == 1);
    // After Stop nothing is asked or run.
    const int asked = queue.asked();
    queue.Push(Task("late", 1, &log));
    scheduler->Wake(WorkClass::kCompaction);
    CHECK(scheduler->WaitIdle(kFarAway).code() == StatusCode::kClosed);
    scheduler->Stop();
    CHECK(queue.asked() == asked);
  }
}

TEST_CASE("a failed task halts its class alone, until the error is cleared") {
  Log log;
  Queue flushes;
  Queue compactions;
  std::vector<std::string> heard;
  Scheduler scheduler({.threads = 1}, [&](WorkClass work, const Status& status) {
    heard.push_back(std::string(WorkClassName(work)) + ": " + std::string(status.message()));
  });
  scheduler.SetSource(WorkClass::kFlush, flushes.source());
  scheduler.SetSource(WorkClass::kCompaction, compactions.source());
  auto failing = Task("fails", 3, &log);
  failing->on_step = [](int step) {
    return step == 2 ? Status::NoSpace("the disk is full") : Status::Ok();
  };
  compactions.Push(std::move(failing));
  compactions.Push(Task("later", 1, &log));
  scheduler.Pause();
  SECTION("other tasks of the class that were begun go on") {
    scheduler.Wake(WorkClass::kCompaction);
    scheduler.Resume();
    CHECK(scheduler.WaitIdle(kFarAway).code() == StatusCode::kNoSpace);
    CHECK(log.events() == std::vector<std::string>{"fails1", "fails2", "later1"});
  }
  SECTION("the source is not asked for more") {
    scheduler.Wake(WorkClass::kCompaction);
    scheduler.Resume();
    CHECK(scheduler.WaitIdle(kFarAway).code() == StatusCode::kNoSpace);
    compactions.Push(Task("held", 1, &log));
    flushes.Push(Task("flush", 1, &log));
    scheduler.Wake(WorkClass::kCompaction);
    scheduler.Wake(WorkClass::kFlush);
    CHECK(scheduler.WaitIdle(kFarAway).code() == StatusCode::kNoSpace);
    CHECK(log.events().back() == "flush1");
    CHECK(scheduler.error(WorkClass::kCompaction).code() == StatusCode::kNoSpace);
    CHECK(scheduler.error(WorkClass::kFlush).ok());
    CHECK(heard == std::vector<std::string>{"compaction: the disk is full"});
    CHECK(scheduler.stats().classes[1].tasks_failed == 1);

    scheduler.ClearError(WorkClass::kCompaction);
    CHECK(scheduler.WaitIdle(kFarAway).ok());
    CHECK(log.events().back() == "held1");
  }
}

TEST_CASE("pausing lets the step that runs finish and starts no other") {
  Queue queue;
  Scheduler scheduler({.threads = 2});
  scheduler.SetSource(WorkClass::kCompaction, queue.source());
  std::atomic<int> steps{0};
  Gate first_step;
  auto task = Task("t", 1000);
  task->on_step = [&](int) {
    ++steps;
    first_step.Open();
    return Status::Ok();
  };
  queue.Push(std::move(task));
  scheduler.Wake(WorkClass::kCompaction);
  first_step.Pass();
  scheduler.Pause();
  const int at_pause = steps.load();
  scheduler.Wake(WorkClass::kCompaction);
  CHECK(scheduler.WaitIdle(kPast).code() == StatusCode::kTimedOut);
  CHECK(steps.load() == at_pause);
  scheduler.Pause();  // nests
  scheduler.Resume();
  CHECK(steps.load() == at_pause);
  scheduler.Resume();
  CHECK(scheduler.WaitIdle(kFarAway).ok());
  CHECK(steps.load() == 1000);
}

TEST_CASE("a writer with room does not stall") {
  Scheduler scheduler({.threads = 1});
  CHECK(scheduler
            .WaitForRoom(
                WorkClass::kFlush, [] { return true; }, kPast)
            .ok());
  CHECK(scheduler.stats().stalls == 0);
}

TEST_CASE("a stalled writer goes on as soon as a step has made room") {
  Queue queue;
  Scheduler scheduler({.threads = 1});
  scheduler.SetSource(WorkClass::kFlush, queue.source());
  std::atomic<bool> room{false};
  Gate stalled;
  auto task = Task("t", 1);
  task->on_step = [&](int) {
    stalled.Pass();
    room = true;
    return Status::Ok();
  };
  queue.Push(std::move(task));
  scheduler.Wake(WorkClass::kFlush);
  const auto has_room = [&] {
    stalled.Open();  // the writer is looking: from here on it stalls
    return room.load();
  };
  CHECK(scheduler.WaitForRoom(WorkClass::kFlush, has_room, kFarAway).ok());
  CHECK(scheduler.stats().stalls <= 1);
  CHECK(scheduler.stats().stall_timeouts == 0);
  CHECK(scheduler.stats().stalled_now == 0);
}

TEST_CASE("a stalled writer goes on when told of room") {
  Scheduler scheduler({.threads = 1});
  std::atomic<bool> room{false};
  Gate looked;
  std::thread other([&] {
    looked.Pass();
    room = true;
    scheduler.NotifyRoom();
  });
  const auto has_room = [&] {
    const bool now = room.load();
    looked.Open();
    return now;
  };
  CHECK(scheduler.WaitForRoom(WorkClass::kFlush, has_room, kFarAway).ok());
  other.join();
  CHECK(scheduler.stats().stalls == 1);
}

TEST_CASE("a stall is bounded, and counted") {
  Scheduler scheduler({.threads = 1});
  const Status status = scheduler.WaitForRoom(
      WorkClass::kFlush, [] { return false; }, kPast);
  CHECK(status.code() == StatusCode::kTimedOut);
  CHECK_THAT(std::string(status.message()), Catch::Contains("flush"));
  CHECK(scheduler.stats().stalls == 1);
  CHECK(scheduler.stats().classes[static_cast<size_t>(WorkClass::kFlush)].stalls == 1);
  CHECK(scheduler.stats().classes[static_cast<size_t>(WorkClass::kCompaction)].stalls == 0);
  CHECK(scheduler.stats().stall_timeouts == 1);
}

TEST_CASE("a writer is told at once when no room can come") {
  Queue queue;
  Scheduler scheduler({.threads = 1});
  scheduler.SetSource(WorkClass::kFlush, queue.source());
  auto task = Task("t", 1);
  task->on_step = [](int) { return Status::IoError("the disk is gone"); };
  queue.Push(std::move(task));
  scheduler.Wake(WorkClass::kFlush);
  CHECK(scheduler
            .WaitForRoom(
                WorkClass::kFlush, [] { return false; }, kFarAway)
            .code() == StatusCode::kIoError);
}

TEST_CASE("stopping releases stalled writers") {
  Scheduler scheduler({.threads = 1});
  Gate looked;
  std::thread stopper([&] {
    looked.Pass();
    scheduler.Stop();
  });
  const auto has_room = [&] {
    looked.Open();
    return false;
  };
  CHECK(scheduler.WaitForRoom(WorkClass::kFlush, has_room, kFarAway).code() == StatusCode::kClosed);
  stopper.join();
}

TEST_CASE("without threads each call takes one step, the most urgent first") {
  Log log;
  Queue flushes;
  Queue compactions;
  Scheduler scheduler({.threads = 0});
  scheduler.SetSource(WorkClass::kFlush, flushes.source());
  scheduler.SetSource(WorkClass::kCompaction, compactions.source());
  compactions.Push(Task("c", 2, &log));
  scheduler.Wake(WorkClass::kCompaction);
  CHECK(scheduler.RunOne());
  flushes.Push(Task("f", 1, &log));
  scheduler.Wake(WorkClass::kFlush);
  CHECK(scheduler.RunOne());
  CHECK(scheduler.RunOne());
  CHECK_FALSE(scheduler.RunOne());
  CHECK(log.events() == std::vector<std::string>{"c1", "f1", "c2"});
  // A stalled writer and a wait for idleness run steps themselves.
  compactions.Push(Task("d", 3, &log));
  scheduler.Wake(WorkClass::kCompaction);
  const auto has_room = [&] { return log.events().size() == 5; };
  CHECK(scheduler.WaitForRoom(WorkClass::kCompaction, has_room, kFarAway).ok());
  CHECK(log.events().back() == "d2");
  CHECK(scheduler.WaitIdle(kFarAway).ok());
  CHECK(log.events().back() == "d3");
  CHECK(scheduler
            .WaitForRoom(
                WorkClass::kCompaction, [] { return false; }, kFarAway)
            .code() == StatusCode::kTimedOut);
}

TEST_CASE("without threads a seed repeats the order of steps, and other seeds give others") {
  const auto order = [](uint64_t seed) {
    Log log;
    Queue queue;
    Scheduler scheduler({.threads = 0});
    scheduler.SetSource(WorkClass::kCompaction, queue.source());
    for (const char* name : {"a", "b", "c"}) queue.Push(Task(name, 4, &log));
    scheduler.Wake(WorkClass::kCompaction);
    std::mt19937_64 random(seed);
    while (scheduler.RunOne(random())) {
    }
    return log.events();
  };
  CHECK(order(1) == order(1));
  CHECK(order(1) != order(2));
  CHECK(order(1).size() == 12);
}

TEST_CASE("sources, wakes, stalls, pauses and a stop from many threads get along") {
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ended{0};
    std::atomic<int> pushed{0};
    Queue queues[kWorkClasses];
    SchedulerOptions options{.threads = 3};
    Scheduler scheduler(options, [&](WorkClass work, const Status&) { scheduler.Wake(work); });
    for (size_t c = 0; c < kWorkClasses; ++c) {
      scheduler.SetSource(static_cast<WorkClass>(c), queues[c].source());
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(static_cast<uint64_t>(round * 10 + t));
        for (int i = 0; i < 100; ++i) {
          const size_t c = random() % kWorkClasses;
          auto task = Task("t", 1 + static_cast<int>(random() % 4));
          task->rank_of_it = static_cast<uint32_t>(random() % 3);
          task->on_end = [&] { ++ended; };
          const bool fails = random() % 10 == 0;
          task->on_step = [fails](int) {
            return fails ? Status::IoError("now and then") : Status::Ok();
          };
          queues[c].Push(std::move(task));
          ++pushed;
          scheduler.Wake(static_cast<WorkClass>(c));
          if (random() % 8 == 0) {
            scheduler.Pause();
            scheduler.Resume();
          }
          if (random() % 8 == 0) {
            const int some = ended.load();
            (void)scheduler
                .WaitForRoom(
                    static_cast<WorkClass>(c), [&] { return ended.load() > some; }, kPast)
                .ok();
          }
          scheduler.ClearError(static_cast<WorkClass>(c));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (round % 2 == 0) {
      for (int tries = 0; ended.load() < pushed.load() && tries < 10000; ++tries) {
        for (size_t c = 0; c < kWorkClasses; ++c) scheduler.ClearError(static_cast<WorkClass>(c));
        (void)scheduler.WaitIdle(kFarAway).ok();
      }
      CHECK(ended.load() == pushed.load());
    }
    scheduler.Stop();
    const auto stats = scheduler.stats();
    for (const Scheduler::ClassStats& c : stats.classes) {
      CHECK(c.tasks_begun == c.tasks_done + c.tasks_failed + c.tasks_cancelled);
    }
  }
}

}  // namespace
}  // namespace lamina
