// The operating system's files, and queues over io_uring or a pool of threads.
//
// What is weaker than asked for is never silent: QueueDescription and Fallbacks say which backend
// runs, what was refused, and why.
#ifndef LAMINA_ENGINE_IO_POSIX_FILE_SYSTEM_H_
#define LAMINA_ENGINE_IO_POSIX_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "engine/io/io_queue.h"

namespace lamina {

struct PosixOptions {
  // auto: io_uring where a real ring reads a real file, threads elsewhere. uring: an error where it
  // does not work. threads: never io_uring.
  Options::Io io = Options::Io::kAuto;
  // Turns every fallback from io_uring to threads into an error.
  bool require_io_uring = false;
  // Threads that serve all thread queues of this file system, 1 to 256. Started with the first.
  uint32_t io_threads = 16;
};

// Thread-safe. Outlives its files; queues may outlive it.
class PosixFileSystem final : public FileSystem {
 public:
  // kNotSupported, with the errno, where io_uring is required and refused; kInvalidArgument.
  static Result<std::unique_ptr<PosixFileSystem>> Create(const PosixOptions& options) noexcept;
  ~PosixFileSystem() override;

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override;
  Result<bool> Exists(const std::string& path) noexcept override;
  Result<std::vector<std::string>> List(const std::string& directory) noexcept override;
  Status MakeDirectory(const std::string& path) noexcept override;
  Status Rename(const std::string& from, const std::string& to) noexcept override;
  Status Remove(const std::string& path) noexcept override;
  Status SyncDirectory(const std::string& path) noexcept override;
  // Rings made while the lock is held keep its descriptor as a registered file, so that the lock of
  // a killed process goes only when the writes that it had in flight have ended. Take it before
  // making queues.
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) noexcept override;
  Result<SpaceInfo> Space(const std::string& path) noexcept override;
  Result<uint64_t> AllocatedBytes(const std::string& path) noexcept override;
  // When a ring cannot be had at run time (memory, descriptors), a queue over threads, counted in
  // QueueDescription; an error where io_uring is required.
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override;
  // "io_uring", "threads (io=threads)", "threads (io_uring_setup: Operation not permitted
  // (EPERM))", "io_uring; 2 queues on threads (io_uring_setup: Cannot allocate memory (ENOMEM))".
  [[nodiscard]] std::string QueueDescription() const noexcept override;
  [[nodiscard]] std::string Fallbacks() const noexcept override;

  struct Impl;

 private:
  explicit PosixFileSystem(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_POSIX_FILE_SYSTEM_H_
