// What both backends promise. Each test runs over io_uring (where it is allowed) and over threads.
#include "engine/io/io_queue.h"

#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/io/io_test_util.h"

namespace lamina {
namespace {

using Catch::Contains;

struct Fixture {
  explicit Fixture(bool direct = false, Options::Io backend = GENERATE(from_range(Backends())))
      : io(backend), fs(MakeFileSystem(io)) {
    UNSCOPED_INFO("backend: " << fs->QueueDescription());
    auto opened = fs->Open(directory.File("f"), {.write = true, .create = true, .direct = direct});
    if (!opened.ok()) std::abort();
    file = std::move(*opened);
  }

  std::unique_ptr<IoQueue> Queue(size_t depth) {
    auto queue = fs->NewQueue(depth);
    if (!queue.ok()) std::abort();
    return std::move(*queue);
  }

  const TemporaryDirectory directory;
  const Options::Io io;
  const std::unique_ptr<PosixFileSystem> fs;
  std::unique_ptr<File> file;
};

TEST_CASE("scattered writes and reads of random sizes come back whole") {
  const bool direct = GENERATE(false, true);
  Fixture fixture(direct);
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed, direct);
  std::mt19937_64 random(seed);
  constexpr size_t kUnit = 4096;
  constexpr size_t kFileUnits = 512;

  AlignedBuffer source(kFileUnits * kUnit);
  const auto bytes = RandomBytes(source.size(), seed);
  std::copy(bytes.begin(), bytes.end(), source.span().begin());
  AlignedBuffer target(source.size());
  for (const bool write : {true, false}) {
    const auto queue = fixture.Queue(8);
    std::vector<std::unique_ptr<OwnedRequest>> requests;
    std::byte* at = (write ? source : target).data();
    for (size_t unit = 0; unit < kFileUnits;) {
      const uint64_t offset = unit * kUnit;
      std::vector<iovec> pieces;
      for (uint64_t n = 1 + random() % 8; n > 0 && unit < kFileUnits; --n) {
        const size_t units = std::min<size_t>(1 + random() % 16, kFileUnits - unit);
        pieces.push_back({at, units * kUnit});
        at += units * kUnit;
        unit += units;
      }
      requests.push_back(
          std::make_unique<OwnedRequest>(fixture.file.get(), write, offset, std::move(pieces)));
    }
    std::shuffle(requests.begin(), requests.end(), random);
    for (auto& owned : requests) queue->Submit(&owned->request);
    CHECK(queue->pending() == requests.size());
    std::set<IoRequest*> returned;
    while (IoRequest* const request = queue->Wait()) {
      CHECK(StatusOf(*request).ok());
      CHECK(request->transferred == request->bytes);
      CHECK(returned.insert(request).second);
    }
    CHECK(returned.size() == requests.size());
    CHECK(queue->pending() == 0);
  }
  CHECK(std::memcmp(source.data(), target.data(), source.size()) == 0);
}

TEST_CASE("far more requests than the depth all complete, submitted before any is reaped") {
  Fixture fixture;
  constexpr size_t kRequests = 1000;
  const auto queue = fixture.Queue(GENERATE(size_t{1}, size_t{3}, size_t{64}));
  std::vector<std::byte> memory(kRequests * 16);
  const auto bytes = RandomBytes(memory.size(), 1);
  REQUIRE(fixture.file->Write(0, bytes).ok());
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  for (size_t i = 0; i < kRequests; ++i) {
    requests.push_back(std::make_unique<OwnedRequest>(fixture.file.get(), /*write=*/false, i * 16,
                                                      std::span(memory).subspan(i * 16, 16)));
    queue->Submit(&requests.back()->request);
  }
  size_t done = 0;
  for (; queue->Wait() != nullptr; ++done) CHECK(queue->pending() == kRequests - done - 1);
  CHECK(done == kRequests);
  CHECK(memory == bytes);
}

TEST_CASE("a queue has the depth that was asked for, threads no more than there are of them") {
  Fixture fixture;
  CHECK(fixture.Queue(3)->depth() == 3);
  CHECK(fixture.Queue(32)->depth() == (fixture.io == Options::Io::kThreads ? 4u : 32u));
  CHECK(fixture.Queue(0)->depth() == 1);
}

TEST_CASE("wait and poll on an idle queue return nothing and do not block") {
  Fixture fixture;
  const auto queue = fixture.Queue(4);
  CHECK(queue->Wait() == nullptr);
  CHECK(queue->Poll() == nullptr);
}

TEST_CASE("poll alone brings every request to its end") {
  Fixture fixture;
  REQUIRE(fixture.file->Write(0, RandomBytes(1 << 20, 1)).ok());
  const auto queue = fixture.Queue(4);
  AlignedBuffer memory(1 << 20);
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  for (size_t i = 0; i < 16; ++i) {
    requests.push_back(std::make_unique<OwnedRequest>(fixture.file.get(), /*write=*/false, i << 16,
                                                      memory.span().subspan(i << 16, 1 << 16)));
    queue->Submit(&requests.back()->request);
  }
  size_t done = 0;
  while (done < requests.size()) {
    if (queue->Poll() != nullptr) {
      ++done;
    } else {
      std::this_thread::yield();
    }
  }
  CHECK(queue->pending() == 0);
}

TEST_CASE("a read that meets the end of the file says so and how much there was") {
  const bool direct = GENERATE(false, true);
  Fixture fixture(direct);
  REQUIRE(fixture.file->Truncate(10000).ok());
  const auto queue = fixture.Queue(4);
  AlignedBuffer memory(16384);
  for (const auto& [offset, found] : std::vector<std::pair<uint64_t, size_t>>{
           {0, 10000}, {8192, 1808}, {12288, 0}, {1 << 20, 0}}) {
    CAPTURE(direct, offset);
    OwnedRequest owned(fixture.file.get(), /*write=*/false, offset, memory.span());
    queue->Submit(&owned.request);
    REQUIRE(queue->Wait() == &owned.request);
    CHECK(owned.request.error == IoRequest::kEndOfFile);
    CHECK(owned.request.transferred == found);
    const Status status = StatusOf(owned.request);
    CHECK(status.code() == StatusCode::kCorruption);
    CHECK_THAT(status.ToString(),
               Contains(fixture.file->path()) && Contains("found " + std::to_string(found)));
  }
}

TEST_CASE("a request that fails names file, operation, offset, length; its neighbours succeed") {
  Fixture fixture;
  REQUIRE(fixture.file->Write(0, RandomBytes(8192, 1)).ok());
  auto read_only = fixture.fs->Open(fixture.file->path(), {});
  REQUIRE(read_only.ok());
  const auto queue = fixture.Queue(4);
  std::vector<std::byte> memory(8192);
  OwnedRequest good(read_only->get(), /*write=*/false, 0, std::span(memory).first(4096));
  OwnedRequest bad(read_only->get(), /*write=*/true, 512, std::span(memory).last(4096));
  OwnedRequest also_good(fixture.file.get(), /*write=*/true, 0, std::span(memory).last(4096));
  for (OwnedRequest* owned : {&good, &bad, &also_good}) queue->Submit(&owned->request);
  while (queue->Wait() != nullptr) {
  }
  CHECK(StatusOf(good.request).ok());
  CHECK(StatusOf(also_good.request).ok());
  CHECK(bad.request.error == EBADF);
  CHECK_THAT(StatusOf(bad.request).ToString(),
             Contains("cannot write 4096 bytes at offset 512 of " + fixture.file->path()));
}

TEST_CASE("a misaligned request of a direct file fails instead of moving wrong bytes") {
  Fixture fixture(/*direct=*/true);
  if (!fixture.file->direct()) return;
  const auto queue = fixture.Queue(4);
  AlignedBuffer memory(8192);
  REQUIRE(fixture.file->Write(0, memory.span()).ok());
  OwnedRequest owned(fixture.file.get(), /*write=*/false, 1, memory.span().subspan(1, 4096));
  queue->Submit(&owned.request);
  REQUIRE(queue->Wait() == &owned.request);
  CHECK(owned.request.error == EINVAL);
  CHECK_THAT(StatusOf(owned.request).ToString(), Contains("aligned"));
}

// Lets the kernel cut a write short: it writes up to the limit, then refuses.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_CASE("a write that the kernel cuts short goes on where it stopped") {
  const bool direct = GENERATE(false, true);
  Fixture fixture(direct);
  const auto queue = fixture.Queue(4);
  AlignedBuffer memory(1 << 20);
  const auto bytes = RandomBytes(1 << 20, 1);
  std::copy(bytes.begin(), bytes.end(), memory.span().begin());
  OwnedRequest owned(fixture.file.get(), /*write=*/true, 0,
                     {iovec{memory.data(), 1 << 18}, iovec{memory.data() + (1 << 18), 3 << 18}});
  {
    const FileSizeLimit limit((1 << 19) + 8192);
    queue->Submit(&owned.request);
    REQUIRE(queue->Wait() == &owned.request);
  }
  CAPTURE(direct);
  // The second attempt started at the limit, and was refused there.
  CHECK(owned.request.error == EFBIG);
  CHECK(owned.request.transferred == (1 << 19) + 8192);
  std::vector<std::byte> out(owned.request.transferred);
  REQUIRE(fixture.file->Read(0, out).ok());
  CHECK(std::memcmp(out.data(), bytes.data(), out.size()) == 0);
}

TEST_CASE("a request larger than one system call can move comes back whole") {
  // The kernel moves at most 2 GiB - 4 KiB at a time. The file is a hole but for its end, and all
  // vectors but the last share one buffer.
  constexpr size_t kBufferBytes = 4 << 20;
  constexpr uint64_t kBytes = uint64_t{512 + 1} * kBufferBytes;
  Fixture fixture(/*direct=*/true);
  if (!fixture.file->direct()) return;
  AlignedBuffer shared(kBufferBytes);
  AlignedBuffer last(kBufferBytes);
  const auto bytes = RandomBytes(kBufferBytes, 1);
  std::copy(bytes.begin(), bytes.end(), last.span().begin());
  REQUIRE(fixture.file->Write(kBytes - kBufferBytes, last.span()).ok());
  std::fill(last.span().begin(), last.span().end(), std::byte{0});

  std::vector<iovec> pieces(512, iovec{shared.data(), shared.size()});
  pieces.push_back({last.data(), last.size()});
  OwnedRequest owned(fixture.file.get(), /*write=*/false, 0, std::move(pieces));
  const auto queue = fixture.Queue(4);
  queue->Submit(&owned.request);
  REQUIRE(queue->Wait() == &owned.request);
  CHECK(StatusOf(owned.request).ok());
  CHECK(owned.request.transferred == kBytes);
  CHECK(std::memcmp(last.data(), bytes.data(), bytes.size()) == 0);
}

TEST_CASE("a queue works for one thread after another") {
  Fixture fixture;
  REQUIRE(fixture.file->Write(0, RandomBytes(1 << 16, 1)).ok());
  const auto queue = fixture.Queue(4);
  for (int round = 0; round < 8; ++round) {
    std::thread([&] {
      std::vector<std::byte> memory(1 << 16);
      OwnedRequest owned(fixture.file.get(), /*write=*/false, 0, memory);
      queue->Submit(&owned.request);
      CHECK(queue->Wait() == &owned.request);
      CHECK(owned.request.error == 0);
    }).join();
  }
}

TEST_CASE("what one thread submitted another may wait for") {
  Fixture fixture(/*direct=*/true);
  AlignedBuffer memory(1 << 20);
  REQUIRE(fixture.file->Write(0, memory.span()).ok());
  const auto queue = fixture.Queue(4);
  OwnedRequest owned(fixture.file.get(), /*write=*/false, 0, memory.span());
  IoRequest* returned = nullptr;
  queue->Submit(&owned.request);
  returned = queue->Poll();  // starts it
  if (returned == nullptr) std::thread([&] { returned = queue->Wait(); }).join();
  CHECK(returned == &owned.request);
  CHECK(owned.request.error == 0);
}

TEST_CASE("many queues at once keep their requests apart") {
  Fixture fixture;
  constexpr size_t kThreads = 4;
  constexpr int kRounds = 50;
  constexpr size_t kBytes = 1 << 14;
  std::vector<std::thread> threads;
  std::vector<int> wrong(kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto queue = fixture.Queue(8);
      const uint64_t base = uint64_t{t} << 20;
      for (int round = 0; round < kRounds; ++round) {
        const auto bytes = RandomBytes(kBytes, base + static_cast<uint64_t>(round));
        std::vector<std::byte> memory = bytes;
        OwnedRequest write(fixture.file.get(), /*write=*/true, base, memory);
        queue->Submit(&write.request);
        if (queue->Wait() != &write.request || write.request.error != 0) ++wrong[t];
        std::fill(memory.begin(), memory.end(), std::byte{0});
        OwnedRequest read(fixture.file.get(), /*write=*/false, base, memory);
        queue->Submit(&read.request);
        if (queue->Wait() != &read.request || memory != bytes) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(kThreads));
}

TEST_CASE("destroying a queue waits for what is in flight: no byte moves afterwards") {
  Fixture fixture(/*direct=*/true);
  constexpr size_t kBytes = 64 << 10;
  AlignedBuffer data(16 * kBytes);
  std::fill(data.span().begin(), data.span().end(), std::byte{0xAA});
  REQUIRE(fixture.file->Write(0, data.span()).ok());
  for (int round = 0; round < 20; ++round) {
    auto queue = fixture.Queue(4);
    std::vector<std::unique_ptr<OwnedRequest>> requests;
    for (size_t i = 0; i < 16; ++i) {
      requests.push_back(std::make_unique<OwnedRequest>(fixture.file.get(), /*write=*/false,
                                                        i * kBytes,
                                                        data.span().subspan(i * kBytes, kBytes)));
      queue->Submit(&requests.back()->request);
    }
    if (round % 2 == 0) queue->Poll();
    queue.reset();
    std::fill(data.span().begin(), data.span().end(), std::byte{0x55});
    // A late transfer would write 0xAA here. Another queue's round trip gives it the time to.
    OwnedRequest probe(fixture.file.get(), /*write=*/false, 0, data.span().first(kBytes));
    const auto other = fixture.Queue(1);
    other->Submit(&probe.request);
    REQUIRE(other->Wait() == &probe.request);
    const auto rest = data.span().subspan(kBytes);
    REQUIRE(
        std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == std::byte{0x55}; }));
  }
}

TEST_CASE("a request may be submitted again as soon as it came back") {
  Fixture fixture;
  REQUIRE(fixture.file->Write(0, RandomBytes(4096, 1)).ok());
  const auto queue = fixture.Queue(2);
  std::vector<std::byte> memory(4096);
  OwnedRequest owned(fixture.file.get(), /*write=*/false, 4000, memory);
  queue->Submit(&owned.request);
  REQUIRE(queue->Wait() == &owned.request);
  CHECK(owned.request.error == IoRequest::kEndOfFile);
  owned.vectors[0] = {memory.data(), memory.size()};
  owned.request.offset = 0;
  queue->Submit(&owned.request);
  REQUIRE(queue->Wait() == &owned.request);
  CHECK(owned.request.error == 0);
  CHECK(owned.request.transferred == 4096);
}

}  // namespace
}  // namespace lamina
