// One device request for consecutive bytes of a segment file, put together from pages' fragments.
//
// Fragments that meet the device's alignment, in memory and in the file, go as they are. The rest,
// and what is left of a page behind its last aligned byte, goes through a pooled buffer: copied in
// (and padded with zeros, to whole blocks whatever the alignment) before a write, copied out after
// a read. Never a byte beyond the caller's fragments is read or written.
#ifndef LAMINA_TENSORLOG_PAGE_REQUEST_H_
#define LAMINA_TENSORLOG_PAGE_REQUEST_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/io/file_system.h"
#include "engine/io/io_queue.h"

namespace lamina {

// Walks the bytes of a page's fragments.
class FragmentWalker {
 public:
  explicit FragmentWalker(std::span<const iovec> fragments, uint64_t offset = 0) noexcept
      : fragments_(fragments) {
    Advance(offset);
  }
  // What is left of the fragment at hand; never empty. Not at the end.
  [[nodiscard]] std::span<std::byte> rest() const noexcept {
    const iovec& fragment = fragments_[index_];
    return {static_cast<std::byte*>(fragment.iov_base) + offset_, fragment.iov_len - offset_};
  }
  void Advance(uint64_t bytes) noexcept {
    offset_ += static_cast<size_t>(bytes);
    while (index_ < fragments_.size() && offset_ >= fragments_[index_].iov_len) {
      offset_ -= fragments_[index_].iov_len;
      ++index_;
    }
  }

 private:
  std::span<const iovec> fragments_;
  size_t index_ = 0;
  size_t offset_ = 0;
};

uint64_t TotalBytes(std::span<const iovec> fragments) noexcept;

// The checksum of chunk `chunk` of a page under its fingerprint (base/keys.h).
uint64_t ChunkSumOf(uint64_t fingerprint, std::span<const iovec> fragments, uint64_t page_bytes,
                    size_t chunk) noexcept;

class PageRequest {
 public:
  // Payload bytes of one page that this request moves.
  struct Part {
    size_t page = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  // Gives a buffer for what has to be copied.
  using BounceSource = std::function<BufferPool::Lease()>;

  // Starts over, with nothing in it, at `offset` (aligned) of the file.
  void Reset(File* file, bool write, uint64_t offset, size_t max_bytes) noexcept;

  // Adds payload of `page`, from page offset `offset` on, `left` bytes of it at most, and moves the
  // walker. Returns the payload bytes added: fewer than `left` when the request is full.
  uint64_t AddPayload(size_t page, uint64_t offset, FragmentWalker* walker, uint64_t left,
                      const BounceSource& bounce) noexcept;
  // Bytes between two pages: written as zeros, read and dropped. False when there is no room.
  bool AddGap(uint64_t bytes, const BounceSource& bounce) noexcept;

  // The request as the queue wants it.
  IoRequest* Seal() noexcept;
  // After a read: hands the copied bytes to the caller's fragments.
  void CopyOut() noexcept;
  // Gives the buffer back.
  void DropBounce() noexcept { bounce_.Release(); }

  [[nodiscard]] std::span<const Part> parts() const noexcept { return parts_; }
  [[nodiscard]] bool holds_bounce() const noexcept { return static_cast<bool>(bounce_); }
  [[nodiscard]] uint64_t end_offset() const noexcept { return io_.offset + bytes_; }
  [[nodiscard]] size_t room() const noexcept { return max_bytes_ - bytes_; }
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint64_t bounced_bytes() const noexcept { return bounced_; }
  [[nodiscard]] const IoRequest& io() const noexcept { return io_; }

 private:
  struct Copy {
    std::byte* bounce;
    std::byte* fragment;
    size_t bytes;
  };

  void AddVector(std::byte* data, size_t bytes) noexcept;
  size_t AddDirect(FragmentWalker* walker, size_t bytes) noexcept;
  size_t AddBounced(FragmentWalker* walker, uint64_t left, const BounceSource& bounce) noexcept;
  bool HaveBounce(size_t bytes, const BounceSource& bounce) noexcept;
  void AddPart(size_t page, uint64_t offset, uint64_t bytes) noexcept;

  IoRequest io_;
  size_t max_bytes_ = 0;
  Alignment alignment_;
  size_t bytes_ = 0;
  uint64_t bounced_ = 0;
  std::vector<iovec> vectors_;
  std::vector<Part> parts_;
  std::vector<Copy> copies_;
  BufferPool::Lease bounce_;
  size_t bounce_used_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_PAGE_REQUEST_H_
