// Appends records to the journal, many threads at once.
//
// Threads that append share blocks: one of them (the leader) takes what has gathered, seals it into
// at most 128 blocks, writes them, syncs them in durability=batch, and wakes the others; what is
// appended meanwhile gathers for the next leader. Nobody spins. Blocks are written once and never
// rewritten; files are reserved up front and rotated. A group is one write, since its blocks lie
// side by side, so there is nothing for a queue of requests to do.
//
// A failed write or sync latches the journal: every later call returns the same error, and nothing
// is tried again, since what a failed sync has left on the device cannot be known. Lack of space is
// no such failure. A write that meets it is made again at the same place once the ballast has been
// given up (its blocks stand alone and are the same, and no sync came between), and else fails the
// calls in it: their blocks' numbers are used up, and the next call starts another file. Until one
// can be reserved every call fails.
#ifndef LAMINA_TENSORLOG_JOURNAL_WRITER_H_
#define LAMINA_TENSORLOG_JOURNAL_WRITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "engine/base/status.h"
#include "engine/io/ballast.h"
#include "engine/io/file_system.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/journal_position.h"

namespace lamina {

struct JournalWriterOptions {
  std::string directory;  // exists
  StoreId store_id;
  uint64_t epoch = 0;  // higher than that of any block there
  bool sync = false;   // durability=batch: Append returns after its blocks are synced
  // Size of a file, a multiple of kJournalBlockBytes; SetFileBytes changes it.
  uint64_t file_bytes = kJournalFileBytes;
  // May be null; outlives the writer.
  Ballast* ballast = nullptr;
};

// Thread-safe.
class JournalWriter {
 public:
  // Registers a put or move in progress: LowWater() stays at or below position() until the guard is
  // released or destroyed. Take it before Append, release it when the entries are where the next
  // checkpoint finds them, or when the put is lost. Movable; outlived by the writer.
  class Guard {
   public:
    Guard() noexcept = default;
    Guard(Guard&& other) noexcept;
    Guard& operator=(Guard&& other) noexcept;
    ~Guard() { Release(); }
    void Release() noexcept;
    // Every record appended under this guard lies at or above it.
    [[nodiscard]] JournalPosition position() const noexcept { return position_; }
    [[nodiscard]] bool held() const noexcept { return writer_ != nullptr; }

   private:
    friend class JournalWriter;
    Guard(JournalWriter* writer, JournalPosition position) noexcept
        : writer_(writer), position_(position) {}
    JournalWriter* writer_ = nullptr;
    JournalPosition position_;
  };

  // Where the records of one Append lie.
  struct Appended {
    JournalPosition first;  // block of the first record
    JournalPosition last;   // block of the last record
  };

  struct Stats {
    uint64_t appends = 0;
    uint64_t records = 0;
    uint64_t blocks = 0;
    uint64_t groups = 0;  // writes of gathered blocks
    uint64_t syncs = 0;
    uint64_t files = 0;       // that exist now
    uint64_t file_bytes = 0;  // that they reserve
  };

  // Starts a new file, numbered above all that are there, which stay; the first Append does, when
  // there is no space for it now. Errors: kInvalidArgument for a file size that is not a multiple
  // of a block, kIoError.
  static Result<std::unique_ptr<JournalWriter>> Open(FileSystem& fs,
                                                     const JournalWriterOptions& options) noexcept;
  // Waits for a group being written. Nothing may be in Append.
  ~JournalWriter();

  [[nodiscard]] Guard Begin() noexcept;

  // Returns when all records are in complete blocks (and synced, with options.sync). `guard` is one
  // of this writer's, held; `records` is not empty. On error the put has failed, though its records
  // may be found at replay: release its slots. Errors: the latched one; kNoSpace when the device
  // has no room, and a later call may succeed.
  Result<Appended> Append(const Guard& guard, const JournalRecords& records) noexcept;

  // Where the next block goes: above everything appended so far.
  [[nodiscard]] JournalPosition CurrentPosition() const noexcept;
  // The oldest position of a guard that is held; CurrentPosition() when there is none.
  [[nodiscard]] JournalPosition LowWater() const noexcept;

  // The size of files that are started from now on: at least one block, rounded down to whole ones.
  void SetFileBytes(uint64_t bytes) noexcept;

  // Makes every block appended before this call durable. A failure latches.
  Status Sync() noexcept;

  // Unlinks files that hold nothing at or above `keep`; never the one being written. The caller
  // passes the position of the checkpoint before the last, so that files go one checkpoint late.
  // A file of an earlier epoch goes when `keep` is in this epoch.
  Status DeleteBelow(JournalPosition keep) noexcept;

  // Gives back what the file being written has reserved and not used. Nothing may be appended
  // afterwards, and nothing may be in Append.
  Status End() noexcept;

  // Ok, or the error that every Append returns.
  [[nodiscard]] Status status() const noexcept;
  [[nodiscard]] Stats stats() const noexcept;

 private:
  struct OpenFile;
  struct OldFile;
  struct Waiter;
  struct State;
  class GroupWriter;

  JournalWriter(FileSystem& fs, const JournalWriterOptions& options) noexcept;
  Result<std::shared_ptr<OpenFile>> StartFile(uint64_t first_sequence) noexcept;
  void Lead(std::unique_lock<std::mutex>& lock) noexcept;
  Status SyncFile(OpenFile& file) noexcept;
  void ReleaseGuard(JournalPosition position) noexcept;

  FileSystem& fs_;
  const JournalWriterOptions options_;
  std::atomic<uint64_t> file_bytes_;
  const std::unique_ptr<State> state_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_JOURNAL_WRITER_H_
