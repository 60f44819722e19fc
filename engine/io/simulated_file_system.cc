#include "engine/io/simulated_file_system.h"

#include <cerrno>
#include <functional>
#include <mutex>
#include <utility>

#include "engine/io/io_error.h"
#include "engine/io/simulated_disk.h"
#include "engine/io/simulated_file.h"
#include "engine/io/simulated_queue.h"

namespace lamina {
namespace {

using Disk = SimulatedDisk::Impl;
using DiskPtr = std::shared_ptr<Disk>;
using ProcessPtr = std::shared_ptr<SimulatedProcess>;

class SimulatedLock final : public FileLock {
 public:
  SimulatedLock(DiskPtr disk, ProcessPtr process, std::string path) noexcept
      : disk_(std::move(disk)), process_(std::move(process)), path_(std::move(path)) {}
  ~SimulatedLock() override {
    const std::lock_guard lock(disk_->mutex);
    if (process_->alive) disk_->locks.erase(path_);
  }
  SimulatedLock(const SimulatedLock&) = delete;
  SimulatedLock& operator=(const SimulatedLock&) = delete;

 private:
  const DiskPtr disk_;
  const ProcessPtr process_;
  const std::string path_;
};

class SimulatedFileSystem final : public FileSystem {
 public:
  SimulatedFileSystem(DiskPtr disk, ProcessPtr process) noexcept
      : disk_(std::move(disk)), process_(std::move(process)) {}

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    SimulatedInodePtr inode;
    const int error = OpenInode(path, how, &inode);
    if (error != 0) return ErrnoStatus(error, how.create ? "create" : "open", path);
    const bool direct = how.direct && !disk_->options.direct_refused;
    SimulatedOpenFile file = {.process = process_,
                              .inode = std::move(inode),
                              .path = path,
                              .alignment = direct ? disk_->options.direct_alignment : Alignment{},
                              .writable = how.write};
    return std::unique_ptr<File>(std::make_unique<SimulatedFile>(disk_, std::move(file), direct));
  }

  Result<bool> Exists(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    if (!process_->alive) return ErrnoStatus(EIO, "stat", path);
    return disk_->names.Find(path) != nullptr;
  }

  Result<std::vector<std::string>> List(const std::string& directory) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    SimulatedInodePtr inode;
    if (const int error = FindDirectory(directory, &inode); error != 0)
      return ErrnoStatus(error, "list", directory);
    std::vector<std::string> names;
    for (const auto& entry : inode->entries) names.push_back(entry.first);
    return names;
  }

  Status MakeDirectory(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    const SimulatedInodePtr existing = disk_->names.Find(path);
    SimulatedNamespace::Place place;
    int error = existing != nullptr && !existing->directory ? ENOTDIR : 0;
    if (error == 0) error = disk_->names.Resolve(path, &place);
    if (error == EINVAL) return Status::Ok();  // the root
    if (error == 0 && existing == nullptr) {
      error = Operate(path, [&] {
        disk_->names.Create(place, /*directory=*/true);
        return 0;
      });
    }
    if (error != 0) return ErrnoStatus(error, "create the directory", path);
    error = Sync(path, place.directory);
    return error == 0 ? Status::Ok() : SyncStatus(error, "sync the parent of", path);
  }

  Status Rename(const std::string& from, const std::string& to) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    const int error = Operate(from, [&] {
      SimulatedNamespace::Place source;
      SimulatedNamespace::Place target;
      if (const int e = disk_->names.Resolve(from, &source); e != 0) return e;
      if (const int e = disk_->names.Resolve(to, &target); e != 0) return e;
      if (!source.directory->entries.contains(source.name)) return ENOENT;
      const SimulatedInodePtr replaced = disk_->names.Find(to);
      if (replaced != nullptr && replaced->directory) return EISDIR;
      disk_->names.Move(source, target);
      return 0;
    });
    return error == 0 ? Status::Ok() : ErrnoStatus(error, "rename", from + " to " + to);
  }

  Status Remove(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    const int error = Operate(path, [&] {
      SimulatedNamespace::Place place;
      if (const int e = disk_->names.Resolve(path, &place); e != 0) return e;
      const SimulatedInodePtr inode = disk_->names.Find(path);
      if (inode == nullptr) return ENOENT;
      if (!inode->entries.empty()) return ENOTEMPTY;
      disk_->names.Unlink(place);
      return 0;
    });
    return error == 0 ? Status::Ok() : ErrnoStatus(error, "remove", path);
  }

  Status SyncDirectory(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    SimulatedInodePtr inode;
    int error = FindDirectory(path, &inode);
    if (error == 0) error = Sync(path, inode);
    return error == 0 ? Status::Ok() : SyncStatus(error, "sync the directory", path);
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    SimulatedInodePtr inode;
    const FileOpen how = {.write = true, .create = true};
    if (const int error = OpenInode(path, how, &inode); error != 0)
      return ErrnoStatus(error, "open the lock file", path);
    if (const auto held = disk_->locks.find(path); held != disk_->locks.end())
      return Status::Busy(path + " is held by " +
                          (held->second == process_->id ? "this process (" : "process (") +
                          std::to_string(held->second) + ")");
    disk_->locks[path] = process_->id;
    // The lock of the process before went only when its I/O had ended.
    disk_->SettleLateWrites();
    return std::unique_ptr<FileLock>(std::make_unique<SimulatedLock>(disk_, process_, path));
  }

  Result<SpaceInfo> Space(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    if (!process_->alive) return ErrnoStatus(EIO, "ask for the space of", path);
    return SpaceInfo{.total_bytes = disk_->capacity_bytes, .free_bytes = disk_->free_bytes()};
  }

  Result<uint64_t> AllocatedBytes(const std::string& path) noexcept override {
    const std::lock_guard lock(disk_->mutex);
    if (!process_->alive) return ErrnoStatus(EIO, "stat", path);
    const SimulatedInodePtr inode = disk_->names.Find(path);
    if (inode == nullptr) return ErrnoStatus(ENOENT, "stat", path);
    return inode->current.allocated_bytes();
  }

  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override {
    return std::unique_ptr<IoQueue>(std::make_unique<SimulatedQueue>(disk_, depth));
  }
  [[nodiscard]] std::string QueueDescription() const noexcept override { return "simulated"; }

 private:
  int Operate(const std::string& path, const std::function<int()>& effect) noexcept {
    return disk_->Operate(*process_, path, Disk::Kind::kOther, effect);
  }

  int Sync(const std::string& path, const SimulatedInodePtr& directory) noexcept {
    return disk_->Operate(*process_, path, Disk::Kind::kSync, [&] {
      disk_->names.SyncDirectory(directory);
      return 0;
    });
  }

  int FindDirectory(const std::string& path, SimulatedInodePtr* inode) const noexcept {
    if (!process_->alive) return EIO;
    *inode = disk_->names.Find(path);
    if (*inode == nullptr) return ENOENT;
    return (*inode)->directory ? 0 : ENOTDIR;
  }

  int OpenInode(const std::string& path, const FileOpen& how, SimulatedInodePtr* inode) noexcept {
    if (!process_->alive) return EIO;
    SimulatedNamespace::Place place;
    if (const int error = disk_->names.Resolve(path, &place); error != 0) return error;
    if (disk_->Fault(path, disk_->faults.open_error)) return EMFILE;
    *inode = disk_->names.Find(path);
    if (*inode == nullptr) {
      if (!how.create) return ENOENT;
      return Operate(path, [&] {
        *inode = disk_->names.Create(place, /*directory=*/false);
        return 0;
      });
    }
    if ((*inode)->directory) return EISDIR;
    if (how.create && how.exclusive) return EEXIST;
    if (!how.truncate || (*inode)->current.size() == 0) return 0;
    return Operate(path, [&] {
      (*inode)->Change({.kind = SimulatedChange::Kind::kResize});
      return 0;
    });
  }

  const DiskPtr disk_;
  const ProcessPtr process_;
};

}  // namespace

std::unique_ptr<FileSystem> MakeSimulatedFileSystem(DiskPtr disk, ProcessPtr process) noexcept {
  return std::make_unique<SimulatedFileSystem>(std::move(disk), std::move(process));
}

}  // namespace lamina
