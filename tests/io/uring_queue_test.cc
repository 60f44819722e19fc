// What only io_uring can do wrong. Pipes give real short transfers. (The kernel gives no EAGAIN on
// demand: transfer_test.cc has what is done about one.)
#include "engine/io/uring_queue.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "engine/io/fallback_log.h"
#include "engine/io/posix_file.h"
#include "tests/io/io_test_util.h"
#include "tests/io/seccomp.h"

namespace lamina {
namespace {

std::unique_ptr<UringQueue> MakeQueue(size_t depth) {
  auto queue = UringQueue::Create(depth, {});
  if (!queue.ok()) std::abort();
  return std::move(*queue);
}

struct Pipe {
  Pipe() : reader((Make(ends), ends[0]), "pipe", &log) {}
  static void Make(int* ends) {
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  }
  void Write(size_t bytes, char fill) {
    const std::string text(bytes, fill);
    if (::write(ends[1], text.data(), bytes) != static_cast<ssize_t>(bytes)) std::abort();
  }
  void CloseWriter() { ::close(ends[1]); }

  int ends[2];
  FallbackLog log;
  PosixFile reader;
};

TEST_CASE("a read that io_uring cuts short is continued until it is whole") {
  if (!HaveUring()) return;
  Pipe pipe;
  const auto queue = MakeQueue(4);
  std::vector<std::byte> memory(3000);
  OwnedRequest owned(&pipe.reader, /*write=*/false, 0,
                     {iovec{memory.data(), 1500}, iovec{memory.data() + 1500, 1500}});
  pipe.Write(1000, 'a');
  queue->Submit(&owned.request);
  CHECK(queue->Poll() == nullptr);  // the first 1000 bytes have come, and are not all
  pipe.Write(1000, 'b');
  CHECK(queue->Poll() == nullptr);
  pipe.Write(1000, 'c');
  REQUIRE(queue->Wait() == &owned.request);
  CHECK(owned.request.error == 0);
  CHECK(owned.request.transferred == 3000);
  CHECK(memory[999] == std::byte{'a'});
  CHECK(memory[1000] == std::byte{'b'});
  CHECK(memory[2000] == std::byte{'c'});
  CHECK(memory[2999] == std::byte{'c'});
  pipe.CloseWriter();
}

TEST_CASE("a continued read that finds no more ends as the end of the file") {
  if (!HaveUring()) return;
  Pipe pipe;
  const auto queue = MakeQueue(4);
  std::vector<std::byte> memory(3000);
  OwnedRequest owned(&pipe.reader, /*write=*/false, 0, memory);
  pipe.Write(1000, 'a');
  pipe.CloseWriter();
  queue->Submit(&owned.request);
  REQUIRE(queue->Wait() == &owned.request);
  CHECK(owned.request.error == IoRequest::kEndOfFile);
  CHECK(owned.request.transferred == 1000);
}

TEST_CASE("reads that never end hold up neither others nor those beyond the depth") {
  if (!HaveUring()) return;
  Pipe pipe;
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kUring);
  auto file = fs->Open(directory.File("f"), {.write = true, .create = true});
  REQUIRE(file.ok());
  REQUIRE((*file)->Write(0, RandomBytes(4096, 1)).ok());
  const auto queue = MakeQueue(2);
  std::vector<std::byte> slow_memory(10);
  OwnedRequest slow(&pipe.reader, /*write=*/false, 0, slow_memory);
  queue->Submit(&slow.request);
  std::vector<std::byte> memory(16);
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  for (int i = 0; i < 100; ++i) {
    requests.push_back(std::make_unique<OwnedRequest>(file->get(), /*write=*/false, 0, memory));
    queue->Submit(&requests.back()->request);
  }
  for (int i = 0; i < 100; ++i) CHECK(queue->Wait() != &slow.request);
  CHECK(queue->pending() == 1);
  pipe.Write(10, 'x');
  CHECK(queue->Wait() == &slow.request);
  pipe.CloseWriter();
}

// ---- io_uring_enter is refused at run time

TEST_CASE("requests fail with its errno when io_uring_enter is refused for good") {
  if (!HaveUring()) return;
  const TemporaryDirectory directory;
  const int error = GENERATE(EPERM, EAGAIN, EBUSY, ENOMEM);
  CAPTURE(error);
  CHECK(RunInChild([&]() -> std::string {
          const auto fs = MakeFileSystem(Options::Io::kUring);
          auto file = fs->Open(directory.File("f"), {.write = true, .create = true});
          if (!file.ok()) return file.status().ToString();
          const auto queue = MakeQueue(2);
          if (!queue->usable()) return "a new queue is of no use";
          RefuseSystemCall(__NR_io_uring_enter, error);
          std::vector<std::byte> memory(16);
          std::vector<std::unique_ptr<OwnedRequest>> requests;
          for (int i = 0; i < 5; ++i) {
            requests.push_back(
                std::make_unique<OwnedRequest>(file->get(), /*write=*/true, 0, memory));
            queue->Submit(&requests.back()->request);
          }
          for (int i = 0; i < 5; ++i) {
            const IoRequest* const request = queue->Wait();
            if (request == nullptr) return "a request was lost";
            if (request->error != error) return "errno " + std::to_string(request->error);
          }
          if (queue->usable()) return "a broken queue says that it can be used";
          return queue->Wait() == nullptr && queue->pending() == 0 ? "" : "one too many";
        }) == "");
}

TEST_CASE("what the kernel has when io_uring_enter is refused is still waited for") {
  if (!HaveUring()) return;
  CHECK(RunInChild([&]() -> std::string {
          Pipe pipe;
          const auto queue = MakeQueue(2);
          std::vector<std::byte> memory(20);
          OwnedRequest first(&pipe.reader, /*write=*/false, 0, std::span(memory).first(10));
          OwnedRequest second(&pipe.reader, /*write=*/false, 0, std::span(memory).last(10));
          queue->Submit(&first.request);
          if (queue->Poll() != nullptr) return "nothing can have come";
          RefuseSystemCall(__NR_io_uring_enter, EPERM);
          queue->Submit(&second.request);
          if (queue->Wait() != &second.request) return "the second has not failed first";
          if (second.request.error != EPERM) return "errno " + std::to_string(second.request.error);
          pipe.Write(10, 'x');
          if (queue->Wait() != &first.request) return "the first was lost";
          return first.request.error == 0 && memory[9] == std::byte{'x'} ? "" : "the first failed";
        }) == "");
}

TEST_CASE("a queue that is destroyed with a request in the kernel and no way in waits for it") {
  if (!HaveUring()) return;
  CHECK(RunInChild([&]() -> std::string {
          Pipe pipe;
          auto queue = MakeQueue(2);
          std::vector<std::byte> memory(10);
          OwnedRequest owned(&pipe.reader, /*write=*/false, 0, memory);
          queue->Submit(&owned.request);
          if (queue->Poll() != nullptr) return "nothing can have come";
          RefuseSystemCall(__NR_io_uring_enter, EPERM);
          pipe.Write(10, 'x');
          queue.reset();
          return memory[9] == std::byte{'x'} ? "" : "the read was given up while in flight";
        }) == "");
}

}  // namespace
}  // namespace lamina
