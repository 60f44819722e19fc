#include "tensorlog/journal_writer.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/mutation.h"
#include "tensorlog/shared_sync.h"

namespace lamina {

// A file of this epoch.
struct JournalWriter::OpenFile {
  uint64_t number = 0;
  uint64_t first_sequence = 0;
  uint64_t bytes = 0;   // that it reserves
  uint64_t blocks = 0;  // that it has room for; the leader's
  std::unique_ptr<File> file;
  SharedSync sync;
  uint64_t written = 0;  // writes that are complete; guarded by State::mutex
  uint64_t synced = 0;   // of those, covered by a sync; guarded by State::mutex
};

// A file that was there when the writer was opened.
struct JournalWriter::OldFile {
  uint64_t number = 0;
  uint64_t bytes = 0;
};

// One Append call.
struct JournalWriter::Waiter {
  const JournalRecords* records = nullptr;
  size_t packed = 0;  // records that are in blocks
  Appended where;
  Status status;
  bool done = false;
  bool lead = false;  // it is this call's turn to lead
  std::condition_variable turn;
};

struct JournalWriter::State {
  mutable std::mutex mutex;
  std::vector<Waiter*> pending;
  bool leading = false;        // a call writes a group, or is about to
  uint64_t next_sequence = 0;  // changed by the leader alone, under the mutex
  uint64_t next_file = 0;      // used by the leader alone
  Status latched;
  std::map<uint64_t, uint64_t> guards;           // how many are held, by sequence
  std::vector<std::shared_ptr<OpenFile>> files;  // the last one is being written
  std::vector<OldFile> old_files;
  Stats stats;
  AlignedBuffer buffer{kMaxJournalBlocksInFlight * kJournalBlockBytes};  // the leader's
};

// Packs the records of a group into blocks and writes them, from one sequence number on. Without
// the mutex: what it uses of the state is the leader's.
class JournalWriter::GroupWriter {
 public:
  GroupWriter(JournalWriter& writer, std::span<Waiter* const> group) noexcept
      : writer_(writer), state_(*writer.state_), group_(group) {
    sequence_ = written_end_ = state_.next_sequence;
    if (!state_.files.empty()) file_ = state_.files.back();
  }

  // Ok when everything was written, and synced if so configured.
  Status Run() noexcept {
    for (Waiter* waiter : group_) {
      for (size_t i = 0; i < waiter->records->count(); ++i) {
        LAMINA_RETURN_IF_ERROR(Pack(waiter->records->record(i)));
        if (i == 0) waiter->where.first = Position();
        waiter->where.last = Position();
        ++waiter->packed;
      }
    }
    LAMINA_RETURN_IF_ERROR(WriteBlocks());
    return writer_.options_.sync ? SyncTouched() : Status::Ok();
  }

  // Whether all of a call's records are on their way to durability: in written blocks.
  [[nodiscard]] bool Wrote(const Waiter& waiter) const noexcept {
    return waiter.packed == waiter.records->count() && waiter.where.last.sequence < written_end_;
  }
  [[nodiscard]] uint64_t blocks_written() const noexcept { return blocks_written_; }

 private:
  // Of the block being filled.
  [[nodiscard]] JournalPosition Position() const noexcept {
    return {writer_.options_.epoch, sequence_ + sealed_};
  }
  [[nodiscard]] std::byte* block() const noexcept {
    return state_.buffer.data() + sealed_ * kJournalBlockBytes;
  }
  [[nodiscard]] uint64_t blocks_left_in_file() const noexcept {
    return file_ == nullptr ? 0 : file_->first_sequence + file_->blocks - sequence_;
  }

  Status Pack(std::string_view record) noexcept {
    if (fill_ + record.size() > kJournalRecordSpace) Seal();
    if (sealed_ == std::min<uint64_t>(kMaxJournalBlocksInFlight, blocks_left_in_file())) {
      LAMINA_RETURN_IF_ERROR(WriteBlocks());
      if (blocks_left_in_file() == 0) LAMINA_RETURN_IF_ERROR(Rotate());
    }
    if (fill_ == 0) std::memset(block(), 0, kJournalBlockBytes);
    std::memcpy(block() + sizeof(JournalBlockHeader) + fill_, record.data(), record.size());
    fill_ += static_cast<uint32_t>(record.size());
    return Status::Ok();
  }

  void Seal() noexcept {
    if (fill_ == 0) return;
    const uint64_t index = sequence_ + sealed_ - file_->first_sequence;
    SealJournalBlock(block(), writer_.options_.store_id, writer_.options_.epoch,
                     sequence_ + sealed_, file_->number, static_cast<uint32_t>(index), fill_);
    ++sealed_;
    fill_ = 0;
  }

  // The sealed blocks in one write. Its blocks may land in any order and number: each stands alone.
  Status WriteBlocks() noexcept {
    Seal();
    if (sealed_ == 0) return Status::Ok();
    const uint64_t offset = (sequence_ - file_->first_sequence) * kJournalBlockBytes;
    const auto blocks = state_.buffer.span().first(sealed_ * kJournalBlockBytes);
    Status status = file_->file->Write(offset, blocks);
    Ballast* const ballast = writer_.options_.ballast;
    if (status.code() == StatusCode::kNoSpace && ballast != nullptr && ballast->GiveUp()) {
      status = file_->file->Write(offset, blocks);
    }
    if (!status.ok()) {
      // Where reserved space is not kept free (copy-on-write file systems), a write can lack space.
      // That passes, but these blocks are given up: the next group takes another file. Some may
      // have landed: their numbers are used up, so that what comes later, a checkpoint's position
      // too, lies above them.
      sequence_ += sealed_;
      sealed_ = 0;
      file_->blocks = sequence_ - file_->first_sequence;
      const std::lock_guard lock(state_.mutex);
      state_.next_sequence = sequence_;
      return status;
    }
    if (touched_.empty() || touched_.back() != file_) touched_.push_back(file_);
    sequence_ += sealed_;
    written_end_ = sequence_;
    blocks_written_ += sealed_;
    sealed_ = 0;
    const std::lock_guard lock(state_.mutex);
    ++file_->written;
    state_.next_sequence = sequence_;
    return Status::Ok();
  }

  Status Rotate() noexcept {
    LAMINA_ASSIGN_OR_RETURN(file_, writer_.StartFile(sequence_));
    return Status::Ok();
  }

  Status SyncTouched() noexcept {
    for (const auto& file : touched_) LAMINA_RETURN_IF_ERROR(writer_.SyncFile(*file));
    return Status::Ok();
  }

  JournalWriter& writer_;
  State& state_;
  const std::span<Waiter* const> group_;
  std::shared_ptr<OpenFile> file_;
  std::vector<std::shared_ptr<OpenFile>> touched_;
  uint64_t sequence_ = 0;     // of the first block in the buffer
  uint64_t written_end_ = 0;  // behind the last block that was written whole
  uint64_t sealed_ = 0;       // blocks in the buffer, ready to be written
  uint32_t fill_ = 0;         // record bytes in the block behind them
  uint64_t blocks_written_ = 0;
};

// ---- Guards ------------------------------------------------------------------------------------

JournalWriter::Guard::Guard(Guard&& other) noexcept
    : writer_(std::exchange(other.writer_, nullptr)), position_(other.position_) {}

JournalWriter::Guard& JournalWriter::Guard::operator=(Guard&& other) noexcept {
  if (this != &other) {
    Release();
    writer_ = std::exchange(other.writer_, nullptr);
    position_ = other.position_;
  }
  return *this;
}

void JournalWriter::Guard::Release() noexcept {
  if (writer_ != nullptr) std::exchange(writer_, nullptr)->ReleaseGuard(position_);
}

JournalWriter::Guard JournalWriter::Begin() noexcept {
  const std::lock_guard lock(state_->mutex);
  ++state_->guards[state_->next_sequence];
  return Guard(this, {options_.epoch, state_->next_sequence});
}

void JournalWriter::ReleaseGuard(JournalPosition position) noexcept {
  const std::lock_guard lock(state_->mutex);
  const auto held = state_->guards.find(position.sequence);
  LAMINA_CHECK(held != state_->guards.end());
  if (--held->second == 0) state_->guards.erase(held);
}

JournalPosition JournalWriter::CurrentPosition() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return {options_.epoch, state_->next_sequence};
}

JournalPosition JournalWriter::LowWater() const noexcept {
  const std::lock_guard lock(state_->mutex);
  const uint64_t sequence = state_->guards.empty() || Mutated(Mutation::kPassUnfinishedPuts)
                                ? state_->next_sequence
                                : state_->guards.begin()->first;
  return {options_.epoch, sequence};
}

// ---- Files -------------------------------------------------------------------------------------

JournalWriter::JournalWriter(FileSystem& fs, const JournalWriterOptions& options) noexcept
    : fs_(fs),
      options_(options),
      file_bytes_(options.file_bytes),
      state_(std::make_unique<State>()) {}

Result<std::unique_ptr<JournalWriter>> JournalWriter::Open(
    FileSystem& fs, const JournalWriterOptions& options) noexcept {
  const uint64_t blocks = options.file_bytes / kJournalBlockBytes;
  if (blocks == 0 || blocks > UINT32_MAX || options.file_bytes % kJournalBlockBytes != 0) {
    return Status::InvalidArgument("journal files of " + std::to_string(options.file_bytes) +
                                   " bytes are not whole blocks of " +
                                   std::to_string(kJournalBlockBytes));
  }
  std::unique_ptr<JournalWriter> writer(new JournalWriter(fs, options));
  State& state = *writer->state_;
  LAMINA_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(options.directory));
  for (const std::string& name : names) {
    uint64_t number = 0;
    if (!ParseJournalFileName(name, &number)) continue;
    const auto bytes = fs.AllocatedBytes(options.directory + "/" + name);
    state.old_files.push_back({number, bytes.ok() ? *bytes : 0});
    state.next_file = std::max(state.next_file, number + 1);
  }
  const Status started = writer->StartFile(0).status();
  if (!started.ok() && started.code() != StatusCode::kNoSpace) return started;
  return writer;
}

JournalWriter::~JournalWriter() {
  const std::lock_guard lock(state_->mutex);
  LAMINA_CHECK(!state_->leading && state_->pending.empty() && state_->guards.empty());
}

// Reserves the next file and makes it the one being written. By the leader, or before there is one.
Result<std::shared_ptr<JournalWriter::OpenFile>> JournalWriter::StartFile(
    uint64_t first_sequence) noexcept {
  auto file = std::make_shared<OpenFile>();
  file->number = state_->next_file;
  file->first_sequence = first_sequence;
  file->bytes = file_bytes_.load(std::memory_order_relaxed);
  file->blocks = file->bytes / kJournalBlockBytes;
  const std::string path = JournalPath(options_.directory, file->number);
  const auto make = [&]() noexcept -> Status {
    LAMINA_ASSIGN_OR_RETURN(
        file->file,
        fs_.Open(path, {.write = true, .create = true, .direct = true, .truncate = true}));
    if (file->file->alignment().offset > kJournalBlockBytes) {
      return Status::NotSupported(path + ": direct I/O there needs an alignment of " +
                                  std::to_string(file->file->alignment().offset) +
                                  " bytes, journal blocks have " +
                                  std::to_string(kJournalBlockBytes));
    }
    LAMINA_RETURN_IF_ERROR(file->file->Allocate(file->bytes));
    return fs_.SyncDirectory(options_.directory);
  };
  if (Status status = make(); !status.ok()) {
    if (file->file != nullptr) (void)fs_.Remove(path);  // else the next try truncates it
    return status;
  }
  ++state_->next_file;
  const std::lock_guard lock(state_->mutex);
  state_->files.push_back(file);
  return file;
}

void JournalWriter::SetFileBytes(uint64_t bytes) noexcept {
  const uint64_t whole = bytes / kJournalBlockBytes * kJournalBlockBytes;
  file_bytes_.store(std::clamp(whole, uint64_t{kJournalBlockBytes}, kJournalFileBytes),
                    std::memory_order_relaxed);
}

Status JournalWriter::DeleteBelow(JournalPosition keep) noexcept {
  std::vector<OldFile> doomed;
  {
    const std::lock_guard lock(state_->mutex);
    if (keep.epoch >= options_.epoch) doomed.swap(state_->old_files);
    auto& files = state_->files;
    while (files.size() > 1 && keep >= JournalPosition{options_.epoch, files[1]->first_sequence}) {
      doomed.push_back({files.front()->number, files.front()->bytes});
      files.erase(files.begin());
    }
  }
  Status first;
  for (const OldFile& file : doomed) {
    Status status = fs_.Remove(JournalPath(options_.directory, file.number));
    if (status.ok()) continue;
    // To be tried again with the next checkpoint.
    const std::lock_guard lock(state_->mutex);
    state_->old_files.push_back(file);
    if (first.ok()) first = std::move(status);
  }
  return first;
}

// ---- Appending ---------------------------------------------------------------------------------

Result<JournalWriter::Appended> JournalWriter::Append(const Guard& guard,
                                                      const JournalRecords& records) noexcept {
  LAMINA_CHECK(guard.writer_ == this && !records.empty());
  Waiter waiter;
  waiter.records = &records;
  std::unique_lock lock(state_->mutex);
  if (!state_->latched.ok()) return state_->latched;
  state_->pending.push_back(&waiter);
  if (!state_->leading) {
    state_->leading = true;
    waiter.lead = true;
  }
  waiter.turn.wait(lock, [&] { return waiter.done || waiter.lead; });
  if (!waiter.done) Lead(lock);
  if (!waiter.status.ok()) return waiter.status;
  return waiter.where;
}

// Writes what has gathered, the caller's own records among it, and passes the lead on.
void JournalWriter::Lead(std::unique_lock<std::mutex>& lock) noexcept {
  State& state = *state_;
  std::vector<Waiter*> group;
  group.swap(state.pending);
  Status status = state.latched;
  if (status.ok()) {
    GroupWriter writer(*this, group);
    lock.unlock();
    status = writer.Run();
    lock.lock();
    // A file that could not be reserved changes nothing; everything else is not to be tried again.
    if (!status.ok() && status.code() != StatusCode::kNoSpace && state.latched.ok()) {
      state.latched = status;
    }
    ++state.stats.groups;
    state.stats.blocks += writer.blocks_written();
    for (Waiter* waiter : group) {
      // With syncs, a failure may be that of the sync: then nothing in the group is acknowledged.
      if (!status.ok() && (options_.sync || !writer.Wrote(*waiter))) waiter->status = status;
      if (!waiter->status.ok()) continue;
      ++state.stats.appends;
      state.stats.records += waiter->records->count();
    }
  } else {
    for (Waiter* waiter : group) waiter->status = status;
  }
  for (Waiter* waiter : group) {
    waiter->done = true;
    waiter->turn.notify_one();  // under the mutex: the waiter goes when it sees `done`
  }
  state.leading = !state.pending.empty();
  if (state.leading) {
    state.pending.front()->lead = true;
    state.pending.front()->turn.notify_one();
  }
}

// ---- Syncing -----------------------------------------------------------------------------------

Status JournalWriter::SyncFile(OpenFile& file) noexcept {
  uint64_t covered = 0;
  {
    const std::lock_guard lock(state_->mutex);
    covered = file.written;
  }
  Status status = Mutated(Mutation::kSkipJournalSync) ? Status::Ok() : file.sync.Sync(*file.file);
  const std::lock_guard lock(state_->mutex);
  if (status.ok()) {
    file.synced = std::max(file.synced, covered);
    ++state_->stats.syncs;
  } else if (state_->latched.ok()) {
    state_->latched = status;
  }
  return status;
}

Status JournalWriter::Sync() noexcept {
  std::vector<std::shared_ptr<OpenFile>> files;
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->latched.ok()) return state_->latched;
    for (const auto& file : state_->files) {
      if (file->synced < file->written) files.push_back(file);
    }
  }
  for (const auto& file : files) LAMINA_RETURN_IF_ERROR(SyncFile(*file));
  return Status::Ok();
}

Status JournalWriter::End() noexcept {
  const std::lock_guard lock(state_->mutex);
  LAMINA_CHECK(!state_->leading && state_->pending.empty());
  if (state_->files.empty()) return Status::Ok();
  OpenFile& file = *state_->files.back();
  file.blocks = std::min(file.blocks, state_->next_sequence - file.first_sequence);
  file.bytes = file.blocks * kJournalBlockBytes;
  return file.file->Truncate(file.bytes);
}

Status JournalWriter::status() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->latched;
}

JournalWriter::Stats JournalWriter::stats() const noexcept {
  const std::lock_guard lock(state_->mutex);
  Stats stats = state_->stats;
  stats.files = state_->files.size() + state_->old_files.size();
  for (const auto& file : state_->files) stats.file_bytes += file->bytes;
  for (const OldFile& file : state_->old_files) stats.file_bytes += file.bytes;
  return stats;
}

}  // namespace lamina
