// A file of the operating system, buffered or direct.
#ifndef LAMINA_ENGINE_IO_POSIX_FILE_H_
#define LAMINA_ENGINE_IO_POSIX_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/base/status.h"
#include "engine/io/fallback_log.h"
#include "engine/io/file_system.h"

namespace lamina {

class PosixFile final : public File {
 public:
  // `fallbacks` is told what was refused, and outlives the file.
  static Result<std::unique_ptr<File>> Open(const std::string& path, const FileOpen& how,
                                            FallbackLog* fallbacks) noexcept;
  // Takes over a descriptor.
  PosixFile(int fd, std::string path, FallbackLog* fallbacks) noexcept
      : fd_(fd), path_(std::move(path)), fallbacks_(fallbacks) {}
  ~PosixFile() override;

  Status Read(uint64_t offset, std::span<std::byte> out) noexcept override;
  Status Write(uint64_t offset, std::span<const std::byte> data) noexcept override;
  Status Sync() noexcept override;
  // Where the file system cannot reserve blocks only the size is set: writes may then meet a full
  // device. Fallbacks says so.
  Status Allocate(uint64_t bytes) noexcept override;
  Status PunchHole(uint64_t offset, uint64_t bytes) noexcept override;
  Status Truncate(uint64_t bytes) noexcept override;
  Result<uint64_t> Size() noexcept override;
  [[nodiscard]] Alignment alignment() const noexcept override { return alignment_; }
  [[nodiscard]] bool direct() const noexcept override { return direct_; }
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] int fd() const noexcept override { return fd_; }

 private:
  // Switches to direct I/O, or notes why it stays buffered.
  void TryDirect() noexcept;
  [[nodiscard]] bool Aligned(uint64_t offset, const void* memory, size_t bytes) const noexcept;
  Status ReadThroughBuffer(uint64_t offset, std::span<std::byte> out) noexcept;

  const int fd_;
  const std::string path_;
  FallbackLog* const fallbacks_;
  Alignment alignment_;
  bool direct_ = false;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_POSIX_FILE_H_
