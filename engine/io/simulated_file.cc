#include "engine/io/simulated_file.h"

#include <cerrno>
#include <mutex>
#include <utility>

#include "engine/io/io_error.h"
#include "engine/io/transfer.h"

namespace lamina {

using Disk = SimulatedDisk::Impl;
using ChangeKind = SimulatedChange::Kind;

SimulatedFile::SimulatedFile(std::shared_ptr<Disk> disk, SimulatedOpenFile file,
                             bool direct) noexcept
    : disk_(std::move(disk)), file_(std::move(file)), direct_(direct) {
  ++file_.inode->opens;
}

SimulatedFile::~SimulatedFile() {
  const std::lock_guard lock(disk_->mutex);
  if (file_.process->alive) --file_.inode->opens;
}

Status SimulatedFile::Read(uint64_t offset, std::span<std::byte> out) noexcept {
  if (out.empty()) return Status::Ok();
  return Run(/*write=*/false, offset, out.data(), out.size());
}

Status SimulatedFile::Write(uint64_t offset, std::span<const std::byte> data) noexcept {
  if (data.empty()) return Status::Ok();
  // iovec has no const form; nothing writes through it.
  return Run(/*write=*/true, offset, const_cast<std::byte*>(data.data()), data.size());
}

Status SimulatedFile::Run(bool write, uint64_t offset, std::byte* memory, size_t bytes) noexcept {
  iovec vector = {.iov_base = memory, .iov_len = bytes};
  IoRequest request;
  request.file = this;
  request.write = write;
  request.offset = offset;
  request.vectors = &vector;
  request.vector_count = 1;
  request.bytes = bytes;
  Transfer transfer;
  transfer.Begin(&request);
  {
    const std::lock_guard lock(disk_->mutex);
    if (write) disk_->StartWrite(file_, &transfer);
    while (disk_->Step(file_, &transfer, /*any_alignment=*/!write) == Transfer::Next::kAgain) {
    }
    if (write) disk_->EndWrite(&transfer);
  }
  return StatusOf(request);
}

Status SimulatedFile::Sync() noexcept {
  const std::lock_guard lock(disk_->mutex);
  const int error = disk_->Operate(
      *file_.process, file_.path, Disk::Kind::kSync,
      [&] {
        file_.inode->Sync();
        return 0;
      },
      [&] {
        disk_->failed_syncs.push_back({file_.path, !file_.inode->unsynced.empty()});
        file_.inode->FailSync(&disk_->random);
      });
  return error == 0 ? Status::Ok() : SyncStatus(error, "sync", file_.path);
}

Status SimulatedFile::Allocate(uint64_t bytes) noexcept {
  return Change({.kind = ChangeKind::kAllocate, .bytes = bytes}, "allocate");
}

Status SimulatedFile::PunchHole(uint64_t offset, uint64_t bytes) noexcept {
  if (disk_->options.punch_hole_refused)
    return TransferStatus(EOPNOTSUPP, "punch out", file_.path, offset, bytes);
  return Change({.kind = ChangeKind::kPunch, .offset = offset, .bytes = bytes}, "punch out");
}

Status SimulatedFile::Truncate(uint64_t bytes) noexcept {
  return Change({.kind = ChangeKind::kResize, .bytes = bytes}, "set the size to");
}

Status SimulatedFile::Change(const SimulatedChange& change, const char* operation) noexcept {
  const std::lock_guard lock(disk_->mutex);
  const int error = disk_->Operate(*file_.process, file_.path, Disk::Kind::kOther, [&] {
    if (!file_.writable) return EBADF;
    if (change.bytes > SimulatedContent::kMaxBytes ||
        change.offset > SimulatedContent::kMaxBytes - change.bytes)
      return EFBIG;
    if (change.kind == ChangeKind::kAllocate) {
      if (const int full = disk_->Reserve(file_, 0, change.bytes); full != 0) return full;
    }
    file_.inode->Change(change);
    return 0;
  });
  if (error == 0) return Status::Ok();
  return TransferStatus(error, operation, file_.path, change.offset, change.bytes);
}

Result<uint64_t> SimulatedFile::Size() noexcept {
  const std::lock_guard lock(disk_->mutex);
  if (!file_.process->alive) return ErrnoStatus(EIO, "stat", file_.path);
  return file_.inode->current.size();
}

}  // namespace lamina
