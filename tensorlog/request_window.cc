#include "tensorlog/request_window.h"

#include <algorithm>
#include <utility>

#include "tensorlog/geometry.h"

namespace lamina {

RequestWindow::RequestWindow(IoQueue& queue, BufferPool& bounce, const IoLimits& limits, bool write,
                             IoTally* tally) noexcept
    : queue_(queue),
      bounce_(bounce),
      limits_(limits),
      write_(write),
      tally_(tally),
      bounce_source_([this] { return AcquireBounce(); }) {}

RequestWindow::~RequestWindow() {
  LAMINA_CHECK(current_ == nullptr && in_flight_.empty() && put_off_.empty());
}

size_t RequestWindow::depth() const noexcept {
  const size_t own = queue_.depth();
  if (limits_.depth == nullptr) return own;
  return std::clamp<size_t>(limits_.depth->depth(), 1, own);
}

// Whether the page lies behind the last one of the current request, close enough, and fits in it
// whole. From 256 KiB on a page is as good as sequential alone, so nothing is padded to join it.
bool RequestWindow::Continues(SlotRef slot, uint64_t page_bytes) const noexcept {
  if (current_ == nullptr || slot != SlotRef{last_.segment, last_.slot + 1}) return false;
  const uint64_t start = uint64_t{slot.slot} * slot_bytes_;
  const uint64_t gap = start - current_->end_offset();
  if (gap > 0 && page_bytes >= kRunBytes) return false;
  return gap + slot_bytes_ <= current_->room();
}

void RequestWindow::MakeRoom(SlotRef slot, uint64_t page_bytes, bool coalesce) noexcept {
  if (coalesce && Continues(slot, page_bytes)) return;
  SubmitCurrent();
  WaitForRoom();
}

void RequestWindow::AddPage(size_t page, Segment& segment, uint32_t slot,
                            std::span<const iovec> fragments, uint64_t page_bytes) noexcept {
  const uint64_t start = segment.OffsetOf(slot);
  if (current_ != nullptr) {
    const uint64_t gap = start - current_->end_offset();
    if (gap > 0 && !current_->AddGap(gap, bounce_source_)) {
      SubmitCurrent();
      WaitForRoom();
    }
  }
  FragmentWalker walker(fragments);
  for (uint64_t offset = 0; offset < page_bytes;) {
    if (current_ == nullptr) Start(segment, start + offset);
    const size_t parts_before = current_->parts().size();
    const uint64_t added =
        current_->AddPayload(page, offset, &walker, page_bytes - offset, bounce_source_);
    if (current_->parts().size() > parts_before) PartAdded(page);
    offset += added;
    if (offset < page_bytes) {
      // An empty request takes at least one unit, so this makes progress.
      LAMINA_CHECK(current_->bytes() > 0);
      SubmitCurrent();
      WaitForRoom();
    }
  }
  last_ = {segment.id(), slot};
}

void RequestWindow::Start(Segment& segment, uint64_t offset) noexcept {
  if (idle_.empty()) {
    current_ = std::make_unique<PageRequest>();
  } else {
    current_ = std::move(idle_.back());
    idle_.pop_back();
  }
  slot_bytes_ = segment.slot_bytes();
  const size_t max_bytes = limits_.request_bytes / kSlotUnitBytes * kSlotUnitBytes;
  LAMINA_CHECK(max_bytes > 0);
  current_->Reset(segment.file(), write_, offset, max_bytes);
}

void RequestWindow::SubmitCurrent() noexcept {
  if (current_ == nullptr) return;
  PageRequest& request = *current_;
  bytes_in_flight_ += request.bytes();
  in_flight_.push_back(std::move(current_));
  if (tally_ != nullptr) {
    ++tally_->requests;
    tally_->device_bytes += request.bytes();
    tally_->bounced_bytes += request.bounced_bytes();
    for (const PageRequest::Part& part : request.parts()) tally_->payload_bytes += part.bytes;
  }
  queue_.Submit(request.Seal());
  // A write starts before the processor goes on to checksums. Reads may wait for each other: there
  // is nothing to do meanwhile, and the first Wait starts them all with one system call. What Poll
  // gives back is handled behind Submitted, since it may be this very request.
  IoRequest* const done = write_ ? queue_.Poll() : nullptr;
  Submitted(request.parts());
  if (done != nullptr) Take(done);
}

bool RequestWindow::IsFull() const noexcept {
  return in_flight_.size() >= depth() || bytes_in_flight_ >= max_bytes_;
}

void RequestWindow::WaitForRoom() noexcept {
  while (IsFull() || put_off_.size() >= queue_.depth()) Step();
}

void RequestWindow::Drain() noexcept {
  SubmitCurrent();
  while (!in_flight_.empty() || !put_off_.empty()) Step();
}

void RequestWindow::Step() noexcept {
  if (put_off_.empty()) return Take(queue_.Wait());
  // Polling starts what was submitted, so the device is busy before the processor is.
  IoRequest* const done = queue_.Poll();
  return done != nullptr ? Take(done) : FinishOne();
}

void RequestWindow::Take(IoRequest* io) noexcept {
  LAMINA_CHECK(io != nullptr);
  auto* const request = static_cast<PageRequest*>(io->user);
  const auto found = std::find_if(in_flight_.begin(), in_flight_.end(),
                                  [&](const auto& other) { return other.get() == request; });
  LAMINA_CHECK(found != in_flight_.end());
  std::unique_ptr<PageRequest> done = std::move(*found);
  in_flight_.erase(found);
  bytes_in_flight_ -= done->bytes();
  // Nor what holds a buffer that other calls may be waiting for.
  if (write_ || done->holds_bounce()) {
    Finish(std::move(done));
  } else {
    put_off_.push_back(std::move(done));
  }
}

void RequestWindow::FinishOne() noexcept {
  std::unique_ptr<PageRequest> request = std::move(put_off_.front());
  put_off_.pop_front();
  Finish(std::move(request));
}

void RequestWindow::Finish(std::unique_ptr<PageRequest> request) noexcept {
  if (!write_ && request->io().error == 0) request->CopyOut();
  request->DropBounce();
  Completed(*request);
  idle_.push_back(std::move(request));
}

// A call that holds buffers must not wait for another one: all calls might be waiting. It waits for
// its own requests instead, which give theirs back.
BufferPool::Lease RequestWindow::AcquireBounce() noexcept {
  while (true) {
    if (BufferPool::Lease lease = bounce_.TryAcquire()) return lease;
    const auto has = [](const auto& request) { return request->holds_bounce(); };
    const bool holds = std::any_of(in_flight_.begin(), in_flight_.end(), has) ||
                       std::any_of(put_off_.begin(), put_off_.end(), has);
    if (!holds) return bounce_.Acquire();
    Step();
  }
}

}  // namespace lamina
