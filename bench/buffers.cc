#include "bench/buffers.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace lamina::bench {
namespace {
constexpr size_t kHugePageBytes = size_t{2} << 20;
}

Result<PageBuffers> PageBuffers::Allocate(size_t pages, size_t page_bytes) {
  const size_t stride = RoundUp(page_bytes, kDirectIoBytes);
  // One huge page more than needed, so that the first page can lie on a huge page's boundary.
  const size_t mapped_bytes = RoundUp(pages * stride, kHugePageBytes) + kHugePageBytes;
  void* const mapping =
      mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    return Status(StatusCode::kNoSpace, "cannot map " + std::to_string(mapped_bytes) +
                                            " bytes of page buffers: " + std::strerror(errno));
  }
  // A kernel without huge pages refuses; small ones do, slower, for all engines alike.
  (void)madvise(mapping, mapped_bytes, MADV_HUGEPAGE);
  const auto address = reinterpret_cast<uintptr_t>(mapping);
  auto* const first =
      static_cast<std::byte*>(mapping) + (RoundUp(address, kHugePageBytes) - address);
  std::memset(first, 0xA5, pages * stride);
  std::vector<std::byte*> starts(pages);
  for (size_t i = 0; i < pages; ++i) starts[i] = first + i * stride;
  return PageBuffers(mapping, mapped_bytes, page_bytes, std::move(starts));
}

PageBuffers::PageBuffers(void* mapping, size_t mapped_bytes, size_t page_bytes,
                         std::vector<std::byte*> pages) noexcept
    : mapping_(mapping),
      mapped_bytes_(mapped_bytes),
      page_bytes_(page_bytes),
      pages_(std::move(pages)) {}

PageBuffers::PageBuffers(PageBuffers&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      page_bytes_(other.page_bytes_),
      pages_(std::move(other.pages_)) {}

PageBuffers::~PageBuffers() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

}  // namespace lamina::bench
