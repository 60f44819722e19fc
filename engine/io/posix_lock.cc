#include "engine/io/posix_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "engine/io/io_error.h"

namespace lamina {
namespace {

constexpr int kAttempts = 6;
constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 50'000'000};
constexpr size_t kPidBytes = 16;

// A fixed size, so that only the very first holder needs space on the device. The number is for
// error messages alone, so a device that is full or failing does not stop anyone here.
void WritePid(int fd) noexcept {
  char text[kPidBytes + 1];
  std::snprintf(text, sizeof text, "%-15d\n", static_cast<int>(::getpid()));
  [[maybe_unused]] const ssize_t written = ::pwrite(fd, text, kPidBytes, 0);
}

std::string HolderOf(int fd) noexcept {
  char text[kPidBytes + 1] = {};
  if (::pread(fd, text, kPidBytes, 0) <= 0) return "another process";
  const long pid = std::strtol(text, nullptr, 10);
  if (pid <= 0) return "another process";
  if (pid == ::getpid()) return "this process (" + std::to_string(pid) + ")";
  return "process " + std::to_string(pid);
}

// Whether the path still names the locked file: a lock on a file that somebody removed and made
// anew keeps nobody out.
bool StillNamed(int fd, const std::string& path) noexcept {
  struct stat locked {};
  struct stat named {};
  return ::fstat(fd, &locked) == 0 && ::stat(path.c_str(), &named) == 0 &&
         locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

}  // namespace

Result<int> TakePosixLock(const std::string& path) noexcept {
  std::string holder;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0) ::nanosleep(&kPause, nullptr);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0) return ErrnoStatus(errno, "open the lock file", path);
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
      if (StillNamed(fd, path)) {
        WritePid(fd);
        return fd;
      }
      holder = "a process that is replacing it";
    } else if (errno == EWOULDBLOCK || errno == EINTR) {
      holder = HolderOf(fd);
    } else {
      const Status status = ErrnoStatus(errno, "lock", path);
      ::close(fd);
      return status;
    }
    ::close(fd);
  }
  return Status::Busy(path + " is held by " + holder +
                      ": one process at a time writes a directory; close it there, or open "
                      "read-only");
}

void ReleasePosixLock(int fd) noexcept {
  ::flock(fd, LOCK_UN);
  ::close(fd);
}

}  // namespace lamina
