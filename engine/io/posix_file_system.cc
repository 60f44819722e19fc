#include "engine/io/posix_file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <mutex>

#include "engine/io/fallback_log.h"
#include "engine/io/io_error.h"
#include "engine/io/posix_file.h"
#include "engine/io/posix_lock.h"
#include "engine/io/thread_queue.h"
#include "engine/io/uring_queue.h"

namespace lamina {

struct PosixFileSystem::Impl {
  explicit Impl(const PosixOptions& o) noexcept : options(o) {}

  [[nodiscard]] bool fallback_allowed() const noexcept {
    return options.io == Options::Io::kAuto && !options.require_io_uring;
  }
  Result<std::unique_ptr<IoQueue>> NewThreadQueue(size_t depth) noexcept;

  const PosixOptions options;
  FallbackLog fallbacks;
  bool use_uring = false;      // fixed by Create
  std::string threads_reason;  // why not; fixed by Create

  std::mutex mutex;  // for what is below
  std::shared_ptr<IoThreadPool> pool;
  std::vector<int> lock_fds;
  size_t refused_rings = 0;
  std::string first_refusal;
};

namespace {

// Reads a file in memory through a real ring: a sandbox may allow to set one up and refuse to use
// it.
Status ProbeUring() noexcept {
  constexpr std::string_view kText = "lamina";
  const int fd = static_cast<int>(::memfd_create("lamina-probe", MFD_CLOEXEC));
  if (fd < 0) return Status::NotSupported("memfd_create: " + ErrnoText(errno));
  FallbackLog unused;
  PosixFile file(fd, "the probe's file in memory", &unused);
  LAMINA_RETURN_IF_ERROR(file.Write(0, std::as_bytes(std::span(kText))));
  LAMINA_ASSIGN_OR_RETURN(const auto queue, UringQueue::Create(1, {}));
  std::array<char, kText.size()> read{};
  iovec vector = {.iov_base = read.data(), .iov_len = read.size()};
  IoRequest request;
  request.file = &file;
  request.vectors = &vector;
  request.vector_count = 1;
  request.bytes = read.size();
  queue->Submit(&request);
  queue->Wait();
  if (request.error > 0)
    return Status::NotSupported("a read through io_uring: " + ErrnoText(request.error));
  if (std::string_view(read.data(), read.size()) != kText)
    return Status::NotSupported("a read through io_uring gave wrong bytes");
  return Status::Ok();
}

std::string ParentOf(std::string_view path) noexcept {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

class HeldLock final : public FileLock {
 public:
  HeldLock(std::shared_ptr<PosixFileSystem::Impl> impl, int fd) noexcept
      : impl_(std::move(impl)), fd_(fd) {
    const std::lock_guard lock(impl_->mutex);
    impl_->lock_fds.push_back(fd_);
  }
  ~HeldLock() override {
    // Under the mutex, so that no ring is being made that registers the descriptor's number.
    const std::lock_guard lock(impl_->mutex);
    std::erase(impl_->lock_fds, fd_);
    ReleasePosixLock(fd_);
  }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

 private:
  const std::shared_ptr<PosixFileSystem::Impl> impl_;
  const int fd_;
};

}  // namespace

PosixFileSystem::PosixFileSystem(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
PosixFileSystem::~PosixFileSystem() = default;

Result<std::unique_ptr<PosixFileSystem>> PosixFileSystem::Create(
    const PosixOptions& options) noexcept {
  if (options.io_threads < 1 || options.io_threads > 256)
    return Status::InvalidArgument("io_threads is " + std::to_string(options.io_threads) +
                                   ", outside 1 to 256");
  if (options.io == Options::Io::kThreads && options.require_io_uring)
    return Status::InvalidArgument("require_io_uring contradicts io=threads");
  auto impl = std::make_shared<Impl>(options);
  if (options.io == Options::Io::kThreads) {
    impl->threads_reason = "io=threads";
  } else if (const Status probe = ProbeUring(); probe.ok()) {
    impl->use_uring = true;
  } else if (impl->fallback_allowed()) {
    impl->threads_reason = probe.message();
  } else {
    return Status::NotSupported(
        "io_uring is required and cannot be used: " + std::string(probe.message()) +
        ": allow it (sysctl kernel.io_uring_disabled, the container's "
        "seccomp profile), or use io=auto without require_io_uring");
  }
  return std::unique_ptr<PosixFileSystem>(new PosixFileSystem(std::move(impl)));
}

Result<std::unique_ptr<File>> PosixFileSystem::Open(const std::string& path,
                                                    const FileOpen& how) noexcept {
  return PosixFile::Open(path, how, &impl_->fallbacks);
}

Result<bool> PosixFileSystem::Exists(const std::string& path) noexcept {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return ErrnoStatus(errno, "stat", path);
}

Result<std::vector<std::string>> PosixFileSystem::List(const std::string& directory) noexcept {
  DIR* const stream = ::opendir(directory.c_str());
  if (stream == nullptr) return ErrnoStatus(errno, "list", directory);
  std::vector<std::string> names;
  errno = 0;
  for (const dirent* entry = ::readdir(stream); entry != nullptr; entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return ErrnoStatus(error, "list", directory);
  std::sort(names.begin(), names.end());
  return names;
}

Status PosixFileSystem::MakeDirectory(const std::string& path) noexcept {
  if (::mkdir(path.c_str(), 0700) == 0) return SyncDirectory(ParentOf(path));
  if (errno != EEXIST) return ErrnoStatus(errno, "create the directory", path);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISDIR(info.st_mode)) return ErrnoStatus(ENOTDIR, "use as a directory", path);
  // Whoever made it may have died before the sync. A parent that is not ours to open is no reason
  // to refuse a directory that was there before.
  if (::access(ParentOf(path).c_str(), R_OK) != 0) return Status::Ok();
  return SyncDirectory(ParentOf(path));
}

Status PosixFileSystem::Rename(const std::string& from, const std::string& to) noexcept {
  if (::rename(from.c_str(), to.c_str()) == 0) return Status::Ok();
  return ErrnoStatus(errno, "rename", from + " to " + to);
}

Status PosixFileSystem::Remove(const std::string& path) noexcept {
  if (::remove(path.c_str()) == 0) return Status::Ok();
  return ErrnoStatus(errno, "remove", path);
}

Status PosixFileSystem::SyncDirectory(const std::string& path) noexcept {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "open the directory", path);
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // File systems that have nothing to sync in a directory say EINVAL.
  if (error == 0 || error == EINVAL) return Status::Ok();
  return SyncStatus(error, "sync the directory", path);
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::Lock(const std::string& path) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const int fd, TakePosixLock(path));
  return std::unique_ptr<FileLock>(std::make_unique<HeldLock>(impl_, fd));
}

Result<SpaceInfo> PosixFileSystem::Space(const std::string& path) noexcept {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return ErrnoStatus(errno, "ask for the space of", path);
  return SpaceInfo{.total_bytes = uint64_t{info.f_blocks} * info.f_frsize,
                   .free_bytes = uint64_t{info.f_bavail} * info.f_frsize};
}

Result<uint64_t> PosixFileSystem::AllocatedBytes(const std::string& path) noexcept {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

Result<std::unique_ptr<IoQueue>> PosixFileSystem::Impl::NewThreadQueue(size_t depth) noexcept {
  const std::lock_guard lock(mutex);
  if (pool == nullptr) {
    LAMINA_ASSIGN_OR_RETURN(pool, IoThreadPool::Start(options.io_threads));
    if (pool->threads() < options.io_threads)
      fallbacks.Note("fewer I/O threads than io_threads asks for",
                     std::to_string(pool->threads()) + " of " + std::to_string(options.io_threads));
  }
  return std::unique_ptr<IoQueue>(std::make_unique<ThreadQueue>(pool, depth));
}

Result<std::unique_ptr<IoQueue>> PosixFileSystem::NewQueue(size_t depth) noexcept {
  Impl& impl = *impl_;
  if (!impl.use_uring) return impl.NewThreadQueue(depth);
  {
    const std::lock_guard lock(impl.mutex);
    auto ring = UringQueue::Create(depth, impl.lock_fds);
    if (ring.ok()) return std::unique_ptr<IoQueue>(std::move(*ring));
    if (!impl.fallback_allowed()) return ring.status();
    if (impl.refused_rings++ == 0) impl.first_refusal = ring.status().message();
  }
  return impl.NewThreadQueue(depth);
}

std::string PosixFileSystem::QueueDescription() const noexcept {
  Impl& impl = *impl_;
  if (!impl.use_uring) return "threads (" + impl.threads_reason + ")";
  const std::lock_guard lock(impl.mutex);
  if (impl.refused_rings == 0) return "io_uring";
  return "io_uring; " + std::to_string(impl.refused_rings) +
         (impl.refused_rings == 1 ? " queue" : " queues") + " on threads (" + impl.first_refusal +
         ")";
}

std::string PosixFileSystem::Fallbacks() const noexcept { return impl_->fallbacks.Describe(); }

}  // namespace lamina
