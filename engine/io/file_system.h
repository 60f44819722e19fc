// What the store asks of an operating system: files, directories, and queues to move bytes.
//
// Two implementations: PosixFileSystem (posix_file_system.h) and, for tests, a simulated one that
// loses, tears and corrupts on demand. Everything the store does to a disk goes through here.
#ifndef LAMINA_ENGINE_IO_FILE_SYSTEM_H_
#define LAMINA_ENGINE_IO_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/io_queue.h"

namespace lamina {

// Alignment of direct I/O, bytes; powers of two; 1 when the file is buffered.
struct Alignment {
  uint32_t memory = 1;
  uint32_t offset = 1;
};

// An open file. Thread-safe; closed by the destructor.
class File {
 public:
  virtual ~File() = default;
  // Reads exactly out.size() bytes. kCorruption when the file ends before (names expected and
  // found), kIoError otherwise. Works for any alignment: direct files bounce what is not aligned.
  virtual Status Read(uint64_t offset, std::span<std::byte> out) noexcept = 0;
  // Writes all of it. Direct files need aligned offset, size and memory.
  virtual Status Write(uint64_t offset, std::span<const std::byte> data) noexcept = 0;
  // fdatasync. After an error the caller must not assume that a later success covers earlier
  // writes.
  virtual Status Sync() noexcept = 0;
  // Reserves disk blocks for [0, bytes) and sets the size. kNoSpace when the device has no room.
  virtual Status Allocate(uint64_t bytes) noexcept = 0;
  // Gives the blocks of a range back; reads as zero afterwards. kNotSupported where the file system
  // cannot.
  virtual Status PunchHole(uint64_t offset, uint64_t bytes) noexcept = 0;
  virtual Status Truncate(uint64_t bytes) noexcept = 0;
  virtual Result<uint64_t> Size() noexcept = 0;
  [[nodiscard]] virtual Alignment alignment() const noexcept = 0;
  // Whether the page cache is bypassed; false when O_DIRECT was asked for and refused.
  [[nodiscard]] virtual bool direct() const noexcept = 0;
  [[nodiscard]] virtual const std::string& path() const noexcept = 0;
  // The descriptor, or -1 for a simulated file.
  [[nodiscard]] virtual int fd() const noexcept = 0;
};

struct FileOpen {
  bool write = false;
  bool create = false;     // mode 0600; an existing file is opened as it is
  bool exclusive = false;  // with create: an existing file is an error
  bool direct = false;     // O_DIRECT where the file system allows it
  bool truncate = false;
};

struct SpaceInfo {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // available to this user
};

// Held until destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> Open(const std::string& path,
                                             const FileOpen& how) noexcept = 0;
  [[nodiscard]] virtual Result<bool> Exists(const std::string& path) noexcept = 0;
  // Names (not paths) of what is in a directory, sorted, without "." and "..".
  virtual Result<std::vector<std::string>> List(const std::string& directory) noexcept = 0;
  // Creates one directory (mode 0700) and syncs its parent. Existing is fine.
  virtual Status MakeDirectory(const std::string& path) noexcept = 0;
  // Atomic. The directory must be synced for it to survive a power cut.
  virtual Status Rename(const std::string& from, const std::string& to) noexcept = 0;
  virtual Status Remove(const std::string& path) noexcept = 0;
  virtual Status SyncDirectory(const std::string& path) noexcept = 0;
  // Takes the exclusive lock of a file, creating it, and writes this process's id into it. kBusy
  // names the holder's pid. Retries briefly, since a dying process holds its locks until its I/O
  // has ended.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) noexcept = 0;
  virtual Result<SpaceInfo> Space(const std::string& path) noexcept = 0;
  // Blocks a file occupies, bytes (st_blocks * 512).
  virtual Result<uint64_t> AllocatedBytes(const std::string& path) noexcept = 0;

  // A queue for up to `depth` requests in flight.
  virtual Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept = 0;
  // Which backend NewQueue gives, and why: "io_uring", "threads (io_uring_setup: EPERM)".
  [[nodiscard]] virtual std::string QueueDescription() const noexcept = 0;
  // What files got that is weaker than asked for, and why, in words for Stats: buffered where
  // O_DIRECT was refused, allocation that reserves nothing. Empty when nothing is.
  [[nodiscard]] virtual std::string Fallbacks() const noexcept { return {}; }
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_FILE_SYSTEM_H_
