// Keeps a call's requests in flight: builds them from pages, bounds how many there are, reaps them.
//
// What a completed read leaves to the processor, copies and checksums, is put off while the device
// could be given more to do, so that the two work side by side. That needs completions before the
// end: some devices (virtual ones) tell of all requests that they have when the last one is done,
// so a call may hold back its last ones until the first is complete.
//
// Neighbouring slots share a request while their pages fit in it whole; larger pages are cut. What
// pages mean is the business of the subclass (page_writer.h, page_reader.h). Used by one thread.
#ifndef LAMINA_TENSORLOG_REQUEST_WINDOW_H_
#define LAMINA_TENSORLOG_REQUEST_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/slot_ref.h"
#include "engine/io/io_queue.h"
#include "tensorlog/page_io.h"
#include "tensorlog/page_request.h"
#include "tensorlog/segment.h"

namespace lamina {

class RequestWindow {
 public:
  RequestWindow(const RequestWindow&) = delete;
  RequestWindow& operator=(const RequestWindow&) = delete;

 protected:
  // `queue` is empty, and this window's until it goes.
  RequestWindow(IoQueue& queue, BufferPool& bounce, const IoLimits& limits, bool write,
                IoTally* tally) noexcept;
  virtual ~RequestWindow();

  // Of the requests that follow, at most so many bytes are in flight (and what the last one has
  // beyond). No bound unless it was called.
  void BoundBytes(uint64_t bytes) noexcept { max_bytes_ = bytes; }
  [[nodiscard]] uint64_t request_bytes() const noexcept { return limits_.request_bytes; }

  // Makes sure that the page at `slot` can be added without waiting first: finishes the current
  // request unless the page continues it, and waits for room in flight.
  void MakeRoom(SlotRef slot, uint64_t page_bytes, bool coalesce) noexcept;
  // Adds the page; requests that are full on the way are submitted.
  void AddPage(size_t page, Segment& segment, uint32_t slot, std::span<const iovec> fragments,
               uint64_t page_bytes) noexcept;
  // Submits what is left; does not wait for it.
  void SubmitRest() noexcept { SubmitCurrent(); }
  // Submits what is left and waits for everything.
  void Drain() noexcept;

  // A request is on its way; the device works meanwhile.
  virtual void Submitted(std::span<const PageRequest::Part> parts) noexcept = 0;
  // A request is done; copied bytes are in place.
  virtual void Completed(const PageRequest& request) noexcept = 0;
  // Payload of the page is about to be in one more request.
  virtual void PartAdded(size_t page) noexcept = 0;

 private:
  [[nodiscard]] bool Continues(SlotRef slot, uint64_t page_bytes) const noexcept;
  [[nodiscard]] size_t depth() const noexcept;
  void Start(Segment& segment, uint64_t offset) noexcept;
  void SubmitCurrent() noexcept;
  void WaitForRoom() noexcept;
  [[nodiscard]] bool IsFull() const noexcept;
  // Takes a completion, or does what one has put off, or waits. Something is in flight or put off.
  void Step() noexcept;
  void Take(IoRequest* io) noexcept;
  void Finish(std::unique_ptr<PageRequest> request) noexcept;
  void FinishOne() noexcept;
  BufferPool::Lease AcquireBounce() noexcept;

  IoQueue& queue_;
  BufferPool& bounce_;
  const IoLimits& limits_;
  const bool write_;
  IoTally* const tally_;
  PageRequest::BounceSource bounce_source_;

  std::unique_ptr<PageRequest> current_;
  SlotRef last_;             // of the page added last, in current_
  uint64_t slot_bytes_ = 0;  // of current_'s segment
  uint64_t max_bytes_ = UINT64_MAX;
  uint64_t bytes_in_flight_ = 0;
  std::vector<std::unique_ptr<PageRequest>> in_flight_;
  std::deque<std::unique_ptr<PageRequest>> put_off_;  // reads that are complete
  std::vector<std::unique_ptr<PageRequest>> idle_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_REQUEST_WINDOW_H_
