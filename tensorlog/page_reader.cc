#include "tensorlog/page_reader.h"

#include <algorithm>
#include <numeric>

#include "engine/base/mutation.h"

namespace lamina {
namespace {

// Of a call's bytes this part is held back; a processor sums about so many times as fast as a
// device reads.
constexpr uint64_t kHeldBackDivisor = 8;
// Calls of fewer requests have little to sum.
constexpr uint64_t kLeastRequests = 4;

size_t ChunksOf(uint64_t bytes) noexcept {
  return static_cast<size_t>((bytes + kChunkBytes - 1) / kChunkBytes);
}

}  // namespace

PageReader::PageReader(const SegmentTable& table, IoQueue& queue, BufferPool& bounce,
                       const IoLimits& limits, ReadObserver* observer, IoTally* tally) noexcept
    : RequestWindow(queue, bounce, limits, /*write=*/false, tally),
      table_(table),
      observer_(observer) {}

PageReader::~PageReader() = default;

void PageReader::Run(std::span<PageRead> pages) noexcept {
  pages_ = pages;
  progress_.resize(pages.size());
  size_t chunks = 0;
  for (size_t i = 0; i < pages.size(); ++i) {
    progress_[i].first_chunk = chunks;
    chunks += ChunksOf(pages[i].length);
  }
  chunks_.resize(chunks);
  HoldBackTail();
  std::vector<size_t> order(pages.size());
  std::iota(order.begin(), order.end(), size_t{0});
  ReadAll(order, /*coalesce=*/true);
  const std::vector<size_t> again = std::move(again_);
  again_.clear();
  ReadAll(again, /*coalesce=*/false);
}

// What is held back the device reads while the processor sums the rest.
void PageReader::HoldBackTail() noexcept {
  uint64_t bytes = 0;
  for (const PageRead& page : pages_) bytes += page.length;
  if (bytes >= kLeastRequests * request_bytes())
    BoundBytes(bytes - std::max<uint64_t>(bytes / kHeldBackDivisor, request_bytes()));
}

void PageReader::ReadAll(std::span<const size_t> order, bool coalesce) noexcept {
  for (const size_t page : order) ReadOne(page, coalesce);
  Drain();
}

void PageReader::ReadOne(size_t i, bool coalesce) noexcept {
  const PageRead& page = pages_[i];
  if (page.length == 0 || TotalBytes(page.fragments) != page.length) {
    return SetOutcome(i, ReadOutcome::kWrongSize);
  }
  // First the room, which may take time, then the pin.
  MakeRoom(page.slot, page.length, coalesce);
  if (observer_ != nullptr && !observer_->Wanted(i)) return SetOutcome(i, ReadOutcome::kCancelled);
  Progress& progress = progress_[i];
  progress = {.segment = nullptr, .first_chunk = progress.first_chunk};
  if (!PinPage(i)) return SetOutcome(i, ReadOutcome::kGone);
  for (size_t chunk = 0; chunk < ChunksOf(page.length); ++chunk) {
    chunks_[progress.first_chunk + chunk].bytes_left = static_cast<uint32_t>(
        std::min<uint64_t>(kChunkBytes, page.length - uint64_t{chunk} * kChunkBytes));
  }
  AddPage(i, *progress.segment, page.slot.slot, page.fragments, page.length);
  progress.added = true;
  FinishIfDone(i);
}

bool PageReader::PinPage(size_t i) noexcept {
  const PageRead& page = pages_[i];
  const SegmentTable::ReadSection section(table_);
  Segment* const segment = section.Find(page.slot.segment);
  if (segment == nullptr || page.slot.slot >= segment->slot_count() ||
      page.length > segment->slot_bytes() || !segment->Pin(page.slot.slot, page.tag())) {
    return false;
  }
  // The pin keeps the segment from here on.
  progress_[i].segment = segment;
  return true;
}

void PageReader::Completed(const PageRequest& request) noexcept {
  const bool failed = request.io().error != 0;
  const bool shared = request.parts().size() > 1;
  for (const PageRequest::Part& part : request.parts()) {
    Progress& progress = progress_[part.page];
    --progress.open_parts;
    if (failed) {
      progress.failed = true;
      progress.shared |= shared;
    } else {
      CheckPart(part);
    }
    FinishIfDone(part.page);
  }
}

// Counts the bytes that arrived; chunks that are complete are summed while others are in flight.
void PageReader::CheckPart(const PageRequest::Part& part) noexcept {
  const PageRead& page = pages_[part.page];
  uint64_t offset = part.offset;
  const uint64_t end = part.offset + part.bytes;
  while (offset < end) {
    const auto number = static_cast<size_t>(offset / kChunkBytes);
    const uint64_t chunk_end = std::min<uint64_t>(end, uint64_t{number + 1} * kChunkBytes);
    Chunk& chunk = chunks_[progress_[part.page].first_chunk + number];
    chunk.bytes_left -= static_cast<uint32_t>(chunk_end - offset);
    if (chunk.bytes_left == 0) {
      chunk.sum = ChunkSumOf(page.fingerprint, page.fragments, page.length, number);
    }
    offset = chunk_end;
  }
}

void PageReader::FinishIfDone(size_t i) noexcept {
  Progress& progress = progress_[i];
  if (!progress.added || progress.open_parts > 0) return;
  const PageRead& page = pages_[i];
  const ReadOutcome outcome = progress.failed ? ReadOutcome::kIoError : Verify(i);
  {
    const SegmentTable::ReadSection section(table_);  // keeps the segment when the pin is gone
    if (outcome == ReadOutcome::kOk) progress.segment->MarkProven(page.slot.slot, page.tag());
    // Where the device cannot read it now, the next put does not take it for present.
    if (outcome == ReadOutcome::kIoError) progress.segment->Doubt(page.slot.slot, page.tag());
    progress.segment->Unpin(page.slot.slot);
  }
  progress.segment = nullptr;
  progress.added = false;
  if (progress.failed && progress.shared) {
    again_.push_back(i);
    return;
  }
  SetOutcome(i, outcome);
}

ReadOutcome PageReader::Verify(size_t i) noexcept {
  const PageRead& page = pages_[i];
  if (Mutated(Mutation::kIgnoreChecksum)) return ReadOutcome::kOk;
  std::vector<uint64_t> sums;
  for (size_t chunk = 0; chunk < ChunksOf(page.length); ++chunk) {
    sums.push_back(chunks_[progress_[i].first_chunk + chunk].sum);
  }
  return CombineChunkSums(page.fingerprint, sums) == page.checksum ? ReadOutcome::kOk
                                                                   : ReadOutcome::kMismatch;
}

void PageReader::SetOutcome(size_t i, ReadOutcome outcome) noexcept {
  pages_[i].outcome = outcome;
  if (observer_ != nullptr) observer_->Done(i);
}

}  // namespace lamina
