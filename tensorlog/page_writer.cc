#include "tensorlog/page_writer.h"

#include <algorithm>
#include <utility>

namespace lamina {

PageWriter::PageWriter(const SegmentTable& table, IoQueue& queue, BufferPool& bounce,
                       const IoLimits& limits, IoTally* tally) noexcept
    : RequestWindow(queue, bounce, limits, /*write=*/true, tally), table_(table) {}

PageWriter::~PageWriter() = default;

Status PageWriter::Run(std::span<PageWrite> pages, WriteObserver* observer) noexcept {
  pages_ = pages;
  progress_.resize(pages.size());
  for (size_t i = 0; i < pages.size(); ++i) {
    if (!Prepare(i)) continue;
    const Progress& page = progress_[i];
    MakeRoom(pages[i].slot, page.bytes, /*coalesce=*/true);
    AddPage(i, *page.segment, pages[i].slot.slot, pages[i].fragments, page.bytes);
  }
  SubmitRest();
  SetChecksums();
  if (observer != nullptr && first_error_.ok()) observer->Summed();
  Drain();
  for (size_t i = 0; i < pages.size(); ++i) pages[i].ok = !progress_[i].failed;
  for (Segment* segment : segments_) segment->NoteWritten();
  return first_error_;
}

void PageWriter::SetChecksums() noexcept {
  for (size_t i = 0; i < pages_.size(); ++i) {
    if (progress_[i].failed) continue;
    pages_[i].checksum = CombineChunkSums(pages_[i].fingerprint, progress_[i].chunk_sums);
  }
}

// Finds the page's segment; false when the page cannot be written.
bool PageWriter::Prepare(size_t i) noexcept {
  Progress& page = progress_[i];
  const SlotRef slot = pages_[i].slot;
  {
    // The slot is being written, which keeps its segment.
    const SegmentTable::ReadSection section(table_);
    page.segment = section.Find(slot.segment);
  }
  LAMINA_CHECK(page.segment != nullptr && slot.slot < page.segment->slot_count() &&
               page.segment->slot(slot.slot).state() == SlotState::kWriting);
  page.bytes = TotalBytes(pages_[i].fragments);
  if (page.bytes == 0 || page.bytes > page.segment->slot_bytes()) {
    Fail(i, Status::InvalidArgument("a page of " + std::to_string(page.bytes) +
                                    " bytes does not go into a slot of " +
                                    std::to_string(page.segment->slot_bytes()) + " bytes"));
    return false;
  }
  // A directory that failed meanwhile gets nothing more.
  if (!page.segment->dir().writable()) {
    Fail(i, page.segment->dir().latch_status());
    return false;
  }
  if (std::find(segments_.begin(), segments_.end(), page.segment) == segments_.end()) {
    segments_.push_back(page.segment);
  }
  return true;
}

// While the device writes the bytes, their checksums.
void PageWriter::Submitted(std::span<const PageRequest::Part> parts) noexcept {
  for (const PageRequest::Part& part : parts) {
    Progress& page = progress_[part.page];
    const PageWrite& write = pages_[part.page];
    const uint64_t end = part.offset + part.bytes;
    for (size_t chunk = page.chunk_sums.size();
         uint64_t{chunk} * kChunkBytes < end &&
         std::min<uint64_t>(page.bytes, uint64_t{chunk + 1} * kChunkBytes) <= end;
         ++chunk) {
      page.chunk_sums.push_back(ChunkSumOf(write.fingerprint, write.fragments, page.bytes, chunk));
    }
  }
}

void PageWriter::Completed(const PageRequest& request) noexcept {
  if (request.io().error == 0) return;
  const Status why = StatusOf(request.io());
  for (const PageRequest::Part& part : request.parts()) {
    // No space is an answer, not a defect: segments are reserved, but not every file system keeps
    // its word. Anything else ends writing to this directory.
    if (why.code() != StatusCode::kNoSpace) {
      progress_[part.page].segment->dir().Latch(LogDir::Failure::kWrite, why);
    }
    Fail(part.page, why);
  }
}

void PageWriter::Fail(size_t page, Status why) noexcept {
  progress_[page].failed = true;
  if (first_error_.ok()) first_error_ = std::move(why);
}

}  // namespace lamina
