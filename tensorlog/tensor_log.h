// The tensor log: where pages lie. Owns the segments and says which slots hold which page.
//
// A put goes: Take slots, WritePages, (the store: journal, behind it or beside its end), then for
// each page Publish or Release.
// A get goes: (the store: locate an entry whose slot Bears its tag), ReadPages, which pins, checks
// and unpins. The log never blocks a read; a slot that is pinned is not overwritten.
//
// Slots are overwritten in the order of a cursor, one per class and directory, which moves forward
// over free and condemned slots and skips what is live or pinned (cursor.h).
//
// Thread-safe, except that everything under "Opening" happens before other threads know the log.
// The file system, the buffer pool and the segment source outlive it.
#ifndef LAMINA_TENSORLOG_TENSOR_LOG_H_
#define LAMINA_TENSORLOG_TENSOR_LOG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/slot_ref.h"
#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "engine/io/io_queue.h"
#include "tensorlog/cursor.h"
#include "tensorlog/freed_slots.h"
#include "tensorlog/geometry.h"
#include "tensorlog/journal_position.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/originals.h"
#include "tensorlog/page_io.h"
#include "tensorlog/segment.h"
#include "tensorlog/segment_table.h"
#include "tensorlog/slot_run.h"
#include "tensorlog/slot_table.h"

namespace lamina {

struct TensorLogOptions {
  StoreId store_id;
  // One directory each, in the order of their indexes. At least one.
  std::vector<std::string> log_dirs;
  // Where slot tables are; exists.
  std::string slot_table_dir;
  // For the size of new segments; 0: not bounded. The source decides whether one may be added.
  uint64_t capacity_bytes = 0;
  // Segment bytes that go to one directory before the next gets its turn.
  uint64_t stripe_bytes = uint64_t{4} << 20;
  bool read_only = false;
  // erase=physical: a slot's bytes are erased before it is free (Scrub).
  bool physical_erase = false;
  // The store was not closed. A slot may have been overwritten, by a put that nothing else tells
  // of, since its table was saved: pages of the tables are unproven.
  bool unclean = false;
};

// A slot table that was written for a checkpoint.
struct SavedSlotTable {
  uint32_t segment = 0;
  uint64_t generation = 0;
  uint64_t file_bytes = 0;
};

struct ClassStats {
  uint32_t slot_bytes = 0;
  uint64_t segments = 0;
  uint64_t bytes = 0;  // of its segments' files
  SlotCounts slots;    // of segments that are there
  SlotCounts absent;   // of segments that are not: the index keeps their pages
  uint64_t pinned = 0;
};

class TensorLog {
 public:
  // ---- Opening ---------------------------------------------------------------------------------

  // Opens the directories: `known[i]` says that log_dirs[i] joined the store before, so that its
  // absence means misses, and so does an error of reading it, unless no other directory is there.
  // Errors: those of LogDir::Open.
  static Result<std::unique_ptr<TensorLog>> Open(FileSystem& fs, BufferPool& bounce,
                                                 const TensorLogOptions& options,
                                                 const std::vector<bool>& known,
                                                 SegmentSource& source) noexcept;
  ~TensorLog();

  struct Recovered {
    // Not Ok: the file is missing or short (the segment is absent), or its slot table is missing
    // or damaged (slots are empty). Report it; the store opens all the same.
    Status problem;
    bool absent = false;
    uint64_t file_bytes = 0;  // when absent: what is left of the file
    uint64_t slots_loaded = 0;
    uint64_t slots_lost = 0;
  };
  // A segment of the manifest, with its slot table if it has one (generation 0: none was saved
  // yet). The only errors: kNotSupported for a table of an unknown version; kCorruption for an info
  // that cannot be (directory, size, id used twice).
  Result<Recovered> AddSegment(const SegmentInfo& info, uint64_t table_generation) noexcept;

  // A page of a put or move record, or one that a checkpointed move displaced. Records come in
  // order: a later one overrides the slot. The page is live and unproven. False when the slot does
  // not exist (the segment is gone): the page is lost, which is legal. `synced`: as in Publish.
  bool Replay(JournalPosition at, SlotRef slot, uint64_t tag, uint32_t root,
              bool synced = false) noexcept;
  // A move record has taken the page elsewhere. Its slot bears it no more, and is free once a
  // checkpoint is done (originals.h).
  void ReplayMoved(SlotRef from, uint64_t tag) noexcept;
  // Cursors stand behind what was replayed; slots may be taken from now on.
  void FinishReplay() noexcept;
  // Unlinks segment files and slot tables that no segment here owns: what a crash left between
  // making a file and writing it into the manifest, or brought back. The id alone does not make a
  // file a segment's: the next segment may have got it in another directory. While the directory of
  // a segment is not there, a file of its name elsewhere stays: somebody may have saved it from
  // there. What cannot be listed or unlinked in a log directory stays until the next open. Errors:
  // of the directory of the slot tables.
  struct Orphans {
    uint64_t removed_bytes = 0;
    uint64_t kept_bytes = 0;       // as far as they can be told
    std::vector<Status> problems;  // why they were kept
  };
  Result<Orphans> RemoveOrphans() noexcept;

  // ---- Writing ---------------------------------------------------------------------------------

  // Takes up to `count` slots for pages of `page_bytes`, in runs, in the order in which the pages
  // of a path should lie. What is taken is in state writing and bears no tag: Publish or Release
  // each. May return fewer. Errors: kNoSpace when no slot of the class can be had (all live or
  // pinned, and no segment may be added), or when the page is too large for the capacity (the
  // message says which); kIoError when every directory is latched.
  Result<std::vector<SlotRun>> Take(uint64_t page_bytes, size_t count) noexcept;

  // The same from the segments that there are: kNoSpace where Take would add one.
  Result<std::vector<SlotRun>> TakeExisting(uint64_t page_bytes, size_t count) noexcept;
  // The first slots of one segment that can be taken, draining or not. Fewer, or none, when there
  // are no more.
  std::vector<SlotRun> TakeIn(uint32_t segment, size_t count) noexcept;

  // Writes pages into slots that this caller took; their checksums come back in `pages`. Pages in
  // neighbouring slots share requests. Returns the first error; pages[i].ok says which were written
  // whole. A device error latches the directory. With `sync`, what was written is durable on
  // return, with one sync per segment that concurrent callers share (durability=batch).
  Status WritePages(IoQueue& queue, std::span<PageWrite> pages, const IoLimits& limits, bool sync,
                    IoTally* tally, WriteObserver* observer = nullptr) noexcept;

  // The payload and the journal block (at `position`) are complete: the slot now bears the tag.
  // `synced`: the payload was written with `sync`, so that no later failure of a sync concerns it.
  void Publish(SlotRef slot, uint64_t tag, uint32_t root, JournalPosition position,
               bool synced = false) noexcept;
  // Gives back a slot that was taken: a lost, failed or rejected put, a losing duplicate.
  void Release(SlotRef slot) noexcept;
  void Release(const SlotRun& run) noexcept;

  // ---- Reading ---------------------------------------------------------------------------------

  // Whether the slot bears the tag and can be read. No I/O, no lock. For locating pages.
  [[nodiscard]] bool Bears(SlotRef slot, uint64_t tag) const noexcept;
  // Whether an entry must be kept by compaction: its slot bears the tag, readable or not (a missing
  // directory may come back), or replay has not finished, or no checkpoint has been done since it
  // took the page elsewhere.
  [[nodiscard]] bool Keeps(SlotRef slot, uint64_t tag) const noexcept;
  // Like Bears, and the page's payload has not been verified since it was replayed.
  [[nodiscard]] bool Unproven(SlotRef slot, uint64_t tag) const noexcept;
  void MarkProven(SlotRef slot, uint64_t tag) noexcept;

  // The number of the page's root, if it is live in that slot: not condemned.
  [[nodiscard]] std::optional<uint32_t> LiveRoot(SlotRef slot, uint64_t tag) const noexcept;

  // The page is condemned in that slot.
  [[nodiscard]] bool Condemned(SlotRef slot, uint64_t tag) const noexcept;
  // And its segment is being given up (draining): it does not come back to life, and will be gone.
  [[nodiscard]] bool Leaving(SlotRef slot, uint64_t tag) const noexcept;

  // Reads pages straight into the caller's buffers where they are aligned, and checks each against
  // the checksum. Pins are held from the moment I/O is issued until it completes. A page that was
  // unproven and is read whole becomes proven. Outcomes are per page; `observer` may be null. Pages
  // that are in path order and neighbours in the log share requests.
  void ReadPages(IoQueue& queue, std::span<PageRead> pages, const IoLimits& limits,
                 ReadObserver* observer, IoTally* tally) noexcept;

  // Keeps the page in its slot until Unpin; false when the slot does not bear the tag. The segment
  // is not removed meanwhile. For moves and verification; ReadPages pins by itself.
  bool Pin(SlotRef slot, uint64_t tag) noexcept;
  void Unpin(SlotRef slot) noexcept;

  // ---- Eviction and erasure. Each is false, and changes nothing, unless the slot bears the tag
  // ----

  bool Condemn(SlotRef slot, uint64_t tag) noexcept;
  // A condemned page was hit: live again.
  bool Revive(SlotRef slot, uint64_t tag) noexcept;
  bool Free(SlotRef slot, uint64_t tag) noexcept;
  // Frees every slot of a root. Returns how many. Pages published meanwhile may be missed: bar
  // their publication first.
  uint64_t FreeRoot(uint32_t root) noexcept;

  // The eviction policy's words of the slot, which need not bear the tag by the time they are
  // written. False when it does not now.
  bool LoadHeat(SlotRef slot, uint64_t tag, HeatValue* heat) const noexcept;
  bool StoreHeat(SlotRef slot, uint64_t tag, const HeatValue& heat) noexcept;
  bool SetHeatWord(SlotRef slot, uint64_t tag, size_t word, uint64_t value) noexcept;

  // ---- Checkpoints. In this order
  // ------------------------------------------------------------------

  // Writes and syncs the tables of dirty segments (of all, with `all`: at close, to keep the heat)
  // as files of `generation`, and syncs their directory. Slots put at or above `position` are saved
  // as free. On error nothing counts as saved.
  Result<std::vector<SavedSlotTable>> SaveSlotTables(JournalPosition position, uint64_t generation,
                                                     bool all) noexcept;
  // Makes every payload written before this call durable. A directory that fails is latched, its
  // unsynced pages are freed, and the error is returned after all were tried: the checkpoint has to
  // begin anew, since the slot tables have those pages. The next one goes through.
  Status SyncPayloads() noexcept;
  [[nodiscard]] size_t DirsThatFailedToSync() const noexcept;
  // The checkpoint at `position`, with the tables of `generation`, is durable in the manifest:
  // forgets older positions, unlinks the slot tables that were replaced, and gives back the slots
  // that replayed moves have left; Scrub.
  void CheckpointDone(JournalPosition position, std::span<const SavedSlotTable> saved) noexcept;
  // The checkpoint was given up before the manifest named these tables: their segments are dirty
  // again, the files go.
  void CheckpointFailed(std::span<const SavedSlotTable> saved) noexcept;

  // ---- Segments
  // --------------------------------------------------------------------------------------

  void SetCapacity(uint64_t capacity_bytes) noexcept;
  // A segment of its own for pages that are to be moved together, `draining` from the start, so
  // that nothing else goes in: TakeIn. `slot_bytes` is that of a class. Errors: those of the
  // segment source (kNoSpace: it may not be added) and of making the file.
  Result<uint32_t> AddEmptySegment(uint32_t log_dir, uint32_t slot_bytes,
                                   uint32_t slot_count) noexcept;

  // A segment is removed in these steps, by one thread at a time: SetDraining; AwaitWriters; (the
  // store moves, condemns or frees what is live, and makes a checkpoint that covers it;)
  // CloseSegment; (the manifest drops it;) RemoveSegment. Up to the manifest's edit all of it can
  // be taken back: ReopenSegment, SetDraining.
  using Deadline = Segment::Deadline;
  // No new pages in it, or again.
  Status SetDraining(uint32_t segment, bool draining) noexcept;
  // Waits until nothing is being written in it. kBusy at the deadline.
  Status AwaitWriters(uint32_t segment, Deadline deadline) noexcept;
  // From now on nothing in it is found, pinned or taken; condemned pages keep their tags until it
  // is removed or opened again. kBusy, and nothing has changed, at once when something in it is
  // live, and when something is still pinned or being written at the deadline.
  Status CloseSegment(uint32_t segment, Deadline deadline) noexcept;
  void ReopenSegment(uint32_t segment) noexcept;
  // Slots that replayed moves have left wait for a checkpoint, being written as far as AwaitWriters
  // can tell.
  [[nodiscard]] bool holds_originals() const noexcept { return originals_.any(); }
  // Forgets a closed segment, and unlinks its file and its slot table: what it still held, all of
  // it condemned, is gone. No checkpoint may have copied slot tables that it has not committed. On
  // an error files may be left, which the next open removes; `*file_left` (may be null): the
  // segment's own is among them.
  Status RemoveSegment(uint32_t segment, bool* file_left = nullptr) noexcept;
  // ---- erase=physical

  // Erases the bytes of every slot that was freed or released before this call, once its readers
  // are done, and frees it; whoever frees slots calls it before returning to the caller, without a
  // pin of its own. Does nothing without physical_erase. The next checkpoint makes it durable. An
  // error is the first: a segment that is not there, a write that failed (its directory is
  // latched), a reader that does not end, a disk without space. The next call tries the last two
  // again. What bytes stay are erased by the next open at the latest, if their directory is there
  // then.
  Status Scrub() noexcept;
  // Slots whose bytes could not be erased, by anybody's Scrub, and that were released all the same.
  [[nodiscard]] uint64_t scrub_failures() const noexcept { return freed_.failures(); }

  [[nodiscard]] std::vector<SegmentInfo> Segments() const noexcept;
  // A read section over all segments, for walks (stats, eviction, vlog-gc). Keep it short.
  [[nodiscard]] const SegmentTable& table() const noexcept { return table_; }
  // The segments of a class in the order of their ids: with SegmentTable::ReadSection, what a
  // class's dense slot numbers mean.
  [[nodiscard]] std::vector<SegmentInfo> SegmentsOfClass(uint32_t slot_bytes) const noexcept;
  // Calls fn(segment, slot number, slot) for every slot of every segment.
  void ForEachSlot(const std::function<void(Segment&, uint32_t, Slot&)>& fn) const noexcept;

  // `pinned` is counted by a walk over all slots, when asked for.
  [[nodiscard]] std::vector<ClassStats> Stats(bool count_pinned) const noexcept;
  // Bytes of slot tables in memory.
  [[nodiscard]] uint64_t memory_bytes() const noexcept;
  // Bytes of all segment files, present ones.
  [[nodiscard]] uint64_t file_bytes() const noexcept;
  [[nodiscard]] std::span<const std::unique_ptr<LogDir>> log_dirs() const noexcept { return dirs_; }
  // Whether any directory takes new pages; Ok, or why not.
  [[nodiscard]] Status WritableStatus() const noexcept;

 private:
  void DiscardSaved(std::span<const SavedSlotTable> saved) noexcept;

  // Where a lane's cursor stood, as far as slot tables and journal tell.
  struct KnownCursor {
    uint64_t generation = 0;  // of the slot table that says so; UINT64_MAX: the journal
    uint32_t segment = 0;
    uint32_t slot = 0;
  };

  TensorLog(FileSystem& fs, BufferPool& bounce, const TensorLogOptions& options,
            SegmentSource& source) noexcept;
  SlotClass& ClassOf(uint32_t slot_bytes) noexcept;
  Status StartSegment(SlotClass& slot_class, uint32_t dir) noexcept;
  Result<uint32_t> MakeSegment(SegmentInfo info, bool draining) noexcept;
  Result<std::vector<SlotRun>> TakeFrom(uint64_t page_bytes, size_t count, bool may_grow) noexcept;
  void NoteCursor(const SegmentInfo& info, const KnownCursor& cursor) noexcept;
  uint64_t FreeUnsyncedPuts() noexcept;
  Status ScrubRun(const SlotRun& run) noexcept;
  void QueueAgain(const SlotRun& run) noexcept;
  Status ScrubTails(std::span<PageWrite> pages) noexcept;
  void QueueFreeSlots() noexcept;
  Status CheckDirs() const noexcept;
  Status CheckInfo(const SegmentInfo& info) const noexcept;
  [[nodiscard]] bool IsOrphan(const LogDir& dir, const std::string& name) const noexcept;
  template <class Fn>
  bool WithSlot(SlotRef slot, Fn&& fn) const noexcept;

  FileSystem& fs_;
  BufferPool& bounce_;
  const TensorLogOptions options_;
  SegmentSource& source_;
  std::vector<std::unique_ptr<LogDir>> dirs_;
  FreedSlots freed_;  // outlives the segments
  Originals originals_;
  SegmentTable table_;
  std::atomic<uint64_t> capacity_bytes_;
  std::atomic<bool> replayed_{false};
  std::map<std::pair<uint32_t, uint32_t>, KnownCursor> cursors_;  // while opening; (class, dir)

  mutable std::mutex classes_mutex_;  // the map; classes stay
  std::map<uint32_t, std::unique_ptr<SlotClass>> classes_;

  // Held through checkpoints and removals, so that a segment stays while its table is written or it
  // is synced. Before classes_mutex_.
  std::mutex checkpoint_mutex_;
  std::map<uint32_t, uint64_t> table_generations_;  // of each segment's durable slot table
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_TENSOR_LOG_H_
