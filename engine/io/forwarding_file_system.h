// A file system that passes every call on to another one. Tests and benches that come in between,
// to watch calls or to fail them, derive from it and override what concerns them.
#ifndef LAMINA_ENGINE_IO_FORWARDING_FILE_SYSTEM_H_
#define LAMINA_ENGINE_IO_FORWARDING_FILE_SYSTEM_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/file_system.h"

namespace lamina {

class ForwardingFile : public File {
 public:
  explicit ForwardingFile(std::unique_ptr<File> below) noexcept : below_(std::move(below)) {}
  Status Read(uint64_t offset, std::span<std::byte> out) noexcept override {
    return below_->Read(offset, out);
  }
  Status Write(uint64_t offset, std::span<const std::byte> data) noexcept override {
    return below_->Write(offset, data);
  }
  Status Sync() noexcept override { return below_->Sync(); }
  Status Allocate(uint64_t bytes) noexcept override { return below_->Allocate(bytes); }
  Status PunchHole(uint64_t offset, uint64_t bytes) noexcept override {
    return below_->PunchHole(offset, bytes);
  }
  Status Truncate(uint64_t bytes) noexcept override { return below_->Truncate(bytes); }
  Result<uint64_t> Size() noexcept override { return below_->Size(); }
  [[nodiscard]] Alignment alignment() const noexcept override { return below_->alignment(); }
  [[nodiscard]] bool direct() const noexcept override { return below_->direct(); }
  [[nodiscard]] const std::string& path() const noexcept override { return below_->path(); }
  [[nodiscard]] int fd() const noexcept override { return below_->fd(); }
  [[nodiscard]] File& below() const noexcept { return *below_; }

 private:
  const std::unique_ptr<File> below_;
};

class ForwardingFileSystem : public FileSystem {
 public:
  explicit ForwardingFileSystem(std::unique_ptr<FileSystem> below) noexcept
      : below_(std::move(below)) {}
  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    return below_->Open(path, how);
  }
  Result<bool> Exists(const std::string& path) noexcept override { return below_->Exists(path); }
  Result<std::vector<std::string>> List(const std::string& directory) noexcept override {
    return below_->List(directory);
  }
  Status MakeDirectory(const std::string& path) noexcept override {
    return below_->MakeDirectory(path);
  }
  Status Rename(const std::string& from, const std::string& to) noexcept override {
    return below_->Rename(from, to);
  }
  Status Remove(const std::string& path) noexcept override { return below_->Remove(path); }
  Status SyncDirectory(const std::string& path) noexcept override {
    return below_->SyncDirectory(path);
  }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) noexcept override {
    return below_->Lock(path);
  }
  Result<SpaceInfo> Space(const std::string& path) noexcept override { return below_->Space(path); }
  Result<uint64_t> AllocatedBytes(const std::string& path) noexcept override {
    return below_->AllocatedBytes(path);
  }
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override {
    return below_->NewQueue(depth);
  }
  [[nodiscard]] std::string QueueDescription() const noexcept override {
    return below_->QueueDescription();
  }
  [[nodiscard]] std::string Fallbacks() const noexcept override { return below_->Fallbacks(); }

 private:
  const std::unique_ptr<FileSystem> below_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_FORWARDING_FILE_SYSTEM_H_
