#include "engine/base/buffer.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace lamina {
namespace {

bool AlignedTo(const void* address, size_t alignment) {
  return reinterpret_cast<uintptr_t>(address) % alignment == 0;
}

// The VmFlags line of the mapping that starts at or holds `address`.
std::string VmFlagsOf(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t from = 0;
    uintptr_t to = 0;
    char dash = 0;
    std::istringstream header(line);
    if (header >> std::hex >> from >> dash >> to && dash == '-') {
      inside = from <= wanted && wanted < to;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      return line + " ";
    }
  }
  return "";
}

TEST_CASE("a buffer is page-aligned, zeroed and rounded up to whole pages") {
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{4097}, size_t{1} << 20}) {
    AlignedBuffer buffer(bytes);
    CHECK(AlignedTo(buffer.data(), kPageBytes));
    CHECK(buffer.size() == (bytes + 4095) / 4096 * 4096);
    CHECK(buffer.span().size() == buffer.size());
    CHECK_FALSE(buffer.huge());
    CHECK(std::all_of(buffer.span().begin(), buffer.span().end(),
                      [](std::byte b) { return b == std::byte{0}; }));
    std::fill(buffer.span().begin(), buffer.span().end(), std::byte{7});
  }
  AlignedBuffer empty(0);
  CHECK(empty.data() == nullptr);
  CHECK(empty.span().empty());
}

TEST_CASE("a buffer of 2 MiB and more lies on a 2 MiB boundary and asks for huge pages") {
  for (const size_t bytes : {kHugePageBytes, kHugePageBytes + 4096, 3 * kHugePageBytes}) {
    AlignedBuffer buffer(bytes);
    CHECK(AlignedTo(buffer.data(), kHugePageBytes));
    CHECK(buffer.size() == bytes);
    std::fill(buffer.span().begin(), buffer.span().end(), std::byte{7});
    // "hg" marks a mapping that was advised to use huge pages.
    if (buffer.huge()) CHECK(VmFlagsOf(buffer.data()).find(" hg ") != std::string::npos);
  }
}

TEST_CASE("huge() is what the kernel's switch for huge pages says") {
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(setting, text);
  const bool enabled = !text.empty() && text.find("[never]") == std::string::npos;
  CHECK(AlignedBuffer(kHugePageBytes).huge() == enabled);
}

TEST_CASE("moving a buffer moves its memory and leaves the source empty") {
  AlignedBuffer first(kHugePageBytes);
  std::byte* const data = first.data();
  AlignedBuffer second(std::move(first));
  CHECK(second.data() == data);
  CHECK(first.data() == nullptr);  // NOLINT: the state after a move is promised
  CHECK(first.size() == 0);
  AlignedBuffer third(4096);
  third = std::move(second);
  CHECK(third.data() == data);
  CHECK(third.size() == kHugePageBytes);
}

TEST_CASE("a pool's chunks are aligned, distinct and within its bound") {
  BufferPool pool(256 << 10, 2 * kHugePageBytes);
  std::vector<BufferPool::Lease> leases;
  std::set<std::byte*> seen;
  for (BufferPool::Lease lease = pool.TryAcquire(); lease; lease = pool.TryAcquire()) {
    CHECK(AlignedTo(lease.data(), kPageBytes));
    CHECK(lease.size() == 256 << 10);
    std::fill(lease.span().begin(), lease.span().end(), std::byte{1});
    CHECK(seen.insert(lease.data()).second);
    leases.push_back(std::move(lease));
  }
  CHECK(leases.size() == 16);
  const BufferPool::Stats stats = pool.stats();
  CHECK(stats.mapped_bytes == 2 * kHugePageBytes);
  CHECK(stats.capacity_bytes == 2 * kHugePageBytes);
  CHECK(stats.leased_bytes == 2 * kHugePageBytes);
  CHECK(stats.huge == AlignedBuffer(kHugePageBytes).huge());
}

TEST_CASE("a pool maps nothing before it is used and keeps what it mapped") {
  BufferPool pool(1 << 20, 8 * kHugePageBytes);
  CHECK(pool.stats().mapped_bytes == 0);
  { const BufferPool::Lease lease = pool.Acquire(); }
  CHECK(pool.stats().mapped_bytes == kHugePageBytes);
  CHECK(pool.stats().leased_bytes == 0);
  { const BufferPool::Lease lease = pool.Acquire(); }
  CHECK(pool.stats().mapped_bytes == kHugePageBytes);
}

TEST_CASE("a pool holds at least one chunk, and large chunks have a slab each") {
  BufferPool small(8192, 0);
  const BufferPool::Lease only = small.TryAcquire();
  CHECK(only);
  CHECK_FALSE(small.TryAcquire());

  BufferPool large(kHugePageBytes + 4096, 2 * kHugePageBytes);
  const BufferPool::Lease chunk = large.TryAcquire();
  CHECK(AlignedTo(chunk.data(), kHugePageBytes));
  CHECK(large.stats().capacity_bytes == kHugePageBytes + 4096);
  CHECK_FALSE(large.TryAcquire());
}

TEST_CASE("an exhausted pool makes Acquire wait until a chunk comes back") {
  BufferPool pool(4096, 4096);
  BufferPool::Lease held = pool.Acquire();
  std::byte* const chunk = held.data();
  std::byte* received = nullptr;
  std::thread waiter([&] {
    const BufferPool::Lease lease = pool.Acquire();
    received = lease.data();
  });
  while (pool.stats().waiting_threads == 0) std::this_thread::yield();
  held.Release();
  waiter.join();
  CHECK(received == chunk);
  CHECK(pool.stats().waits == 1);
  CHECK(pool.stats().waiting_threads == 0);
}

TEST_CASE("a pool never gives one chunk to two threads") {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  BufferPool pool(4096, 2 * 4096);
  std::atomic<int> clashes = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&pool, &clashes, mark = std::byte(t + 1)] {
      for (int round = 0; round < kRounds; ++round) {
        const BufferPool::Lease lease = pool.Acquire();
        lease.data()[0] = mark;
        lease.data()[4095] = mark;
        if (lease.data()[0] != mark || lease.data()[4095] != mark) ++clashes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(clashes == 0);
  CHECK(pool.stats().leased_bytes == 0);
  CHECK(pool.stats().mapped_bytes <= 2 * 4096);
}

}  // namespace
}  // namespace lamina
