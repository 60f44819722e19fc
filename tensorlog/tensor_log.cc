// Opening, segments and statistics. Slots are in tensor_log_slots.cc, checkpoints in
// tensor_log_checkpoint.cc, the removal of segments in tensor_log_removal.cc.
#include "tensorlog/tensor_log.h"

#include <algorithm>
#include <utility>

namespace lamina {

TensorLog::TensorLog(FileSystem& fs, BufferPool& bounce, const TensorLogOptions& options,
                     SegmentSource& source) noexcept
    : fs_(fs),
      bounce_(bounce),
      options_(options),
      source_(source),
      capacity_bytes_(options.capacity_bytes) {}

TensorLog::~TensorLog() = default;

// ---- Opening -----------------------------------------------------------------------------------

Result<std::unique_ptr<TensorLog>> TensorLog::Open(FileSystem& fs, BufferPool& bounce,
                                                   const TensorLogOptions& options,
                                                   const std::vector<bool>& known,
                                                   SegmentSource& source) noexcept {
  LAMINA_CHECK(!options.log_dirs.empty() && known.size() == options.log_dirs.size());
  std::unique_ptr<TensorLog> log(new TensorLog(fs, bounce, options, source));
  for (size_t i = 0; i < options.log_dirs.size(); ++i) {
    const auto if_missing =
        known[i] || options.read_only ? LogDir::IfMissing::kMiss : LogDir::IfMissing::kCreate;
    LAMINA_ASSIGN_OR_RETURN(std::unique_ptr<LogDir> dir,
                            LogDir::Open(fs, options.log_dirs[i], options.store_id,
                                         static_cast<uint32_t>(i), if_missing));
    log->dirs_.push_back(std::move(dir));
  }
  if (!options.read_only) LAMINA_RETURN_IF_ERROR(log->CheckDirs());
  return log;
}

// A store without any page, and that takes none, is no use to anybody while it can be read again
// soon.
Status TensorLog::CheckDirs() const noexcept {
  Status unreadable;
  for (const auto& dir : dirs_) {
    if (dir->present()) return Status::Ok();
    if (dir->unreadable() && unreadable.ok()) unreadable = dir->absence();
  }
  return unreadable;
}

Status TensorLog::CheckInfo(const SegmentInfo& info) const noexcept {
  const SegmentTable::ReadSection section(table_);
  const char* wrong = nullptr;
  if (info.log_dir >= dirs_.size()) wrong = "its log directory is not among log_dirs";
  if (info.slot_bytes == 0 || info.slot_bytes % kSlotUnitBytes != 0) {
    wrong = "its slot size is not a multiple of 4096";
  }
  if (info.slot_count == 0 || info.bytes() > (uint64_t{1} << 40)) wrong = "its size cannot be";
  if (info.id > SegmentTable::kMaxSegmentId) wrong = "its id is too high";
  if (wrong == nullptr && section.Find(info.id) != nullptr) wrong = "its id is used twice";
  if (wrong == nullptr) return Status::Ok();
  return Status::Corruption("segment " + std::to_string(info.id) + " (directory " +
                            std::to_string(info.log_dir) + ", " + std::to_string(info.slot_count) +
                            " slots of " + std::to_string(info.slot_bytes) + " bytes): " + wrong);
}

Result<TensorLog::Recovered> TensorLog::AddSegment(const SegmentInfo& info,
                                                   uint64_t table_generation) noexcept {
  LAMINA_CHECK(!replayed_.load());
  LAMINA_RETURN_IF_ERROR(CheckInfo(info));
  Recovered recovered;
  std::unique_ptr<Segment> segment =
      Segment::Open(fs_, *dirs_[info.log_dir], info, options_.read_only);
  if (segment->absent()) {
    recovered.absent = true;
    const LogDir& dir = segment->dir();
    const auto left = dir.present() ? fs_.AllocatedBytes(dir.SegmentPath(info.id)) : uint64_t{0};
    recovered.file_bytes = left.ok() ? *left : 0;
    recovered.problem =
        Status::IoError("segment " + std::to_string(info.id) +
                        " cannot be used, its pages are misses: " + segment->problem());
  }
  if (table_generation != 0) {
    LAMINA_ASSIGN_OR_RETURN(
        SlotTableLoad load,
        LoadSlotTable(fs_, SlotTablePath(options_.slot_table_dir, info.id, table_generation),
                      options_.store_id, *segment));
    recovered.slots_loaded = load.slots_loaded;
    recovered.slots_lost = load.slots_lost;
    // What could not be read now must not come back when it can: its pages may be erased meanwhile.
    if (!load.problem.ok()) segment->set_dirty();
    if (recovered.problem.ok()) recovered.problem = std::move(load.problem);
    if (load.cursor != kNoCursor) {
      NoteCursor(info, {load.generation, info.id, load.cursor});
    }
    table_generations_[info.id] = table_generation;
    for (uint32_t i = 0; options_.unclean && i < segment->slot_count(); ++i) {
      if (segment->slot(i).tag() != 0) segment->Doubt(i, segment->slot(i).tag());
    }
  }
  ClassOf(info.slot_bytes).Add(table_.Add(std::move(segment)));
  return recovered;
}

void TensorLog::NoteCursor(const SegmentInfo& info, const KnownCursor& cursor) noexcept {
  KnownCursor& known = cursors_[{info.slot_bytes, info.log_dir}];
  if (cursor.generation >= known.generation) known = cursor;
}

bool TensorLog::Replay(JournalPosition at, SlotRef slot, uint64_t tag, uint32_t root,
                       bool synced) noexcept {
  LAMINA_CHECK(!replayed_.load() && tag != 0);
  const SegmentTable::ReadSection section(table_);
  Segment* const segment = section.Find(slot.segment);
  if (segment == nullptr || slot.slot >= segment->slot_count()) return false;
  // What the dead process wrote may still be in the device's cache: the next checkpoint syncs it.
  segment->NoteWritten();
  segment->NotePut(slot.slot, at, synced);
  segment->Restore(slot.slot, SlotState::kLive, /*unproven=*/true, tag, root, HeatValue{});
  segment->set_dirty();
  NoteCursor(segment->info(), {UINT64_MAX, slot.segment, slot.slot + 1});
  return true;
}

void TensorLog::ReplayMoved(SlotRef from, uint64_t tag) noexcept {
  LAMINA_CHECK(!replayed_.load());
  if (Free(from, tag)) originals_.Add(from, tag);
}

void TensorLog::FinishReplay() noexcept {
  for (const auto& [lane, cursor] : cursors_) {
    ClassOf(lane.first).SetCursor(cursor.segment, cursor.slot);
  }
  cursors_.clear();
  originals_.Hold(table_);
  if (options_.physical_erase) QueueFreeSlots();
  replayed_.store(true, std::memory_order_release);
}

Result<TensorLog::Orphans> TensorLog::RemoveOrphans() noexcept {
  Orphans orphans;
  const auto remove = [&](const std::string& path) noexcept -> Status {
    const auto allocated = fs_.AllocatedBytes(path);
    Status status = fs_.Remove(path);
    if (allocated.ok()) (status.ok() ? orphans.removed_bytes : orphans.kept_bytes) += *allocated;
    return status;
  };
  const std::lock_guard lock(checkpoint_mutex_);
  for (const auto& dir : dirs_) {
    if (!dir->present()) continue;
    const auto names = fs_.List(dir->path());
    if (!names.ok()) {
      orphans.problems.push_back(names.status());
      continue;
    }
    for (const std::string& name : *names) {
      if (!IsOrphan(*dir, name)) continue;
      if (Status status = remove(dir->path() + "/" + name); !status.ok())
        orphans.problems.push_back(std::move(status));
    }
  }
  LAMINA_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(options_.slot_table_dir));
  for (const std::string& name : names) {
    uint32_t id = 0;
    uint64_t generation = 0;
    if (!ParseSlotTableFileName(name, &id, &generation)) continue;
    const auto known = table_generations_.find(id);
    if (known != table_generations_.end() && known->second == generation) continue;
    LAMINA_RETURN_IF_ERROR(remove(options_.slot_table_dir + "/" + name));
  }
  return orphans;
}

// Whether a file in the directory is a segment's by its name, and no segment's that may lie there.
bool TensorLog::IsOrphan(const LogDir& dir, const std::string& name) const noexcept {
  uint32_t id = 0;
  if (!ParseSegmentFileName(name, &id)) return false;
  const SegmentTable::ReadSection section(table_);
  const Segment* const segment = section.Find(id);
  return segment == nullptr || (&segment->dir() != &dir && segment->dir().present());
}

// ---- Segments ----------------------------------------------------------------------------------

SlotClass& TensorLog::ClassOf(uint32_t slot_bytes) noexcept {
  const std::lock_guard lock(classes_mutex_);
  std::unique_ptr<SlotClass>& slot_class = classes_[slot_bytes];
  if (slot_class == nullptr) {
    slot_class = std::make_unique<SlotClass>(slot_bytes, dirs_, options_.stripe_bytes);
  }
  return *slot_class;
}

Status TensorLog::StartSegment(SlotClass& slot_class, uint32_t dir) noexcept {
  SegmentInfo info{.id = 0, .log_dir = dir, .slot_bytes = slot_class.slot_bytes(), .slot_count = 0};
  LAMINA_ASSIGN_OR_RETURN(info.slot_count,
                          SegmentSlotsFor(info.slot_bytes, capacity_bytes_.load()));
  return MakeSegment(info, /*draining=*/false).status();
}

Result<uint32_t> TensorLog::AddEmptySegment(uint32_t log_dir, uint32_t slot_bytes,
                                            uint32_t slot_count) noexcept {
  LAMINA_CHECK(log_dir < dirs_.size() && SlotBytesFor(slot_bytes) == slot_bytes);
  if (!dirs_[log_dir]->writable()) {
    return Status::IoError("log directory " + dirs_[log_dir]->path() + " takes no new pages");
  }
  return MakeSegment({.id = 0,
                      .log_dir = log_dir,
                      .slot_bytes = slot_bytes,
                      .slot_count = std::max(slot_count, kMinSegmentSlots)},
                     /*draining=*/true);
}

// `info` is without an id.
Result<uint32_t> TensorLog::MakeSegment(SegmentInfo info, bool draining) noexcept {
  const uint32_t wanted = info.slot_count;
  LAMINA_ASSIGN_OR_RETURN(info.id,
                          source_.ReserveSegment(info.log_dir, info.slot_bytes, &info.slot_count));
  const auto make = [&]() noexcept -> Status {
    // What is to be moved together needs all of its slots.
    if (draining && info.slot_count < wanted) {
      return Status::NoSpace("there is room for " + std::to_string(info.slot_count) +
                             " slots where " + std::to_string(wanted) + " are needed");
    }
    LAMINA_RETURN_IF_ERROR(CheckInfo(info));
    LAMINA_ASSIGN_OR_RETURN(std::unique_ptr<Segment> segment,
                            Segment::Create(fs_, *dirs_[info.log_dir], info));
    if (Status status = source_.SegmentCreated(info); !status.ok()) {
      // An orphan if that fails, too. After any other error the edit may be on disk, and names the
      // file: it stays.
      if (status.code() == StatusCode::kNoSpace) (void)fs_.Remove(segment->file()->path());
      return status;
    }
    segment->set_draining(draining);
    if (options_.physical_erase) segment->set_freed_slots(&freed_);
    ClassOf(info.slot_bytes).Add(table_.Add(std::move(segment)));
    return Status::Ok();
  };
  if (Status status = make(); !status.ok()) {
    source_.SegmentFailed(info, status);
    return status;
  }
  return info.id;
}

void TensorLog::SetCapacity(uint64_t capacity_bytes) noexcept { capacity_bytes_ = capacity_bytes; }

std::vector<SegmentInfo> TensorLog::Segments() const noexcept {
  std::vector<SegmentInfo> infos;
  const SegmentTable::ReadSection section(table_);
  for (const Segment* segment : table_.All()) infos.push_back(segment->info());
  return infos;
}

std::vector<SegmentInfo> TensorLog::SegmentsOfClass(uint32_t slot_bytes) const noexcept {
  std::vector<SegmentInfo> infos = Segments();
  std::erase_if(infos, [&](const SegmentInfo& info) { return info.slot_bytes != slot_bytes; });
  return infos;
}

// ---- Statistics --------------------------------------------------------------------------------

void TensorLog::ForEachSlot(
    const std::function<void(Segment&, uint32_t, Slot&)>& fn) const noexcept {
  for (const SegmentInfo& info : Segments()) {
    const SegmentTable::ReadSection section(table_);
    Segment* const segment = section.Find(info.id);
    if (segment == nullptr) continue;
    for (uint32_t i = 0; i < segment->slot_count(); ++i) fn(*segment, i, segment->slot(i));
  }
}

std::vector<ClassStats> TensorLog::Stats(bool count_pinned) const noexcept {
  std::map<uint32_t, ClassStats> classes;
  {
    const SegmentTable::ReadSection section(table_);
    for (const Segment* segment : table_.All()) {
      ClassStats& stats = classes[segment->slot_bytes()];
      const SlotCounts counts = segment->counts();
      stats.slot_bytes = segment->slot_bytes();
      ++stats.segments;
      if (!segment->absent()) stats.bytes += segment->info().bytes();
      SlotCounts& sum = segment->absent() ? stats.absent : stats.slots;
      sum.free += counts.free;
      sum.writing += counts.writing;
      sum.live += counts.live;
      sum.condemned += counts.condemned;
    }
  }
  if (count_pinned) {
    ForEachSlot([&](const Segment& segment, uint32_t, const Slot& slot) {
      if (slot.pins() > 0) ++classes[segment.slot_bytes()].pinned;
    });
  }
  std::vector<ClassStats> all;
  for (const auto& [slot_bytes, stats] : classes) all.push_back(stats);
  return all;
}

uint64_t TensorLog::memory_bytes() const noexcept {
  uint64_t bytes = SegmentTable::kIndexBytes;
  for (const SegmentInfo& info : Segments()) {
    bytes += SegmentMemory(info.slot_count);
  }
  return bytes;
}

uint64_t TensorLog::file_bytes() const noexcept {
  uint64_t bytes = 0;
  const SegmentTable::ReadSection section(table_);
  for (const Segment* segment : table_.All()) {
    if (!segment->absent()) bytes += segment->info().bytes();
  }
  return bytes;
}

Status TensorLog::WritableStatus() const noexcept {
  Status reason;
  for (const auto& dir : dirs_) {
    if (dir->writable()) return Status::Ok();
    if (reason.ok()) reason = dir->unreadable() ? dir->absence() : dir->latch_status();
  }
  if (!reason.ok()) return reason;
  return Status::IoError("none of the log directories is there, the first is " +
                         dirs_.front()->path());
}

}  // namespace lamina
