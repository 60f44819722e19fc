#include "engine/io/transfer.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <numeric>

#include "engine/base/mutation.h"
#include "engine/io/file_system.h"
#include "engine/io/io_error.h"

namespace lamina {

void Transfer::Begin(IoRequest* request) noexcept {
  LAMINA_CHECK(request->vector_count >= 1 && request->vector_count <= IoRequest::kMaxVectors);
  assert(std::accumulate(request->vectors, request->vectors + request->vector_count, size_t{0},
                         [](size_t sum, const iovec& v) { return sum + v.iov_len; }) ==
         request->bytes);
  request->error = 0;
  request->transferred = 0;
  request_ = request;
  vectors_ = request->vectors;
  vector_count_ = request->vector_count;
  retries_ = 0;
  const Alignment alignment = request->file->alignment();
  unit_ = request->file->direct() ? std::max(alignment.memory, alignment.offset) : 1;
}

Transfer::Next Transfer::Complete(int64_t result) noexcept {
  IoRequest& request = *request_;
  if (result < 0) {
    const int error = static_cast<int>(-result);
    if (MeaningOf(error).transient && ++retries_ <= kMaxRetries) return Next::kAgain;
    request.error = error;
    return Next::kDone;
  }
  const size_t left = request.bytes - request.transferred;
  const size_t moved = std::min(static_cast<size_t>(result), left);
  if (moved == left || Mutated(Mutation::kShortTransferIsWhole)) {
    request.transferred = request.bytes;
    return Next::kDone;
  }
  // A direct read that ends inside a sector has met the end of the file; going back to the sector's
  // start and finding nothing more there tells this from a transfer that was merely cut.
  const size_t progress = moved / unit_ * unit_;
  if (progress == 0) {
    request.transferred += moved;
    request.error = request.write ? EIO : IoRequest::kEndOfFile;
    return Next::kDone;
  }
  retries_ = 0;
  Advance(progress);
  return Next::kAgain;
}

void Transfer::Advance(size_t bytes) noexcept {
  request_->transferred += bytes;
  while (bytes > 0 && bytes >= vectors_->iov_len) {
    bytes -= vectors_->iov_len;
    ++vectors_;
    --vector_count_;
  }
  if (bytes == 0) return;
  vectors_->iov_base = static_cast<std::byte*>(vectors_->iov_base) + bytes;
  vectors_->iov_len -= bytes;
}

void RunTransfer(Transfer* transfer) noexcept {
  const int fd = transfer->request()->file->fd();
  const bool write = transfer->request()->write;
  ssize_t moved = 0;
  do {
    const auto offset = static_cast<off_t>(transfer->offset());
    const int count = static_cast<int>(transfer->vector_count());
    moved = write ? ::pwritev(fd, transfer->vectors(), count, offset)
                  : ::preadv(fd, transfer->vectors(), count, offset);
  } while (transfer->Complete(moved < 0 ? -errno : moved) == Transfer::Next::kAgain);
}

void RunRequest(IoRequest* request) noexcept {
  Transfer transfer;
  transfer.Begin(request);
  RunTransfer(&transfer);
}

}  // namespace lamina
