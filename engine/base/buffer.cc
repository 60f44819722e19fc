#include "engine/base/buffer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "engine/base/status.h"

namespace lamina {
namespace {

size_t RoundUp(size_t bytes, size_t unit) noexcept { return (bytes + unit - 1) / unit * unit; }

// madvise succeeds even where huge pages are switched off for everyone.
bool HugePagesEnabled() noexcept {
  static const bool enabled = [] {
    const int fd = ::open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    char text[128];
    const ssize_t length = ::read(fd, text, sizeof text);
    ::close(fd);
    if (length <= 0) return false;
    return std::string_view(text, static_cast<size_t>(length)).find("[never]") ==
           std::string_view::npos;
  }();
  return enabled;
}

// Maps `bytes` on a 2 MiB boundary: maps more and gives the ends back.
std::byte* MapOnHugeBoundary(size_t bytes) noexcept {
  const size_t reserved = bytes + kHugePageBytes;
  void* const mapped =
      ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = RoundUp(start, kHugePageBytes);
  if (aligned > start) ::munmap(mapped, aligned - start);
  const uintptr_t end = aligned + bytes;
  if (start + reserved > end) ::munmap(reinterpret_cast<void*>(end), start + reserved - end);
  return reinterpret_cast<std::byte*>(aligned);
}

// Small chunks share a slab of one huge page; large ones have a slab each. A capacity below a huge
// page gets one slab of what fits.
size_t SlabBytes(size_t chunk_bytes, size_t capacity_bytes) noexcept {
  if (chunk_bytes >= kHugePageBytes) return chunk_bytes;
  if (capacity_bytes >= kHugePageBytes) return kHugePageBytes;
  return std::max(chunk_bytes, capacity_bytes / chunk_bytes * chunk_bytes);
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) noexcept : bytes_(RoundUp(bytes, kPageBytes)) {
  LAMINA_CHECK(bytes_ >= bytes);
  if (bytes_ == 0) return;
  if (bytes_ >= kHugePageBytes) {
    data_ = MapOnHugeBoundary(bytes_);
    LAMINA_CHECK(data_ != nullptr);
    huge_ = ::madvise(data_, bytes_, MADV_HUGEPAGE) == 0 && HugePagesEnabled();
  } else {
    data_ = static_cast<std::byte*>(std::aligned_alloc(kPageBytes, bytes_));
    LAMINA_CHECK(data_ != nullptr);
    std::memset(data_, 0, bytes_);
  }
}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this == &other) return *this;
  Free();
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  huge_ = std::exchange(other.huge_, false);
  return *this;
}

void AlignedBuffer::Free() noexcept {
  if (data_ == nullptr) return;
  if (bytes_ >= kHugePageBytes) {
    ::munmap(data_, bytes_);
  } else {
    std::free(data_);
  }
  data_ = nullptr;
}

BufferPool::Lease& BufferPool::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = std::exchange(other.pool_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  return *this;
}

void BufferPool::Lease::Release() noexcept {
  if (data_ != nullptr) pool_->Return(data_);
  data_ = nullptr;
  pool_ = nullptr;
}

BufferPool::BufferPool(size_t chunk_bytes, size_t capacity_bytes) noexcept
    : chunk_bytes_(RoundUp(std::max<size_t>(chunk_bytes, 1), kPageBytes)),
      slab_bytes_(SlabBytes(chunk_bytes_, capacity_bytes)),
      max_slabs_(std::max<size_t>(1, capacity_bytes / slab_bytes_)) {}

BufferPool::~BufferPool() { LAMINA_CHECK(leased_ == 0); }

std::byte* BufferPool::TakeLocked() noexcept {
  if (free_.empty() && slabs_.size() < max_slabs_) {
    AlignedBuffer& slab = slabs_.emplace_back(slab_bytes_);
    for (size_t at = 0; at + chunk_bytes_ <= slab_bytes_; at += chunk_bytes_)
      free_.push_back(slab.data() + at);
  }
  if (free_.empty()) return nullptr;
  std::byte* const chunk = free_.back();
  free_.pop_back();
  ++leased_;
  return chunk;
}

BufferPool::Lease BufferPool::Acquire() noexcept {
  std::unique_lock lock(mutex_);
  std::byte* chunk = TakeLocked();
  if (chunk == nullptr) {
    ++waits_;
    ++waiting_;
    returned_.wait(lock, [&] { return (chunk = TakeLocked()) != nullptr; });
    --waiting_;
  }
  return {this, chunk};
}

BufferPool::Lease BufferPool::TryAcquire() noexcept {
  const std::lock_guard lock(mutex_);
  std::byte* const chunk = TakeLocked();
  return chunk == nullptr ? Lease() : Lease(this, chunk);
}

void BufferPool::Return(std::byte* chunk) noexcept {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(chunk);
    --leased_;
  }
  returned_.notify_one();
}

BufferPool::Stats BufferPool::stats() const noexcept {
  const std::lock_guard lock(mutex_);
  return {.chunk_bytes = chunk_bytes_,
          .capacity_bytes = max_slabs_ * slab_bytes_,
          .mapped_bytes = slabs_.size() * slab_bytes_,
          .leased_bytes = leased_ * chunk_bytes_,
          .waiting_threads = waiting_,
          .waits = waits_,
          .huge = !slabs_.empty() && std::all_of(slabs_.begin(), slabs_.end(),
                                                 [](const AlignedBuffer& s) { return s.huge(); })};
}

}  // namespace lamina
