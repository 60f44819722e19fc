// One sync for many waiters.
#include "tensorlog/shared_sync.h"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <thread>
#include <vector>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

// A file whose syncs wait for a gate.
class GatedFile final : public File {
 public:
  Status Read(uint64_t, std::span<std::byte>) noexcept override { return Status::Ok(); }
  Status Write(uint64_t, std::span<const std::byte>) noexcept override { return Status::Ok(); }
  Status Sync() noexcept override {
    std::unique_lock lock(mutex);
    const int mine = ++started;
    changed.notify_all();
    changed.wait(lock, [&] { return allowed >= mine; });
    return result;
  }
  Status Allocate(uint64_t) noexcept override { return Status::Ok(); }
  Status PunchHole(uint64_t, uint64_t) noexcept override { return Status::Ok(); }
  Status Truncate(uint64_t) noexcept override { return Status::Ok(); }
  Result<uint64_t> Size() noexcept override { return uint64_t{0}; }
  Alignment alignment() const noexcept override { return {}; }
  bool direct() const noexcept override { return false; }
  const std::string& path() const noexcept override { return name; }
  int fd() const noexcept override { return -1; }

  void Allow(int syncs) {
    const std::lock_guard lock(mutex);
    allowed = syncs;
    changed.notify_all();
  }
  void WaitStarted(int syncs) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return started >= syncs; });
  }

  std::mutex mutex;
  std::condition_variable changed;
  int started = 0;
  int allowed = 0;
  Status result;
  std::string name = "gated";
};

TEST_CASE("a sync that was running does not count for who comes later; the next one is shared") {
  GatedFile file;
  SharedSync sync;
  std::atomic<int> returned{0};
  // Assertions are not for other threads; they count what went well.
  std::thread first([&] { returned += sync.Sync(file).ok() ? 1 : 100; });
  file.WaitStarted(1);
  std::vector<std::thread> later;
  std::atomic<int> called{0};
  for (int i = 0; i < 4; ++i) {
    later.emplace_back([&] {
      ++called;
      returned += sync.Sync(file).ok() ? 1 : 100;
    });
  }
  while (called.load() < 4) std::this_thread::yield();
  file.Allow(1);
  first.join();
  // Whoever came while the first ran needs another one, which has started and waits for the gate.
  file.WaitStarted(2);
  CHECK(returned == 1);
  file.Allow(100);
  for (std::thread& thread : later) thread.join();
  CHECK(returned == 5);
  // One for all of them, or two if one was late.
  CHECK(sync.issued() <= 3);
}

TEST_CASE("a failed sync fails everyone who waits, and everyone after, and is not repeated") {
  GatedFile file;
  file.result = Status::IoError("gone");
  file.Allow(100);
  SharedSync sync;
  CHECK_FALSE(sync.Sync(file).ok());
  file.result = Status::Ok();
  const Status later = sync.Sync(file);
  CHECK(later.message() == "gone");
  CHECK(sync.issued() == 1);
}

}  // namespace
}  // namespace lamina
