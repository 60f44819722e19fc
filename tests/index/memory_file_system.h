// Files in memory that insist on what direct I/O asks for, and whose bytes tests may change.
#ifndef LAMINA_TESTS_INDEX_MEMORY_FILE_SYSTEM_H_
#define LAMINA_TESTS_INDEX_MEMORY_FILE_SYSTEM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/file_system.h"

namespace lamina::testing {

class MemoryFileSystem final : public FileSystem {
 public:
  // The content of a file, which must exist. Open files see changes.
  std::vector<std::byte>& bytes(const std::string& path);
  void Put(const std::string& path, std::vector<std::byte> content);
  [[nodiscard]] bool Has(const std::string& path) const { return files_.count(path) != 0; }

  // Reads and writes from now on, by files and queues.
  struct Counts {
    std::atomic<uint64_t> reads{0};
    std::atomic<uint64_t> read_bytes{0};  // of files, not of queues
    std::atomic<uint64_t> writes{0};
    std::atomic<uint64_t> largest_write{0};
    std::atomic<uint64_t> syncs{0};
    std::atomic<uint64_t> queue_batches{0};  // Waits that began with several requests pending
  };
  Counts counts;
  // When not negative: so many more reads or writes succeed, then all fail.
  std::atomic<int64_t> operations_before_failure{-1};

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override;
  Result<bool> Exists(const std::string& path) noexcept override { return Has(path); }
  Result<std::vector<std::string>> List(const std::string& directory) noexcept override;
  Status MakeDirectory(const std::string&) noexcept override { return Status::Ok(); }
  Status Rename(const std::string& from, const std::string& to) noexcept override;
  Status Remove(const std::string& path) noexcept override;
  Status SyncDirectory(const std::string&) noexcept override { return Status::Ok(); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string&) noexcept override {
    return Status::NotSupported("no locks in memory");
  }
  Result<SpaceInfo> Space(const std::string&) noexcept override { return SpaceInfo{}; }
  Result<uint64_t> AllocatedBytes(const std::string& path) noexcept override {
    return bytes(path).size();
  }
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override;
  [[nodiscard]] std::string QueueDescription() const noexcept override { return "memory"; }

 private:
  std::map<std::string, std::shared_ptr<std::vector<std::byte>>> files_;
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_INDEX_MEMORY_FILE_SYSTEM_H_
