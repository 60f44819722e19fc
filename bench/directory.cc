#include "bench/directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "bench/file_io.h"
#include "bench/worker_pool.h"

namespace lamina::bench {
namespace fs = std::filesystem;
namespace {

// Of a file system that waits for the device at each removal (ext4 with `discard`), thousands of
// files are gone several times sooner when several threads remove them.
constexpr unsigned kRemovers = 16;

void RemoveFiles(const std::string& dir) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator walk(dir, error);
       !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    std::error_code ignored;
    if (!walk->is_directory(ignored)) files.push_back(walk->path());
  }
  WorkerPool(kRemovers).ForEach(files.size(), [&files](size_t i) {
    std::error_code ignored;
    fs::remove(files[i], ignored);
  });
}

}  // namespace

Status MakeDirectory(const std::string& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) return Status::IoError("cannot create " + dir + ": " + error.message());
  if (!fs::is_directory(dir, error)) {
    return Status::InvalidArgument(dir + " is not a directory");
  }
  return Status::Ok();
}

Result<bool> IsEmptyDirectory(const std::string& dir) {
  std::error_code error;
  const bool empty = fs::is_empty(dir, error);
  if (error) return Status::IoError("cannot read " + dir + ": " + error.message());
  return empty;
}

Status RequireEmptyDirectory(const std::string& engine, const std::string& dir) {
  const Result<bool> empty = IsEmptyDirectory(dir);
  if (!empty.ok()) return empty.status();
  if (*empty) return Status::Ok();
  return Status::InvalidArgument(dir + " is not empty: " + engine +
                                 " keeps its map in memory, so it cannot go on from an earlier "
                                 "run; name an empty directory");
}

Status ClaimDirectory(const std::string& dir, const std::string& marker) {
  const std::string file = dir + "/" + marker;
  std::error_code error;
  if (fs::exists(file, error)) return Status::Ok();
  const Result<bool> empty = IsEmptyDirectory(dir);
  if (!empty.ok()) return empty.status();
  if (!*empty) {
    return Status::InvalidArgument(dir + " is not empty and not of this engine (no file " + marker +
                                   "); name another directory");
  }
  if (!std::ofstream(file)) {
    return Status::IoError("cannot create " + file + ": " + std::strerror(errno));
  }
  return Status::Ok();
}

Result<Workspace> Workspace::Prepare(const std::string& dir, bool keep) {
  std::string path = dir.empty() ? "./lamina-replay-XXXXXX" : dir;
  if (!dir.empty()) {
    const Status status = MakeDirectory(dir);
    if (!status.ok()) return status;
  } else if (mkdtemp(path.data()) == nullptr) {
    return Status::IoError(std::string("cannot create a directory here: ") + std::strerror(errno));
  }
  if (IsMemoryFileSystem(path)) {
    std::fprintf(stderr, "lamina-replay: %s is in memory; this measures no disk\n", path.c_str());
  }
  if (dir.empty() && keep) std::fprintf(stderr, "lamina-replay: working in %s\n", path.c_str());
  return Workspace(std::move(path), dir.empty() && !keep);
}

Result<Workspace> Workspace::PrepareIn(const std::string& parent, const std::string& program) {
  const Status status = MakeDirectory(parent);
  if (!status.ok()) return status;
  std::string path = parent + "/" + program + "-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return Status::IoError("cannot create a directory in " + parent + ": " + std::strerror(errno));
  }
  if (IsMemoryFileSystem(path)) {
    std::fprintf(stderr, "%s: %s is in memory; this measures no disk\n", program.c_str(),
                 path.c_str());
  }
  return Workspace(std::move(path), true);
}

Workspace::Workspace(Workspace&& other) noexcept
    : path_(std::move(other.path_)), remove_(std::exchange(other.remove_, false)) {}

Workspace::~Workspace() {
  if (remove_) RemoveTree(path_);
}

void RemoveTree(const std::string& dir) {
  RemoveFiles(dir);
  std::error_code ignored;
  fs::remove_all(dir, ignored);
}

Status SyncFileSystem(const std::string& dir) {
  const FileDescriptor descriptor(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || syncfs(descriptor.get()) != 0) {
    return Status::IoError("cannot sync " + dir + ": " + std::strerror(errno));
  }
  return Status::Ok();
}

uint64_t DiskBytes(const std::string& dir) {
  constexpr uint64_t kStatBlockBytes = 512;  // of st_blocks, whatever the file system's
  uint64_t blocks = 0;
  const auto count = [&blocks](const std::string& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) == 0) blocks += static_cast<uint64_t>(info.st_blocks);
  };
  std::error_code error;
  fs::recursive_directory_iterator walk(dir, error);
  if (error) return 0;
  count(dir);
  for (; walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    if (error) break;
    count(walk->path().string());
  }
  return blocks * kStatBlockBytes;
}

Result<uint64_t> FreeBytes(const std::string& dir) {
  struct statvfs info {};
  if (statvfs(dir.c_str(), &info) != 0) {
    return Status::IoError("cannot read the free space of " + dir + ": " + std::strerror(errno));
  }
  return uint64_t{info.f_bavail} * info.f_frsize;
}

bool IsMemoryFileSystem(const std::string& dir) {
  struct statfs info {};
  if (statfs(dir.c_str(), &info) != 0) return false;
  return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC;
}

}  // namespace lamina::bench
