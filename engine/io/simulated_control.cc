// The test's side of a simulated disk: processes, crashes, faults, decay.
#include <algorithm>
#include <cerrno>
#include <mutex>

#include "engine/io/io_error.h"
#include "engine/io/simulated_disk.h"
#include "engine/io/simulated_file_system.h"

namespace lamina {

SimulatedDisk::SimulatedDisk(uint64_t seed) noexcept : SimulatedDisk(seed, Options()) {}
SimulatedDisk::SimulatedDisk(uint64_t seed, const Options& options) noexcept
    : impl_(std::make_shared<Impl>(seed, options)) {}
SimulatedDisk::~SimulatedDisk() = default;

std::unique_ptr<FileSystem> SimulatedDisk::Restart() noexcept {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->processes.empty()) impl_->Crash(SimulatedCrash::kProcess);
  impl_->crashed = false;
  impl_->crash_at = 0;
  return MakeSimulatedFileSystem(impl_, impl_->NewProcess());
}

std::unique_ptr<FileSystem> SimulatedDisk::Attach() noexcept {
  const std::lock_guard lock(impl_->mutex);
  return MakeSimulatedFileSystem(impl_, impl_->NewProcess());
}

uint64_t SimulatedDisk::operations() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->operations;
}

void SimulatedDisk::SetCrashAt(uint64_t n, SimulatedCrash kind) noexcept {
  const std::lock_guard lock(impl_->mutex);
  impl_->crash_at = n == 0 ? 0 : impl_->operations + n;
  impl_->crash_kind = kind;
}

void SimulatedDisk::Crash(SimulatedCrash kind) noexcept {
  const std::lock_guard lock(impl_->mutex);
  impl_->Crash(kind);
}

bool SimulatedDisk::crashed() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->crashed;
}

void SimulatedDisk::SetFaults(const SimulatedFaults& faults) noexcept {
  const std::lock_guard lock(impl_->mutex);
  impl_->faults = faults;
}

void SimulatedDisk::FailOperation(uint64_t n, int error, uint64_t count) noexcept {
  const std::lock_guard lock(impl_->mutex);
  impl_->fail_operations = {impl_->operations + n, count, n == 0 ? 0 : error};
}

void SimulatedDisk::FailRead(uint64_t n, int error, uint64_t count) noexcept {
  const std::lock_guard lock(impl_->mutex);
  impl_->fail_reads = {impl_->counts.reads + n, count, n == 0 ? 0 : error};
}

void SimulatedDisk::SetCapacity(uint64_t bytes) noexcept {
  const std::lock_guard lock(impl_->mutex);
  impl_->capacity_bytes = bytes;
}

SimulatedCounts SimulatedDisk::counts() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counts;
}

SimulatedFailedSyncs SimulatedDisk::FailedSyncs(std::string_view suffix) const noexcept {
  const std::lock_guard lock(impl_->mutex);
  SimulatedFailedSyncs failed;
  for (const Impl::FailedSync& sync : impl_->failed_syncs) {
    if (!sync.path.ends_with(suffix)) continue;
    ++failed.all;
    if (sync.lossy) ++failed.lossy;
  }
  return failed;
}

std::vector<std::string> SimulatedDisk::Files() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->names.Files();
}

Status SimulatedDisk::FlipBit(const std::string& path, uint64_t bit) noexcept {
  const std::lock_guard lock(impl_->mutex);
  LAMINA_ASSIGN_OR_RETURN(const SimulatedInodePtr inode, impl_->FindRange(path, bit / 8, 1));
  inode->Decay(bit / 8, 1,
               [bit](size_t, std::byte& byte) { byte ^= static_cast<std::byte>(1u << (bit % 8)); });
  return Status::Ok();
}

Status SimulatedDisk::Overwrite(const std::string& path, uint64_t offset,
                                std::span<const std::byte> bytes) noexcept {
  const std::lock_guard lock(impl_->mutex);
  LAMINA_ASSIGN_OR_RETURN(const SimulatedInodePtr inode,
                          impl_->FindRange(path, offset, bytes.size()));
  inode->Decay(offset, bytes.size(),
               [bytes](size_t index, std::byte& byte) { byte = bytes[index]; });
  return Status::Ok();
}

Status SimulatedDisk::MakeUnreadable(const std::string& path, uint64_t offset,
                                     uint64_t bytes) noexcept {
  const std::lock_guard lock(impl_->mutex);
  LAMINA_ASSIGN_OR_RETURN(const SimulatedInodePtr inode, impl_->FindRange(path, offset, bytes));
  constexpr uint64_t kSectorBytes = SimulatedChange::kSectorBytes;
  for (uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < offset + bytes; ++sector)
    inode->unreadable_sectors.insert(sector);
  return Status::Ok();
}

}  // namespace lamina
