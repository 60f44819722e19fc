// What is asked of the tensor log for a page, and what became of it.
#ifndef LAMINA_TENSORLOG_PAGE_IO_H_
#define LAMINA_TENSORLOG_PAGE_IO_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/base/keys.h"
#include "engine/base/slot_ref.h"
#include "engine/base/status.h"
#include "engine/io/io_governor.h"

namespace lamina {

// A page to be written to a slot that was taken for it. Fragments are not empty, add up to at most
// the slot, and stay untouched until the call returns.
struct PageWrite {
  SlotRef slot;
  Fingerprint fingerprint = 0;
  std::span<const iovec> fragments;

  // Out. When not ok, the slot holds nothing that counts: release it.
  bool ok = false;
  uint64_t checksum = 0;
};

enum class ReadOutcome : uint8_t {
  kPending = 0,
  kOk,         // the buffers hold the page
  kGone,       // the slot does not bear the tag (any more), or its segment is absent
  kWrongSize,  // the fragments do not add up to the stored length
  kIoError,    // the device failed; counted by the caller
  kMismatch,   // the bytes are not the page's: read again once, then Free(slot, tag)
  kCancelled,  // the observer no longer wanted it
};

// A page to be read, as its entry describes it. Fragments are not empty.
struct PageRead {
  SlotRef slot;
  Fingerprint fingerprint = 0;
  uint64_t checksum = 0;
  uint32_t length = 0;
  std::span<const iovec> fragments;

  // Out. Unless kOk, the content of the buffers is undefined.
  ReadOutcome outcome = ReadOutcome::kPending;
  [[nodiscard]] uint64_t tag() const noexcept { return TagOf(fingerprint, checksum); }
};

// Told of the progress of a ReadPages call, on the thread that made it.
class ReadObserver {
 public:
  virtual ~ReadObserver() = default;
  // Asked once for each page, when its I/O is about to be issued.
  virtual bool Wanted(size_t /*page*/) noexcept { return true; }
  // The outcome of pages[page] is final and its buffers are no longer touched.
  virtual void Done(size_t /*page*/) noexcept {}
};

// Told of the progress of a WritePages call, on the thread that made it.
class WriteObserver {
 public:
  virtual ~WriteObserver() = default;
  // All checksums are known and no page has failed so far; the last bytes are still on their way to
  // the device. Called at most once. What it does goes on beside them.
  virtual void Summed() noexcept = 0;
};

// How hard a call may push the device.
struct IoLimits {
  // Largest request, bytes; a multiple of 4096, 256 KiB to 1 MiB.
  uint32_t request_bytes = 1u << 20;
  // Requests in flight. Asked anew before each request, so that a governor can turn it while the
  // call runs.
  const DepthLimit* depth = nullptr;  // null: the queue's depth
};

// What a call moved. Added to, never cleared.
struct IoTally {
  uint64_t requests = 0;
  uint64_t payload_bytes = 0;  // of the pages
  uint64_t device_bytes = 0;   // padding included
  uint64_t bounced_bytes = 0;  // copied once, because the caller's buffers were not aligned
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_PAGE_IO_H_
