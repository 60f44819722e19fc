// Inside of SimulatedDisk: which operation is let through, fails or crashes, and what a transfer
// does to the bytes. simulated_file_system.cc has the processes' side.
#ifndef LAMINA_ENGINE_IO_SIMULATED_DISK_H_
#define LAMINA_ENGINE_IO_SIMULATED_DISK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/io/simulated_file_system.h"
#include "engine/io/simulated_namespace.h"
#include "engine/io/transfer.h"

namespace lamina {

// A process that uses the disk. Guarded by the disk's mutex.
struct SimulatedProcess {
  uint64_t id = 0;
  bool alive = true;
};

// What a transfer needs to know of the file it is on.
struct SimulatedOpenFile {
  std::shared_ptr<SimulatedProcess> process;
  SimulatedInodePtr inode;
  std::string path;
  Alignment alignment;  // 1 where buffered
  bool writable = false;
};

// All functions and members are to be used under `mutex`.
class SimulatedDisk::Impl {
 public:
  enum class Kind : uint8_t { kWrite, kSync, kOther };

  Impl(uint64_t seed, const Options& disk_options) noexcept
      : options(disk_options), capacity_bytes(disk_options.capacity_bytes), random(seed) {}

  // Runs an operation that changes the disk: `effect` does it and returns 0 or an errno. At a
  // crash it may have happened or not; where it is made to fail, `failed` says what is left of it.
  int Operate(
      const SimulatedProcess& process, const std::string& path, Kind kind,
      const std::function<int()>& effect, const std::function<void()>& failed = [] {}) noexcept;
  // One attempt of a transfer. `any_alignment`: as File::Read of direct files, which bounces.
  Transfer::Next Step(const SimulatedOpenFile& file, Transfer* transfer,
                      bool any_alignment) noexcept;
  // A write that a crash may leave half done, from when it starts until it has ended.
  void StartWrite(const SimulatedOpenFile& file, Transfer* transfer) noexcept;
  void EndWrite(Transfer* transfer) noexcept;

  void Crash(SimulatedCrash kind) noexcept;
  // Late writes that have not landed by now do so or never will.
  void SettleLateWrites() noexcept;
  std::shared_ptr<SimulatedProcess> NewProcess() noexcept;
  [[nodiscard]] uint64_t free_bytes() const noexcept;
  // A file that has all of the range.
  Result<SimulatedInodePtr> FindRange(const std::string& path, uint64_t offset,
                                      uint64_t bytes) const noexcept;
  // 0 when there are blocks for the range of the file, or ENOSPC.
  int Reserve(const SimulatedOpenFile& file, uint64_t offset, uint64_t bytes) noexcept;
  // Draws whether a fault happens to a file.
  bool Fault(const std::string& path, double probability) noexcept;

  std::mutex mutex;
  const Options options;
  uint64_t capacity_bytes;
  SimulatedRandom random;
  SimulatedNamespace names;
  SimulatedFaults faults;
  SimulatedCounts counts;
  std::vector<std::shared_ptr<SimulatedProcess>> processes;  // alive
  std::map<std::string, uint64_t> locks;                     // path to process id
  uint64_t operations = 0;
  uint64_t crash_at = 0;  // value of `operations`; 0: never
  SimulatedCrash crash_kind = SimulatedCrash::kPower;
  bool crashed = false;

  // The operations (or reads) numbered from `first` on fail.
  struct FailWindow {
    uint64_t first = 0;
    uint64_t count = 0;
    int error = 0;
    [[nodiscard]] bool Holds(uint64_t n) const noexcept {
      return error != 0 && n >= first && n - first < count;
    }
  };
  FailWindow fail_operations;
  FailWindow fail_reads;
  struct FailedSync {
    std::string path;
    bool lossy = false;  // it left unsynced writes
  };
  std::vector<FailedSync> failed_syncs;

 private:
  struct InFlight {
    Transfer* transfer;
    SimulatedInodePtr inode;
  };
  struct LateWrite {
    SimulatedInodePtr inode;
    SimulatedChange change;
  };

  int64_t AttemptRead(const SimulatedOpenFile& file, const Transfer& transfer,
                      bool any_alignment) noexcept;
  int64_t AttemptWrite(const SimulatedOpenFile& file, const Transfer& transfer) noexcept;
  int ApplyWrite(const SimulatedOpenFile& file, SimulatedChange change) noexcept;
  void LandSomeLateWrites() noexcept;
  void FillRead(const SimulatedOpenFile& file, uint64_t offset, std::span<std::byte> out) noexcept;
  uint64_t Shorten(const SimulatedOpenFile& file, uint64_t bytes) noexcept;
  uint64_t ShortenWrite(const SimulatedOpenFile& file, const Transfer& transfer) noexcept;
  struct WrongPlace {
    SimulatedInodePtr inode;
    uint64_t offset;
  };
  // Where a misdirected transfer of `bytes` goes.
  WrongPlace Misdirect(const SimulatedOpenFile& file, uint64_t bytes) noexcept;

  uint64_t next_process_id_ = 1;
  std::vector<InFlight> in_flight_;
  std::vector<LateWrite> late_writes_;
};

// The disk as one process sees it.
std::unique_ptr<FileSystem> MakeSimulatedFileSystem(
    std::shared_ptr<SimulatedDisk::Impl> disk, std::shared_ptr<SimulatedProcess> process) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_SIMULATED_DISK_H_
