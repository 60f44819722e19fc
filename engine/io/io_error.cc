#include "engine/io/io_error.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lamina {
namespace {

constexpr StatusCode kIo = StatusCode::kIoError;

constexpr ErrnoMeaning kTable[] = {
    {EPERM, "EPERM", kIo, false,
     "the system forbids the operation (seccomp, an immutable file, a container's policy)"},
    {ENOENT, "ENOENT", kIo, false, "check the path; a file of the store may have been removed"},
    {EINTR, "EINTR", kIo, true, "interrupted by signals again and again"},
    {EIO, "EIO", kIo, false, "the device failed; look at the kernel log"},
    {ENXIO, "ENXIO", kIo, false, "the device is gone"},
    {EBADF, "EBADF", kIo, false,
     "the file is not open for this operation, or something else in the process closed it"},
    {EAGAIN, "EAGAIN", kIo, true, "the kernel stayed out of resources; lower io_depth"},
    {ENOMEM, "ENOMEM", kIo, false, "out of kernel memory, or over RLIMIT_MEMLOCK"},
    {EACCES, "EACCES", kIo, false, "check the owner and mode of the directory and its files"},
    {EFAULT, "EFAULT", kIo, false, "a buffer is not mapped memory"},
    {EBUSY, "EBUSY", kIo, false, "in use by the system"},
    {EEXIST, "EEXIST", kIo, false, "it exists already"},
    {ENODEV, "ENODEV", kIo, false, "the device is gone"},
    {ENOTDIR, "ENOTDIR", kIo, false, "a part of the path is not a directory"},
    {EISDIR, "EISDIR", kIo, false, "it is a directory"},
    {EINVAL, "EINVAL", kIo, false,
     "refused as invalid; of direct I/O, offset, length or memory are not aligned as the device "
     "wants"},
    {ENFILE, "ENFILE", kIo, false, "the system has too many open files (fs.file-max)"},
    {EMFILE, "EMFILE", kIo, false, "the process has too many open files (ulimit -n)"},
    {EFBIG, "EFBIG", kIo, false, "over the largest file size (ulimit -f, or the file system's)"},
    {ENOSPC, "ENOSPC", StatusCode::kNoSpace, false, "free space or lower capacity_bytes"},
    {ESPIPE, "ESPIPE", kIo, false, "not a regular file"},
    {EROFS, "EROFS", kIo, false,
     "the file system is mounted read-only, or became so after an error: look at the kernel log, "
     "or open the store read-only"},
    {EMLINK, "EMLINK", kIo, false, "the directory has too many links"},
    {ENAMETOOLONG, "ENAMETOOLONG", kIo, false, "the path is too long"},
    {ENOSYS, "ENOSYS", StatusCode::kNotSupported, false,
     "this kernel, or the sandbox, does not have the system call"},
    {ENOTEMPTY, "ENOTEMPTY", kIo, false, "the directory is not empty"},
    {ELOOP, "ELOOP", kIo, false, "the path has too many symbolic links"},
    {EOPNOTSUPP, "EOPNOTSUPP", StatusCode::kNotSupported, false, "this file system cannot do that"},
    {EILSEQ, "EILSEQ", kIo, false, "the device found a bad checksum of its own"},
    {EBADMSG, "EBADMSG", kIo, false, "the file system's own checksum is wrong; check it with fsck"},
    {EUCLEAN, "EUCLEAN", kIo, false, "the file system's metadata is damaged; check it with fsck"},
    {ESTALE, "ESTALE", kIo, false, "the network file system lost the file"},
    {EDQUOT, "EDQUOT", StatusCode::kNoSpace, false, "the user's disk quota is used up"},
    {ECANCELED, "ECANCELED", kIo, true, "the kernel gave the request up"},
    {ETIME, "ETIME", kIo, false, "the device did not answer in time; look at the kernel log"},
    {ETIMEDOUT, "ETIMEDOUT", kIo, false,
     "the device did not answer in time; look at the kernel log"},
};

constexpr ErrnoMeaning kUnknown = {0, "", kIo, false, ""};

void AppendErrno(std::string* message, int error) noexcept {
  const ErrnoMeaning& meaning = MeaningOf(error);
  *message += ": ";
  *message += ErrnoText(error);
  if (meaning.advice[0] == '\0') return;
  *message += ": ";
  *message += meaning.advice;
}

}  // namespace

std::span<const ErrnoMeaning> ErrnoTable() noexcept { return kTable; }

const ErrnoMeaning& MeaningOf(int error) noexcept {
  const auto* const found =
      std::find_if(std::begin(kTable), std::end(kTable),
                   [&](const ErrnoMeaning& meaning) { return meaning.error == error; });
  return found == std::end(kTable) ? kUnknown : *found;
}

std::string ErrnoText(int error) noexcept {
  const ErrnoMeaning& meaning = MeaningOf(error);
  std::string text = std::strerror(error);
  text += " (";
  text += meaning.error == 0 ? "errno " + std::to_string(error) : meaning.name;
  text += ')';
  return text;
}

Status ErrnoStatus(int error, std::string_view operation, std::string_view path) noexcept {
  std::string message = "cannot ";
  message += operation;
  message += ' ';
  message += path;
  AppendErrno(&message, error);
  return {MeaningOf(error).code, std::move(message)};
}

Status SyncStatus(int error, std::string_view operation, std::string_view path) noexcept {
  Status status = ErrnoStatus(error, operation, path);
  if (status.code() != StatusCode::kNoSpace) return status;
  return Status::IoError(std::string(status.message()));
}

Status TransferStatus(int error, std::string_view operation, std::string_view path, uint64_t offset,
                      uint64_t bytes) noexcept {
  std::string message = "cannot ";
  message += operation;
  message += ' ';
  message += std::to_string(bytes);
  message += " bytes at offset ";
  message += std::to_string(offset);
  message += " of ";
  message += path;
  AppendErrno(&message, error);
  return {MeaningOf(error).code, std::move(message)};
}

Status EndOfFileStatus(std::string_view path, uint64_t offset, uint64_t expected_bytes,
                       uint64_t found_bytes) noexcept {
  std::string message(path);
  message += " ends too early: expected ";
  message += std::to_string(expected_bytes);
  message += " bytes at offset ";
  message += std::to_string(offset);
  message += ", found ";
  message += std::to_string(found_bytes);
  return Status::Corruption(std::move(message));
}

}  // namespace lamina
