// Asynchronous gets and puts on a store.
#include <sys/mman.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <deque>
#include <random>
#include <thread>

#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 16 << 10;

// Buffers and states of one submitted call.
struct Batch {
  Batch(size_t pages, size_t page_bytes)
      : memory(pages, std::vector<std::byte>(page_bytes)),
        sizes(pages, page_bytes),
        states(pages, PageState::kRejected) {
    for (auto& one : memory) buffers.push_back(one.data());
  }
  Batch(TestPath& path, size_t first, size_t pages, size_t page_bytes) : Batch(pages, page_bytes) {
    for (size_t i = 0; i < pages; ++i) {
      const auto bytes = Payload(path.seeds[first + i], page_bytes);
      std::memcpy(memory[i].data(), bytes.data(), page_bytes);
    }
  }
  [[nodiscard]] GetBuffers get() const { return {buffers, sizes, 1}; }
  [[nodiscard]] PutBuffers put() const {
    untyped.assign(buffers.begin(), buffers.end());
    return {untyped, sizes, 1};
  }
  PageState state(size_t page) {
    return std::atomic_ref(states[page]).load(std::memory_order_acquire);
  }
  [[nodiscard]] bool Holds(const TestPath& path, size_t first, size_t page) const {
    return SameBytes(memory[page], Payload(path.seeds[first + page], sizes[page]));
  }

  std::vector<std::vector<std::byte>> memory;
  std::vector<void*> buffers;
  mutable std::vector<const void*> untyped;
  std::vector<size_t> sizes;
  std::vector<PageState> states;
};

TEST_CASE("what is submitted comes back, and the path may go at once") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 40));
  Batch put(path, 0, 40, kPage);
  {
    TestPath own = MakePath(*store, "model", Tokens(0, 40));
    auto pending = store->SubmitPut(*own.path, 0, 40, put.put(), put.states);
    REQUIRE(pending.ok());
    own.path.reset();
    CHECK(*pending->Wait() == 40);
    CHECK_FALSE(*pending);
    CHECK(pending->Wait().status().code() == StatusCode::kInvalidArgument);
  }
  for (const bool backward : {false, true}) {
    Batch got(30, kPage);
    auto pending = store->SubmitGet(*path.path, 5, 30, got.get(), got.states,
                                    {.priority = backward ? 1U : 0U, .backward = backward});
    REQUIRE(pending.ok());
    CHECK(*store->Wait(pending->Detach(), UINT64_MAX) == 30);
    for (size_t i = 0; i < 30; ++i)
      CHECK((got.state(i) == PageState::kOk && got.Holds(path, 5, i)));
  }
  CHECK(StatOf(store->StatsJson(), "got") == 60);
}

TEST_CASE("a path is one request of the eviction policy, whoever calls on it first") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 8));
  Batch got(8, kPage);
  std::vector<Pending> pending;
  for (int i = 0; i < 3; ++i) {
    auto one = store->SubmitGet(*path.path, 0, 8, got.get(), got.states);
    REQUIRE(one.ok());
    CHECK(*one->Wait() == 0);
  }
  CHECK(CountOk(PutPages(*store, path, 0, 8, kPage)) == 8);
  CHECK(StatOf(store->StatsJson(), "requests") == 1);
}

TEST_CASE("submissions with wrong arguments are refused and touch nothing") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 4));
  Batch batch(4, kPage);
  const auto code = [](const Result<Pending>& pending) { return pending.status().code(); };
  CHECK(code(store->SubmitGet(*path.path, 0, 4, batch.get(), {})) == StatusCode::kInvalidArgument);
  CHECK(code(store->SubmitGet(*path.path, 1, 4, batch.get(), batch.states)) ==
        StatusCode::kInvalidArgument);
  CHECK(code(store->SubmitGet(*path.path, 0, 4, batch.get(), batch.states, {.priority = 2})) ==
        StatusCode::kInvalidArgument);
  batch.buffers[2] = nullptr;
  CHECK(code(store->SubmitGet(*path.path, 0, 4, batch.get(), batch.states)) ==
        StatusCode::kInvalidArgument);
  CHECK(code(store->SubmitPut(*path.path, 0, 4, batch.put(), batch.states)) ==
        StatusCode::kInvalidArgument);
  CHECK(batch.states == std::vector<PageState>(4, PageState::kRejected));
}

TEST_CASE("a get that goes backward reads the last pages first") {
  // One request at a time, and a device that fails after so many.
  constexpr size_t kPages = 64;
  constexpr size_t kBytes = 64 << 10;
  QuietStore quiet("io_depth=1;request_bytes=256K;checkpoint_bytes=1G");
  REQUIRE(CountOk(PutPages(quiet.store(), quiet.path(), 0, kPages, kBytes)) == kPages);
  for (const bool backward : {false, true}) {
    Batch got(kPages, kBytes);
    // Four requests of four pages each go well.
    quiet.disk().FailRead(5, EIO, 1000);
    auto pending = quiet.store().SubmitGet(*quiet.path().path, 0, kPages, got.get(), got.states,
                                           {.backward = backward});
    REQUIRE(pending.ok());
    CHECK(*pending->Wait() == (backward ? 0U : 16U));
    quiet.disk().FailRead(0, 0);
    for (size_t i = 0; i < kPages; ++i) {
      const bool early = backward ? i >= kPages - 16 : i < 16;
      CHECK(got.state(i) == (early ? PageState::kOk : PageState::kMiss));
      if (early) CHECK(got.Holds(quiet.path(), 0, i));
    }
  }
}

TEST_CASE("a put that is submitted rejects what follows its first rejected page") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 6));
  // A page that no segment has room for.
  Batch batch(path, 0, 6, kPage);
  batch.memory[3].resize(200 << 20);
  batch.buffers[3] = batch.memory[3].data();
  batch.sizes[3] = batch.memory[3].size();
  auto pending = store->SubmitPut(*path.path, 0, 6, batch.put(), batch.states);
  REQUIRE(pending.ok());
  CHECK(*pending->Wait() == 3);
  for (size_t i = 0; i < 6; ++i)
    CHECK(batch.state(i) == (i < 3 ? PageState::kOk : PageState::kRejected));
}

TEST_CASE("no byte is written after a cancellation or a release") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  constexpr size_t kPages = 24;
  TestPath path = MakePath(*store, "model", Tokens(0, kPages));
  REQUIRE(CountOk(PutPages(*store, path, 0, kPages, kPage)) == kPages);
  std::atomic<size_t> wrong{0};
  const auto work = [&](uint32_t seed) {
    std::mt19937 random(seed);
    TestPath own = MakePath(*store, "model", Tokens(0, kPages));
    for (int round = 0; round < 60; ++round) {
      Batch got(kPages, kPage);
      IoHints hints;
      hints.priority = static_cast<uint32_t>(random() % 2);
      hints.backward = random() % 2 == 0;
      hints.deadline_us = random() % 3 == 0 ? 1 + random() % 300 : 0;
      auto pending = store->SubmitGet(*own.path, 0, kPages, got.get(), got.states, hints);
      if (!pending.ok()) {
        ++wrong;
        continue;
      }
      const size_t first = random() % kPages;
      const size_t count = 1 + random() % (kPages - first);
      for (uint64_t spin = random() % 2000; spin > 0; --spin)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      if (!pending->Cancel(first, count).ok()) ++wrong;
      // Those pages are decided, and their buffers the caller's again.
      std::vector<PageState> decided(kPages, PageState::kPending);
      for (size_t i = first; i < first + count; ++i) {
        decided[i] = got.state(i);
        if (decided[i] == PageState::kPending) ++wrong;
        if (decided[i] == PageState::kOk && !got.Holds(path, 0, i)) ++wrong;
        std::memset(got.buffers[i], 0x5A, kPage);
      }
      if (random() % 4 == 0) {
        *pending = Pending();  // abandons it
      } else if (!pending->Wait().ok()) {
        ++wrong;
      }
      for (size_t i = 0; i < kPages; ++i) {
        if (i >= first && i < first + count) {
          if (got.state(i) != decided[i] ||
              got.memory[i] != std::vector<std::byte>(kPage, std::byte{0x5A}))
            ++wrong;
        } else if (got.state(i) == PageState::kPending ||
                   (got.state(i) == PageState::kOk && !got.Holds(path, 0, i))) {
          ++wrong;
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 3; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(GetPages(*store, path, 0, kPages, kPage).wrong == 0);
}

TEST_CASE("a store that closes with calls in flight decides each page and keeps what it said") {
  const TemporaryDirectory directory;
  constexpr size_t kPages = 64;
  std::deque<Batch> batches;
  std::vector<std::vector<uint32_t>> tokens;
  {
    const auto store = OpenStore(directory / "store");
    for (uint32_t i = 0; i < 8; ++i) {
      tokens.push_back(Tokens(i * 1000, kPages));
      TestPath path = MakePath(*store, "model", tokens.back());
      Batch& batch = batches.emplace_back(path, 0, kPages, kPage);
      auto pending = store->SubmitPut(*path.path, 0, kPages, batch.put(), batch.states);
      REQUIRE(pending.ok());
      (void)pending->Detach();
    }
  }
  const auto store = OpenStore(directory / "store");
  for (size_t i = 0; i < batches.size(); ++i) {
    TestPath path = MakePath(*store, "model", tokens[i]);
    const GetOutcome got = GetPages(*store, path, 0, kPages, kPage);
    CHECK(got.wrong == 0);
    for (size_t page = 0; page < kPages; ++page) {
      CHECK(batches[i].state(page) != PageState::kPending);
      if (batches[i].state(page) == PageState::kOk) CHECK(got.states[page] == PageState::kOk);
    }
  }
}

TEST_CASE("estimates tell bytes and requests, and their error is in the stats") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 64));
  auto nothing = store->Estimate(*path.path, 0, 64);
  REQUIRE(nothing.ok());
  CHECK((nothing->bytes == 0 && nothing->requests == 0));
  REQUIRE(CountOk(PutPages(*store, path, 0, 64, 64 << 10)) == 64);
  auto estimate = store->Estimate(*path.path, 0, 64);
  REQUIRE(estimate.ok());
  CHECK(estimate->bytes == 64 * (64 << 10));
  // Neighbours go in requests of 1 MiB, but for where a segment ends.
  CHECK(estimate->requests >= 4);
  CHECK(estimate->requests <= 8);
  CHECK(estimate->us_p50 > 0);
  CHECK(estimate->us_p95 >= estimate->us_p50);
  CHECK(store->Estimate(*path.path, 60, 5).status().code() == StatusCode::kInvalidArgument);
  CHECK(PlanRestore(*estimate, 64, 1e9, 0) == 0);
  CHECK(PlanRestore(*estimate, 64, 0, 0) == 64);
  for (int i = 0; i < 3; ++i) CHECK(GetPages(*store, path, 0, 64, 64 << 10).wrong == 0);
  CHECK(StatOf(store->StatsJson(), "estimates_checked") == 3);
}

}  // namespace
}  // namespace lamina::testing
