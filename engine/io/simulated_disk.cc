#include "engine/io/simulated_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/io/io_error.h"

namespace lamina {
namespace {

constexpr uint64_t kSectorBytes = SimulatedChange::kSectorBytes;
// How likely each late write is to land at any operation of the next process.
constexpr double kLateLanding = 0.125;

uint64_t BytesLeft(const Transfer& transfer) noexcept {
  return transfer.request()->bytes - transfer.request()->transferred;
}

bool Aligned(const Transfer& transfer, Alignment alignment) noexcept {
  if (transfer.offset() % alignment.offset != 0) return false;
  for (uint32_t i = 0; i < transfer.vector_count(); ++i) {
    const iovec& vector = transfer.vectors()[i];
    if (vector.iov_len % alignment.offset != 0) return false;
    if (reinterpret_cast<uintptr_t>(vector.iov_base) % alignment.memory != 0) return false;
  }
  return true;
}

// Calls piece(memory, bytes, place in the transfer) for the transfer's next `bytes`.
template <class Piece>
void ForEachVector(const Transfer& transfer, size_t bytes, Piece piece) noexcept {
  size_t done = 0;
  for (uint32_t i = 0; i < transfer.vector_count() && done < bytes; ++i) {
    const iovec& vector = transfer.vectors()[i];
    const size_t take = std::min(vector.iov_len, bytes - done);
    piece(static_cast<std::byte*>(vector.iov_base), take, done);
    done += take;
  }
}

// Whether a write that begins or ends here covers a sector in part that cannot be read.
bool CutsUnreadableSector(const SimulatedInode& inode, uint64_t offset) noexcept {
  return offset % kSectorBytes != 0 && inode.unreadable_sectors.contains(offset / kSectorBytes);
}

SimulatedChange WriteOf(const Transfer& transfer, uint64_t bytes) noexcept {
  SimulatedChange change;
  change.offset = transfer.offset();
  change.data.resize(static_cast<size_t>(bytes));
  ForEachVector(transfer, change.data.size(), [&](std::byte* from, size_t size, size_t at) {
    std::memcpy(change.data.data() + at, from, size);
  });
  return change;
}

}  // namespace

bool SimulatedDisk::Impl::Fault(const std::string& path, double probability) noexcept {
  if (probability <= 0 || path.find(faults.only_in) == std::string::npos) return false;
  if (!random.Chance(probability)) return false;
  ++counts.faults;
  return true;
}

int SimulatedDisk::Impl::Operate(const SimulatedProcess& process, const std::string& path,
                                 Kind kind, const std::function<int()>& effect,
                                 const std::function<void()>& failed) noexcept {
  if (!process.alive) return EIO;
  LandSomeLateWrites();
  ++operations;
  if (kind == Kind::kWrite) ++counts.writes;
  if (kind == Kind::kSync) ++counts.syncs;
  if (operations == crash_at) {
    // A write is among those in flight, which the crash decides about.
    if (kind != Kind::kWrite && random.Coin()) effect();
    Crash(crash_kind);
    return EIO;
  }
  if (fail_operations.Holds(operations)) {
    ++counts.faults;
    failed();
    return fail_operations.error;
  }
  const double probability = kind == Kind::kWrite  ? faults.write_error
                             : kind == Kind::kSync ? faults.sync_error
                                                   : faults.change_error;
  if (Fault(path, probability)) {
    failed();
    return EIO;
  }
  return effect();
}

// ---- Transfers

Transfer::Next SimulatedDisk::Impl::Step(const SimulatedOpenFile& file, Transfer* transfer,
                                         bool any_alignment) noexcept {
  const int64_t result = transfer->request()->write ? AttemptWrite(file, *transfer)
                                                    : AttemptRead(file, *transfer, any_alignment);
  return transfer->Complete(result);
}

int64_t SimulatedDisk::Impl::AttemptRead(const SimulatedOpenFile& file, const Transfer& transfer,
                                         bool any_alignment) noexcept {
  if (!file.process->alive) return -EIO;
  LandSomeLateWrites();
  ++counts.reads;
  if (!any_alignment && !Aligned(transfer, file.alignment)) return -EINVAL;
  if (Fault(file.path, faults.again)) return -EAGAIN;
  const uint64_t offset = transfer.offset();
  const uint64_t size = file.inode->current.size();
  if (offset >= size) return 0;
  const uint64_t bytes = Shorten(file, std::min(BytesLeft(transfer), size - offset));
  const auto& unreadable = file.inode->unreadable_sectors;
  const auto bad = unreadable.lower_bound(offset / kSectorBytes);
  int error = bad != unreadable.end() && *bad * kSectorBytes < offset + bytes ? EIO : 0;
  if (fail_reads.Holds(counts.reads)) {
    ++counts.faults;
    error = fail_reads.error;
  } else if (Fault(file.path, faults.read_error)) {
    error = EIO;
  }
  std::vector<std::byte> data(static_cast<size_t>(bytes), std::byte{0xDB});
  if (error == 0) FillRead(file, offset, data);
  ForEachVector(transfer, data.size(), [&](std::byte* to, size_t length, size_t at) {
    std::memcpy(to, data.data() + at, length);
  });
  if (error != 0) return -error;
  counts.read_bytes += bytes;
  return static_cast<int64_t>(bytes);
}

void SimulatedDisk::Impl::FillRead(const SimulatedOpenFile& file, uint64_t offset,
                                   std::span<std::byte> out) noexcept {
  const SimulatedContent& content = file.inode->current;
  if (Fault(file.path, faults.stale_read)) {
    content.ReadOverwritten(offset, out);
  } else if (Fault(file.path, faults.misdirected_read)) {
    const WrongPlace wrong = Misdirect(file, out.size());
    wrong.inode->current.Read(wrong.offset, out);
  } else {
    content.Read(offset, out);
  }
  if (Fault(file.path, faults.flip_on_read)) {
    const uint64_t bit = random.Below(out.size() * 8);
    out[static_cast<size_t>(bit / 8)] ^= static_cast<std::byte>(1u << (bit % 8));
  }
}

int64_t SimulatedDisk::Impl::AttemptWrite(const SimulatedOpenFile& file,
                                          const Transfer& transfer) noexcept {
  if (!file.process->alive) return -EIO;
  if (!file.writable) return -EBADF;
  if (!Aligned(transfer, file.alignment)) return -EINVAL;
  if (Fault(file.path, faults.again)) return -EAGAIN;
  const uint64_t bytes = ShortenWrite(file, transfer);
  SimulatedChange change = WriteOf(transfer, bytes);
  const int error = Operate(
      *file.process, file.path, Kind::kWrite, [&] { return ApplyWrite(file, std::move(change)); },
      [&] {
        for (SimulatedChange& piece : change.Pieces(&random)) file.inode->Change(std::move(piece));
      });
  if (error != 0) return -error;
  counts.written_bytes += bytes;
  return static_cast<int64_t>(bytes);
}

int SimulatedDisk::Impl::ApplyWrite(const SimulatedOpenFile& file,
                                    SimulatedChange change) noexcept {
  const uint64_t bytes = change.data.size();
  if (change.offset > SimulatedContent::kMaxBytes - bytes) return EFBIG;
  SimulatedInode& inode = *file.inode;
  const uint64_t end = change.offset + bytes;
  if (CutsUnreadableSector(inode, change.offset) || CutsUnreadableSector(inode, end)) return EIO;
  if (const int error = Reserve(file, change.offset, bytes); error != 0) return error;
  if (Fault(file.path, faults.lost_write)) return 0;
  if (Fault(file.path, faults.misdirected_write)) {
    const WrongPlace wrong = Misdirect(file, bytes);
    change.offset = wrong.offset;
    if (wrong.inode != file.inode) {
      wrong.inode->Change(std::move(change));
      return 0;
    }
  }
  const uint64_t first_whole = (change.offset + kSectorBytes - 1) / kSectorBytes;
  const uint64_t end_whole = (change.offset + bytes) / kSectorBytes;
  if (first_whole < end_whole)
    inode.unreadable_sectors.erase(inode.unreadable_sectors.lower_bound(first_whole),
                                   inode.unreadable_sectors.lower_bound(end_whole));
  inode.Change(std::move(change));
  return 0;
}

// The system reads what a write leaves of a sector, and copies nothing into one that it cannot read
// but leaves it to the next write: so a write that is cut short ends before it.
uint64_t SimulatedDisk::Impl::ShortenWrite(const SimulatedOpenFile& file,
                                           const Transfer& transfer) noexcept {
  const uint64_t all = BytesLeft(transfer);
  const uint64_t bytes = Shorten(file, all);
  const uint64_t end = transfer.offset() + bytes;
  if (bytes == all || !CutsUnreadableSector(*file.inode, end)) return bytes;
  const uint64_t sector_begin = end / kSectorBytes * kSectorBytes;
  return sector_begin > transfer.offset() ? sector_begin - transfer.offset() : all;
}

uint64_t SimulatedDisk::Impl::Shorten(const SimulatedOpenFile& file, uint64_t bytes) noexcept {
  const uint64_t unit = std::max(file.alignment.memory, file.alignment.offset);
  if (bytes <= unit || !Fault(file.path, faults.short_transfer)) return bytes;
  return unit * (1 + random.Below((bytes - 1) / unit));
}

int SimulatedDisk::Impl::Reserve(const SimulatedOpenFile& file, uint64_t offset,
                                 uint64_t bytes) noexcept {
  const uint64_t wanted = file.inode->current.NewBytes(offset, bytes);
  if (wanted == 0) return 0;
  if (Fault(file.path, faults.no_space)) return ENOSPC;
  return capacity_bytes != UINT64_MAX && wanted > free_bytes() ? ENOSPC : 0;
}

SimulatedDisk::Impl::WrongPlace SimulatedDisk::Impl::Misdirect(const SimulatedOpenFile& file,
                                                               uint64_t bytes) noexcept {
  WrongPlace place = {.inode = file.inode, .offset = 0};
  if (random.Below(4) == 0) {
    std::vector<SimulatedInodePtr> others;
    for (const std::string& path : names.Files()) {
      const SimulatedInodePtr inode = names.Find(path);
      if (inode->current.size() >= bytes && path.find(faults.only_in) != std::string::npos)
        others.push_back(inode);
    }
    if (!others.empty()) place.inode = others[random.Below(others.size())];
  }
  const uint64_t size = place.inode->current.size();
  const uint64_t places = size > bytes ? (size - bytes) / kSectorBytes + 1 : 1;
  place.offset = random.Below(places) * kSectorBytes;
  return place;
}

// ---- Crashes

void SimulatedDisk::Impl::StartWrite(const SimulatedOpenFile& file, Transfer* transfer) noexcept {
  // Those that will be refused can never land.
  if (!file.process->alive || !file.writable || !Aligned(*transfer, file.alignment)) return;
  if (transfer->offset() > SimulatedContent::kMaxBytes - BytesLeft(*transfer)) return;
  in_flight_.push_back({transfer, file.inode});
}

void SimulatedDisk::Impl::EndWrite(Transfer* transfer) noexcept {
  std::erase_if(in_flight_, [&](const InFlight& write) { return write.transfer == transfer; });
}

void SimulatedDisk::Impl::Crash(SimulatedCrash kind) noexcept {
  crashed = true;
  crash_at = 0;
  for (const auto& process : processes) process->alive = false;
  processes.clear();
  locks.clear();
  names.ForgetOpens();
  for (const InFlight& write : in_flight_) {
    SimulatedChange change = WriteOf(*write.transfer, BytesLeft(*write.transfer));
    if (kind == SimulatedCrash::kPower) {
      write.inode->unsynced.push_back(std::move(change));
    } else if (random.Coin()) {
      late_writes_.push_back({write.inode, std::move(change)});
    } else {
      for (SimulatedChange& piece : change.Pieces(&random)) write.inode->Change(std::move(piece));
    }
  }
  in_flight_.clear();
  if (kind == SimulatedCrash::kPower) {
    late_writes_.clear();
    names.CutPower(&random, faults.garbage);
  }
}

void SimulatedDisk::Impl::LandSomeLateWrites() noexcept {
  for (size_t i = 0; i < late_writes_.size();) {
    if (!random.Chance(kLateLanding)) {
      ++i;
      continue;
    }
    late_writes_[i].inode->Change(std::move(late_writes_[i].change));
    late_writes_.erase(late_writes_.begin() + static_cast<ptrdiff_t>(i));
  }
}

void SimulatedDisk::Impl::SettleLateWrites() noexcept {
  for (LateWrite& write : late_writes_)
    if (random.Coin()) write.inode->Change(std::move(write.change));
  late_writes_.clear();
}

std::shared_ptr<SimulatedProcess> SimulatedDisk::Impl::NewProcess() noexcept {
  auto process = std::make_shared<SimulatedProcess>();
  process->id = next_process_id_++;
  processes.push_back(process);
  return process;
}

Result<SimulatedInodePtr> SimulatedDisk::Impl::FindRange(const std::string& path, uint64_t offset,
                                                         uint64_t bytes) const noexcept {
  SimulatedInodePtr inode = names.Find(path);
  if (inode == nullptr || inode->directory) return ErrnoStatus(ENOENT, "find", path);
  const uint64_t size = inode->current.size();
  if (offset > size || bytes > size - offset)
    return EndOfFileStatus(path, offset, bytes, offset < size ? size - offset : 0);
  return inode;
}

uint64_t SimulatedDisk::Impl::free_bytes() const noexcept {
  const uint64_t used = names.AllocatedBytes();
  return used < capacity_bytes ? capacity_bytes - used : 0;
}

}  // namespace lamina
