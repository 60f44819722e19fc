// Removing segments: in steps that can be taken back until the manifest has dropped them.
#include <utility>

#include "tensorlog/tensor_log.h"

namespace lamina {
namespace {

Status NoSuchSegment(uint32_t id) {
  return Status::InvalidArgument("there is no segment " + std::to_string(id));
}

}  // namespace

Status TensorLog::SetDraining(uint32_t id, bool draining) noexcept {
  const SegmentTable::ReadSection section(table_);
  Segment* const segment = section.Find(id);
  if (segment == nullptr) return NoSuchSegment(id);
  segment->set_draining(draining);
  table_.NoteChange();
  return Status::Ok();
}

// Here and below a segment is used outside a read section: only RemoveSegment removes any, and one
// thread at a time goes through these steps.

Status TensorLog::AwaitWriters(uint32_t id, Deadline deadline) noexcept {
  Segment* const segment = SegmentTable::ReadSection(table_).Find(id);
  if (segment == nullptr) return NoSuchSegment(id);
  if (segment->AwaitWriters(deadline)) return Status::Ok();
  return Status::Busy("segment " + std::to_string(id) + " is still being written to");
}

Status TensorLog::CloseSegment(uint32_t id, Deadline deadline) noexcept {
  Segment* const segment = SegmentTable::ReadSection(table_).Find(id);
  if (segment == nullptr) return NoSuchSegment(id);
  ClassOf(segment->slot_bytes()).Remove(segment);
  segment->set_closed(true);
  if (segment->AwaitIdle(deadline)) return Status::Ok();
  ReopenSegment(id);
  return Status::Busy("segment " + std::to_string(id) +
                      " still has slots that are live, pinned or being written");
}

void TensorLog::ReopenSegment(uint32_t id) noexcept {
  Segment* const segment = SegmentTable::ReadSection(table_).Find(id);
  LAMINA_CHECK(segment != nullptr && segment->closed());
  segment->set_closed(false);
  ClassOf(segment->slot_bytes()).Add(segment);
}

Status TensorLog::RemoveSegment(uint32_t id, bool* file_left) noexcept {
  const std::lock_guard lock(checkpoint_mutex_);
  Segment* const segment = SegmentTable::ReadSection(table_).Find(id);
  if (segment == nullptr) return NoSuchSegment(id);
  LAMINA_CHECK(segment->closed());
  const std::unique_ptr<Segment> removed = table_.Remove(id);
  Status status;
  if (!removed->absent()) status = fs_.Remove(removed->file()->path());
  if (file_left != nullptr) *file_left = !status.ok();
  if (const auto table = table_generations_.find(id); table != table_generations_.end()) {
    Status other = fs_.Remove(SlotTablePath(options_.slot_table_dir, id, table->second));
    if (status.ok()) status = std::move(other);
    table_generations_.erase(table);
  }
  return status;
}

}  // namespace lamina
