#include "engine/io/posix_file_system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/io/uring_queue.h"
#include "tests/io/io_test_util.h"
#include "tests/io/seccomp.h"

namespace lamina {
namespace {

using Catch::Contains;

void Touch(FileSystem* fs, const std::string& path) {
  REQUIRE(fs->Open(path, {.write = true, .create = true}).ok());
}

TEST_CASE("a directory lists its names sorted, without itself and its parent") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  for (const char* const name : {"b", "a", ".hidden"}) Touch(fs.get(), directory.File(name));
  REQUIRE(fs->MakeDirectory(directory.File("c")).ok());
  CHECK(*fs->List(directory.path()) == std::vector<std::string>{".hidden", "a", "b", "c"});
  CHECK_THAT(fs->List(directory.File("none")).status().ToString(), Contains("ENOENT"));
}

TEST_CASE("making a directory that exists is fine, over a file it is an error") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  CHECK(fs->MakeDirectory(directory.File("d")).ok());
  CHECK(fs->MakeDirectory(directory.File("d")).ok());
  CHECK(fs->MakeDirectory(directory.File("d/")).ok());
  CHECK(fs->MakeDirectory("/").ok());
  Touch(fs.get(), directory.File("f"));
  CHECK_THAT(fs->MakeDirectory(directory.File("f")).ToString(), Contains("ENOTDIR"));
  CHECK_THAT(fs->MakeDirectory(directory.File("x/y")).ToString(), Contains("ENOENT"));
}

TEST_CASE("exists, rename and remove do so, and their errors name the paths") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const std::string a = directory.File("a");
  const std::string b = directory.File("b");
  CHECK_FALSE(*fs->Exists(a));
  Touch(fs.get(), a);
  CHECK(*fs->Exists(a));
  CHECK_FALSE(*fs->Exists(a + "/below-a-file"));
  CHECK(fs->Rename(a, b).ok());
  CHECK_FALSE(*fs->Exists(a));
  CHECK(*fs->Exists(b));
  CHECK(fs->SyncDirectory(directory.path()).ok());
  CHECK_THAT(fs->Rename(a, b).ToString(), Contains(a + " to " + b));
  CHECK(fs->Remove(b).ok());
  CHECK_THAT(fs->Remove(b).ToString(), Contains(b) && Contains("ENOENT"));
  CHECK_THAT(fs->SyncDirectory(b).ToString(), Contains(b));
}

TEST_CASE("the space of a directory's file system is known") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const auto space = fs->Space(directory.path());
  REQUIRE(space.ok());
  CHECK(space->total_bytes > 0);
  CHECK(space->free_bytes <= space->total_bytes);
  CHECK_FALSE(fs->Space(directory.File("none")).ok());
}

TEST_CASE("options out of range, and options that contradict each other, are refused") {
  CHECK_THAT(PosixFileSystem::Create({.io_threads = 0}).status().ToString(),
             Contains("io_threads is 0"));
  CHECK_FALSE(PosixFileSystem::Create({.io_threads = 257}).ok());
  CHECK_THAT(PosixFileSystem::Create({.io = Options::Io::kThreads, .require_io_uring = true})
                 .status()
                 .ToString(),
             Contains("require_io_uring"));
}

// ---- The lock

TEST_CASE("a second lock in this process is refused and says that we hold it") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const std::string path = directory.File("LOCK");
  auto lock = fs->Lock(path);
  REQUIRE(lock.ok());
  const auto second = fs->Lock(path);
  CHECK(second.status().code() == StatusCode::kBusy);
  CHECK_THAT(second.status().ToString(),
             Contains("this process (" + std::to_string(::getpid()) + ")"));
  lock->reset();
  CHECK(fs->Lock(path).ok());
}

TEST_CASE("a lock that another process holds is refused and names its pid") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const std::string path = directory.File("LOCK");
  auto lock = fs->Lock(path);
  REQUIRE(lock.ok());
  const pid_t pid = ::getpid();
  CHECK(RunInChild([&]() -> std::string {
          const auto other = MakeFileSystem(Options::Io::kThreads);
          const std::string said = other->Lock(path).status().ToString();
          return said.find("process " + std::to_string(pid)) != std::string::npos ? "" : said;
        }) == "");
}

TEST_CASE("the lock of a process that was killed is free again") {
  const TemporaryDirectory directory;
  const std::string path = directory.File("LOCK");
  const Options::Io io = GENERATE(from_range(Backends()));
  const pid_t child = ::fork();
  if (child == 0) {
    const auto fs = MakeFileSystem(io);
    const auto lock = fs->Lock(path);
    const auto queue = fs->NewQueue(8);
    ::kill(::getpid(), lock.ok() && queue.ok() ? SIGKILL : SIGTERM);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);
  const auto fs = MakeFileSystem(io);
  CHECK(fs->Lock(path).ok());
}

TEST_CASE("a lock file that is removed and made anew does not let two in unseen") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const std::string path = directory.File("LOCK");
  auto first = fs->Lock(path);
  REQUIRE(first.ok());
  REQUIRE(fs->Remove(path).ok());
  // The new file is another lock; its holder is the one that everybody sees from now on.
  auto second = fs->Lock(path);
  REQUIRE(second.ok());
  CHECK(fs->Lock(path).status().code() == StatusCode::kBusy);
}

TEST_CASE("a lock file that cannot be made is an error that names it") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const auto lock = fs->Lock(directory.File("none/LOCK"));
  CHECK_THAT(lock.status().ToString(), Contains("none/LOCK") && Contains("ENOENT"));
}

TEST_CASE("a ring keeps the lock's file open until the ring is gone") {
  if (!HaveUring()) return;
  const TemporaryDirectory directory;
  const std::string path = directory.File("LOCK");
  const int held = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::flock(held, LOCK_EX | LOCK_NB) == 0);
  auto queue = UringQueue::Create(4, std::vector<int>{held});
  REQUIRE(queue.ok());
  ::close(held);  // as the kernel does first when it ends a process
  const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(::flock(other, LOCK_EX | LOCK_NB) != 0);
  queue->reset();
  CHECK(::flock(other, LOCK_EX) == 0);  // waits: the kernel takes a ring down in the background
  ::close(other);
}

// Closes this process's descriptor of a file behind its owner's back.
bool CloseDescriptorOf(const std::string& path) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(entry.path(), ignored) != path) continue;
    return ::close(std::atoi(entry.path().filename().c_str())) == 0;
  }
  return false;
}

TEST_CASE("queues of a file system that holds the lock keep it, other backends do not") {
  const TemporaryDirectory directory;
  const Options::Io io = GENERATE(from_range(Backends()));
  CHECK(RunInChild([&]() -> std::string {
          const auto fs = MakeFileSystem(io);
          const std::string path = directory.File("LOCK");
          auto lock = fs->Lock(path);
          auto queue = fs->NewQueue(4);
          if (!lock.ok() || !queue.ok()) return "no lock or no queue";
          if (!CloseDescriptorOf(path)) return "the lock's descriptor was not found";
          const bool free = fs->Lock(path).ok();
          return free == (io == Options::Io::kThreads) ? "" : "free: " + std::to_string(free);
        }) == "");
}

TEST_CASE("giving the lock back frees it at once though rings still hold its file") {
  if (!HaveUring()) return;
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kUring);
  const std::string path = directory.File("LOCK");
  auto lock = fs->Lock(path);
  REQUIRE(lock.ok());
  const auto queue = fs->NewQueue(4);
  REQUIRE(queue.ok());
  lock->reset();
  const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(::flock(other, LOCK_EX | LOCK_NB) == 0);
  ::close(other);
  // And the released descriptor is not given to further rings.
  CHECK(fs->NewQueue(4).ok());
}

}  // namespace
}  // namespace lamina
