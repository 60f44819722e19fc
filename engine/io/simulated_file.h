// A file of a simulated disk as one process has it open.
#ifndef LAMINA_ENGINE_IO_SIMULATED_FILE_H_
#define LAMINA_ENGINE_IO_SIMULATED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "engine/io/simulated_disk.h"

namespace lamina {

class SimulatedFile final : public File {
 public:
  // Counts the inode as opened until it is destroyed. Under the disk's mutex.
  SimulatedFile(std::shared_ptr<SimulatedDisk::Impl> disk, SimulatedOpenFile file,
                bool direct) noexcept;
  ~SimulatedFile() override;
  SimulatedFile(const SimulatedFile&) = delete;
  SimulatedFile& operator=(const SimulatedFile&) = delete;

  Status Read(uint64_t offset, std::span<std::byte> out) noexcept override;
  Status Write(uint64_t offset, std::span<const std::byte> data) noexcept override;
  Status Sync() noexcept override;
  Status Allocate(uint64_t bytes) noexcept override;
  Status PunchHole(uint64_t offset, uint64_t bytes) noexcept override;
  Status Truncate(uint64_t bytes) noexcept override;
  Result<uint64_t> Size() noexcept override;
  [[nodiscard]] Alignment alignment() const noexcept override { return file_.alignment; }
  [[nodiscard]] bool direct() const noexcept override { return direct_; }
  [[nodiscard]] const std::string& path() const noexcept override { return file_.path; }
  [[nodiscard]] int fd() const noexcept override { return -1; }

  [[nodiscard]] const SimulatedOpenFile& open_file() const noexcept { return file_; }

 private:
  Status Run(bool write, uint64_t offset, std::byte* memory, size_t bytes) noexcept;
  Status Change(const SimulatedChange& change, const char* operation) noexcept;

  const std::shared_ptr<SimulatedDisk::Impl> disk_;
  const SimulatedOpenFile file_;
  const bool direct_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_SIMULATED_FILE_H_
