// An asynchronous call: what was asked for, and how far it is.
//
// Three threads meet here: the one that serves the call (CallWatch), those that cancel or wait, and
// whoever reads the caller's states. A page's state is set once, with release order, after its
// buffers were used for the last time; so is a cancelled page's, at once if its buffers are not in
// use.
#ifndef LAMINA_ENGINE_STORE_TICKET_H_
#define LAMINA_ENGINE_STORE_TICKET_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "engine/lamina.h"
#include "engine/store/call_watch.h"
#include "engine/store/path.h"

namespace lamina {

// What a call asks for, in memory of its own: the caller's arrays may go when it was submitted, its
// buffers and states may not.
struct AsyncCall {
  enum class Kind : uint8_t { kGet, kPut };
  Kind kind = Kind::kGet;
  IoHints hints;
  std::unique_ptr<Path::Impl> path;  // a copy
  size_t first = 0;
  size_t count = 0;
  std::vector<void*> buffers;  // a put does not write to them
  std::vector<size_t> sizes;
  size_t buffers_per_page = 1;
  uint64_t bytes = 0;  // sum of sizes
  std::span<PageState> states;
};

class Ticket final : public CallWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // Sets all states to kPending.
  Ticket(uint64_t number, AsyncCall call) noexcept;

  [[nodiscard]] uint64_t number() const noexcept { return number_; }
  [[nodiscard]] AsyncCall& call() noexcept { return call_; }
  [[nodiscard]] bool prefetch() const noexcept { return call_.hints.priority != 0; }
  // Clock::time_point::max() when there is none.
  [[nodiscard]] Clock::time_point deadline() const noexcept { return deadline_; }

  // CallWatch. Begin refuses what was cancelled, and everything behind the deadline.
  bool Begin(size_t page) noexcept override;
  void End(size_t page) noexcept override;
  void Decided(size_t page, PageState state) noexcept override;

  // Pages [first, first + count) of the call that are not decided become kCancelled: now, or when
  // their I/O in flight is done, which it waits for. What is decided meanwhile stays.
  void Cancel(size_t first, size_t count) noexcept;
  // The same for all pages, without waiting.
  void CancelAll() noexcept;
  [[nodiscard]] bool AllDecided() noexcept;
  // Nothing is done for it any more: what is not decided is kCancelled, and the caller's memory is
  // not looked at again. Returns the leading pages that are kOk.
  size_t Finish() noexcept;
  // Frees what a finished call has copied of its arguments; its count stays.
  void DropCopies() noexcept;

 private:
  struct Page {
    bool cancelled = false;
    bool in_use = false;
    bool decided = false;
    bool ok = false;  // decided as kOk
  };
  void CancelPages(size_t first, size_t count) noexcept;  // under mutex_
  void Decide(size_t page, PageState state) noexcept;     // under mutex_

  const uint64_t number_;
  AsyncCall call_;
  const Clock::time_point deadline_;

  std::mutex mutex_;
  std::condition_variable ended_;  // a page has
  std::vector<Page> pages_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_TICKET_H_
