#include "bench/file_io.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace lamina::bench {
namespace {

using Call = ssize_t (*)(int, const iovec*, int, off_t);

int MovePieces(Call call, int fd, uint64_t offset, std::vector<iovec>* pieces) {
  for (size_t next = 0; next < pieces->size();) {
    const auto count = static_cast<int>(std::min<size_t>(pieces->size() - next, IOV_MAX));
    const ssize_t moved = call(fd, pieces->data() + next, count, static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return errno;
    if (moved == 0) return ENODATA;
    offset += static_cast<uint64_t>(moved);
    for (auto left = static_cast<size_t>(moved); left > 0;) {
      iovec& piece = (*pieces)[next];
      const size_t taken = std::min(left, piece.iov_len);
      piece.iov_base = static_cast<std::byte*>(piece.iov_base) + taken;
      piece.iov_len -= taken;
      left -= taken;
      if (piece.iov_len == 0) ++next;
    }
  }
  return 0;
}

}  // namespace

int ReadPieces(int fd, uint64_t offset, std::vector<iovec> pieces) {
  return MovePieces(preadv, fd, offset, &pieces);
}

int WritePieces(int fd, uint64_t offset, std::vector<iovec> pieces) {
  return MovePieces(pwritev, fd, offset, &pieces);
}

std::vector<iovec> PiecesOf(std::span<std::byte* const> fragments, size_t bytes) {
  std::vector<iovec> pieces;
  pieces.reserve(fragments.size());
  for (std::byte* const fragment : fragments) pieces.push_back({fragment, bytes});
  return pieces;
}

void DropFromPageCache(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return;
  // Only clean pages are dropped.
  (void)sync_file_range(
      file.get(), 0, 0,
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  (void)posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace lamina::bench
