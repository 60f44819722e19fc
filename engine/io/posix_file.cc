#include "engine/io/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/buffer.h"
#include "engine/io/io_error.h"
#include "engine/io/transfer.h"

namespace lamina {
namespace {

// Where the system does not say: right for all devices whose blocks are at most a page.
constexpr Alignment kAssumedAlignment = {.memory = 4096, .offset = 4096};
// Unaligned reads of direct files go through a buffer of at most so much.
constexpr size_t kBounceBytes = size_t{1} << 20;

// STATX_DIOALIGN came with Linux 6.1, after many C libraries' struct statx. These are its place in
// the kernel's interface, which does not change.
constexpr unsigned kStatxDirectAlign = 0x2000;
constexpr size_t kMemoryAlignAt = 0x98;
constexpr size_t kOffsetAlignAt = 0x9c;
static_assert(sizeof(struct statx) == 256);
static_assert(offsetof(struct statx, stx_dev_major) == 0x88);

// Alignment that direct I/O on an open file needs; {0, 0} when the file system says that it does
// none on this file.
Alignment DirectAlignment(int fd) noexcept {
  struct statx info {};
  if (::statx(fd, "", AT_EMPTY_PATH, kStatxDirectAlign, &info) != 0) return kAssumedAlignment;
  if ((info.stx_mask & kStatxDirectAlign) == 0) return kAssumedAlignment;
  Alignment alignment;
  std::memcpy(&alignment.memory, reinterpret_cast<const char*>(&info) + kMemoryAlignAt, 4);
  std::memcpy(&alignment.offset, reinterpret_cast<const char*>(&info) + kOffsetAlignAt, 4);
  return alignment;
}

int OpenFlags(const FileOpen& how) noexcept {
  // Non-blocking, so that a FIFO in a file's place cannot hang the open; taken back after it.
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (how.write ? O_RDWR : O_RDONLY);
  if (how.create) flags |= O_CREAT;
  if (how.create && how.exclusive) flags |= O_EXCL;
  if (how.truncate) flags |= O_TRUNC;
  return flags;
}

IoRequest RequestFor(File* file, bool write, uint64_t offset, iovec* vector) noexcept {
  IoRequest request;
  request.file = file;
  request.write = write;
  request.offset = offset;
  request.vectors = vector;
  request.vector_count = 1;
  request.bytes = vector->iov_len;
  return request;
}

// fallocate, again when a signal interrupts it.
int AllocateBlocks(int fd, int mode, uint64_t offset, uint64_t bytes) noexcept {
  int result = 0;
  for (uint32_t attempt = 0; attempt < Transfer::kMaxRetries; ++attempt) {
    result = ::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(bytes));
    if (result == 0 || errno != EINTR) break;
  }
  return result == 0 ? 0 : errno;
}

}  // namespace

Result<std::unique_ptr<File>> PosixFile::Open(const std::string& path, const FileOpen& how,
                                              FallbackLog* fallbacks) noexcept {
  const int fd = ::open(path.c_str(), OpenFlags(how), 0600);
  if (fd < 0) return ErrnoStatus(errno, how.create ? "create" : "open", path);
  auto file = std::make_unique<PosixFile>(fd, path, fallbacks);
  struct stat info {};
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISREG(info.st_mode))
    return Status::IoError("cannot open " + path + ": not a regular file");
  if (::fcntl(fd, F_SETFL, 0) != 0) return ErrnoStatus(errno, "set the flags of", path);
  if (how.direct) file->TryDirect();
  return std::unique_ptr<File>(std::move(file));
}

PosixFile::~PosixFile() { ::close(fd_); }

void PosixFile::TryDirect() noexcept {
  constexpr std::string_view kKind = "buffered I/O where O_DIRECT was refused";
  // Not at open: there, a refusal leaves the new file behind, and creating it again exclusively
  // would fail.
  if (::fcntl(fd_, F_SETFL, O_DIRECT) != 0) {
    fallbacks_->Note(kKind, path_ + ": " + ErrnoText(errno));
    return;
  }
  const Alignment alignment = DirectAlignment(fd_);
  if (alignment.memory == 0 || alignment.offset == 0) {
    ::fcntl(fd_, F_SETFL, 0);
    fallbacks_->Note(kKind, path_ + ": statx says that this file has no direct I/O");
    return;
  }
  alignment_ = alignment;
  direct_ = true;
}

bool PosixFile::Aligned(uint64_t offset, const void* memory, size_t bytes) const noexcept {
  return offset % alignment_.offset == 0 && bytes % alignment_.offset == 0 &&
         reinterpret_cast<uintptr_t>(memory) % alignment_.memory == 0;
}

Status PosixFile::Read(uint64_t offset, std::span<std::byte> out) noexcept {
  if (out.empty()) return Status::Ok();
  if (!Aligned(offset, out.data(), out.size())) return ReadThroughBuffer(offset, out);
  iovec vector = {.iov_base = out.data(), .iov_len = out.size()};
  IoRequest request = RequestFor(this, /*write=*/false, offset, &vector);
  RunRequest(&request);
  return StatusOf(request);
}

Status PosixFile::ReadThroughBuffer(uint64_t offset, std::span<std::byte> out) noexcept {
  const uint64_t unit = std::max<uint64_t>(alignment_.offset, kPageBytes);
  AlignedBuffer buffer(std::min<size_t>(kBounceBytes, out.size() + 2 * unit));
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = offset + done;
    const uint64_t from = at / unit * unit;
    const auto skip = static_cast<size_t>(at - from);
    const size_t take = std::min(buffer.size() - skip, out.size() - done);
    iovec vector = {.iov_base = buffer.data(), .iov_len = (skip + take + unit - 1) / unit * unit};
    IoRequest request = RequestFor(this, /*write=*/false, from, &vector);
    RunRequest(&request);
    if (request.transferred < skip + take) {
      if (request.error != IoRequest::kEndOfFile) return StatusOf(request);
      const size_t found = request.transferred > skip ? request.transferred - skip : 0;
      return EndOfFileStatus(path_, offset, out.size(), done + found);
    }
    std::memcpy(out.data() + done, buffer.data() + skip, take);
    done += take;
  }
  return Status::Ok();
}

Status PosixFile::Write(uint64_t offset, std::span<const std::byte> data) noexcept {
  if (data.empty()) return Status::Ok();
  if (!Aligned(offset, data.data(), data.size()))
    return Status::InvalidArgument("direct write of " + std::to_string(data.size()) +
                                   " bytes at offset " + std::to_string(offset) + " of " + path_ +
                                   " is not aligned to " + std::to_string(alignment_.offset) +
                                   " bytes (memory: " + std::to_string(alignment_.memory) + ")");
  // iovec has no const form; nothing writes through it.
  iovec vector = {.iov_base = const_cast<std::byte*>(data.data()), .iov_len = data.size()};
  IoRequest request = RequestFor(this, /*write=*/true, offset, &vector);
  RunRequest(&request);
  return StatusOf(request);
}

Status PosixFile::Sync() noexcept {
  // Not retried, whatever the errno: after a failure the kernel may count lost pages as clean.
  if (::fdatasync(fd_) != 0) return SyncStatus(errno, "sync", path_);
  return Status::Ok();
}

Status PosixFile::Allocate(uint64_t bytes) noexcept {
  if (bytes > 0) {
    const int error = AllocateBlocks(fd_, 0, 0, bytes);
    if (error == EOPNOTSUPP || error == ENOSYS) {
      fallbacks_->Note("size set without reserving blocks where fallocate was refused",
                       path_ + ": " + ErrnoText(error));
    } else if (error != 0) {
      return TransferStatus(error, "allocate", path_, 0, bytes);
    }
  }
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, Size());
  return size == bytes ? Status::Ok() : Truncate(bytes);
}

Status PosixFile::PunchHole(uint64_t offset, uint64_t bytes) noexcept {
  if (bytes == 0) return Status::Ok();
  const int error = AllocateBlocks(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
  return error == 0 ? Status::Ok() : TransferStatus(error, "punch out", path_, offset, bytes);
}

Status PosixFile::Truncate(uint64_t bytes) noexcept {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
    return TransferStatus(errno, "set the size to", path_, 0, bytes);
  return Status::Ok();
}

Result<uint64_t> PosixFile::Size() noexcept {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return ErrnoStatus(errno, "stat", path_);
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace lamina
