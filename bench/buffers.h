// Page buffers that every engine is measured with: one mapping, backed by huge pages where the
// kernel has them. Unless asked otherwise, a page is one buffer on a 4 KiB boundary with room up to
// the next one (so that direct I/O of a page whose size is not a multiple of 4 KiB stays inside its
// own buffer).
#ifndef LAMINA_BENCH_BUFFERS_H_
#define LAMINA_BENCH_BUFFERS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "engine/lamina.h"

namespace lamina::bench {

inline constexpr size_t kDirectIoBytes = 4096;

constexpr size_t RoundUp(size_t bytes, size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

// How pages lie in memory.
struct BufferLayout {
  // Buffers that a page is scattered over, as in a serving engine's pool with the layer as its
  // outermost dimension: all pages' first fragments, then all pages' second ones, and so on. A
  // divisor of the page's bytes.
  size_t fragments = 1;
  // Bytes behind a 4 KiB boundary at which each buffer begins; less than 4096.
  size_t misalign_bytes = 0;
};

// Owns the buffers of `pages` pages of `page_bytes`. All memory is touched when it is made, so no
// engine pays for page faults.
class PageBuffers {
 public:
  static Result<PageBuffers> Allocate(size_t pages, size_t page_bytes, BufferLayout layout = {});
  PageBuffers(PageBuffers&& other) noexcept;
  PageBuffers& operator=(PageBuffers&&) = delete;
  ~PageBuffers();

  [[nodiscard]] size_t pages() const noexcept { return starts_.size() / fragments_; }
  [[nodiscard]] size_t fragments() const noexcept { return fragments_; }
  // The starts of the fragments of `count` pages from `first` on, page by page.
  [[nodiscard]] std::span<std::byte* const> Pages(size_t first, size_t count) const noexcept {
    return std::span(starts_).subspan(first * fragments_, count * fragments_);
  }
  [[nodiscard]] std::span<std::byte* const> Pages(size_t count) const noexcept {
    return Pages(0, count);
  }
  [[nodiscard]] std::span<std::byte> Fragment(size_t page, size_t fragment) const noexcept {
    return {starts_[page * fragments_ + fragment], fragment_bytes_};
  }
  // The whole page, where it is one buffer.
  [[nodiscard]] std::span<std::byte> Page(size_t index) const noexcept {
    return Fragment(index, 0);
  }

 private:
  PageBuffers(void* mapping, size_t mapped_bytes, size_t fragments, size_t fragment_bytes,
              std::vector<std::byte*> starts) noexcept;
  void* mapping_;
  size_t mapped_bytes_;
  size_t fragments_;
  size_t fragment_bytes_;
  std::vector<std::byte*> starts_;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_BUFFERS_H_
