// Which backend runs where io_uring is refused, and what is said about it.
#include <sys/resource.h>
#include <sys/syscall.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "engine/io/io_error.h"
#include "engine/io/posix_file_system.h"
#include "tests/io/io_test_util.h"
#include "tests/io/seccomp.h"

namespace lamina {
namespace {

using Catch::Contains;

// Writes and reads a file through a new queue. "" when that works.
std::string TryQueue(FileSystem* fs, const std::string& path) {
  auto file = fs->Open(path, {.write = true, .create = true});
  if (!file.ok()) return file.status().ToString();
  auto queue = fs->NewQueue(4);
  if (!queue.ok()) return queue.status().ToString();
  for (const bool write : {true, false}) {
    std::vector<std::byte> memory = write ? RandomBytes(1000, 1) : std::vector<std::byte>(1000);
    OwnedRequest owned(file->get(), write, 0, memory);
    (*queue)->Submit(&owned.request);
    if ((*queue)->Wait() != &owned.request) return "the request was lost";
    if (owned.request.error != 0) return StatusOf(owned.request).ToString();
    if (memory != RandomBytes(1000, 1)) return "wrong bytes";
  }
  return "";
}

TEST_CASE("each choice of backend says which one runs") {
  const TemporaryDirectory directory;
  const auto threads = MakeFileSystem(Options::Io::kThreads);
  CHECK(threads->QueueDescription() == "threads (io=threads)");
  CHECK(TryQueue(threads.get(), directory.File("f")) == "");
  if (!HaveUring()) return;
  for (const Options::Io io : {Options::Io::kAuto, Options::Io::kUring}) {
    const auto fs = MakeFileSystem(io);
    CHECK(fs->QueueDescription() == "io_uring");
    CHECK(TryQueue(fs.get(), directory.File("f")) == "");
  }
}

TEST_CASE("auto falls back to threads where io_uring is refused, and says why") {
  const TemporaryDirectory directory;
  const int error = GENERATE(EPERM, ENOSYS, ENOMEM);
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_io_uring_setup, error);
          const auto fs = MakeFileSystem(Options::Io::kAuto);
          const std::string expected = "threads (io_uring_setup: " + ErrnoText(error) + ")";
          if (fs->QueueDescription() != expected) return fs->QueueDescription();
          return TryQueue(fs.get(), directory.File("f"));
        }) == "");
}

TEST_CASE("auto falls back where a ring can be made but not used") {
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_io_uring_enter, EPERM);
          const auto fs = MakeFileSystem(Options::Io::kAuto);
          if (fs->QueueDescription().find("threads (") != 0) return fs->QueueDescription();
          if (fs->QueueDescription().find("EPERM") == std::string::npos)
            return fs->QueueDescription();
          return TryQueue(fs.get(), directory.File("f"));
        }) == "");
}

TEST_CASE("where io_uring is required its refusal is an error that says what to do") {
  for (const PosixOptions& options :
       {PosixOptions{.io = Options::Io::kUring},
        PosixOptions{.io = Options::Io::kAuto, .require_io_uring = true}}) {
    CHECK(RunInChild([&]() -> std::string {
            RefuseSystemCall(__NR_io_uring_setup, EPERM);
            const auto fs = PosixFileSystem::Create(options);
            if (fs.status().code() != StatusCode::kNotSupported) return "opened";
            const std::string said = fs.status().ToString();
            return said.find("EPERM") != std::string::npos &&
                           said.find("io_uring_disabled") != std::string::npos
                       ? ""
                       : said;
          }) == "");
  }
}

TEST_CASE("a ring that cannot be had later becomes a queue over threads, and is counted") {
  if (!HaveUring()) return;
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          const auto fs = MakeFileSystem(Options::Io::kAuto);
          RefuseSystemCall(__NR_io_uring_setup, ENOMEM);
          for (int i = 0; i < 2; ++i) {
            const std::string failure = TryQueue(fs.get(), directory.File("f"));
            if (!failure.empty()) return failure;
          }
          const std::string expected =
              "io_uring; 2 queues on threads (io_uring_setup: " + ErrnoText(ENOMEM) + ")";
          return fs->QueueDescription() == expected ? "" : fs->QueueDescription();
        }) == "");
}

TEST_CASE("running out of descriptors makes the next queue one over threads") {
  if (!HaveUring()) return;
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          const auto fs = MakeFileSystem(Options::Io::kAuto);
          auto file = fs->Open(directory.File("f"), {.write = true, .create = true});
          const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
          ::setrlimit(RLIMIT_NOFILE, &none);
          const auto queue = fs->NewQueue(4);
          if (!queue.ok()) return queue.status().ToString();
          std::vector<std::byte> memory(100);
          OwnedRequest owned(file->get(), /*write=*/true, 0, memory);
          (*queue)->Submit(&owned.request);
          (*queue)->Wait();
          if (owned.request.error != 0) return StatusOf(owned.request).ToString();
          const bool said = fs->QueueDescription().find("EMFILE") != std::string::npos;
          return said ? "" : fs->QueueDescription();
        }) == "");
}

TEST_CASE("where io_uring is required a ring that cannot be had later is an error") {
  if (!HaveUring()) return;
  for (const PosixOptions& options :
       {PosixOptions{.io = Options::Io::kUring},
        PosixOptions{.io = Options::Io::kAuto, .require_io_uring = true}}) {
    CHECK(RunInChild([&]() -> std::string {
            auto fs = PosixFileSystem::Create(options);
            if (!fs.ok()) return fs.status().ToString();
            RefuseSystemCall(__NR_io_uring_setup, ENOMEM);
            const auto queue = (*fs)->NewQueue(4);
            if (queue.ok()) return "gave a queue";
            const std::string said = queue.status().ToString();
            return said.find("ENOMEM") != std::string::npos ? "" : said;
          }) == "");
  }
}

TEST_CASE("a system that gives no thread makes a thread queue an error, not a crash") {
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_clone, EAGAIN);
          RefuseSystemCall(__NR_clone3, EAGAIN);
          const auto fs = MakeFileSystem(Options::Io::kThreads);
          const auto queue = fs->NewQueue(4);
          if (queue.ok()) return "gave a queue";
          const std::string said = queue.status().ToString();
          return said.find("EAGAIN") != std::string::npos ? "" : said;
        }) == "");
}

}  // namespace
}  // namespace lamina
