// Memory for direct I/O: page-aligned buffers, and a bounded pool of equal chunks.
//
// Direct I/O into memory backed by 2 MiB pages is markedly faster than into 4 KiB pages, since the
// kernel pins one page instead of 512. Buffers of 2 MiB and more are therefore mapped on 2 MiB
// boundaries and marked for huge pages; `huge()` says whether the kernel took that up.
#ifndef LAMINA_ENGINE_BASE_BUFFER_H_
#define LAMINA_ENGINE_BASE_BUFFER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace lamina {

inline constexpr size_t kPageBytes = 4096;  // what buffers are aligned to at least
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

// Owns zeroed memory whose address is a multiple of kPageBytes, and of kHugePageBytes from that
// size on. Memory exhaustion ends the process.
class AlignedBuffer {
 public:
  AlignedBuffer() noexcept = default;
  // `bytes` is rounded up to a multiple of kPageBytes. 0 gives an empty buffer.
  explicit AlignedBuffer(size_t bytes) noexcept;
  ~AlignedBuffer() { Free(); }
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = std::move(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] size_t size() const noexcept { return bytes_; }  // as rounded up
  [[nodiscard]] std::span<std::byte> span() noexcept { return {data_, bytes_}; }
  [[nodiscard]] std::span<const std::byte> span() const noexcept { return {data_, bytes_}; }
  // Whether the kernel agreed to back the memory with huge pages. It may still use small ones for a
  // part when memory is fragmented.
  [[nodiscard]] bool huge() const noexcept { return huge_; }

 private:
  void Free() noexcept;

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  bool huge_ = false;
};

// Chunks of one size, carved out of huge-page slabs that are mapped when first needed and kept
// until the pool goes. Thread-safe. Outlives its leases.
class BufferPool {
 public:
  // A chunk while it is in use. Move-only; gives the chunk back when destroyed.
  class Lease {
   public:
    Lease() noexcept = default;
    ~Lease() { Release(); }
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    explicit operator bool() const noexcept { return data_ != nullptr; }
    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] size_t size() const noexcept {
      return pool_ == nullptr ? 0 : pool_->chunk_bytes_;
    }
    [[nodiscard]] std::span<std::byte> span() const noexcept { return {data(), size()}; }
    void Release() noexcept;

   private:
    friend class BufferPool;
    Lease(BufferPool* pool, std::byte* data) noexcept : pool_(pool), data_(data) {}

    BufferPool* pool_ = nullptr;
    std::byte* data_ = nullptr;
  };

  struct Stats {
    size_t chunk_bytes = 0;
    size_t capacity_bytes = 0;  // bound on mapped_bytes
    size_t mapped_bytes = 0;    // what the pool holds from the system
    size_t leased_bytes = 0;
    size_t waiting_threads = 0;
    uint64_t waits = 0;  // Acquire calls that had to wait
    bool huge = false;   // whether all slabs got huge pages; false while there is none
  };

  // `chunk_bytes` is rounded up to a multiple of kPageBytes, `capacity_bytes` down to whole slabs
  // but never below one chunk.
  BufferPool(size_t chunk_bytes, size_t capacity_bytes) noexcept;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // Waits for a chunk when all are leased. Content is what the last user left. A thread that waits
  // here while it holds a lease can wait for itself: take further chunks with TryAcquire.
  [[nodiscard]] Lease Acquire() noexcept;
  // An empty lease when all chunks are leased.
  [[nodiscard]] Lease TryAcquire() noexcept;

  [[nodiscard]] size_t chunk_bytes() const noexcept { return chunk_bytes_; }
  [[nodiscard]] Stats stats() const noexcept;

 private:
  std::byte* TakeLocked() noexcept;
  void Return(std::byte* chunk) noexcept;

  const size_t chunk_bytes_;
  const size_t slab_bytes_;
  const size_t max_slabs_;

  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<AlignedBuffer> slabs_;
  std::vector<std::byte*> free_;
  size_t leased_ = 0;
  size_t waiting_ = 0;
  uint64_t waits_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_BUFFER_H_
