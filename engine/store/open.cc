// Opening, creating and closing a store.
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "engine/io/posix_file_system.h"
#include "engine/store/device_probe.h"
#include "engine/store/policy_file.h"
#include "engine/store/recovery.h"
#include "engine/store/store_impl.h"
#include "tensorlog/eviction/state_format.h"

namespace lamina {
namespace {

constexpr char kLockFileName[] = "LOCK";
constexpr char kDefaultLogDir[] = "log";
constexpr size_t kMaxIdleQueues = 16;

Status FillRandom(uint64_t seed, std::span<std::byte> out) {
  if (seed != 0) {
    std::mt19937_64 random(seed);
    for (std::byte& byte : out) byte = static_cast<std::byte>(random());
    return Status::Ok();
  }
  for (size_t filled = 0; filled < out.size();) {
    const ssize_t n = getrandom(out.data() + filled, out.size() - filled, 0);
    if (n > 0) {
      filled += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      return Status::IoError(std::string("cannot get random bytes for a new store: ") +
                             std::strerror(errno));
    }
  }
  return Status::Ok();
}

// Compaction keeps the entries whose slots bear their tags.
class LogOracle final : public SlotOracle {
 public:
  explicit LogOracle(const TensorLog& log) noexcept : log_(log) {}
  [[nodiscard]] bool Bears(SlotRef slot, uint64_t tag) const noexcept override {
    return log_.Keeps(slot, tag);
  }

 private:
  const TensorLog& log_;
};

// Absolute, without a trailing '/', so that a directory has one name whatever the working directory
// is.
std::string NormalisedLogDir(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error).lexically_normal();
  std::string text = error ? path : absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// What a creation that was cut off may have left in a directory that holds no store yet.
bool MayBeLeftover(std::string_view name) {
  uint64_t number = 0;
  return name == kLockFileName || name == kDefaultLogDir || name == "CURRENT.tmp" ||
         name == kBallastFileName || name == kDeviceProbeFileName ||
         ParseManifestFileName(name, &number);
}

// What an open that creates a store makes beside that.
bool IsOfStore(std::string_view name) {
  uint64_t number = 0;
  uint32_t segment = 0;
  return ParseJournalFileName(name, &number) || ParseTableFileName(name, &number) ||
         ParsePolicyFileName(name, &number) || ParseSlotTableFileName(name, &segment, &number);
}

}  // namespace

Store::Impl::Impl(std::string directory, const Options& options,
                  StoreEnvironment environment) noexcept
    : directory_(std::move(directory)),
      options_(options),
      environment_(std::move(environment)),
      fs_(std::move(environment_.file_system)),
      governor_({.enabled = options.writes_beside_reads != 0,
                 .writes_beside_reads = options.writes_beside_reads}),
      budget_(environment_.capacity_bytes != 0 ? environment_.capacity_bytes
                                               : options.capacity_bytes),
      write_allowance_(options.write_bytes_per_day, WriteAllowance::Clock::now()),
      tickets_(environment_.single_threaded ? 0 : options.submit_threads,
               [this](Ticket& ticket) { ServeTicket(ticket); }) {}

Result<std::unique_ptr<Store::Impl>> Store::Impl::Open(const std::string& directory,
                                                       const Options& options,
                                                       StoreEnvironment environment) noexcept {
  if (directory.empty()) return Status::InvalidArgument("open: the directory's name is empty");
  LAMINA_RETURN_IF_ERROR(options.Validate());
  std::string name = directory;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  std::unique_ptr<Impl> store(new Impl(std::move(name), options, std::move(environment)));
  if (Status status = store->OpenAll(); !status.ok()) {
    store->AbandonOpen();
    return status;
  }
  return store;
}

Status Store::Impl::OpenAll() noexcept {
  if (fs_ == nullptr) {
    LAMINA_ASSIGN_OR_RETURN(fs_, PosixFileSystem::Create({options_.io, options_.require_io_uring,
                                                          options_.io_threads}));
  }
  LAMINA_RETURN_IF_ERROR(FillRandom(0, std::as_writable_bytes(std::span(&instance_, 1))));
  LAMINA_RETURN_IF_ERROR(OpenDirectory());
  LAMINA_RETURN_IF_ERROR(OpenStore());
  return Status::Ok();
}

// After a failed open: nothing of a store that did not exist before stays.
void Store::Impl::AbandonOpen() noexcept {
  abandoned_ = true;
  StopBackground();
  // Without the lock the directory, and whatever is in it by now, is somebody else's.
  if (!created_) return;
  for (const std::string& path : new_log_dirs_) RemoveOwnMarker(path);
  scheduler_.reset();
  journal_.reset();
  log_.reset();
  manifest_.reset();
  // What CURRENT names goes after it, and what nobody would take for a leftover before it: wherever
  // this stops, the next open finds a store without pages, or none.
  const auto names = fs_->List(directory_);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (IsOfStore(name) && !fs_->Remove(directory_ + "/" + name).ok()) return;
  }
  if (!fs_->SyncDirectory(directory_).ok()) return;
  const bool has_current =
      std::find(names->begin(), names->end(), kCurrentFileName) != names->end();
  if (has_current && !(fs_->Remove(directory_ + "/" + kCurrentFileName).ok() &&
                       fs_->SyncDirectory(directory_).ok()))
    return;
  for (const std::string& name : *names)
    if (MayBeLeftover(name)) (void)fs_->Remove(directory_ + "/" + name);
  if (created_directory_) (void)fs_->Remove(directory_);
}

// The marker goes if it bears this store's id; another store's stays.
void Store::Impl::RemoveOwnMarker(const std::string& log_dir) noexcept {
  const std::string path = log_dir + "/" + kLogDirMarkerName;
  LogDirMarker marker;
  auto file = fs_->Open(path, {});
  if (!file.ok()) return;
  const Status read = (*file)->Read(0, std::as_writable_bytes(std::span(&marker, 1)));
  if (read.ok() && marker.store_id == store_id_) (void)fs_->Remove(path);
}

Status Store::Impl::OpenDirectory() noexcept {
  LAMINA_ASSIGN_OR_RETURN(const bool exists, fs_->Exists(directory_));
  if (!exists) {
    if (!options_.create_if_missing) {
      return Status::InvalidArgument(directory_ +
                                     ": does not exist, and create_if_missing is false");
    }
    LAMINA_RETURN_IF_ERROR(fs_->MakeDirectory(directory_));
    created_directory_ = true;
  }
  LAMINA_ASSIGN_OR_RETURN(const auto names, fs_->List(directory_));
  const bool is_store = std::find(names.begin(), names.end(), kCurrentFileName) != names.end();
  if (!is_store) {
    for (const std::string& name : names) {
      if (MayBeLeftover(name)) continue;
      return Status::InvalidArgument(directory_ + ": holds no store and is not empty (there is '" +
                                     name + "'); name an empty or a new directory");
    }
    if (!options_.create_if_missing) {
      return Status::InvalidArgument(directory_ +
                                     ": holds no store, and create_if_missing is false");
    }
    // Whoever made it may have failed, or died, before its name was durable.
    if (exists) LAMINA_RETURN_IF_ERROR(fs_->MakeDirectory(directory_));
  }
  LAMINA_ASSIGN_OR_RETURN(lock_, fs_->Lock(directory_ + "/" + kLockFileName));
  // Looked at again now that nobody else can be creating it.
  LAMINA_ASSIGN_OR_RETURN(const bool is_store_now,
                          fs_->Exists(directory_ + "/" + kCurrentFileName));
  if (is_store_now) return Status::Ok();
  created_ = true;
  return CreateStore();
}

Status Store::Impl::CreateStore() noexcept {
  ManifestState state;
  state.creation.stem_pages = options_.stem_pages;
  StoreId id;
  LAMINA_RETURN_IF_ERROR(
      FillRandom(environment_.seed, std::as_writable_bytes(std::span(state.creation.secret))));
  LAMINA_RETURN_IF_ERROR(FillRandom(environment_.seed == 0 ? 0 : environment_.seed + 1,
                                    std::as_writable_bytes(std::span(&id, 1))));
  // A creation that was cut off may have marked the default log directory; nothing can be in it
  // yet.
  const std::string marker = directory_ + "/" + kDefaultLogDir + "/" + kLogDirMarkerName;
  LAMINA_ASSIGN_OR_RETURN(const bool marked, fs_->Exists(marker));
  if (marked) LAMINA_RETURN_IF_ERROR(fs_->Remove(marker));
  return Manifest::Start(*fs_, directory_, id, std::move(state)).status();
}

// A process that was killed may have left a manifest, or the name of one, that is not durable. No
// power cut is to bring an older state back when what only that one names has been removed.
Status Store::Impl::SyncWhatIsThere(const std::string& manifest) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const auto file, fs_->Open(directory_ + "/" + manifest, {}));
  LAMINA_RETURN_IF_ERROR(file->Sync());
  return fs_->SyncDirectory(directory_);
}

Status Store::Impl::OpenStore() noexcept {
  LAMINA_ASSIGN_OR_RETURN(LoadedManifest loaded, LoadManifest(*fs_, directory_));
  LAMINA_RETURN_IF_ERROR(SyncWhatIsThere(ManifestFileName(loaded.file_number)));
  ManifestState& state = loaded.state;
  store_id_ = loaded.store_id;
  creation_ = state.creation;
  for (const auto& [name, root] : state.roots) roots_.Restore(root);
  if (loaded.ignored_tail_bytes > 0) {
    recovery_notes_.push_back("manifest: an edit that was cut off was ignored (" +
                              std::to_string(loaded.ignored_tail_bytes) + " bytes)");
  }
  EndPhase("manifest");
  const bool clean = state.clean_close;
  const JournalPosition checkpoint = state.checkpoint;
  previous_checkpoint_ = checkpoint;
  // A sixty-fourth at most: tests have stores that are smaller than options allow.
  const uint64_t share = budget_.capacity() / 64 / kSlotUnitBytes * kSlotUnitBytes;
  const uint64_t ballast_bytes =
      budget_.capacity() == 0 ? kBallastBytes : std::min(kBallastBytes, share);
  ballast_ = std::make_unique<Ballast>(*fs_, directory_, ballast_bytes, options_.min_free_bytes);
  // One that is there is at hand for the new manifest; a new one comes after it.
  const auto has_ballast = fs_->Exists(directory_ + "/" + kBallastFileName);
  if (has_ballast.ok() && *has_ballast) (void)ballast_->Make();

  MakeParts();
  LAMINA_RETURN_IF_ERROR(OpenTensorLog(&state));
  EndPhase("slot_tables");
  auto replayed = NewMemtable();
  Recovery recovery(*log_, roots_, *replayed);
  LAMINA_ASSIGN_OR_RETURN(const JournalReplay replay,
                          ReplayJournal(*fs_, directory_, store_id_, checkpoint, recovery));
  log_->FinishReplay();
  NoteReplay(recovery, replay);
  RestoreWriteLevel(&state, recovery.bytes());
  EndPhase("journal_replay");
  MakeEvictor(state);
  EndPhase("eviction_state");

  // The epoch is durable before a journal block bears it.
  state.open_epoch = std::max(state.open_epoch, replay.max_epoch) + 1;
  state.clean_close = false;
  state.erase_physical = options_.erase == Options::Erase::kPhysical;
  shape_ = InitialShape(state.shape);
  state.shape = shape_.ToString();
  if (options_.tuner != Options::Tuner::kOff) MakeTuner(DeviceModelFor(&state));
  const uint64_t epoch = state.open_epoch;
  next_segment_id_ = state.next_segment_id;
  LAMINA_RETURN_IF_ERROR(StartManifest(std::move(state), loaded.file_number));
  EndPhase("new_manifest");
  // The loaded one may have freed slots by an edit that is not durable. What replay has freed waits
  // for the first checkpoint.
  if (const Status scrubbed = ScrubFreed(); !scrubbed.ok())
    recovery_notes_.emplace_back(scrubbed.message());
  EndPhase("erasing_free_slots");
  LAMINA_RETURN_IF_ERROR(RemoveOrphanFiles(manifest_->state(), manifest_->file_number()));
  EndPhase("orphan_files");
  JournalWriterOptions journal;
  journal.directory = directory_;
  journal.store_id = store_id_;
  journal.epoch = epoch;
  journal.sync = options_.durability == Options::Durability::kBatch;
  journal.file_bytes = journal_file_bytes_;
  journal.ballast = ballast_.get();
  LAMINA_ASSIGN_OR_RETURN(journal_, JournalWriter::Open(*fs_, journal));
  (void)ballast_->Make();  // without room now, with a checkpoint
  EndPhase("new_journal");
  LAMINA_RETURN_IF_ERROR(OpenIndex(std::move(replayed)));
  EndPhase("filters_and_top_indexes");
  StartBackground();

  const bool replayed_any = recovery.pages() > 0;
  walk_orphans_ = !clean && !created_;
  orphan_walk_owed_ = walk_orphans_.load();
  if (replayed_any || journal.sync) LAMINA_RETURN_IF_ERROR(MakeFirstCheckpoint());
  EndPhase("first_checkpoint");
  if (budget_.OverBytes() > 0) {
    WakeReclaim();
  } else {
    std::lock_guard lock(shrink_mutex_);
    kept_capacity_ = budget_.capacity();
  }
  if (walk_orphans_) scheduler_->Wake(WorkClass::kVerify);
  scheduler_->Wake(WorkClass::kCompaction);
  return Status::Ok();
}

// Before anything is removed that the loaded manifest does not name. Its last edit may be one whose
// sync failed in a process that has ended: then no later sync of that file makes it durable, and a
// power cut brings back the state before it, with the slot tables and tables that this names. On a
// disk that has no room for a new manifest they have to go first.
Status Store::Impl::StartManifest(ManifestState state, uint64_t loaded_number) noexcept {
  auto started = Manifest::Start(*fs_, directory_, store_id_, state, ballast_.get());
  if (started.status().code() == StatusCode::kNoSpace) {
    LAMINA_RETURN_IF_ERROR(RemoveOrphanFiles(state, loaded_number));
    started = Manifest::Start(*fs_, directory_, store_id_, std::move(state), ballast_.get());
  }
  LAMINA_ASSIGN_OR_RETURN(manifest_, std::move(started));
  return Status::Ok();
}

// What was replayed becomes part of the checkpointed state, so that positions of older epochs are
// done with. durability=batch starts from a checkpoint too. A full disk does not keep the store
// from being read: then the checkpoint is made when there is room.
Status Store::Impl::MakeFirstCheckpoint() noexcept {
  checkpoint_owed_ = options_.durability == Options::Durability::kBatch;
  const Status status = Checkpoint(false);
  if (status.code() != StatusCode::kNoSpace) return status;
  NoteBackgroundError(status);
  return Status::Ok();
}

void Store::Impl::EndPhase(const char* name) noexcept {
  const auto now = std::chrono::steady_clock::now();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now - phase_began_).count();
  open_phases_.push_back({name, static_cast<uint64_t>(us)});
  phase_began_ = now;
}

void Store::Impl::MakeParts() noexcept {
  constexpr uint64_t kMaxBounceBytes = uint64_t{64} << 20;
  most_memtable_bytes_ =
      std::max(kLeastMemtableBytes, std::min(options_.memtable_bytes, options_.memory_bytes / 16));
  planned_memtable_bytes_ = most_memtable_bytes_;
  SetMemtable(most_memtable_bytes_);
  SizeByCapacity();
  bounce_ = std::make_unique<BufferPool>(options_.request_bytes,
                                         std::min(kMaxBounceBytes, options_.memory_bytes / 8));
  queues_ = std::make_unique<QueuePool>(fs_.get(), options_.io_depth, kMaxIdleQueues);
  cache_ = std::make_unique<BlockCache>(0);
  tables_ = std::make_unique<OpenTables>(*fs_, directory_, cache_.get(), &index_counters_);
}

void Store::Impl::SizeByCapacity() noexcept {
  const uint64_t capacity = budget_.capacity();
  uint64_t checkpoint_bytes = options_.checkpoint_bytes;
  if (checkpoint_bytes == 0) {
    constexpr uint64_t kMost = uint64_t{16} << 30;
    checkpoint_bytes = capacity == 0 ? kMost : std::min(kMost, capacity / 16);
  }
  checkpoint_bytes_.store(checkpoint_bytes, std::memory_order_relaxed);
  // A store of 64 GiB and more has files of full size; a small one is not to drown in its journal.
  const uint64_t least = std::min(uint64_t{1} << 20, capacity / 64);
  uint64_t journal_file_bytes = kJournalFileBytes;
  while (capacity != 0 && journal_file_bytes > least && journal_file_bytes > capacity / 1024)
    journal_file_bytes /= 2;
  journal_file_bytes_.store(journal_file_bytes, std::memory_order_relaxed);
  if (journal_ != nullptr) journal_->SetFileBytes(journal_file_bytes);
}

std::string Store::Impl::PathOfLogDir(const std::string& recorded) const noexcept {
  return recorded == kDefaultLogDir ? directory_ + "/" + recorded : recorded;
}

// Before room is made for what the manifest claims: OpenIndex adds what else is needed.
Status Store::Impl::CheckSlotMemory(const ManifestState& state) const noexcept {
  uint64_t bytes = 0;
  for (const auto& [id, segment] : state.segments) bytes += SegmentMemory(segment.info.slot_count);
  if (bytes <= options_.memory_bytes) return Status::Ok();
  return Status::InvalidArgument("option memory_bytes: " + std::to_string(options_.memory_bytes) +
                                 " is less than this store needs: " + std::to_string(bytes) +
                                 " for slots alone");
}

Status Store::Impl::OpenTensorLog(ManifestState* state) noexcept {
  std::vector<std::string> configured = options_.log_dirs;
  for (std::string& path : configured) path = NormalisedLogDir(path);
  // The default lies within the store and moves with it: it is recorded by its name alone.
  if (configured.empty() && state->log_dirs.empty()) configured.emplace_back(kDefaultLogDir);
  TensorLogOptions options;
  std::vector<bool> known;
  for (const auto& [index, path] : state->log_dirs) {
    options.log_dirs.push_back(PathOfLogDir(path));
    known.push_back(true);
  }
  for (const std::string& path : configured) {
    const std::string full = PathOfLogDir(path);
    if (std::find(options.log_dirs.begin(), options.log_dirs.end(), full) != options.log_dirs.end())
      continue;
    state->log_dirs[static_cast<uint32_t>(options.log_dirs.size())] = path;
    options.log_dirs.push_back(full);
    new_log_dirs_.push_back(full);
    known.push_back(false);
  }
  options.store_id = store_id_;
  options.slot_table_dir = directory_;
  options.capacity_bytes = budget_.capacity();
  if (environment_.stripe_bytes != 0) options.stripe_bytes = environment_.stripe_bytes;
  options.physical_erase = options_.erase == Options::Erase::kPhysical;
  options.unclean = !state->clean_close;
  LAMINA_ASSIGN_OR_RETURN(log_, TensorLog::Open(*fs_, *bounce_, options, known, *this));
  for (const auto& dir : log_->log_dirs()) {
    if (!dir->present()) {
      recovery_notes_.push_back(std::string(dir->absence().message()) + ": its pages are misses");
    }
  }
  oracle_ = std::make_unique<LogOracle>(*log_);
  LAMINA_RETURN_IF_ERROR(CheckSlotMemory(*state));
  for (const auto& [id, segment] : state->segments) {
    LAMINA_ASSIGN_OR_RETURN(const auto recovered,
                            log_->AddSegment(segment.info, segment.slot_table));
    if (recovered.absent) {
      budget_.AddAbsent(segment.info, recovered.file_bytes);
    } else {
      budget_.Add(segment.info);
    }
    if (!recovered.problem.ok()) recovery_notes_.emplace_back(recovered.problem.message());
  }
  return Status::Ok();
}

// The policy goes on where it stood when its state was saved last.
void Store::Impl::MakeEvictor(const ManifestState& state) noexcept {
  EvictorOptions how;
  how.policy.kind = static_cast<PolicyKind>(options_.eviction);
  how.policy.seed = environment_.seed == 0 ? store_id_.high : environment_.seed;
  how.policy.record_bytes =
      PolicyMemoryBytes() / kPolicyBytesPerRecord * RecordTable::kBytesPerRecord;
  how.admission = options_.admission;
  how.page_tokens = options_.page_tokens;
  how.locate = [this](Path::Impl& path, size_t first, size_t count) {
    // Where nothing is evicted, heat is not worth reading the index for.
    if (budget_.capacity() != 0) Locate(path, first, count, false);
  };
  how.growable = [this](uint32_t slot_bytes) { return GrowableSlots(slot_bytes); };
  const uint64_t most_records = how.policy.record_bytes / RecordTable::kBytesPerRecord;
  evictor_ = std::make_unique<Evictor>(*log_, counters_, std::move(how));
  if (!state.policy_state.empty()) {
    const auto saved = ReadPolicyFile(*fs_, directory_ + "/" + state.policy_state, most_records);
    Status status = saved.ok() ? evictor_->Load(*saved) : saved.status();
    if (!status.ok()) {
      recovery_notes_.push_back(state.policy_state + ": the eviction policy begins anew: " +
                                std::string(status.message()));
    }
  }
  evictor_->OnRecovered();
  policy_memory_bytes_ = std::max(PolicyMemoryBytes(), evictor_->memory_bytes());
}

// A quarter of what slots, filters and memtables leave of the budget.
uint64_t Store::Impl::PolicyMemoryBytes() const noexcept {
  const uint64_t used = log_->memory_bytes() + FixedMemoryBytes();
  return options_.memory_bytes > used ? (options_.memory_bytes - used) / kPolicyMemoryShare : 0;
}

// What was replayed was written after the level was saved, or shortly before it: until the next
// checkpoint saves both, an open that is cut off charges nothing for good. The first bound's level
// is there from the open on, so that a later open without a bound knows that there was one.
void Store::Impl::RestoreWriteLevel(ManifestState* state, uint64_t replayed) noexcept {
  const auto now = std::chrono::system_clock::now();
  if (state->write_level) {
    write_allowance_.Restore(*state->write_level, now);
  } else {
    state->write_level = write_allowance_.Save(WriteAllowance::Clock::now(), now);
  }
  write_allowance_.Charge(replayed);
}

void Store::Impl::NoteReplay(const Recovery& recovery, const JournalReplay& replay) noexcept {
  replayed_pages_ = recovery.pages();
  if (recovery.pages_of_missing_segments() > 0) {
    recovery_notes_.push_back("journal: " + std::to_string(recovery.pages_of_missing_segments()) +
                              " pages lie in segments that are gone");
  }
  if (replay.damaged_records > 0) {
    recovery_notes_.push_back("journal: " + std::to_string(replay.damaged_records) +
                              " records did not parse");
  }
  if (!replay.first_problem.ok()) recovery_notes_.emplace_back(replay.first_problem.message());
}

Status Store::Impl::OpenIndex(std::shared_ptr<Memtable> replayed) noexcept {
  auto view = std::make_shared<View>();
  view->active = std::move(replayed);
  view->tree = manifest_->state().tree;
  view->runs = tables_->OpenRuns(*view->tree);
  for (std::string& problem : tables_->problems()) recovery_notes_.push_back(std::move(problem));
  {
    std::lock_guard lock(view_mutex_);
    level_zero_runs_ = view->tree->level(0).runs.size();
    view_ = std::move(view);
  }
  const uint64_t slots = log_->memory_bytes();
  const uint64_t tables = tables_->memory_bytes();
  FitMemtable(options_.memory_bytes - std::min(options_.memory_bytes, slots + tables));
  const uint64_t fixed = FixedMemoryBytes();
  if (slots + tables + fixed > options_.memory_bytes) {
    return Status::InvalidArgument("option memory_bytes: " + std::to_string(options_.memory_bytes) +
                                   " is less than this store needs: " + std::to_string(slots) +
                                   " for slots + " + std::to_string(tables) +
                                   " for filters and top indexes + " + std::to_string(fixed) +
                                   " for memtables, buffers and work in progress");
  }
  SizeCache();
  return Status::Ok();
}

void Store::Impl::StartBackground() noexcept {
  SchedulerOptions options;
  options.threads = environment_.single_threaded ? 0 : environment_.background_threads;
  scheduler_ = std::make_unique<Scheduler>(
      options, [this](WorkClass, const Status& status) { NoteBackgroundError(status); });
  scheduler_->SetSource(WorkClass::kFlush, [this] { return NextCheckpoint(); });
  scheduler_->SetSource(WorkClass::kCompaction, [this] { return NextCompaction(); });
  scheduler_->SetSource(WorkClass::kReclaim, [this] { return NextReclaim(); });
  scheduler_->SetSource(WorkClass::kVerify, [this] { return NextVerification(); });
  if (options_.checkpoint_seconds > 0 && options.threads > 0)
    timer_ = std::thread([this] { RunTimer(); });
}

// Files that no edit names: outputs of jobs that were cut off, tables and segments whose removal
// was. Those in log directories may stay, if their disk has it so: then they are counted.
Status Store::Impl::RemoveOrphanFiles(const ManifestState& state,
                                      uint64_t manifest_number) noexcept {
  std::set<uint64_t> tables;
  for (const RunPtr& run : state.tree->RunsNewestFirst()) {
    for (const TableMeta& table : run->tables) tables.insert(table.number);
  }
  LAMINA_ASSIGN_OR_RETURN(const auto names, fs_->List(directory_));
  for (const std::string& name : names) {
    uint64_t number = 0;
    bool orphan = name == "CURRENT.tmp" || name == kDeviceProbeFileName;
    if (ParseTableFileName(name, &number)) {
      orphan = !tables.contains(number);
    } else if (ParseManifestFileName(name, &number)) {
      orphan = number != manifest_number;
    } else if (ParsePolicyFileName(name, &number)) {
      orphan = name != state.policy_state;
    }
    if (orphan) LAMINA_RETURN_IF_ERROR(fs_->Remove(directory_ + "/" + name));
  }
  LAMINA_ASSIGN_OR_RETURN(const TensorLog::Orphans orphans, log_->RemoveOrphans());
  budget_.AddOrphanBytes(orphans.kept_bytes);
  for (const Status& problem : orphans.problems) {
    std::string note = "left until the next open: " + std::string(problem.message());
    if (std::find(recovery_notes_.begin(), recovery_notes_.end(), note) == recovery_notes_.end())
      recovery_notes_.push_back(std::move(note));
  }
  return Status::Ok();
}

// ---- Closing
// -----------------------------------------------------------------------------------------

void Store::Impl::StopBackground() noexcept {
  {
    std::lock_guard lock(timer_mutex_);
    closing_ = true;
    timer_wake_.notify_all();
  }
  if (timer_.joinable()) timer_.join();
  if (scheduler_ != nullptr) scheduler_->Stop();
}

Store::Impl::~Impl() {
  closing_ = true;
  NoteSlotsChanged();
  tickets_.Close();
  for (uint32_t left = calls_; left != 0; left = calls_) calls_.wait(left);
  StopBackground();
  if (!abandoned_) {
    // Before slot tables are saved, which have the heat.
    evictor_->ShowNoted();
    // What cannot be checkpointed is replayed at the next open.
    Status status = Checkpoint(true);
    if (status.ok()) status = journal_->End();
    if (!status.ok()) NoteBackgroundError(status);
    if (tuner_ != nullptr) tuner_->Close();
  }
}

}  // namespace lamina
