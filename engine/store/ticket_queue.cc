#include "engine/store/ticket_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace lamina {
namespace {

Status NoTicket(const char* call, uint64_t number) noexcept {
  return Status::InvalidArgument(std::string(call) + ": there is no ticket " +
                                 std::to_string(number) + "; it may have been released by a wait");
}

}  // namespace

TicketQueue::TicketQueue(size_t threads, Serve serve) noexcept
    : max_threads_(threads), serve_(std::move(serve)) {}

TicketQueue::~TicketQueue() {
  Close();
  if (event_fd_ >= 0) ::close(event_fd_);
}

Result<uint64_t> TicketQueue::Submit(AsyncCall call) noexcept {
  const std::lock_guard lock(mutex_);
  if (closed_) return Status::Closed("submit: the store is being closed");
  if (held_.size() >= kMaxTickets) {
    return Status::Busy("submit: " + std::to_string(kMaxTickets) +
                        " tickets are not released; wait for some of them");
  }
  const uint64_t number = next_number_++;
  const auto held = std::make_shared<Held>(number, std::move(call));
  Ticket& ticket = held->ticket;
  held_.emplace(number, held);
  ShelfOf(ticket).waiting.push_back(held);
  NoteQueued(*held, true);
  StartThreads();
  StartClock(ticket.deadline());
  runnable_.notify_one();
  return number;
}

TicketQueue::Shelf& TicketQueue::ShelfOf(Ticket& ticket) noexcept {
  if (ticket.prefetch()) return prefetches_;
  return ticket.call().kind == AsyncCall::Kind::kGet ? gets_ : puts_;
}

void TicketQueue::NoteQueued(Held& held, bool queued) noexcept {
  const AsyncCall& call = held.ticket.call();
  if (call.kind == AsyncCall::Kind::kGet) get_bytes_ += queued ? call.bytes : -call.bytes;
  const Clock::time_point deadline = held.ticket.deadline();
  if (deadline == Clock::time_point::max()) return;
  if (queued) {
    deadlines_.insert(deadline);
  } else {
    deadlines_.erase(deadlines_.find(deadline));
  }
}

void TicketQueue::StartThreads() noexcept {
  const size_t waiting = gets_.waiting.size() + puts_.waiting.size() + prefetches_.waiting.size();
  if (waiting > idle_ && threads_.size() < max_threads_) threads_.emplace_back([this] { Run(); });
}

void TicketQueue::StartClock(Clock::time_point deadline) noexcept {
  if (deadline == Clock::time_point::max()) return;
  if (!clock_.joinable()) clock_ = std::thread([this] { RunClock(); });
  if (*deadlines_.begin() == deadline) deadline_.notify_one();
}

bool TicketQueue::Runnable(const Shelf& shelf) const noexcept {
  if (shelf.waiting.empty()) return false;
  return &shelf == &gets_ ||
         puts_.running + prefetches_.running < std::max<size_t>(max_threads_ - 1, 1);
}

void TicketQueue::Run() noexcept {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (Runnable(gets_)) {
      ServeNext(lock, gets_);
    } else if (Runnable(puts_)) {
      ServeNext(lock, puts_);
    } else if (Runnable(prefetches_)) {
      ServeNext(lock, prefetches_);
    } else {
      ++idle_;
      runnable_.wait(lock);
      --idle_;
    }
  }
}

void TicketQueue::ServeNext(std::unique_lock<std::mutex>& lock, Shelf& shelf) noexcept {
  const HeldPtr held = std::move(shelf.waiting.front());
  shelf.waiting.pop_front();
  NoteQueued(*held, false);
  ++shelf.running;
  lock.unlock();
  serve_(held->ticket);
  lock.lock();
  --shelf.running;
  NoteDone(*held);
  // A place for one of these may be free that another thread has not seen.
  if (Runnable(puts_) || Runnable(prefetches_)) runnable_.notify_one();
}

bool TicketQueue::ServeOne(uint64_t choice) noexcept {
  std::unique_lock lock(mutex_);
  LAMINA_CHECK(max_threads_ == 0);
  const size_t waiting = gets_.waiting.size() + puts_.waiting.size() + prefetches_.waiting.size();
  if (waiting == 0) return false;
  size_t at = static_cast<size_t>(choice % waiting);
  for (Shelf* shelf : {&gets_, &puts_, &prefetches_}) {
    if (at < shelf->waiting.size()) {
      std::swap(shelf->waiting[0], shelf->waiting[at]);
      ServeNext(lock, *shelf);
      return true;
    }
    at -= shelf->waiting.size();
  }
  return false;
}

void TicketQueue::NoteDone(Held& held) noexcept {
  held.leading = held.ticket.Finish();
  held.ticket.DropCopies();
  held.done = true;
  held.finished = next_finished_++;
  finished_.emplace(held.finished, held.ticket.number());
  if (finished_.size() == 1) SignalFinished();
  done_.notify_all();
}

void TicketQueue::NoteTold(uint64_t finished) noexcept {
  if (finished_.erase(finished) != 0 && finished_.empty()) UnsignalFinished();
}

void TicketQueue::ExpireWaiting(Clock::time_point now) noexcept {
  if (deadlines_.empty() || *deadlines_.begin() > now) return;
  for (Shelf* shelf : {&gets_, &puts_, &prefetches_}) {
    const auto late =
        std::stable_partition(shelf->waiting.begin(), shelf->waiting.end(),
                              [&](const HeldPtr& held) { return held->ticket.deadline() > now; });
    for (auto held = late; held != shelf->waiting.end(); ++held) {
      NoteQueued(**held, false);
      NoteDone(**held);
    }
    shelf->waiting.erase(late, shelf->waiting.end());
  }
}

void TicketQueue::RunClock() noexcept {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (deadlines_.empty()) {
      deadline_.wait(lock);
    } else {
      const Clock::time_point next = *deadlines_.begin();  // which may leave the set meanwhile
      deadline_.wait_until(lock, next);
    }
    ExpireWaiting(Clock::now());
  }
}

void TicketQueue::SignalFinished() noexcept {
  if (event_fd_ < 0) return;
  const uint64_t one = 1;
  // Cannot fail: the counter is at most 1.
  [[maybe_unused]] const ssize_t written = ::write(event_fd_, &one, sizeof(one));
}

void TicketQueue::UnsignalFinished() noexcept {
  if (event_fd_ < 0) return;
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_fd_, &count, sizeof(count));
}

int TicketQueue::EventFd() noexcept {
  const std::lock_guard lock(mutex_);
  if (event_fd_ < 0) {
    event_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!finished_.empty()) SignalFinished();
  }
  return event_fd_;
}

size_t TicketQueue::Poll(std::span<uint64_t> numbers) noexcept {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  while (count < numbers.size() && !finished_.empty()) {
    const auto [finished, number] = *finished_.begin();
    numbers[count++] = number;
    NoteTold(finished);
  }
  return count;
}

TicketQueue::HeldPtr TicketQueue::Find(uint64_t number) noexcept {
  const auto found = held_.find(number);
  return found == held_.end() ? nullptr : found->second;
}

Result<size_t> TicketQueue::Wait(uint64_t number, uint64_t timeout_us) noexcept {
  constexpr uint64_t kForever = uint64_t{1} << 50;
  std::unique_lock lock(mutex_);
  const HeldPtr held = Find(number);
  if (held == nullptr) return NoTicket("wait", number);
  const auto is_done = [&] { return held->done; };
  while (max_threads_ == 0 && !is_done()) {
    lock.unlock();
    (void)ServeOne(0);
    lock.lock();
  }
  if (timeout_us >= kForever) {
    done_.wait(lock, is_done);
  } else if (!done_.wait_for(lock, std::chrono::microseconds(timeout_us), is_done)) {
    return Status::TimedOut("wait: ticket " + std::to_string(number) + " has not finished in " +
                            std::to_string(timeout_us) + " us; it goes on");
  }
  // Two threads may have waited for it.
  if (held_.erase(number) == 0) return NoTicket("wait", number);
  NoteTold(held->finished);
  return held->leading;
}

Status TicketQueue::Cancel(uint64_t number, size_t first, size_t count) noexcept {
  HeldPtr held;
  {
    const std::lock_guard lock(mutex_);
    held = Find(number);
  }
  if (held == nullptr) return NoTicket("cancel", number);
  const size_t pages = held->ticket.call().count;
  if (count == 0 || first >= pages || count > pages - first) {
    return Status::InvalidArgument(
        "cancel: pages [" + std::to_string(first) + ", +" + std::to_string(count) +
        ") reach past the " + std::to_string(pages) + " pages of ticket " + std::to_string(number));
  }
  held->ticket.Cancel(first, count);
  const std::lock_guard lock(mutex_);
  FinishIfWaiting(held);
  return Status::Ok();
}

// A ticket with nothing left to do need not wait for a thread.
void TicketQueue::FinishIfWaiting(const HeldPtr& held) noexcept {
  if (held->done || !held->ticket.AllDecided()) return;
  std::deque<HeldPtr>& waiting = ShelfOf(held->ticket).waiting;
  const auto found = std::find(waiting.begin(), waiting.end(), held);
  if (found == waiting.end()) return;
  waiting.erase(found);
  NoteQueued(*held, false);
  NoteDone(*held);
}

void TicketQueue::Abandon(uint64_t number) noexcept {
  HeldPtr held;
  {
    const std::lock_guard lock(mutex_);
    held = Find(number);
  }
  if (held == nullptr) return;
  (void)Cancel(number, 0, held->ticket.call().count);
  (void)Wait(number, UINT64_MAX);
}

void TicketQueue::Close() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    for (const auto& [number, held] : held_) held->ticket.CancelAll();
    for (Shelf* shelf : {&gets_, &puts_, &prefetches_}) {
      for (const HeldPtr& held : shelf->waiting) {
        NoteQueued(*held, false);
        NoteDone(*held);
      }
      shelf->waiting.clear();
    }
    runnable_.notify_all();
    deadline_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  if (clock_.joinable()) clock_.join();
}

TicketQueue::Load TicketQueue::load() noexcept {
  const std::lock_guard lock(mutex_);
  Load load;
  for (const Shelf* shelf : {&gets_, &puts_, &prefetches_}) {
    load.queued += shelf->waiting.size();
    load.running += shelf->running;
  }
  load.finished = held_.size() - load.queued - load.running;
  load.get_bytes = get_bytes_;
  return load;
}

}  // namespace lamina
