// The store's asynchronous calls: who serves them, when, and who is told.
//
// A few threads serve tickets, each with one blocking operation at a time: one call keeps a device
// busy by itself (Options::io_depth requests in flight), so more calls at once would only take the
// bandwidth from each other. Gets go before puts, and both before prefetches, each in the order of
// submission; puts and prefetches leave one thread (where there are two) to gets, so that a restore
// does not wait for what came before it. While gets keep all threads busy, the others wait.
//
// Threads start with the first calls. Without threads, calls are served by ServeOne, and by whoever
// waits for one. Thread-safe.
#ifndef LAMINA_ENGINE_STORE_TICKET_QUEUE_H_
#define LAMINA_ENGINE_STORE_TICKET_QUEUE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/base/status.h"
#include "engine/store/ticket.h"

namespace lamina {

class TicketQueue {
 public:
  // Does what a ticket asks for. On a thread of the queue's, several at once.
  using Serve = std::function<void(Ticket&)>;

  TicketQueue(size_t threads, Serve serve) noexcept;
  ~TicketQueue();
  TicketQueue(const TicketQueue&) = delete;
  TicketQueue& operator=(const TicketQueue&) = delete;

  // The number of the ticket, never 0. kBusy when kMaxTickets are not released, kClosed after
  // Close; then the call's states are as they were.
  Result<uint64_t> Submit(AsyncCall call) noexcept;
  // Readable while tickets have finished that were neither given by Poll nor released. The queue's;
  // -1 when the system has none to give.
  int EventFd() noexcept;
  // Tickets that have finished since the last call, oldest first.
  size_t Poll(std::span<uint64_t> numbers) noexcept;
  // Waits for a ticket and releases it; the leading pages that are kOk. kTimedOut: not finished
  // yet, and not released. kInvalidArgument: there is no such ticket (any more).
  Result<size_t> Wait(uint64_t number, uint64_t timeout_us) noexcept;
  // As Ticket::Cancel. kInvalidArgument: no such ticket, or pages that it does not have.
  Status Cancel(uint64_t number, size_t first, size_t count) noexcept;
  // Cancels a ticket, waits until its buffers are not touched any more, and releases it.
  void Abandon(uint64_t number) noexcept;
  // Without threads: serves the `choice`-th of the waiting calls, modulo their number, to the end.
  // False when none waits.
  bool ServeOne(uint64_t choice) noexcept;
  // Cancels everything, waits for what is in use, and ends the threads. Once.
  void Close() noexcept;

  static constexpr size_t kMaxTickets = 65536;

  struct Load {
    uint64_t queued = 0;     // tickets that wait for a thread,
    uint64_t running = 0;    // are being served,
    uint64_t finished = 0;   // and are not released yet
    uint64_t get_bytes = 0;  // that queued gets ask for
  };
  [[nodiscard]] Load load() noexcept;

 private:
  using Clock = Ticket::Clock;
  struct Held {
    explicit Held(uint64_t number, AsyncCall call) noexcept : ticket(number, std::move(call)) {}
    Ticket ticket;
    bool done = false;
    uint64_t finished = 0;  // its key in finished_
    size_t leading = 0;
  };
  using HeldPtr = std::shared_ptr<Held>;
  struct Shelf {
    std::deque<HeldPtr> waiting;
    size_t running = 0;
  };

  void Run() noexcept;
  void RunClock() noexcept;
  void StartThreads() noexcept;
  void StartClock(Clock::time_point deadline) noexcept;
  Shelf& ShelfOf(Ticket& ticket) noexcept;
  // The ticket is about to wait for a thread, or does not any more.
  void NoteQueued(Held& held, bool queued) noexcept;
  [[nodiscard]] bool Runnable(const Shelf& shelf) const noexcept;
  void ServeNext(std::unique_lock<std::mutex>& lock, Shelf& shelf) noexcept;
  void NoteDone(Held& held) noexcept;
  void NoteTold(uint64_t finished) noexcept;
  void FinishIfWaiting(const HeldPtr& held) noexcept;
  void ExpireWaiting(Clock::time_point now) noexcept;
  HeldPtr Find(uint64_t number) noexcept;
  void SignalFinished() noexcept;
  void UnsignalFinished() noexcept;

  const size_t max_threads_;
  const Serve serve_;

  std::mutex mutex_;
  std::condition_variable runnable_;  // for the threads
  std::condition_variable deadline_;  // for the clock: there is an earlier one
  std::condition_variable done_;      // a ticket is
  std::unordered_map<uint64_t, HeldPtr> held_;
  Shelf gets_;
  Shelf puts_;
  Shelf prefetches_;                            // of both kinds
  std::multiset<Clock::time_point> deadlines_;  // of waiting tickets
  // Numbers of tickets that have finished, in that order, and were neither told nor released.
  std::map<uint64_t, uint64_t> finished_;
  uint64_t next_finished_ = 0;
  uint64_t get_bytes_ = 0;  // of waiting tickets
  uint64_t next_number_ = 1;
  bool closed_ = false;
  int event_fd_ = -1;
  size_t idle_ = 0;
  std::vector<std::thread> threads_;
  std::thread clock_;  // ends queued tickets at their deadlines; started with the first of those
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_TICKET_QUEUE_H_
