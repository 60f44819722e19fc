#include "engine/io/queue_pool.h"

#include <sys/syscall.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/io/io_test_util.h"
#include "tests/io/seccomp.h"

namespace lamina {
namespace {

QueuePool::Lease MustAcquire(QueuePool* pool) {
  auto lease = pool->Acquire();
  REQUIRE(lease.ok());
  return std::move(*lease);
}

TEST_CASE("a pool makes queues when needed and uses them again") {
  const auto fs = MakeFileSystem(GENERATE(from_range(Backends())));
  QueuePool pool(fs.get(), 2, 4);
  CHECK(pool.stats().created == 0);
  IoQueue* first = nullptr;
  {
    const QueuePool::Lease lease = MustAcquire(&pool);
    first = lease.get();
    CHECK(lease->depth() == 2);
    CHECK(pool.stats().leased == 1);
  }
  const QueuePool::Lease again = MustAcquire(&pool);
  CHECK(again.get() == first);
  const QueuePool::Lease other = MustAcquire(&pool);
  CHECK(other.get() != first);
  CHECK(pool.stats().created == 2);
}

TEST_CASE("a pool keeps no more idle queues than its bound") {
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  QueuePool pool(fs.get(), 1, 2);
  {
    std::vector<QueuePool::Lease> leases;
    for (int i = 0; i < 5; ++i) leases.push_back(MustAcquire(&pool));
    CHECK(pool.stats().leased == 5);
  }
  CHECK(pool.stats().leased == 0);
  CHECK(pool.stats().idle == 2);
}

TEST_CASE("a queue that comes back with requests pending is drained first") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(GENERATE(from_range(Backends())));
  auto file = fs->Open(directory.File("f"), {.write = true, .create = true});
  REQUIRE(file.ok());
  QueuePool pool(fs.get(), 1, 1);
  std::vector<std::byte> memory = RandomBytes(4096, 1);
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  {
    QueuePool::Lease lease = MustAcquire(&pool);
    for (size_t i = 0; i < 4; ++i) {
      requests.push_back(
          std::make_unique<OwnedRequest>(file->get(), /*write=*/true, i * 4096, memory));
      lease->Submit(&requests.back()->request);
    }
  }
  CHECK(*(*file)->Size() == 4 * 4096);
  const QueuePool::Lease lease = MustAcquire(&pool);
  CHECK(lease->pending() == 0);
  CHECK(lease->Wait() == nullptr);
}

TEST_CASE("a lease that is moved gives its queue back once") {
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  QueuePool pool(fs.get(), 1, 4);
  QueuePool::Lease first = MustAcquire(&pool);
  QueuePool::Lease second = std::move(first);
  CHECK_FALSE(first);  // NOLINT: the state after a move is promised
  second = MustAcquire(&pool);
  CHECK(pool.stats().leased == 1);
  second.Release();
  second.Release();
  CHECK(pool.stats().idle == 2);
}

TEST_CASE("threads that share a pool never share a queue") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(GENERATE(from_range(Backends())));
  auto file = fs->Open(directory.File("f"), {.write = true, .create = true});
  REQUIRE(file.ok());
  REQUIRE((*file)->Write(0, RandomBytes(4096, 1)).ok());
  QueuePool pool(fs.get(), 4, 2);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 100; ++round) {
        std::vector<std::byte> memory(4096);
        OwnedRequest owned(file->get(), /*write=*/false, 0, memory);
        auto lease = pool.Acquire();
        if (!lease.ok()) std::abort();
        (*lease)->Submit(&owned.request);
        if ((*lease)->Wait() != &owned.request || owned.request.error != 0) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
  CHECK(pool.stats().idle <= 2);
}

TEST_CASE("when no queue can be made the pool says so and can be used later") {
  CHECK(RunInChild([&]() -> std::string {
          if (!HaveUring()) return "";
          const auto fs = MakeFileSystem(Options::Io::kUring);
          QueuePool pool(fs.get(), 1, 1);
          { const auto lease = pool.Acquire(); }
          RefuseSystemCall(__NR_io_uring_setup, ENOMEM);
          const auto idle = pool.Acquire();
          if (!idle.ok()) return "the idle queue was not used";
          const auto none = pool.Acquire();
          if (none.ok()) return "gave a queue";
          return pool.stats().leased == 1 ? "" : "counted a lease that was not given";
        }) == "");
}

// The errno of a read through a queue of the pool.
int ReadThrough(QueuePool* pool, File* file) {
  std::vector<std::byte> memory(16);
  OwnedRequest owned(file, /*write=*/false, 0, memory);
  auto lease = pool->Acquire();
  if (!lease.ok()) std::abort();
  (*lease)->Submit(&owned.request);
  if ((*lease)->Wait() != &owned.request) std::abort();
  return owned.request.error;
}

TEST_CASE("a queue that the kernel has refused for good is not given to others") {
  if (!HaveUring()) return;
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          const auto fs = MakeFileSystem(Options::Io::kUring);
          auto file = fs->Open(directory.File("f"), {.write = true, .create = true});
          if (!file.ok()) return file.status().ToString();
          if (!(*file)->Write(0, RandomBytes(16, 1)).ok()) return "the file was not written";
          QueuePool pool(fs.get(), 1, 1);
          if (ReadThrough(&pool, file->get()) != 0) return "a new queue does not read";
          // Only this thread is refused.
          int refused = 0;
          std::thread([&] {
            RefuseSystemCall(__NR_io_uring_enter, EPERM);
            refused = ReadThrough(&pool, file->get());
          }).join();
          if (refused != EPERM) return "errno " + std::to_string(refused);
          if (pool.stats().idle != 0) return "the broken queue is kept";
          if (ReadThrough(&pool, file->get()) != 0) return "the next one got a broken queue";
          return pool.stats().created == 2 ? "" : "queues were made for nothing";
        }) == "");
}

}  // namespace
}  // namespace lamina
