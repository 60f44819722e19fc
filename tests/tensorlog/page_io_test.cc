// Writing and reading pages: fragments of every kind, requests, damage.
#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

// Passes requests on; fails those that touch a byte range, counts what is in flight.
class WatchedQueue final : public IoQueue {
 public:
  explicit WatchedQueue(std::unique_ptr<IoQueue> queue) : queue_(std::move(queue)) {}
  void Submit(IoRequest* request) noexcept override {
    max_bytes = std::max(max_bytes, request->bytes);
    max_vectors = std::max<size_t>(max_vectors, request->vector_count);
    queue_->Submit(request);
    max_pending = std::max(max_pending, queue_->pending());
  }
  IoRequest* Wait() noexcept override { return Spoil(queue_->Wait()); }
  // Nothing is done before it is waited for, so that what is in flight can be counted on.
  IoRequest* Poll() noexcept override { return nullptr; }
  size_t pending() const noexcept override { return queue_->pending(); }
  size_t depth() const noexcept override { return queue_->depth(); }

  int error = 0;
  uint64_t bad_from = 0;
  uint64_t bad_to = 0;
  size_t max_bytes = 0;
  size_t max_vectors = 0;
  size_t max_pending = 0;

 private:
  IoRequest* Spoil(IoRequest* request) noexcept {
    if (request != nullptr && request->offset < bad_to &&
        request->offset + request->bytes > bad_from) {
      request->error = error;
    }
    return request;
  }
  std::unique_ptr<IoQueue> queue_;
};

std::unique_ptr<WatchedQueue> Watch(TestLog& t) {
  auto queue = t.fs.NewQueue(16);
  REQUIRE(queue.ok());
  return std::make_unique<WatchedQueue>(std::move(*queue));
}

std::vector<size_t> Repeat(size_t count, size_t bytes) { return std::vector<size_t>(count, bytes); }

std::vector<std::vector<size_t>> Layouts() {
  return {
      {65536},
      {1},
      {4095},
      {4097},
      {70001},
      {32768, 32768},                     // K and V
      Repeat(64, 1024),                   // layer first, fragments below the device's unit
      Repeat(64, 4096),                   // layer first, aligned
      Repeat(61, 1031),                   // layer first, odd
      {4096, 100, 8192, 3996, 5, 12288},  // aligned ones behind and between odd ones
      {100, 8192, 8192},                  // aligned in memory, not in the file
      {1u << 20},
      {(3u << 20) + 12345},  // several chunks
      {1u << 20, 1u << 20, 777},
      Repeat(1500, 601),  // more fragments than a request may have vectors
  };
}

TEST_CASE("pages of any fragments are written and come back, and nothing beyond them is touched") {
  const auto io = GENERATE(from_range(Backends()));
  const bool buffered = GENERATE(false, true);
  const size_t misalign = GENERATE(size_t{0}, size_t{1}, size_t{64}, size_t{512});
  for (const std::vector<size_t>& layout : Layouts()) {
    TestLog t(4, 0, 1, io);
    t.fs.buffered = buffered;
    CAPTURE(layout.size(), layout[0], misalign, buffered, static_cast<int>(io));
    // 0 is not bounded and would reserve much more than this test writes.
    t.options.capacity_bytes = 512 << 20;
    t.Open(true);
    t.log->FinishReplay();
    std::vector<TestPage> pages;
    for (uint64_t name = 1; name <= 5; ++name) pages.emplace_back(name, layout, misalign);
    const auto slots = t.Put(pages);
    REQUIRE(slots.size() == 5);
    std::vector<PageRead> reads;
    for (size_t i = 0; i < pages.size(); ++i) {
      REQUIRE(pages[i].Right());
      reads.push_back(pages[i].Read(slots[i], pages[i].checksum()));
      pages[i].Clear();
    }
    t.log->ReadPages(*t.queue, reads, {}, nullptr, &t.tally);
    for (size_t i = 0; i < pages.size(); ++i) {
      REQUIRE(reads[i].outcome == ReadOutcome::kOk);
      REQUIRE(pages[i].Right());
      REQUIRE(pages[i].GuardsIntact());
    }
  }
}

TEST_CASE("aligned neighbours go in requests of 1 MiB, without a copy and without padding") {
  TestLog t(4, 256 << 20);
  auto queue = Watch(t);
  std::vector<TestPage> pages;
  for (uint64_t name = 0; name < 32; ++name)
    pages.emplace_back(name + 1, std::vector<size_t>(2, 32768));
  auto runs = t.log->Take(65536, 32);
  REQUIRE(runs.ok());
  REQUIRE(runs->size() == 1);
  std::vector<PageWrite> writes;
  for (uint32_t i = 0; i < 32; ++i) writes.push_back(pages[i].Write((*runs)[0].slot(i)));
  IoTally tally;
  REQUIRE(t.log->WritePages(*queue, writes, {}, false, &tally).ok());
  CHECK(tally.requests == 2);
  CHECK(tally.bounced_bytes == 0);
  CHECK(tally.payload_bytes == 32 * 65536);
  CHECK(tally.device_bytes == tally.payload_bytes);
  std::vector<PageRead> reads;
  for (uint32_t i = 0; i < 32; ++i) {
    CHECK(writes[i].checksum == pages[i].checksum());
    t.log->Publish(writes[i].slot, TagOf(writes[i].fingerprint, writes[i].checksum), 1, {});
    reads.push_back(pages[i].Read(writes[i].slot, writes[i].checksum));
  }
  tally = {};
  t.log->ReadPages(*queue, reads, {}, nullptr, &tally);
  CHECK(tally.requests == 2);
  CHECK(tally.bounced_bytes == 0);
  CHECK(tally.device_bytes == 32 * 65536);
  CHECK(queue->max_bytes == 1 << 20);
  CHECK(queue->max_vectors <= IoRequest::kMaxVectors);
}

TEST_CASE("small odd pages share a request over their padding, which is zeros on disk") {
  TestLog t(4, 256 << 20);
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 8; ++name) pages.emplace_back(name, size_t{65000});
  const auto slots = t.Put(pages);
  CHECK(t.tally.requests == 1);
  CHECK(t.tally.payload_bytes == 8 * 65000);
  const std::string file = ReadWhole(t.log->log_dirs()[0]->SegmentPath(slots[0].segment));
  for (size_t i = 0; i < 8; ++i) {
    const std::string_view padding =
        std::string_view(file).substr(slots[i].slot * 65536 + 65000, 536);
    CHECK(padding.find_first_not_of('\0') == std::string_view::npos);
    CHECK(t.Get(pages[i], slots[i]) == ReadOutcome::kOk);
  }
}

TEST_CASE("pages are written in whole blocks to files without direct I/O, too") {
  TestLog t(4, 256 << 20);
  t.fs.buffered = true;
  t.Open(true);
  t.log->FinishReplay();
  std::vector<TestPage> pages;
  pages.emplace_back(1, std::vector<size_t>{4096, 100, 8192, 3996, 5, 12288});
  pages.emplace_back(2, size_t{4097});
  for (const TestPage& page : pages) {
    auto runs = t.log->Take(page.bytes(), 1);
    REQUIRE(runs.ok());
    std::vector<PageWrite> writes = {page.Write((*runs)[0].slot(0))};
    IoTally tally;
    REQUIRE(t.log->WritePages(*t.queue, writes, {}, false, &tally).ok());
    CHECK(tally.payload_bytes == page.bytes());
    CHECK(tally.device_bytes == (page.bytes() + 4095) / 4096 * 4096);
    t.log->Release(writes[0].slot);
  }
}

TEST_CASE("a large page is not padded to its slot") {
  TestLog t(4, 256 << 20);
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 2; ++name) pages.emplace_back(name, size_t{1000000});
  REQUIRE(t.Put(pages).size() == 2);
  CHECK(t.tally.requests == 2);
  CHECK(t.tally.device_bytes <= 2 * (1000000 + 4096));
}

namespace {
struct ChangingDepth final : DepthLimit {
  uint32_t value = 2;
  [[nodiscard]] uint32_t depth() const noexcept override { return value; }
};
}  // namespace

TEST_CASE("requests are as large and as many as the limits say, also when they change") {
  TestLog t(4, 256 << 20);
  auto queue = Watch(t);
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 4; ++name) pages.emplace_back(name, size_t{2} << 20);
  auto runs = t.log->Take(2 << 20, 4);
  REQUIRE(runs.ok());
  std::vector<PageWrite> writes;
  for (const SlotRun& run : *runs) {
    for (uint32_t i = 0; i < run.count; ++i) {
      writes.push_back(pages[writes.size()].Write(run.slot(i)));
    }
  }
  ChangingDepth depth;
  const IoLimits limits{.request_bytes = 256 << 10, .depth = &depth};
  IoTally tally;
  REQUIRE(t.log->WritePages(*queue, writes, limits, false, &tally).ok());
  CHECK(tally.requests == 32);
  CHECK(queue->max_bytes == 256 << 10);
  CHECK(queue->max_pending == 2);
  depth.value = 3;
  REQUIRE(t.log->WritePages(*queue, writes, limits, false, &tally).ok());
  CHECK(queue->max_pending == 3);
  depth.value = 0;
  REQUIRE(t.log->WritePages(*queue, writes, limits, false, &tally).ok());
}

TEST_CASE("damage on disk is a mismatch of that page, and of no other in its request") {
  const uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  TestLog t(4, 256 << 20);
  const size_t bytes = seed % 2 == 0 ? 65536 : 3 << 20;
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 6; ++name) pages.emplace_back(name, bytes);
  const auto slots = t.Put(pages);
  const size_t victim = random() % 6;
  const uint64_t byte = uint64_t{slots[victim].slot} * SlotBytesFor(bytes) + random() % bytes;
  FlipBit(t.log->log_dirs()[0]->SegmentPath(slots[victim].segment), byte, random() % 8);
  std::vector<PageRead> reads;
  for (size_t i = 0; i < 6; ++i) reads.push_back(pages[i].Read(slots[i], pages[i].checksum()));
  t.log->ReadPages(*t.queue, reads, {}, nullptr, nullptr);
  for (size_t i = 0; i < 6; ++i) {
    CHECK(reads[i].outcome == (i == victim ? ReadOutcome::kMismatch : ReadOutcome::kOk));
  }
}

TEST_CASE("another page's bytes under a right tag are a mismatch") {
  TestLog t(4, 256 << 20);
  const TestPage other(1, 65536);
  TestPage wanted(2, 65536);
  auto runs = t.log->Take(65536, 1);
  REQUIRE(runs.ok());
  PageWrite write = other.Write((*runs)[0].slot(0));
  REQUIRE(t.log->WritePages(*t.queue, std::span(&write, 1), {}, false, nullptr).ok());
  t.log->Publish(write.slot, TestLog::TagOfPage(wanted), 1, {});
  CHECK(t.Get(wanted, write.slot) == ReadOutcome::kMismatch);
}

TEST_CASE("pages that are gone, of another size, or unwanted, are told apart and cost no read") {
  TestLog t(4, 256 << 20);
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 5; ++name) pages.emplace_back(name, size_t{65536});
  const auto slots = t.Put(pages);
  std::vector<PageRead> reads;
  for (size_t i = 0; i < 5; ++i) reads.push_back(pages[i].Read(slots[i], pages[i].checksum()));
  REQUIRE(t.log->Free(slots[0], TestLog::TagOfPage(pages[0])));
  reads[1].length = 65535;
  reads[2].slot.segment = 999;
  struct Observer final : ReadObserver {
    bool Wanted(size_t page) noexcept override { return page != 3; }
    void Done(size_t page) noexcept override { ++done[page]; }
    std::array<int, 5> done{};
  } observer;
  IoTally tally;
  t.log->ReadPages(*t.queue, reads, {}, &observer, &tally);
  CHECK(reads[0].outcome == ReadOutcome::kGone);
  CHECK(reads[1].outcome == ReadOutcome::kWrongSize);
  CHECK(reads[2].outcome == ReadOutcome::kGone);
  CHECK(reads[3].outcome == ReadOutcome::kCancelled);
  CHECK(reads[4].outcome == ReadOutcome::kOk);
  CHECK(observer.done == std::array<int, 5>{1, 1, 1, 1, 1});
  CHECK(tally.payload_bytes == 65536);
  CHECK(t.log->Stats(true)[0].pinned == 0);
}

TEST_CASE("a bad sector costs the page it lies in, not its neighbours in the request") {
  TestLog t(4, 256 << 20);
  auto queue = Watch(t);
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 16; ++name) pages.emplace_back(name, size_t{65536});
  const auto slots = t.Put(pages);
  queue->error = EIO;
  queue->bad_from = uint64_t{slots[7].slot} * 65536 + 5000;
  queue->bad_to = queue->bad_from + 512;
  std::vector<PageRead> reads;
  for (size_t i = 0; i < 16; ++i) reads.push_back(pages[i].Read(slots[i], pages[i].checksum()));
  IoTally tally;
  t.log->ReadPages(*queue, reads, {}, nullptr, &tally);
  for (size_t i = 0; i < 16; ++i) {
    CHECK(reads[i].outcome == (i == 7 ? ReadOutcome::kIoError : ReadOutcome::kOk));
  }
  CHECK(tally.requests == 17);
  CHECK(t.log->Stats(true)[0].pinned == 0);
}

TEST_CASE(
    "a failed write fails its pages and latches the directory; lack of space does not latch") {
  const int error = GENERATE(EIO, ENOSPC);
  TestLog t(4, 256 << 20);
  auto queue = Watch(t);
  std::vector<TestPage> pages;
  for (uint64_t name = 1; name <= 4; ++name) pages.emplace_back(name, size_t{1} << 20);
  auto runs = t.log->Take(1 << 20, 4);
  REQUIRE(runs.ok());
  std::vector<PageWrite> writes;
  for (uint32_t i = 0; i < 4; ++i) writes.push_back(pages[i].Write((*runs)[0].slot(i)));
  queue->error = error;
  queue->bad_from = uint64_t{writes[3].slot.slot} << 20;
  queue->bad_to = queue->bad_from + 1;
  const Status status = t.log->WritePages(*queue, writes, {}, false, nullptr);
  CHECK_FALSE(status.ok());
  for (uint32_t i = 0; i < 4; ++i) CHECK(writes[i].ok == (i != 3));
  for (const SlotRun& run : *runs) t.log->Release(run);
  CHECK(t.log->log_dirs()[0]->writable() == (error == ENOSPC));
  CHECK(t.log->Take(1 << 20, 1).ok() == (error == ENOSPC));
  CHECK(t.log->WritableStatus().ok() == (error == ENOSPC));
}

TEST_CASE("callers that need more bounce buffers than there are do not wait for each other") {
  TestLog t(8, 256 << 20, 1, Backends().back());
  BufferPool small(1 << 20, 1 << 20);
  auto opened = TensorLog::Open(t.fs, small, t.options, {true}, t.source);
  REQUIRE(opened.ok());
  TensorLog& log = **opened;
  log.FinishReplay();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      auto queue = t.fs.NewQueue(8);
      std::vector<TestPage> pages;
      for (uint64_t i = 0; i < 6; ++i) {
        pages.emplace_back(thread * 100 + i + 1, std::vector<size_t>{1 << 20}, 3);
      }
      for (int round = 0; round < 3; ++round) {
        auto runs = log.Take(1 << 20, pages.size());
        if (!runs.ok()) std::abort();
        std::vector<PageWrite> writes;
        for (const SlotRun& run : *runs) {
          for (uint32_t i = 0; i < run.count; ++i) {
            writes.push_back(pages[writes.size()].Write(run.slot(i)));
          }
        }
        wrong += !log.WritePages(**queue, writes, {}, false, nullptr).ok();
        std::vector<PageRead> reads;
        for (size_t i = 0; i < writes.size(); ++i) {
          log.Publish(writes[i].slot, TagOf(writes[i].fingerprint, writes[i].checksum), 1, {});
          reads.push_back(pages[i].Read(writes[i].slot, writes[i].checksum));
        }
        log.ReadPages(**queue, reads, {}, nullptr, nullptr);
        for (const PageRead& read : reads) {
          wrong += read.outcome != ReadOutcome::kOk;
          wrong += !log.Free(read.slot, read.tag());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(small.stats().leased_bytes == 0);
}

}  // namespace
}  // namespace lamina
