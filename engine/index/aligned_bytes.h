// Heap memory on block boundaries, for direct I/O.
#ifndef LAMINA_ENGINE_INDEX_ALIGNED_BYTES_H_
#define LAMINA_ENGINE_INDEX_ALIGNED_BYTES_H_

#include <cstddef>
#include <memory>
#include <new>

#include "engine/index/block_cache.h"

namespace lamina {

// Bytes aligned to kTableBlockBytes.
struct AlignedBytesDelete {
  void operator()(std::byte* p) const noexcept {
    ::operator delete(p, std::align_val_t(kTableBlockBytes));
  }
};
using AlignedBytes = std::unique_ptr<std::byte, AlignedBytesDelete>;
inline AlignedBytes NewAlignedBytes(size_t bytes) noexcept {
  return AlignedBytes(
      static_cast<std::byte*>(::operator new(bytes, std::align_val_t(kTableBlockBytes))));
}

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_ALIGNED_BYTES_H_
