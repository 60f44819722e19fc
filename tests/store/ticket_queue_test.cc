// Who is served when, and who is told: the queue of asynchronous calls without a store.
#include "engine/store/ticket_queue.h"

#include <poll.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <memory>
#include <semaphore>
#include <vector>

namespace lamina::testing {
namespace {

struct Asked {
  explicit Asked(size_t pages) : states(pages, PageState::kOk) {}
  AsyncCall Call(IoHints hints = {}) {
    AsyncCall call;
    call.hints = hints;
    call.count = states.size();
    call.bytes = 100 * states.size();
    call.states = states;
    return call;
  }
  std::vector<PageState> states;
};

void DecideAll(Ticket& ticket, PageState state) {
  for (size_t page = 0; page < ticket.call().count; ++page) {
    ticket.Decided(page, ticket.Begin(page) ? state : PageState::kCancelled);
  }
}

bool Readable(int fd) {
  pollfd one = {fd, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

// Serves when it is let, and says in which order.
class Gate {
 public:
  TicketQueue::Serve Serve() {
    return [this](Ticket& ticket) {
      {
        const std::lock_guard lock(mutex_);
        order_.push_back(ticket.number());
      }
      arrived_.release();
      let_.acquire();
      DecideAll(ticket, PageState::kOk);
    };
  }
  void AwaitArrival() { arrived_.acquire(); }
  void Let(ptrdiff_t tickets) { let_.release(tickets); }
  std::vector<uint64_t> order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  std::mutex mutex_;
  std::vector<uint64_t> order_;
  std::counting_semaphore<> arrived_{0};
  std::counting_semaphore<> let_{0};
};

TEST_CASE("a ticket is told once and released once") {
  TicketQueue queue(2, [](Ticket& ticket) { DecideAll(ticket, PageState::kOk); });
  const int fd = queue.EventFd();
  REQUIRE(fd >= 0);
  CHECK_FALSE(Readable(fd));
  Asked asked(3);
  const auto number = queue.Submit(asked.Call());
  REQUIRE(number.ok());
  CHECK(*number != 0);
  pollfd one = {fd, POLLIN, 0};
  REQUIRE(::poll(&one, 1, -1) == 1);
  std::vector<uint64_t> told(4);
  REQUIRE(queue.Poll(told) == 1);
  CHECK(told[0] == *number);
  CHECK(queue.Poll(told) == 0);
  CHECK_FALSE(Readable(fd));
  CHECK(asked.states == std::vector<PageState>(3, PageState::kOk));
  CHECK(*queue.Wait(*number, 0) == 3);
  CHECK(queue.Wait(*number, 0).status().code() == StatusCode::kInvalidArgument);
  CHECK(queue.Cancel(*number, 0, 1).code() == StatusCode::kInvalidArgument);
  CHECK(queue.load().finished == 0);
}

TEST_CASE("what was waited for is not told") {
  TicketQueue queue(1, [](Ticket& ticket) { DecideAll(ticket, PageState::kMiss); });
  const int fd = queue.EventFd();
  Asked asked(1);
  for (int i = 0; i < 10; ++i) {
    const auto number = queue.Submit(asked.Call());
    REQUIRE(number.ok());
    CHECK(*queue.Wait(*number, UINT64_MAX) == 0);
  }
  std::vector<uint64_t> told(4);
  CHECK(queue.Poll(told) == 0);
  CHECK_FALSE(Readable(fd));
}

TEST_CASE("a wait that times out leaves the ticket as it is") {
  Gate gate;
  TicketQueue queue(1, gate.Serve());
  Asked asked(2);
  const auto number = queue.Submit(asked.Call());
  REQUIRE(number.ok());
  CHECK(queue.Wait(*number, 0).status().code() == StatusCode::kTimedOut);
  CHECK(queue.Wait(*number, 1000).status().code() == StatusCode::kTimedOut);
  gate.Let(1);
  CHECK(*queue.Wait(*number, UINT64_MAX) == 2);
}

TEST_CASE("demand goes before prefetch, and each in the order of submission") {
  Gate gate;
  TicketQueue queue(1, gate.Serve());
  std::vector<std::unique_ptr<Asked>> asked;
  std::vector<uint64_t> numbers;
  const auto submit = [&](uint32_t priority) {
    asked.push_back(std::make_unique<Asked>(1));
    const auto number = queue.Submit(asked.back()->Call({.priority = priority}));
    REQUIRE(number.ok());
    numbers.push_back(*number);
  };
  submit(0);
  gate.AwaitArrival();  // the only thread is busy
  for (const uint32_t priority : {1U, 1U, 0U, 0U}) submit(priority);
  CHECK(queue.load().queued == 4);
  CHECK(queue.load().get_bytes == 400);
  gate.Let(5);
  for (const uint64_t number : numbers) CHECK(queue.Wait(number, UINT64_MAX).ok());
  const std::vector<uint64_t> expected = {numbers[0], numbers[3], numbers[4], numbers[1],
                                          numbers[2]};
  CHECK(gate.order() == expected);
  CHECK(queue.load().get_bytes == 0);
}

TEST_CASE("prefetch does not take all threads from demand") {
  Gate gate;
  TicketQueue queue(2, gate.Serve());
  Asked prefetches(1), more_prefetches(1), demand(1);
  const auto first = queue.Submit(prefetches.Call({.priority = 1}));
  gate.AwaitArrival();
  const auto second = queue.Submit(more_prefetches.Call({.priority = 1}));
  const auto third = queue.Submit(demand.Call());
  REQUIRE((first.ok() && second.ok() && third.ok()));
  gate.AwaitArrival();
  CHECK(gate.order() == std::vector<uint64_t>{*first, *third});
  gate.Let(3);
  for (const uint64_t number : {*first, *second, *third})
    CHECK(*queue.Wait(number, UINT64_MAX) == 1);
}

TEST_CASE("puts do not take all threads from gets") {
  Gate gate;
  TicketQueue queue(3, gate.Serve());
  std::vector<std::unique_ptr<Asked>> asked;
  std::vector<uint64_t> numbers;
  const auto submit = [&](AsyncCall::Kind kind) {
    asked.push_back(std::make_unique<Asked>(1));
    AsyncCall call = asked.back()->Call();
    call.kind = kind;
    const auto number = queue.Submit(std::move(call));
    REQUIRE(number.ok());
    numbers.push_back(*number);
  };
  for (int i = 0; i < 3; ++i) submit(AsyncCall::Kind::kPut);
  gate.AwaitArrival();
  gate.AwaitArrival();
  CHECK(queue.load().running == 2);
  submit(AsyncCall::Kind::kGet);
  gate.AwaitArrival();
  CHECK(queue.load().running == 3);
  CHECK(queue.load().queued == 1);
  gate.Let(4);
  for (const uint64_t number : numbers) CHECK(*queue.Wait(number, UINT64_MAX) == 1);
  CHECK(gate.order().back() == numbers[2]);
}

TEST_CASE("a call that waits for a thread ends at its deadline, or when it is cancelled") {
  Gate gate;
  TicketQueue queue(1, gate.Serve());
  Asked busy(1), late(2), cancelled(2), patient(1);
  const auto first = queue.Submit(busy.Call());
  gate.AwaitArrival();
  const auto second = queue.Submit(late.Call({.deadline_us = 1}));
  const auto third = queue.Submit(cancelled.Call());
  const auto fourth = queue.Submit(patient.Call({.deadline_us = UINT64_MAX}));
  REQUIRE((first.ok() && second.ok() && third.ok() && fourth.ok()));
  CHECK(*queue.Wait(*second, UINT64_MAX) == 0);
  CHECK(late.states == std::vector<PageState>(2, PageState::kCancelled));
  CHECK(queue.Cancel(*third, 1, 2).code() == StatusCode::kInvalidArgument);
  CHECK(queue.Cancel(*third, 0, 1).ok());
  CHECK(cancelled.states == std::vector<PageState>{PageState::kCancelled, PageState::kPending});
  CHECK(queue.Wait(*third, 0).status().code() == StatusCode::kTimedOut);
  CHECK(queue.Cancel(*third, 1, 1).ok());
  CHECK(*queue.Wait(*third, 0) == 0);
  gate.Let(2);
  CHECK(*queue.Wait(*first, UINT64_MAX) == 1);
  CHECK(*queue.Wait(*fourth, UINT64_MAX) == 1);
  CHECK(gate.order() == std::vector<uint64_t>{*first, *fourth});
}

TEST_CASE("a cancellation waits for buffers in use, and for no others") {
  std::latch begun(1);
  std::binary_semaphore go_on(0);
  // Checked by the test's own thread: Catch's checks are not thread-safe.
  std::atomic<bool> first_began{false};
  std::atomic<bool> second_began{false};
  TicketQueue queue(1, [&](Ticket& ticket) {
    first_began = ticket.Begin(0);
    begun.count_down();
    go_on.acquire();
    ticket.Decided(0, PageState::kOk);
    second_began = ticket.Begin(1);
  });
  Asked asked(2);
  const auto number = queue.Submit(asked.Call());
  REQUIRE(number.ok());
  begun.wait();
  REQUIRE(queue.Cancel(*number, 1, 1).ok());
  CHECK(asked.states == std::vector<PageState>{PageState::kPending, PageState::kCancelled});
  std::atomic<bool> cancelled{false};
  std::thread canceller([&] { cancelled = queue.Cancel(*number, 0, 1).ok(); });
  go_on.release();
  canceller.join();
  CHECK(cancelled);
  // What was done while it waited stays.
  CHECK(std::atomic_ref(asked.states[0]).load() == PageState::kOk);
  CHECK(*queue.Wait(*number, UINT64_MAX) == 1);
  CHECK(first_began);
  CHECK_FALSE(second_began);
}

TEST_CASE("the states of a call that was cancelled are the caller's again") {
  Asked asked(2);
  Ticket ticket(1, asked.Call());
  REQUIRE(ticket.Begin(0));
  ticket.Decided(0, PageState::kOk);
  ticket.Cancel(0, 2);
  CHECK(asked.states == std::vector{PageState::kOk, PageState::kCancelled});
  asked.states.assign(2, PageState::kOk);
  CHECK(ticket.Finish() == 1);
}

TEST_CASE("closing cancels what waits and lets what runs end") {
  Gate gate;
  TicketQueue queue(1, gate.Serve());
  Asked running(1), waiting(3);
  REQUIRE(queue.Submit(running.Call()).ok());
  gate.AwaitArrival();
  REQUIRE(queue.Submit(waiting.Call()).ok());
  gate.Let(1);
  queue.Close();
  CHECK(waiting.states == std::vector<PageState>(3, PageState::kCancelled));
  CHECK(running.states[0] != PageState::kPending);
  Asked late(1);
  CHECK(queue.Submit(late.Call()).status().code() == StatusCode::kClosed);
  CHECK(late.states[0] == PageState::kOk);
}

}  // namespace
}  // namespace lamina::testing
