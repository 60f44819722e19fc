// Memory that is handed out in small pieces and given back all at once.
#ifndef LAMINA_ENGINE_INDEX_ARENA_H_
#define LAMINA_ENGINE_INDEX_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/status.h"

namespace lamina {

// Chunks of one fixed size, 8-byte aligned pieces, no destructors. For one thread at a time; what
// it handed out may be read by any.
class Arena {
 public:
  static constexpr size_t kChunkBytes = size_t{256} << 10;

  void* Allocate(size_t bytes) noexcept {
    bytes = (bytes + 7) & ~size_t{7};
    LAMINA_CHECK(bytes <= kChunkBytes);
    if (bytes > left_) AddChunk();
    std::byte* piece = next_;
    next_ += bytes;
    left_ -= bytes;
    return piece;
  }

  // Heap bytes held: the chunks whole, and the list of them.
  [[nodiscard]] size_t bytes() const noexcept {
    return chunks_.size() * kChunkBytes + chunks_.capacity() * sizeof(chunks_[0]);
  }

 private:
  void AddChunk() noexcept {
    chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(kChunkBytes));
    next_ = chunks_.back().get();
    left_ = kChunkBytes;
  }

  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_ARENA_H_
