// A file system in which a test sees, and may hold up, what a store asks of its disk: for histories
// of two threads that meet at one point.
#ifndef LAMINA_TESTS_STORE_WATCHED_FILE_SYSTEM_H_
#define LAMINA_TESTS_STORE_WATCHED_FILE_SYSTEM_H_

#include <sys/uio.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/forwarding_file_system.h"

namespace lamina::testing {

enum class WatchedOperation { kOpen, kRead, kWrite, kPunch, kSync, kWait };

// What is about to be asked, on the thread that asks: of which file, and for reads and writes of
// queues, which end with a wait, the buffers. Others, and what this asks itself, go on meanwhile.
using Watch = std::function<void(WatchedOperation operation, const std::string& path,
                                 std::span<const iovec> buffers)>;

// The watch of one store, which the test may replace at any time.
class Watcher {
 public:
  void Set(Watch watch) {
    const std::lock_guard lock(mutex_);
    watch_ = std::make_shared<Watch>(std::move(watch));
  }
  void Clear() { Set(nullptr); }
  // What is free where files of this directory are, instead of what the file system says.
  void SetFree(const std::string& directory, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    free_[directory] = bytes;
  }
  SpaceInfo SpaceOf(const std::string& directory, SpaceInfo space) {
    const std::lock_guard lock(mutex_);
    const auto known = free_.find(directory);
    if (known != free_.end()) space.free_bytes = known->second;
    return space;
  }
  void Call(WatchedOperation operation, const std::string& path,
            std::span<const iovec> buffers = {}) {
    std::shared_ptr<Watch> watch;
    {
      const std::lock_guard lock(mutex_);
      watch = watch_;
    }
    if (watch != nullptr && *watch) (*watch)(operation, path, buffers);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<Watch> watch_;
  std::map<std::string, uint64_t> free_;
};

class WatchedFile final : public ForwardingFile {
 public:
  WatchedFile(std::unique_ptr<File> file, Watcher& watcher)
      : ForwardingFile(std::move(file)), watcher_(watcher) {}
  Status Read(uint64_t offset, std::span<std::byte> out) noexcept override {
    watcher_.Call(WatchedOperation::kRead, path());
    return ForwardingFile::Read(offset, out);
  }
  Status Write(uint64_t offset, std::span<const std::byte> data) noexcept override {
    watcher_.Call(WatchedOperation::kWrite, path());
    return ForwardingFile::Write(offset, data);
  }
  Status Sync() noexcept override {
    watcher_.Call(WatchedOperation::kSync, path());
    return ForwardingFile::Sync();
  }
  Status PunchHole(uint64_t offset, uint64_t bytes) noexcept override {
    watcher_.Call(WatchedOperation::kPunch, path());
    return ForwardingFile::PunchHole(offset, bytes);
  }

 private:
  Watcher& watcher_;
};

// Requests name the inner files while they are under way.
class WatchedQueue final : public IoQueue {
 public:
  WatchedQueue(std::unique_ptr<IoQueue> queue, Watcher& watcher)
      : queue_(std::move(queue)), watcher_(watcher) {}
  void Submit(IoRequest* request) noexcept override {
    watcher_.Call(request->write ? WatchedOperation::kWrite : WatchedOperation::kRead,
                  request->file->path(), {request->vectors, request->vector_count});
    files_[request] = request->file;
    request->file = &static_cast<const WatchedFile*>(request->file)->below();
    queue_->Submit(request);
  }
  IoRequest* Wait() noexcept override {
    watcher_.Call(WatchedOperation::kWait, "");
    return Restore(queue_->Wait());
  }
  IoRequest* Poll() noexcept override { return Restore(queue_->Poll()); }
  [[nodiscard]] size_t pending() const noexcept override { return queue_->pending(); }
  [[nodiscard]] size_t depth() const noexcept override { return queue_->depth(); }

 private:
  IoRequest* Restore(IoRequest* request) {
    if (request == nullptr) return nullptr;
    request->file = files_.at(request);
    files_.erase(request);
    return request;
  }

  const std::unique_ptr<IoQueue> queue_;
  Watcher& watcher_;
  std::map<IoRequest*, File*> files_;
};

class WatchedFileSystem final : public ForwardingFileSystem {
 public:
  // The watcher outlives it.
  WatchedFileSystem(std::unique_ptr<FileSystem> fs, Watcher& watcher)
      : ForwardingFileSystem(std::move(fs)), watcher_(watcher) {}
  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    watcher_.Call(WatchedOperation::kOpen, path);
    auto file = ForwardingFileSystem::Open(path, how);
    if (!file.ok()) return file.status();
    return std::unique_ptr<File>(std::make_unique<WatchedFile>(std::move(*file), watcher_));
  }
  Result<SpaceInfo> Space(const std::string& path) noexcept override {
    const auto space = ForwardingFileSystem::Space(path);
    if (!space.ok()) return space;
    return watcher_.SpaceOf(path, *space);
  }
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override {
    auto queue = ForwardingFileSystem::NewQueue(depth);
    if (!queue.ok()) return queue.status();
    return std::unique_ptr<IoQueue>(std::make_unique<WatchedQueue>(std::move(*queue), watcher_));
  }

 private:
  Watcher& watcher_;
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_WATCHED_FILE_SYSTEM_H_
