#include "engine/store/ticket.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace lamina {
namespace {

Ticket::Clock::time_point DeadlineOf(const IoHints& hints) noexcept {
  if (hints.deadline_us == 0) return Ticket::Clock::time_point::max();
  // Longer than anybody waits; beyond it the clock's arithmetic would overflow.
  constexpr uint64_t kLongest = uint64_t{1} << 50;
  return Ticket::Clock::now() + std::chrono::microseconds(std::min(hints.deadline_us, kLongest));
}

}  // namespace

Ticket::Ticket(uint64_t number, AsyncCall call) noexcept
    : number_(number),
      call_(std::move(call)),
      deadline_(DeadlineOf(call_.hints)),
      pages_(call_.count) {
  for (PageState& state : call_.states) {
    std::atomic_ref(state).store(PageState::kPending, std::memory_order_relaxed);
  }
}

bool Ticket::Begin(size_t page) noexcept {
  // Asked for each page: the clock costs more than the rest.
  const bool late = deadline_ != Clock::time_point::max() && Clock::now() >= deadline_;
  const std::lock_guard lock(mutex_);
  Page& one = pages_[page];
  if (one.cancelled || one.decided || late) return false;
  one.in_use = true;
  return true;
}

void Ticket::End(size_t page) noexcept {
  const std::lock_guard lock(mutex_);
  pages_[page].in_use = false;
  ended_.notify_all();
}

void Ticket::Decided(size_t page, PageState state) noexcept {
  const std::lock_guard lock(mutex_);
  pages_[page].in_use = false;
  Decide(page, state);
  ended_.notify_all();
}

void Ticket::Decide(size_t page, PageState state) noexcept {
  if (std::exchange(pages_[page].decided, true)) return;
  pages_[page].ok = state == PageState::kOk;
  std::atomic_ref(call_.states[page]).store(state, std::memory_order_release);
}

void Ticket::CancelPages(size_t first, size_t count) noexcept {
  for (size_t page = first; page < first + count; ++page) {
    pages_[page].cancelled = true;
    if (!pages_[page].in_use) Decide(page, PageState::kCancelled);
  }
}

void Ticket::Cancel(size_t first, size_t count) noexcept {
  std::unique_lock lock(mutex_);
  CancelPages(first, count);
  ended_.wait(lock, [&] {
    const auto begin = pages_.begin() + static_cast<ptrdiff_t>(first);
    return std::none_of(begin, begin + static_cast<ptrdiff_t>(count),
                        [](const Page& page) { return page.in_use; });
  });
  // What was in use and came out undecided (it was to be read again) is given up here.
  CancelPages(first, count);
}

void Ticket::CancelAll() noexcept {
  const std::lock_guard lock(mutex_);
  CancelPages(0, pages_.size());
}

bool Ticket::AllDecided() noexcept {
  const std::lock_guard lock(mutex_);
  return std::all_of(pages_.begin(), pages_.end(), [](const Page& page) { return page.decided; });
}

void Ticket::DropCopies() noexcept {
  call_.path.reset();
  call_.buffers = {};
  call_.sizes = {};
}

size_t Ticket::Finish() noexcept {
  const std::lock_guard lock(mutex_);
  size_t leading = 0;
  bool all = true;
  for (size_t page = 0; page < pages_.size(); ++page) {
    Decide(page, PageState::kCancelled);
    // Not from the caller's state: whoever has cancelled all pages may have freed it.
    all = all && pages_[page].ok;
    leading += all ? 1 : 0;
  }
  return leading;
}

}  // namespace lamina
