#include "tests/index/memory_file_system.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <utility>

namespace lamina::testing {
namespace {

constexpr uint32_t kAlignment = 4096;
using Content = std::shared_ptr<std::vector<std::byte>>;

class MemoryFile final : public File {
 public:
  MemoryFile(MemoryFileSystem* owner, std::string path, Content content, bool direct)
      : owner_(owner), path_(std::move(path)), content_(std::move(content)), direct_(direct) {}

  Status Read(uint64_t offset, std::span<std::byte> out) noexcept override {
    ++owner_->counts.reads;
    owner_->counts.read_bytes += out.size();
    if (Fails()) return Status::IoError(path_ + ": injected failure");
    if (offset + out.size() > content_->size())
      return Status::Corruption(path_ + ": the file ends before offset " +
                                std::to_string(offset + out.size()));
    std::copy_n(content_->begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return Status::Ok();
  }
  Status Write(uint64_t offset, std::span<const std::byte> data) noexcept override {
    ++owner_->counts.writes;
    owner_->counts.largest_write = std::max<uint64_t>(owner_->counts.largest_write, data.size());
    if (Fails()) return Status::IoError(path_ + ": injected failure");
    const auto misaligned = [](uint64_t value) { return value % kAlignment != 0; };
    if (direct_ && (misaligned(offset) || misaligned(data.size()) ||
                    misaligned(reinterpret_cast<uintptr_t>(data.data()))))
      return Status::IoError(path_ + ": a direct write that is not aligned");
    if (content_->size() < offset + data.size()) content_->resize(offset + data.size());
    std::copy(data.begin(), data.end(), content_->begin() + static_cast<ptrdiff_t>(offset));
    return Status::Ok();
  }
  Status Sync() noexcept override {
    ++owner_->counts.syncs;
    return Fails() ? Status::IoError(path_ + ": injected failure") : Status::Ok();
  }
  Status Allocate(uint64_t) noexcept override { return Status::Ok(); }
  Status PunchHole(uint64_t, uint64_t) noexcept override { return Status::NotSupported("memory"); }
  Status Truncate(uint64_t bytes) noexcept override {
    content_->resize(bytes);
    return Status::Ok();
  }
  Result<uint64_t> Size() noexcept override { return uint64_t{content_->size()}; }
  [[nodiscard]] Alignment alignment() const noexcept override {
    return direct_ ? Alignment{kAlignment, kAlignment} : Alignment{};
  }
  [[nodiscard]] bool direct() const noexcept override { return direct_; }
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] int fd() const noexcept override { return -1; }

 private:
  bool Fails() noexcept {
    auto& left = owner_->operations_before_failure;
    return left.load() >= 0 && left.fetch_sub(1) <= 0 && (left.store(0), true);
  }

  MemoryFileSystem* owner_;
  std::string path_;
  Content content_;
  bool direct_;
};

// Does the I/O when it is waited for, last first.
class MemoryQueue final : public IoQueue {
 public:
  MemoryQueue(MemoryFileSystem* owner, size_t depth) : owner_(owner), depth_(depth) {}
  void Submit(IoRequest* request) noexcept override {
    pending_.push_back(request);
    fresh_ = true;
  }
  IoRequest* Wait() noexcept override {
    if (pending_.empty()) return nullptr;
    if (std::exchange(fresh_, false) && pending_.size() > 1) ++owner_->counts.queue_batches;
    IoRequest* request = pending_.back();
    pending_.pop_back();
    request->error = 0;
    uint64_t offset = request->offset;
    for (uint32_t i = 0; i < request->vector_count; ++i) {
      const iovec& vector = request->vectors[i];
      const std::span<std::byte> bytes(static_cast<std::byte*>(vector.iov_base), vector.iov_len);
      const Status status =
          request->write ? request->file->Write(offset, bytes) : request->file->Read(offset, bytes);
      if (!status.ok()) request->error = EIO;
      offset += vector.iov_len;
    }
    return request;
  }
  IoRequest* Poll() noexcept override { return Wait(); }
  [[nodiscard]] size_t pending() const noexcept override { return pending_.size(); }
  [[nodiscard]] size_t depth() const noexcept override { return depth_; }

 private:
  MemoryFileSystem* owner_;
  size_t depth_;
  bool fresh_ = false;
  std::deque<IoRequest*> pending_;
};

}  // namespace

std::vector<std::byte>& MemoryFileSystem::bytes(const std::string& path) {
  return *files_.at(path);
}

void MemoryFileSystem::Put(const std::string& path, std::vector<std::byte> content) {
  files_[path] = std::make_shared<std::vector<std::byte>>(std::move(content));
}

Result<std::unique_ptr<File>> MemoryFileSystem::Open(const std::string& path,
                                                     const FileOpen& how) noexcept {
  if (!Has(path)) {
    if (!how.create) return Status::IoError(path + ": no such file");
    Put(path, {});
  } else if (how.create && how.exclusive) {
    return Status::IoError(path + ": exists");
  }
  if (how.truncate) bytes(path).clear();
  return std::unique_ptr<File>(
      std::make_unique<MemoryFile>(this, path, files_.at(path), how.direct));
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string&) noexcept {
  std::vector<std::string> names;
  for (const auto& [name, content] : files_) names.push_back(name);
  return names;
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) noexcept {
  files_[to] = files_.at(from);
  files_.erase(from);
  return Status::Ok();
}

Status MemoryFileSystem::Remove(const std::string& path) noexcept {
  return files_.erase(path) == 1 ? Status::Ok() : Status::IoError(path + ": no such file");
}

Result<std::unique_ptr<IoQueue>> MemoryFileSystem::NewQueue(size_t depth) noexcept {
  return std::unique_ptr<IoQueue>(std::make_unique<MemoryQueue>(this, depth));
}

}  // namespace lamina::testing
