// The store: what is behind Store in lamina.h, and how its parts hold together.
//
// Locks, in the order in which they may be taken:
//   retire_mutex_      one retirement of segments at a time
//   erase_mutex_       one erase at a time, or the switch of a batch of moved pages
//   checkpoint_mutex_  one checkpoint at a time
//   manifest_mutex_    edits of the manifest, the tree, and the installation of views
//   publish_mutex_     puts becoming visible, the active memtable, barred pages, root epochs
//   memory_mutex_      who takes memory for slots or filters
//   view_mutex_        the pointer to the present view; held for a copy only
// No I/O is done under publish_mutex_ and view_mutex_. Reading a page takes view_mutex_ alone.
//
// A put (put.cc) takes slots, writes payloads, journals them, and publishes entries and tags in one
// step under publish_mutex_. A get (get.cc) locates, pins, reads, verifies. A checkpoint
// (checkpoint.cc) fixes its journal position, turns frozen memtables into a run, saves slot tables,
// and commits one manifest edit. Recovery (open.cc, recovery.cc) is the reverse.
#ifndef LAMINA_ENGINE_STORE_STORE_IMPL_H_
#define LAMINA_ENGINE_STORE_STORE_IMPL_H_

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "compaction/job.h"
#include "compaction/picker.h"
#include "compaction/scheduler.h"
#include "engine/base/buffer.h"
#include "engine/index/block_cache.h"
#include "engine/io/ballast.h"
#include "engine/io/file_system.h"
#include "engine/io/io_governor.h"
#include "engine/io/queue_pool.h"
#include "engine/lamina.h"
#include "engine/store/collect.h"
#include "engine/store/counters.h"
#include "engine/store/evictor.h"
#include "engine/store/filter_budget.h"
#include "engine/store/index_tuner.h"
#include "engine/store/load_model.h"
#include "engine/store/manifest.h"
#include "engine/store/path.h"
#include "engine/store/read_tries.h"
#include "engine/store/root_table.h"
#include "engine/store/space_budget.h"
#include "engine/store/ticket.h"
#include "engine/store/ticket_queue.h"
#include "engine/store/view.h"
#include "engine/store/write_allowance.h"
#include "tensorlog/journal_reader.h"
#include "tensorlog/journal_writer.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

class JsonWriter;
class Recovery;

// Bytes on disk by what they are for.
struct SpaceUse {
  uint64_t segments = 0;
  uint64_t tables = 0;
  uint64_t slot_tables = 0;
  uint64_t journal = 0;
  uint64_t manifest = 0;
  uint64_t policy = 0;
  uint64_t other = 0;
  // Directories that could not be listed. Of a log directory, what the store knows to lie in it is
  // counted; of the main one nothing is.
  uint64_t unlisted = 0;
  bool main_listed = true;
  [[nodiscard]] uint64_t total() const noexcept {
    return segments + tables + slot_tables + journal + manifest + policy + other;
  }
};

// What a test may put in place of the world.
struct StoreEnvironment {
  // Null: the operating system's, as the options say.
  std::unique_ptr<FileSystem> file_system;
  // 0: from the operating system. Otherwise everything random in a new store comes from this seed.
  uint64_t seed = 0;
  // In place of the option, which does not go that low. 0: the option.
  uint64_t capacity_bytes = 0;
  // Of log that goes to one directory before the next gets its turn. 0: the log's own.
  uint64_t stripe_bytes = 0;
  // Background threads; 0: none, the test runs background work through scheduler().
  size_t background_threads = 2;
  // The device under the index; without it the tuner measures it, or takes the default where a
  // seed asks for histories that repeat.
  std::optional<tuner::DeviceModel> device_model;
  // In place of the tuner's window. 0: its own.
  uint64_t tuner_window_operations = 0;
  // In place of the bits per entry that all filters share, at most; `filter_bits` gives every run
  // the same instead. 0: the store's own.
  double filter_bits_per_entry = 0;
  // Not 0: the tuner takes shapes at random instead of deciding.
  uint64_t random_shapes_seed = 0;
  // How long after background work has failed it is tried again.
  std::chrono::milliseconds retry_after{1000};
  // Called by each put at the point from which erases do not wait for it.
  std::function<void()> put_is_over;
  // The caller's thread is the only one. Background work and submitted calls run where a call waits
  // for them, and when the test asks: scheduler(), ServeOne. No decision depends on a clock, so
  // that a history repeats.
  bool single_threaded = false;
};

class Store::Impl final : private SegmentSource {
 public:
  static Result<std::unique_ptr<Impl>> Open(const std::string& directory, const Options& options,
                                            StoreEnvironment environment) noexcept;
  // Waits for calls in progress, checkpoints, closes.
  ~Impl() override;

  // As in lamina.h.
  Result<std::unique_ptr<Path::Impl>> PathFromTokens(std::string_view root,
                                                     std::span<const uint32_t> tokens,
                                                     uint32_t page_tokens) noexcept;
  Result<std::unique_ptr<Path::Impl>> PathFromDigests(std::string_view root, PathKind kind,
                                                      std::span<const uint8_t> digests) noexcept;
  Result<size_t> Probe(Path::Impl& path, size_t first, size_t count,
                       std::span<PageState> states) noexcept;
  Result<size_t> Put(Path::Impl& path, size_t first, size_t count, const PutBuffers& buffers,
                     std::span<PageState> states) noexcept;
  Result<size_t> Get(Path::Impl& path, size_t first, size_t count, const GetBuffers& buffers,
                     std::span<PageState> states) noexcept;
  Result<uint64_t> SubmitGet(Path::Impl& path, size_t first, size_t count,
                             const GetBuffers& buffers, std::span<PageState> states,
                             const IoHints& hints) noexcept;
  Result<uint64_t> SubmitPut(Path::Impl& path, size_t first, size_t count,
                             const PutBuffers& buffers, std::span<PageState> states,
                             const IoHints& hints) noexcept;
  int EventFd() noexcept;
  size_t PollTickets(std::span<uint64_t> tickets) noexcept;
  Result<size_t> WaitTicket(uint64_t ticket, uint64_t timeout_us) noexcept;
  Status CancelTicket(uint64_t ticket, size_t first, size_t count) noexcept;
  void AbandonTicket(uint64_t ticket) noexcept;
  Result<LoadEstimate> Estimate(Path::Impl& path, size_t first, size_t count) noexcept;
  Status Touch(Path::Impl& path, size_t first, size_t count) noexcept;
  Status Erase(Path::Impl& path, size_t first, size_t count) noexcept;
  Status EraseRoot(std::string_view root) noexcept;
  Status Flush() noexcept;
  Status SetCapacity(uint64_t capacity_bytes) noexcept;
  std::string StatsJson() noexcept;
  std::string Explain() noexcept;

  // A put without payloads: everything that the index and the journal see of one. For index
  // benches; getting such a page is a miss.
  Result<size_t> PutEntries(Path::Impl& path, size_t first, size_t count,
                            size_t page_bytes) noexcept;
  // Writes what is not flushed. At close, with `closing`, slot tables are saved whole.
  Status Checkpoint(bool closing) noexcept;
  // Another shape for the index, from the next compaction on. Survives a restart where the options
  // leave the shape open.
  Status SetShape(const Shape& shape) noexcept;
  // Merges everything into one run and drops what is dead. For tests and tools.
  Status CompactAll() noexcept;
  // What RetireSegments has done; added to, also when it fails.
  struct RetireReport {
    uint64_t segments = 0;         // that are gone
    uint64_t pages_moved = 0;      // to other segments
    uint64_t pages_condemned = 0;  // that went with their segments
    uint64_t bytes_freed = 0;      // of the files that were unlinked
    uint64_t bytes_moved = 0;      // payload
    uint64_t pages_bad = 0;        // wrong, or not to be read: freed, not moved
  };
  // Gives segments up: no new pages in them, their live pages are moved to slots that are free or
  // condemned elsewhere (`move_live`) or condemned, and the files are unlinked after a checkpoint.
  // What could not be emptied, because a slot stays pinned or there is no room elsewhere, stays in
  // service with everything that is left in it: kBusy or kNoSpace, and the others are gone all the
  // same. Ends early, as after kBusy, when `*stop` (may be null) or the closing of the store says
  // so. Waits for readers and puts of these segments, bounded. Not under any lock of the store.
  Status RetireSegments(std::span<const uint32_t> segments, bool move_live,
                        const std::atomic<bool>* stop, RetireReport* report) noexcept;
  struct RetireHow {
    bool move_live = true;
    // Draining segments that the pages go to, instead of wherever there is room.
    std::span<const uint32_t> into;
    bool may_add = false;  // segments, where there is no room in those that there are
    const std::atomic<bool>* stop = nullptr;
    // How long to wait for readers and writers of the segments, all in all.
    std::chrono::milliseconds patience = std::chrono::seconds(5);
  };
  Status Retire(std::span<const uint32_t> segments, const RetireHow& how,
                RetireReport* report) noexcept;
  // As in lamina.h. Ends early, with what it has done in the report, when `*stop` (may be null)
  // says so.
  Status CollectGarbage(const CollectOptions& options, const std::atomic<bool>* stop,
                        CollectReport* report) noexcept;
  Scheduler& scheduler() noexcept { return *scheduler_; }
  // With single_threaded: serves the `choice`-th submitted call that waits, modulo their number.
  // False when none does.
  bool ServeOne(uint64_t choice) noexcept { return tickets_.ServeOne(choice); }
  TensorLog& log() noexcept { return *log_; }
  [[nodiscard]] std::shared_ptr<const View> CurrentView() const noexcept;
  [[nodiscard]] const StoreCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] const IndexCounters& index_counters() const noexcept { return index_counters_; }
  [[nodiscard]] const SpaceBudget& budget() const noexcept { return budget_; }
  [[nodiscard]] BlockCache& block_cache() noexcept { return *cache_; }
  [[nodiscard]] uint64_t index_memory_bytes() const noexcept { return tables_->memory_bytes(); }
  // How long the phases of opening took, in order.
  struct Phase {
    const char* name;
    uint64_t us;
  };
  [[nodiscard]] const std::vector<Phase>& open_phases() const noexcept { return open_phases_; }
  [[nodiscard]] Shape shape() const noexcept { return TargetShape(); }
  // Entries of a full memtable: what level capacities are multiples of.
  [[nodiscard]] double batch_entries() const noexcept { return PickOptions().batch_entries; }
  // Null when the tuner is off.
  [[nodiscard]] const IndexTuner* tuner() const noexcept { return tuner_.get(); }

  static constexpr size_t kMaxPageBytes = size_t{1} << 30;

 private:
  friend class PutOperation;
  friend class GetOperation;
  friend class Recovery;
  friend class CheckpointTask;
  friend class OrphanTask;
  friend class DeadCountTask;
  friend class GarbageCollector;
  friend class ReopenTask;
  friend class PageMover;
  friend class SegmentRetirement;
  friend class ReclaimTask;
  friend class TuneTask;

  // Keeps the store open for the length of a call.
  class Call {
   public:
    explicit Call(Impl& store) noexcept;
    ~Call();
    [[nodiscard]] Status status() const noexcept;  // kClosed once the store is closing
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Impl& store_;
  };

  Impl(std::string directory, const Options& options, StoreEnvironment environment) noexcept;

  // ---- store.cc
  Status CheckRange(const char* call, const Path::Impl& path, size_t first, size_t count,
                    std::optional<size_t> states) const noexcept;
  Status CheckBuffers(const char* call, size_t count, std::span<const void* const> buffers,
                      std::span<const size_t> sizes, size_t buffers_per_page) const noexcept;
  void Locate(Path::Impl& path, size_t first, size_t count, bool stop_at_miss,
              std::span<const SlotRef> avoid = {}) noexcept;
  void NoteUse(Path::Impl& path, size_t first, size_t count) noexcept;
  void NoteMore(size_t noted) noexcept;
  void CountTally(const IoTally& tally, bool write) noexcept;
  // Ok, or why nothing is stored any more until the store is opened again. Cheap.
  [[nodiscard]] Status LatchStatus() const noexcept;

  // ---- submit.cc
  Result<uint64_t> Submit(AsyncCall::Kind kind, Path::Impl& path, size_t first, size_t count,
                          std::vector<void*> buffers, std::span<const size_t> sizes,
                          size_t buffers_per_page, std::span<PageState> states,
                          const IoHints& hints) noexcept;
  void ServeTicket(Ticket& ticket) noexcept;
  void ServeGet(Ticket& ticket) noexcept;
  void ServePut(Ticket& ticket) noexcept;

  // ---- get.cc
  // What an asynchronous get wants beyond a get.
  struct AsyncGet {
    CallWatch* watch = nullptr;
    bool backward = false;
    IoClass io_class = IoClass::kDemandGet;
  };
  size_t RunGet(Path::Impl& path, size_t first, size_t count, const GetBuffers& buffers,
                std::span<PageState> states, const AsyncGet& async) noexcept;

  // ---- prove.cc
  void ProveLocated(Path::Impl& path, size_t first, size_t count) noexcept;
  void ReadInto(std::span<PageRead> reads, uint64_t bytes) noexcept;

  // ---- put.cc
  size_t RunPut(Path::Impl& path, size_t first, size_t count, const PutBuffers& buffers,
                std::span<PageState> states) noexcept;
  void NotePutDone(uint64_t ticket) noexcept;
  void NotePublished(RootState& root, uint64_t pages, uint64_t bytes) noexcept;
  void NoteRejection(const Status& why) noexcept;

  // ---- open.cc
  Status OpenAll() noexcept;
  void AbandonOpen() noexcept;
  void RemoveOwnMarker(const std::string& log_dir) noexcept;
  void StopBackground() noexcept;
  Status OpenDirectory() noexcept;
  Status CreateStore() noexcept;
  Status OpenStore() noexcept;
  Status SyncWhatIsThere(const std::string& manifest) noexcept;
  void EndPhase(const char* name) noexcept;
  void MakeParts() noexcept;
  void SizeByCapacity() noexcept;
  [[nodiscard]] std::string PathOfLogDir(const std::string& recorded) const noexcept;
  Status CheckSlotMemory(const ManifestState& state) const noexcept;
  Status OpenTensorLog(ManifestState* state) noexcept;
  Status OpenIndex(std::shared_ptr<Memtable> replayed) noexcept;
  void MakeEvictor(const ManifestState& state) noexcept;
  [[nodiscard]] uint64_t PolicyMemoryBytes() const noexcept;
  [[nodiscard]] uint64_t PolicyUseBytes() const noexcept;
  void NoteReplay(const Recovery& recovery, const JournalReplay& replay) noexcept;
  void RestoreWriteLevel(ManifestState* state, uint64_t replayed) noexcept;
  void StartBackground() noexcept;
  Status StartManifest(ManifestState state, uint64_t loaded_number) noexcept;
  Status RemoveOrphanFiles(const ManifestState& state, uint64_t manifest_number) noexcept;

  // ---- retire.cc
  [[nodiscard]] bool Stopped(const RetireHow& how) const noexcept;
  // Slots of moves whose journal record may or may not be found at replay. They stay taken, since
  // whatever else was written there would be taken for the page, until a checkpoint beyond such
  // records is durable.
  void HoldDoubtful(std::vector<SlotRef> slots) noexcept;
  void ReleaseDoubtful(JournalPosition checkpoint) noexcept;
  // A checkpoint, if slots wait for one: they keep their segments, and bytes of pages.
  Status SettleHeld() noexcept;
  // ---- capacity.cc
  // What the store's files take on disk now, by asking for each.
  SpaceUse MeasureSpace() const noexcept;
  [[nodiscard]] bool MeasureDirectory(const std::string& directory, SpaceUse* use) const noexcept;
  void MeasureUnlisted(const LogDir& dir, SpaceUse* use) const noexcept;
  void UpdateSpace() noexcept;
  [[nodiscard]] uint64_t DiskRoom(const LogDir& dir) const noexcept;
  void LookUpDisk(bool now) noexcept;
  [[nodiscard]] uint64_t GrowableSlots(uint32_t slot_bytes) noexcept;
  // As TensorLog::Take; waits, bounded, where there is no slot now.
  Result<std::vector<SlotRun>> TakeSlots(uint32_t page_bytes, size_t count) noexcept;
  // As Evictor::Admit; waits, bounded, for a first segment of the class where the store is full of
  // others.
  size_t Admit(const Path::Impl& path, std::span<const size_t> pages, uint32_t slot_bytes) noexcept;
  // Asks for work of the kReclaim class, and waits until slots may have changed since `seen`.
  bool AwaitSlots(uint64_t seen, std::chrono::steady_clock::time_point deadline) noexcept;
  [[nodiscard]] uint64_t SlotsChanged() noexcept;
  void NoteSlotsChanged() noexcept;
  void WakeReclaim() noexcept;
  std::unique_ptr<BackgroundTask> NextReclaim() noexcept;
  Status TransferSegment(const Evictor::Transfer& transfer) noexcept;
  Status ShrinkToBudget() noexcept;

  // ---- collect.cc
  // Ok, or the error that has ended writing: of the manifest or the journal.
  [[nodiscard]] Status WritableStatus() noexcept;

  // ---- erase.cc
  void WaitForEarlierPuts() noexcept;
  // With erase=physical, whoever has freed slots does this before the call returns:
  // TensorLog::Scrub. Failures are noted and counted, too.
  Status ScrubFreed() noexcept;
  Status ScrubErased(uint64_t failures_before) noexcept;

  // ---- checkpoint.cc
  struct CheckpointPlan;
  void FreezeForCheckpoint(CheckpointPlan* plan) noexcept;
  Status WriteTables(CheckpointPlan* plan) noexcept;
  Status PrepareCheckpoint(CheckpointPlan* plan) noexcept;
  Status SavePolicy(CheckpointPlan* plan) noexcept;
  Status CommitCheckpoint(CheckpointPlan* plan) noexcept;
  Status TryCheckpoint(bool closing) noexcept;
  Status RunCheckpoint(bool closing) noexcept;
  [[nodiscard]] uint64_t JournalSinceCheckpoint() const noexcept;
  [[nodiscard]] bool JournalHasRoom() const noexcept;
  Status MakeJournalRoom(Scheduler::Clock::time_point deadline) noexcept;
  Status MakeFirstCheckpoint() noexcept;
  Status AwaitOwedCheckpoint() noexcept;
  // Freezes the active memtable when it is full; waits, bounded, when too many are frozen or level
  // 0 has too many runs.
  Status MakeMemtableRoom() noexcept;
  void FreezeActive() noexcept;  // under publish_mutex_
  [[nodiscard]] std::shared_ptr<Memtable> NewMemtable() const noexcept;
  [[nodiscard]] bool ActiveIsFull() const noexcept;
  TableBuilderOptions NewTableOptions(double filter_bits) noexcept;
  // Replaces the view by a changed copy.
  void InstallView(const std::function<void(View*)>& change) noexcept;
  void WakeCheckpoint() noexcept;
  void RetryHalted() noexcept;
  [[nodiscard]] std::unique_ptr<BackgroundTask> NextCheckpoint() noexcept;
  void RunTimer() noexcept;

  // ---- level_zero.cc
  Status WaitForLevelZero(Scheduler::Clock::time_point deadline) noexcept;

  // ---- memory.cc
  [[nodiscard]] uint64_t FilterMemoryBytes() const noexcept;  // under memory_mutex_
  [[nodiscard]] double FilterBitsPerEntry() const noexcept;
  [[nodiscard]] uint64_t FixedMemoryBytes() const noexcept;
  [[nodiscard]] uint64_t WorkMemoryBytes() const noexcept;
  [[nodiscard]] uint64_t ElasticMemoryBytes() const noexcept;
  void SizeCache() noexcept;  // as slots, filters and top indexes grow; one caller at a time
  void BoundSlots() noexcept;
  bool TryAddSegment(uint32_t slot_bytes, uint64_t room, uint32_t* slots) noexcept;
  // Bits for a run that a flush or job (`writer`: its number) is about to write, and its end.
  static constexpr uint64_t kFlushWriter = 0;
  [[nodiscard]] double FilterBitsFor(uint64_t writer, uint32_t level, uint64_t entries,
                                     std::span<const RunPtr> leaving) noexcept;
  void ForgetFilters(uint64_t writer) noexcept;

  // ---- stats.cc
  void WriteRoots(JsonWriter& json) noexcept;
  void WriteSpace(JsonWriter& json) noexcept;
  void WriteSubmitted(JsonWriter& json) noexcept;

  // ---- compact.cc
  [[nodiscard]] Shape TargetShape() const noexcept;
  [[nodiscard]] PickerOptions PickOptions() const noexcept;
  // Slots that bear a tag: as many entries are alive.
  [[nodiscard]] uint64_t TaggedSlots() const noexcept;
  [[nodiscard]] Shape InitialShape(const std::string& recorded) const noexcept;
  Status AdoptShape(const Shape& shape) noexcept;
  std::unique_ptr<BackgroundTask> NextCompaction() noexcept;
  // Both under manifest_mutex_.
  std::unique_ptr<BackgroundTask> NextGarbageJob(const Tree& tree) noexcept;
  std::unique_ptr<BackgroundTask> Claim(Job job) noexcept;
  MergeJobOptions MergeOptions(const Job& job, uint64_t writer) noexcept;
  Status InstallJob(const Job& job, const std::vector<TableMeta>& outputs) noexcept;
  void CountJob(const Job& job, const MergeJobStats& stats) noexcept;
  void InstallTree() noexcept;  // under manifest_mutex_
  void NoteBackgroundError(const Status& status) noexcept;
  // Whether a table that cannot be read, in whole or in part, counts as damaged from now on.
  bool GiveUpReading(TableNumber table, const Status& why) noexcept;
  // ---- tune.cc
  [[nodiscard]] tuner::DeviceModel DeviceModelFor(ManifestState* state) noexcept;
  void MakeTuner(const tuner::DeviceModel& device) noexcept;
  void SetMemtable(uint64_t bytes) noexcept;
  void FitMemtable(uint64_t available_bytes) noexcept;
  // So many questions were put to the index: now and then a window is full, and the tuner's turn.
  void NoteIndexUse(uint64_t lookups) noexcept;
  std::unique_ptr<BackgroundTask> NextTuning() noexcept;
  void Tune() noexcept;
  Status Adopt(const IndexPlan& plan) noexcept;
  [[nodiscard]] IndexPlan PresentPlan() const noexcept;
  [[nodiscard]] IndexUse UseOfIndex() const noexcept;
  [[nodiscard]] tuner::DeviceObservation TakeObservation() noexcept;
  [[nodiscard]] std::string ExplainTuner() const noexcept;
  // ---- orphans.cc, reopen.cc
  std::unique_ptr<BackgroundTask> NextOrphanWalk() noexcept;
  std::unique_ptr<BackgroundTask> NextVerification() noexcept;
  void RetryTables() noexcept;

  // ---- SegmentSource
  Result<uint32_t> ReserveSegment(uint32_t log_dir, uint32_t slot_bytes,
                                  uint32_t* slot_count) noexcept override;
  Status SegmentCreated(const SegmentInfo& info) noexcept override;
  void SegmentFailed(const SegmentInfo& info, const Status& why) noexcept override;

  // Fixed once open.
  const std::string directory_;
  const Options options_;
  StoreEnvironment environment_;
  uint64_t instance_ = 0;  // tells paths of this open store from others'
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Ballast> ballast_;
  Creation creation_;
  StoreId store_id_;
  std::vector<std::string> recovery_notes_;  // what was found damaged or missing at open
  uint64_t replayed_pages_ = 0;
  std::vector<Phase> open_phases_;
  uint64_t most_memtable_bytes_ = 0;  // as the options have it; the tuner may use less
  uint64_t policy_memory_bytes_ = 0;  // that the eviction policy may grow to
  // By the capacity: of log, at which a checkpoint is due; and of a journal file.
  std::atomic<uint64_t> checkpoint_bytes_{0};
  std::atomic<uint64_t> journal_file_bytes_{0};
  bool created_ = false;                   // this open made the store,
  bool created_directory_ = false;         // and its directory
  bool abandoned_ = false;                 // the open failed
  std::vector<std::string> new_log_dirs_;  // that this open gave to the store
  std::chrono::steady_clock::time_point phase_began_ = std::chrono::steady_clock::now();

  StoreCounters counters_;
  IndexCounters index_counters_;
  RootTable roots_;
  std::unique_ptr<BufferPool> bounce_;
  std::unique_ptr<QueuePool> queues_;
  std::unique_ptr<BlockCache> cache_;
  std::unique_ptr<OpenTables> tables_;
  ReadTries read_tries_;  // of tables
  ReadTries page_tries_;  // of pages that are to be moved
  std::unique_ptr<TensorLog> log_;
  std::unique_ptr<SlotOracle> oracle_;  // over log_: which entries compaction keeps
  std::unique_ptr<JournalWriter> journal_;
  IoGovernor governor_;
  LoadModel load_model_;
  SpaceBudget budget_;
  std::unique_ptr<Evictor> evictor_;
  WriteAllowance write_allowance_;

  std::mutex retire_mutex_;
  std::mutex erase_mutex_;
  std::mutex checkpoint_mutex_;
  JournalPosition previous_checkpoint_;  // journal files below it may go
  uint64_t policy_file_bytes_ = 0;       // when it was saved last

  std::mutex manifest_mutex_;
  std::unique_ptr<Manifest> manifest_;
  JobsInFlight jobs_in_flight_;
  uint64_t last_job_ = 0;
  bool full_compaction_wanted_ = false;
  std::map<uint64_t, uint64_t> dead_entries_;  // by table, as last counted
  uint32_t next_segment_id_ = 1;

  std::mutex memory_mutex_;
  FilterLedger filters_being_written_;

  std::mutex publish_mutex_;
  std::set<uint64_t> puts_in_progress_;  // that may journal and publish
  uint64_t next_put_ = 0;
  std::condition_variable put_done_;  // one has ended; the journal's low water may have risen
  std::set<PageKey> barred_;
  // Odd while moved pages are being published, so that lookups notice: see Locate.
  std::atomic<uint64_t> move_generation_{0};

  mutable std::mutex view_mutex_;
  std::shared_ptr<const View> view_;
  Shape shape_;

  // Of the view.
  std::atomic<uint64_t> frozen_memtables_{0};
  std::atomic<uint64_t> level_zero_runs_{0};
  std::atomic<bool> flush_wanted_{false};
  std::atomic<bool> reclaim_wanted_{false};
  std::atomic<bool> dirty_{false};  // something to checkpoint
  // durability=batch: what earlier processes left is not known to be durable until a checkpoint.
  std::atomic<bool> checkpoint_owed_{false};
  std::atomic<uint64_t> bytes_since_checkpoint_{0};
  // Of the journal: where the last checkpoint stands, and the last one that succeeded.
  std::atomic<uint64_t> checkpoint_sequence_{0};
  std::atomic<uint64_t> committed_sequence_{0};
  std::atomic<uint64_t> bytes_since_policy_saved_{0};
  std::atomic<std::chrono::steady_clock::rep> disk_looked_up_{0};
  std::atomic<bool> walk_orphans_{false};      // taken by the verify source
  std::atomic<bool> orphan_walk_owed_{false};  // until one has ended: no close is clean before
  std::atomic<bool> reopen_tables_{false};     // likewise taken
  std::atomic<Scheduler::Clock::rep> tables_retried_{0};

  // Set as the store opens, then constant.
  std::unique_ptr<IndexTuner> tuner_;
  std::atomic<uint64_t> planned_memtable_bytes_{0};
  std::atomic<uint64_t> memtable_bytes_{0};    // size at which a memtable is frozen, and
  std::atomic<uint64_t> memtable_entries_{0};  // the entries that go into it
  std::atomic<uint64_t> lookups_since_tuned_{0};
  std::atomic<bool> tuning_wanted_{false};
  // Levels are to be brought within the shape without waiting for batches.
  std::atomic<bool> eager_shape_wanted_{false};
  uint64_t lone_fetches_taken_ = 0;  // by TakeObservation
  uint64_t lone_fetch_ns_taken_ = 0;

  std::mutex tune_mutex_;       // one step of the tuner at a time; before all others
  std::mutex shrink_mutex_;     // one shrinking at a time; before all others
  uint64_t kept_capacity_ = 0;  // under it: the last one that the store was within
  std::mutex slots_mutex_;      // the waiters for slots; a leaf
  std::condition_variable slots_freed_;
  uint64_t slots_changed_ = 0;
  uint64_t slot_waiters_ = 0;

  struct DoubtfulSlots {
    JournalPosition end;  // behind the record
    std::vector<SlotRef> slots;
  };
  std::mutex doubtful_mutex_;  // a leaf
  std::vector<DoubtfulSlots> doubtful_;

  std::mutex notes_mutex_;
  std::string last_rejection_;
  std::string last_background_error_;
  std::array<Scheduler::Clock::time_point, kWorkClasses> last_retry_;  // of work that had failed

  std::atomic<uint32_t> calls_{0};  // in progress; waited on by the destructor
  std::atomic<bool> closing_{false};

  TicketQueue tickets_;  // closed before anything that its threads use goes

  // Makes a checkpoint when checkpoint_seconds have passed with changes.
  std::thread timer_;
  std::mutex timer_mutex_;
  std::condition_variable timer_wake_;

  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_STORE_IMPL_H_
