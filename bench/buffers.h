// Page buffers that every engine is measured with: one mapping, backed by huge pages where the
// kernel has them, each page on a 4 KiB boundary with room up to the next one (so that direct I/O
// of a page whose size is not a multiple of 4 KiB stays inside its own buffer).
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

// Owns `pages` buffers of `page_bytes`. All memory is touched when it is made, so no engine pays
// for page faults.
class PageBuffers {
 public:
  static Result<PageBuffers> Allocate(size_t pages, size_t page_bytes);
  PageBuffers(PageBuffers&& other) noexcept;
  PageBuffers& operator=(PageBuffers&&) = delete;
  ~PageBuffers();

  [[nodiscard]] size_t pages() const noexcept { return pages_.size(); }
  [[nodiscard]] std::span<std::byte* const> Pages(size_t count) const noexcept {
    return std::span(pages_).first(count);
  }
  [[nodiscard]] std::span<std::byte> Page(size_t index) const noexcept {
    return {pages_[index], page_bytes_};
  }

 private:
  PageBuffers(void* mapping, size_t mapped_bytes, size_t page_bytes,
              std::vector<std::byte*> pages) noexcept;
  void* mapping_;
  size_t mapped_bytes_;
  size_t page_bytes_;
  std::vector<std::byte*> pages_;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_BUFFERS_H_
