// One request on its way: what is left of it after each attempt, the same for every backend.
//
// The rules that backends share: a short transfer goes on where it stopped, with pointer and offset
// advanced together; on direct files it goes back to the last aligned place first. An attempt that
// makes no progress ends a read as the end of the file and a write as EIO. EAGAIN, EINTR and
// ECANCELED are tried again, kMaxRetries times in a row.
#ifndef LAMINA_ENGINE_IO_TRANSFER_H_
#define LAMINA_ENGINE_IO_TRANSFER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "engine/io/io_queue.h"

namespace lamina {

class Transfer {
 public:
  static constexpr uint32_t kMaxRetries = 64;

  enum class Next : uint8_t {
    kDone,   // the request's outcome is set
    kAgain,  // another attempt with what the accessors say now
  };

  void Begin(IoRequest* request) noexcept;
  // What an attempt returned: bytes moved, or a negative errno.
  [[nodiscard]] Next Complete(int64_t result) noexcept;
  // Ends the request with this errno and what was moved so far.
  void Fail(int error) noexcept { request_->error = error; }

  [[nodiscard]] IoRequest* request() const noexcept { return request_; }
  // The next attempt.
  [[nodiscard]] iovec* vectors() const noexcept { return vectors_; }
  [[nodiscard]] uint32_t vector_count() const noexcept { return vector_count_; }
  [[nodiscard]] uint64_t offset() const noexcept {
    return request_->offset + request_->transferred;
  }
  // Failed attempts since the last progress.
  [[nodiscard]] uint32_t retries() const noexcept { return retries_; }

 private:
  void Advance(size_t bytes) noexcept;

  IoRequest* request_ = nullptr;
  iovec* vectors_ = nullptr;
  uint32_t vector_count_ = 0;
  uint32_t retries_ = 0;
  size_t unit_ = 1;  // attempts start at multiples of it
};

// Makes attempts with preadv and pwritev until the request is done. Blocks.
void RunTransfer(Transfer* transfer) noexcept;
// A whole request, begun and run.
void RunRequest(IoRequest* request) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_TRANSFER_H_
