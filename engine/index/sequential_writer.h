// Appends whole blocks to a file in requests of up to 1 MiB, from memory that direct I/O accepts.
#ifndef LAMINA_ENGINE_INDEX_SEQUENTIAL_WRITER_H_
#define LAMINA_ENGINE_INDEX_SEQUENTIAL_WRITER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <utility>

#include "engine/base/status.h"
#include "engine/index/aligned_bytes.h"
#include "engine/io/file_system.h"

namespace lamina {

// Used by one thread. `file` must outlive it.
class SequentialWriter {
 public:
  static constexpr size_t kRequestBytes = size_t{1} << 20;

  SequentialWriter(File* file, std::function<void(size_t bytes)> before_write) noexcept
      : file_(file),
        before_write_(std::move(before_write)),
        buffer_(NewAlignedBytes(kRequestBytes)) {}

  // `data` is a multiple of kTableBlockBytes long.
  Status Append(std::span<const std::byte> data) noexcept {
    LAMINA_CHECK(data.size() % kTableBlockBytes == 0);
    while (!data.empty()) {
      const size_t piece = std::min(data.size(), kRequestBytes - filled_);
      std::memcpy(buffer_.get() + filled_, data.data(), piece);
      filled_ += piece;
      data = data.subspan(piece);
      if (filled_ == kRequestBytes) LAMINA_RETURN_IF_ERROR(Flush());
    }
    return Status::Ok();
  }

  Status Flush() noexcept {
    if (filled_ == 0) return Status::Ok();
    if (before_write_) before_write_(filled_);
    LAMINA_RETURN_IF_ERROR(file_->Write(written_, std::span(buffer_.get(), filled_)));
    written_ += filled_;
    filled_ = 0;
    return Status::Ok();
  }

  // Where the next Append goes.
  [[nodiscard]] uint64_t offset() const noexcept { return written_ + filled_; }

 private:
  File* file_;
  std::function<void(size_t bytes)> before_write_;
  AlignedBytes buffer_;
  size_t filled_ = 0;
  uint64_t written_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_SEQUENTIAL_WRITER_H_
