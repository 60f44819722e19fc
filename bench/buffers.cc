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

Result<PageBuffers> PageBuffers::Allocate(size_t pages, size_t page_bytes, BufferLayout layout) {
  const size_t fragment_bytes = page_bytes / layout.fragments;
  const size_t stride = RoundUp(layout.misalign_bytes + fragment_bytes, kDirectIoBytes);
  const size_t buffers = pages * layout.fragments;
  // One huge page more than needed, so that the first page can lie on a huge page's boundary.
  const size_t mapped_bytes = RoundUp(buffers * stride, kHugePageBytes) + kHugePageBytes;
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
  std::memset(first, 0xA5, buffers * stride);
  std::vector<std::byte*> starts(buffers);
  for (size_t page = 0; page < pages; ++page) {
    for (size_t f = 0; f < layout.fragments; ++f) {
      starts[page * layout.fragments + f] =
          first + (f * pages + page) * stride + layout.misalign_bytes;
    }
  }
  return PageBuffers(mapping, mapped_bytes, layout.fragments, fragment_bytes, std::move(starts));
}

PageBuffers::PageBuffers(void* mapping, size_t mapped_bytes, size_t fragments,
                         size_t fragment_bytes, std::vector<std::byte*> starts) noexcept
    : mapping_(mapping),
      mapped_bytes_(mapped_bytes),
      fragments_(fragments),
      fragment_bytes_(fragment_bytes),
      starts_(std::move(starts)) {}

PageBuffers::PageBuffers(PageBuffers&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      fragments_(other.fragments_),
      fragment_bytes_(other.fragment_bytes_),
      starts_(std::move(other.starts_)) {}

PageBuffers::~PageBuffers() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

}  // namespace lamina::bench
