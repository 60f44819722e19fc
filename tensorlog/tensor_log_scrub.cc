// erase=physical: the bytes of freed slots go from the files.
//
// A slot that is freed, or given back unpublished, is not free at once: it stays in state writing,
// which keeps takers and new readers out, until Scrub has waited for the readers that it still has,
// punched its bytes out or overwritten them with zeros, and released it. What a crash leaves in
// between is free in the slot tables and holds bytes: so all free slots are scrubbed once when the
// log is opened. Not before the state in which they are free is durable: a power cut must not bring
// back a page whose bytes have gone.
#include <algorithm>
#include <utility>

#include "tensorlog/tensor_log.h"

namespace lamina {
namespace {

// Readers unpin when their I/O ends; one that takes this long has lost its device.
constexpr auto kReaderPatience = std::chrono::seconds(60);
constexpr uint64_t kZeroBytes = uint64_t{1} << 20;

// Reads first: what was never written, or erased before, needs no wear.
Status WriteZeros(File& file, uint64_t offset, uint64_t bytes) noexcept {
  AlignedBuffer buffer(static_cast<size_t>(std::min(bytes, kZeroBytes)));
  for (uint64_t done = 0; done < bytes; done += buffer.size()) {
    const auto part = buffer.span().first(std::min<uint64_t>(bytes - done, buffer.size()));
    const bool read = file.Read(offset + done, part).ok();
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    if (read && std::all_of(part.begin(), part.end(), is_zero)) continue;
    std::fill(part.begin(), part.end(), std::byte{0});
    LAMINA_RETURN_IF_ERROR(file.Write(offset + done, part));
  }
  return Status::Ok();
}

Status EraseRange(Segment& segment, uint64_t offset, uint64_t bytes) noexcept {
  File* const file = segment.file();
  if (file == nullptr) {
    return Status::IoError(
        "segment " + std::to_string(segment.id()) +
        " is not there: what it holds of erased pages stays: " + segment.problem());
  }
  Status status = file->PunchHole(offset, bytes);
  // To split an extent takes space, too: on a full disk what is there is overwritten.
  if (status.code() == StatusCode::kNotSupported || status.code() == StatusCode::kNoSpace) {
    status = WriteZeros(*file, offset, bytes);
  } else if (status.ok()) {
    // The blocks stay the segment's: whoever writes there counts on them. Where they cannot be had
    // again, that write lacks space.
    (void)file->Allocate(segment.info().bytes());
  }
  if (status.code() == StatusCode::kNoSpace) return status;
  if (!status.ok()) {
    segment.dir().Latch(LogDir::Failure::kWrite, status);
    return status;
  }
  segment.NoteWritten();  // the next checkpoint makes it durable
  return Status::Ok();
}

}  // namespace

Status TensorLog::Scrub() noexcept {
  if (freed_.left() == 0) return Status::Ok();
  // Keeps the segments; and whoever comes meanwhile returns when its slots are done, too.
  const std::lock_guard lock(checkpoint_mutex_);
  std::vector<SlotRef> slots = freed_.Take();
  std::sort(slots.begin(), slots.end(), [](const SlotRef& a, const SlotRef& b) {
    return a.segment != b.segment ? a.segment < b.segment : a.slot < b.slot;
  });
  Status first;
  for (size_t i = 0; i < slots.size();) {
    SlotRun run = {slots[i].segment, slots[i].slot, 1};
    while (i + run.count < slots.size() && slots[i + run.count] == run.slot(run.count)) ++run.count;
    Status status = ScrubRun(run);
    if (first.ok()) first = std::move(status);
    i += run.count;
  }
  return first;
}

// Slots that are written, of one segment.
Status TensorLog::ScrubRun(const SlotRun& run) noexcept {
  Segment* const segment = SegmentTable::ReadSection(table_).Find(run.segment);
  // Gone with its file.
  if (segment == nullptr) {
    freed_.Done(run.count);
    return Status::Ok();
  }
  const auto deadline = std::chrono::steady_clock::now() + kReaderPatience;
  for (uint32_t i = run.first; i < run.first + run.count; ++i) {
    if (segment->AwaitUnpinned(i, deadline)) continue;
    QueueAgain(run);
    return Status::TimedOut("slot " + std::to_string(i) + " of segment " +
                            std::to_string(run.segment) + " is read all the time; its bytes stay");
  }
  Status status = EraseRange(*segment, segment->OffsetOf(run.first),
                             uint64_t{run.count} * segment->slot_bytes());
  if (status.code() == StatusCode::kNoSpace) {
    QueueAgain(run);
    return status;
  }
  if (!status.ok()) freed_.Failed(run.count);
  for (uint32_t i = run.first; i < run.first + run.count; ++i) segment->ReleaseScrubbed(i);
  freed_.Done(run.count);
  return status;
}

// For the next Scrub.
void TensorLog::QueueAgain(const SlotRun& run) noexcept {
  for (uint32_t i = 0; i < run.count; ++i) freed_.Add(run.slot(i));
  freed_.Done(run.count);
}

// A shorter page leaves the end of its slot as it was.
Status TensorLog::ScrubTails(std::span<PageWrite> pages) noexcept {
  Status first;
  for (PageWrite& page : pages) {
    uint64_t bytes = 0;
    for (const iovec& fragment : page.fragments) bytes += fragment.iov_len;
    bytes = (bytes + kSlotUnitBytes - 1) / kSlotUnitBytes * kSlotUnitBytes;
    // The slot is being written, which keeps its segment.
    Segment* const segment = SegmentTable::ReadSection(table_).Find(page.slot.segment);
    if (!page.ok || bytes == segment->slot_bytes()) continue;
    Status status = EraseRange(*segment, segment->OffsetOf(page.slot.slot) + bytes,
                               segment->slot_bytes() - bytes);
    page.ok = status.ok();
    if (first.ok()) first = std::move(status);
  }
  return first;
}

void TensorLog::QueueFreeSlots() noexcept {
  for (Segment* segment : table_.All()) {
    segment->set_freed_slots(&freed_);
    for (uint32_t i = 0; i < segment->slot_count() && !segment->absent(); ++i)
      segment->QueueIfFree(i);
  }
}

}  // namespace lamina
