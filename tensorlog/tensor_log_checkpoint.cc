// Checkpoints of the tensor log: slot tables and syncs.
#include <algorithm>
#include <utility>

#include "engine/base/mutation.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

Result<std::vector<SavedSlotTable>> TensorLog::SaveSlotTables(JournalPosition position,
                                                              uint64_t generation,
                                                              bool all) noexcept {
  const std::lock_guard lock(checkpoint_mutex_);
  FreeUnsyncedPuts();
  std::vector<SavedSlotTable> saved;
  const auto path = [&](const SavedSlotTable& table) {
    return SlotTablePath(options_.slot_table_dir, table.segment, table.generation);
  };
  Status status;
  for (Segment* segment : table_.All()) {
    const bool dirty = segment->ClearDirty();
    if (!dirty && !all) continue;
    saved.push_back({segment->id(), generation, SlotTableBytes(segment->slot_count())});
    const uint32_t cursor = ClassOf(segment->slot_bytes()).CursorIn(*segment);
    status = SaveSlotTable(fs_, path(saved.back()), options_.store_id, generation, position, cursor,
                           *segment);
    // What was left out as too new is to be in the next table.
    if (segment->AnyPutAtOrAbove(position)) segment->set_dirty();
    if (!status.ok()) break;
  }
  if (Mutated(Mutation::kSkipDirectorySync)) return saved;
  if (status.ok() && !saved.empty()) status = fs_.SyncDirectory(options_.slot_table_dir);
  if (status.ok()) return saved;
  DiscardSaved(saved);
  return status;
}

void TensorLog::DiscardSaved(std::span<const SavedSlotTable> saved) noexcept {
  const SegmentTable::ReadSection section(table_);
  for (const SavedSlotTable& table : saved) {
    // It may have been removed since.
    if (Segment* segment = section.Find(table.segment)) segment->set_dirty();
    // An orphan if that fails, too.
    (void)fs_.Remove(SlotTablePath(options_.slot_table_dir, table.segment, table.generation));
  }
}

void TensorLog::CheckpointFailed(std::span<const SavedSlotTable> saved) noexcept {
  const std::lock_guard lock(checkpoint_mutex_);
  DiscardSaved(saved);
}

// In directories where a sync has failed.
uint64_t TensorLog::FreeUnsyncedPuts() noexcept {
  uint64_t freed = 0;
  for (Segment* segment : table_.All()) {
    if (segment->dir().sync_failed()) freed += segment->FreeUnsyncedPuts();
  }
  return freed;
}

Status TensorLog::SyncPayloads() noexcept {
  const std::lock_guard lock(checkpoint_mutex_);
  Status status;
  for (Segment* segment : table_.All()) {
    if (segment->dir().sync_failed() || !segment->unsynced()) continue;
    Status synced = segment->Sync();
    if (status.ok()) status = std::move(synced);
  }
  if (const uint64_t freed = FreeUnsyncedPuts(); freed > 0 && status.ok()) {
    status = Status::IoError(std::to_string(freed) +
                             " pages were freed because a sync failed after they were written; "
                             "checkpoint again");
  }
  return status;
}

size_t TensorLog::DirsThatFailedToSync() const noexcept {
  return static_cast<size_t>(std::count_if(dirs_.begin(), dirs_.end(),
                                           [](const auto& dir) { return dir->sync_failed(); }));
}

void TensorLog::CheckpointDone(JournalPosition position,
                               std::span<const SavedSlotTable> saved) noexcept {
  const std::lock_guard lock(checkpoint_mutex_);
  for (const SavedSlotTable& table : saved) {
    uint64_t& generation = table_generations_[table.segment];
    if (generation != 0 && generation != table.generation) {
      // An orphan if that fails: the next open removes it.
      (void)fs_.Remove(SlotTablePath(options_.slot_table_dir, table.segment, generation));
    }
    generation = table.generation;
  }
  for (Segment* segment : table_.All()) segment->ForgetPutsBelow(position);
  originals_.Release(table_);
}

}  // namespace lamina
