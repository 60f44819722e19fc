// A file system that refuses to change anything, so that no code path of the tool can.
#ifndef LAMINA_TOOLS_SST_DUMP_READ_ONLY_H_
#define LAMINA_TOOLS_SST_DUMP_READ_ONLY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/file_system.h"

namespace lamina::sst_dump {

// Forwards reading to `base`, which outlives it. Everything else is kNotSupported: opening for
// writing, creating, renaming, removing, locking, queues (which could write).
class ReadOnlyFileSystem : public FileSystem {
 public:
  explicit ReadOnlyFileSystem(FileSystem& base) noexcept : base_(base) {}

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override;
  Result<bool> Exists(const std::string& path) noexcept override { return base_.Exists(path); }
  Result<std::vector<std::string>> List(const std::string& directory) noexcept override {
    return base_.List(directory);
  }
  Status MakeDirectory(const std::string& path) noexcept override;
  Status Rename(const std::string& from, const std::string& to) noexcept override;
  Status Remove(const std::string& path) noexcept override;
  Status SyncDirectory(const std::string& path) noexcept override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) noexcept override;
  Result<SpaceInfo> Space(const std::string& path) noexcept override { return base_.Space(path); }
  Result<uint64_t> AllocatedBytes(const std::string& path) noexcept override {
    return base_.AllocatedBytes(path);
  }
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override;
  [[nodiscard]] std::string QueueDescription() const noexcept override {
    return "none (read-only)";
  }

 private:
  FileSystem& base_;
};

// Shows one file under another name, alone in its directory: what reads whole directories (the
// journal's replay) then reads that file, whatever it is called.
class SingleFileView final : public ReadOnlyFileSystem {
 public:
  // `alias` is the name that the reader expects.
  SingleFileView(FileSystem& base, std::string path, std::string alias) noexcept
      : ReadOnlyFileSystem(base), path_(std::move(path)), alias_(std::move(alias)) {}

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override;
  Result<std::vector<std::string>> List(const std::string&) noexcept override {
    return std::vector<std::string>{alias_};
  }

 private:
  const std::string path_;
  const std::string alias_;
};

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_READ_ONLY_H_
