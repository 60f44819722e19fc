// Plain system calls on files for the engines that keep pages as a simple program would: an owned
// descriptor, and transfers that go on after a short one.
#ifndef LAMINA_BENCH_FILE_IO_H_
#define LAMINA_BENCH_FILE_IO_H_

#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lamina::bench {

// Owns a descriptor; negative: none.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  // The close of a written file can fail, and then it was not written.
  [[nodiscard]] bool Close() { return close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

// Both return 0 or an errno. They move all bytes of the pieces from or to `offset` on; ENODATA
// where the file ends before.
int ReadPieces(int fd, uint64_t offset, std::vector<iovec> pieces);
int WritePieces(int fd, uint64_t offset, std::vector<iovec> pieces);

// Fragments of `bytes` each, for the two above.
std::vector<iovec> PiecesOf(std::span<std::byte* const> fragments, size_t bytes);

// Makes the next read of the file come from the device.
void DropFromPageCache(const std::string& path);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_FILE_IO_H_
