// A file system whose segment files hold nothing: for measuring the index without payloads.
#ifndef LAMINA_BENCH_INDEX_NULL_SEGMENTS_H_
#define LAMINA_BENCH_INDEX_NULL_SEGMENTS_H_

#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/forwarding_file_system.h"

namespace lamina::bench {

// Reads as zeros, takes writes, reserves nothing.
class NullFile final : public File {
 public:
  explicit NullFile(std::string path) noexcept : path_(std::move(path)) {}
  Status Read(uint64_t, std::span<std::byte> out) noexcept override {
    std::fill(out.begin(), out.end(), std::byte{0});
    return Status::Ok();
  }
  Status Write(uint64_t, std::span<const std::byte>) noexcept override { return Status::Ok(); }
  Status Sync() noexcept override { return Status::Ok(); }
  Status Allocate(uint64_t bytes) noexcept override {
    bytes_ = bytes;
    return Status::Ok();
  }
  Status PunchHole(uint64_t, uint64_t) noexcept override { return Status::Ok(); }
  Status Truncate(uint64_t bytes) noexcept override { return Allocate(bytes); }
  Result<uint64_t> Size() noexcept override { return bytes_; }
  [[nodiscard]] Alignment alignment() const noexcept override { return {4096, 4096}; }
  [[nodiscard]] bool direct() const noexcept override { return true; }
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] int fd() const noexcept override { return -1; }

 private:
  const std::string path_;
  uint64_t bytes_ =
      uint64_t{1} << 40;  // a segment that is opened again has whatever size it should
};

// Moves the bytes as they are submitted: for files in memory, which a ring would hand to a worker
// thread first.
class InlineQueue final : public IoQueue {
 public:
  void Submit(IoRequest* request) noexcept override {
    uint64_t offset = request->offset;
    Status status;
    for (uint32_t i = 0; i < request->vector_count && status.ok(); ++i) {
      const iovec& part = request->vectors[i];
      const std::span bytes(static_cast<std::byte*>(part.iov_base), part.iov_len);
      status =
          request->write ? request->file->Write(offset, bytes) : request->file->Read(offset, bytes);
      offset += part.iov_len;
    }
    request->error = status.ok() ? 0 : EIO;
    request->transferred = status.ok() ? request->bytes : 0;
    done_.push_back(request);
  }
  IoRequest* Wait() noexcept override { return Poll(); }
  IoRequest* Poll() noexcept override {
    if (done_.empty()) return nullptr;
    IoRequest* const request = done_.front();
    done_.pop_front();
    return request;
  }
  [[nodiscard]] size_t pending() const noexcept override { return done_.size(); }
  [[nodiscard]] size_t depth() const noexcept override { return 1024; }

 private:
  std::deque<IoRequest*> done_;
};

// Everything but segments goes to the file system below; with `inline_queues` queues do not.
class NullSegments final : public ForwardingFileSystem {
 public:
  explicit NullSegments(std::unique_ptr<FileSystem> below, bool inline_queues = false) noexcept
      : ForwardingFileSystem(std::move(below)), inline_queues_(inline_queues) {}

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    if (path.ends_with(".segment")) return std::unique_ptr<File>(new NullFile(path));
    return ForwardingFileSystem::Open(path, how);
  }
  Status Remove(const std::string& path) noexcept override {
    return path.ends_with(".segment") ? Status::Ok() : ForwardingFileSystem::Remove(path);
  }
  Result<SpaceInfo> Space(const std::string&) noexcept override {
    return SpaceInfo{uint64_t{1} << 60, uint64_t{1} << 60};
  }
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override {
    if (inline_queues_) return std::unique_ptr<IoQueue>(std::make_unique<InlineQueue>());
    return ForwardingFileSystem::NewQueue(depth);
  }

 private:
  const bool inline_queues_;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_INDEX_NULL_SEGMENTS_H_
