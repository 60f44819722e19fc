// Asynchronous reads and writes: one interface over io_uring, a thread pool, and a simulated
// device.
#ifndef LAMINA_ENGINE_IO_IO_QUEUE_H_
#define LAMINA_ENGINE_IO_IO_QUEUE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "engine/base/status.h"

namespace lamina {

class File;

// One transfer between a file and memory. Owned by the caller and untouched by it from Submit until
// it comes back from Wait; the queue resumes short transfers itself and, to do so, may change
// `vectors`.
struct IoRequest {
  static constexpr size_t kMaxVectors = 1024;

  File* file = nullptr;
  bool write = false;
  uint64_t offset = 0;       // aligned as file->alignment() says when the file is direct
  iovec* vectors = nullptr;  // 1 to kMaxVectors, none empty; aligned likewise
  uint32_t vector_count = 0;
  size_t bytes = 0;      // sum of the vectors
  void* user = nullptr;  // the caller's

  // Outcome. error is 0 when all bytes were moved, an errno, or kEndOfFile.
  static constexpr int kEndOfFile = -1;
  int error = 0;
  size_t transferred = 0;
};

// Ok when the request succeeded. Otherwise names file, operation, offset, length and errno:
// kIoError, kNoSpace when the device is full, kCorruption at kEndOfFile (as File::Read).
Status StatusOf(const IoRequest& request) noexcept;

// A submission queue with its completions. Used by one thread at a time.
class IoQueue {
 public:
  virtual ~IoQueue() = default;  // waits for what is in flight
  // Hands over a request. It may start at once or with the next Wait. More than depth() requests
  // may be submitted; those beyond wait their turn. Requests may complete in any order.
  virtual void Submit(IoRequest* request) noexcept = 0;
  // Blocks until a request is done (whole, or failed) and returns it; nullptr when none is in
  // flight.
  virtual IoRequest* Wait() noexcept = 0;
  // Like Wait, but returns nullptr rather than block. Starts what was submitted.
  virtual IoRequest* Poll() noexcept = 0;
  // Submitted and not yet returned.
  [[nodiscard]] virtual size_t pending() const noexcept = 0;
  // Requests the device works on at the same time.
  [[nodiscard]] virtual size_t depth() const noexcept = 0;
  // False once all that is submitted from now on fails, whatever it is.
  [[nodiscard]] virtual bool usable() const noexcept { return true; }
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_IO_QUEUE_H_
