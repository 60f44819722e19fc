// A disk in memory that fails on demand: the third implementation of FileSystem, for tests.
//
// A SimulatedDisk is what outlives a process: files and directories, with what a sync has made
// durable kept apart from what has only been written. Processes see it through the FileSystem that
// Restart or Attach hands out. A crash ends all of them: every later operation of theirs fails, and
// the disk becomes one of the states that a real one could be in. From a seed, and driven by one
// thread, everything that happens is the same each time.
//
// What a power cut may do: each 512-byte sector of each write since the file's last sync is lost or
// kept (or garbage, if asked for), independent of all others; a size change is lost or kept,
// independent of the data; each change of a directory since it was synced is lost or kept (a rename
// whole). What the death of a process may do: nothing to completed operations; writes in flight
// land in part, whole or not at all, at once or late, while the next process already runs (but not
// after it has the lock).
//
// Loops over crashes like this:
//
//   for (uint64_t n = 1;; ++n) {
//     SimulatedDisk disk(seed);
//     auto before = disk.Restart();
//     disk.SetCrashAt(n, SimulatedCrash::kPower);
//     RunHistory(before.get());
//     if (!disk.crashed()) break;  // the whole history has been tried
//     auto after = disk.Restart();
//     CheckWhatSurvived(after.get());
//   }
#ifndef LAMINA_ENGINE_IO_SIMULATED_FILE_SYSTEM_H_
#define LAMINA_ENGINE_IO_SIMULATED_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/file_system.h"

namespace lamina {

enum class SimulatedCrash : uint8_t {
  kPower,    // what was not synced may be lost or torn
  kProcess,  // what was completed stays; what was in flight may land, late too
};

// How likely each fault is, per operation that it applies to; 0 is never, 1 always.
struct SimulatedFaults {
  double read_error = 0;         // EIO; the buffer's content is undefined
  double write_error = 0;        // EIO; sectors of the range hold the old or the new bytes
  double sync_error = 0;         // EIO; unsynced writes count as clean but may never reach the disk
  double change_error = 0;       // EIO of what changes names or sizes, which then does not happen
  double open_error = 0;         // EMFILE
  double no_space = 0;           // ENOSPC of what needs more blocks than the file has
  double again = 0;              // EAGAIN from one attempt; queues retry it
  double short_transfer = 0;     // an attempt moves fewer bytes than asked; queues resume it
  double flip_on_read = 0;       // one bit of what is read is wrong, once
  double misdirected_read = 0;   // the bytes of another place, often of the same file
  double stale_read = 0;         // the bytes that were there before the last overwrite
  double lost_write = 0;         // reported as done, never happened
  double misdirected_write = 0;  // reported as done, landed elsewhere, often in the same file
  double garbage = 0;        // a sector that a power cut tears off a write holds neither old nor
                             // new bytes; sectors that the write covers in part do not
  double delay = 0;          // a completion that Poll does not see yet
  bool reorder = false;      // completions in random order
  std::string only_in = {};  // applies to paths that contain this (what a misdirected transfer
                             // hits, too); empty: to all
};

struct SimulatedCounts {
  uint64_t reads = 0;   // transfers and File::Read
  uint64_t writes = 0;  // transfers and File::Write
  uint64_t syncs = 0;   // File::Sync and SyncDirectory
  uint64_t faults = 0;  // faults injected, of any kind
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
};

struct SimulatedFailedSyncs {
  uint64_t all = 0;
  uint64_t lossy = 0;  // that left writes which may never reach the disk
  friend bool operator==(const SimulatedFailedSyncs&, const SimulatedFailedSyncs&) = default;
};

// Thread-safe; processes may be driven by many threads, and may outlive this handle.
class SimulatedDisk {
 public:
  struct Options {
    uint64_t capacity_bytes = UINT64_MAX;                           // beyond it: ENOSPC
    Alignment direct_alignment = {.memory = 4096, .offset = 4096};  // misaligned direct I/O: EINVAL
    bool direct_refused = false;      // every file is buffered, whatever was asked for
    bool punch_hole_refused = false;  // kNotSupported
  };

  explicit SimulatedDisk(uint64_t seed) noexcept;
  SimulatedDisk(uint64_t seed, const Options& options) noexcept;
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  // ---- Processes

  // The file system as the next process sees it. Processes that still run are killed first (as
  // Crash(kProcess) does); their file systems, files and queues stay usable but only fail, until
  // they are destroyed. Takes back a pending SetCrashAt.
  std::unique_ptr<FileSystem> Restart() noexcept;
  // A further process beside those that run, such as a follower.
  std::unique_ptr<FileSystem> Attach() noexcept;

  // ---- Crashes. Operations are what changes the disk or makes it durable: an open that creates or
  // truncates, write transfers, syncs, allocate, punch, truncate, rename, remove, make directory,
  // directory syncs. Each attempt of a write counts.

  // Operations since the disk was made.
  [[nodiscard]] uint64_t operations() const noexcept;
  // Crashes when the n-th operation from now (1: the next) is about to complete: it is itself among
  // what was in flight. 0 takes it back.
  void SetCrashAt(uint64_t n, SimulatedCrash kind) noexcept;
  // Crashes now.
  void Crash(SimulatedCrash kind) noexcept;
  // Since the last Restart.
  [[nodiscard]] bool crashed() const noexcept;

  // ---- Faults

  void SetFaults(const SimulatedFaults& faults) noexcept;
  // Fails the n-th operation from now (1: the next), and `count - 1` after it, with this errno: as
  // write_error and sync_error do for writes and syncs, without effect for others. 0: takes it
  // back.
  void FailOperation(uint64_t n, int error, uint64_t count = 1) noexcept;
  // The same for reads.
  void FailRead(uint64_t n, int error, uint64_t count = 1) noexcept;
  void SetCapacity(uint64_t bytes) noexcept;
  [[nodiscard]] SimulatedCounts counts() const noexcept;
  // Failed syncs so far, of files whose paths end so.
  [[nodiscard]] SimulatedFailedSyncs FailedSyncs(std::string_view suffix) const noexcept;

  // ---- Decay, of what is on the disk and what is cached alike. Errors: kIoError when there is no
  // such file, kCorruption when it is too short.

  Status FlipBit(const std::string& path, uint64_t bit) noexcept;
  Status Overwrite(const std::string& path, uint64_t offset,
                   std::span<const std::byte> bytes) noexcept;
  // Reads that touch the range fail with EIO until it is overwritten, sector by sector; so do
  // writes that cover such a sector in part, since the rest of it has to be read.
  Status MakeUnreadable(const std::string& path, uint64_t offset, uint64_t bytes) noexcept;
  // Paths of all files, sorted.
  [[nodiscard]] std::vector<std::string> Files() const noexcept;

  class Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_SIMULATED_FILE_SYSTEM_H_
