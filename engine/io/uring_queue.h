// A queue over one io_uring.
//
// Requests are staged by Submit and go to the kernel in one call with the next Wait or Poll. At
// most depth() are in the kernel; the rest waits in the queue, so that neither the submission nor
// the completion ring can overflow. Completions are reaped in Wait and Poll alone.
//
// The ring may pass from thread to thread (it is set up without SINGLE_ISSUER). If io_uring_enter
// itself is refused at run time, requests that the kernel does not have yet fail with that errno,
// those that it has are waited for, and so does everything submitted later.
#ifndef LAMINA_ENGINE_IO_URING_QUEUE_H_
#define LAMINA_ENGINE_IO_URING_QUEUE_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/io_queue.h"
#include "engine/io/transfer.h"

namespace lamina {

class UringQueue final : public IoQueue {
 public:
  static constexpr size_t kMaxDepth = 4096;

  // The ring holds the descriptors of `kept_open` (as registered files) until it is gone, which is
  // after its last I/O even when the process is killed. The error's message is "call: errno text".
  static Result<std::unique_ptr<UringQueue>> Create(size_t depth,
                                                    std::span<const int> kept_open) noexcept;
  ~UringQueue() override;
  UringQueue(const UringQueue&) = delete;
  UringQueue& operator=(const UringQueue&) = delete;

  void Submit(IoRequest* request) noexcept override;
  IoRequest* Wait() noexcept override;
  IoRequest* Poll() noexcept override;
  [[nodiscard]] size_t pending() const noexcept override { return pending_; }
  [[nodiscard]] size_t depth() const noexcept override { return transfers_.size(); }
  [[nodiscard]] bool usable() const noexcept override { return broken_ == 0; }

 private:
  explicit UringQueue(size_t depth) noexcept;

  // Turns waiting requests and those to be continued into submission entries, while depth allows.
  void Stage() noexcept;
  void Prepare(uint32_t index) noexcept;
  // Gives staged entries to the kernel; with `block`, also waits for a completion unless one is
  // there. Returns without either when the kernel is short of resources and there is something to
  // reap first.
  void Enter(bool block) noexcept;
  void HandleEnterError(int error, bool block) noexcept;
  // Fails what is staged, now and later.
  void Break(int error) noexcept;
  // Waits for a completion without submitting anything.
  void WaitForKernel() noexcept;
  void Reap() noexcept;
  void Finish(uint32_t index) noexcept;
  IoRequest* PopReady() noexcept;
  [[nodiscard]] size_t in_kernel() const noexcept {
    return transfers_.size() - free_.size() - staged_.size() - again_.size();
  }

  io_uring ring_{};
  bool has_ring_ = false;
  int broken_ = 0;       // errno that io_uring_enter failed with for good
  uint32_t stalls_ = 0;  // refusals of io_uring_enter in a row with nothing in the kernel
  const size_t batch_;   // staged entries that are worth a system call of their own

  std::vector<Transfer> transfers_;  // by the user data of their entries
  std::vector<uint32_t> free_;
  std::vector<uint32_t> again_;   // to be continued
  std::vector<uint32_t> staged_;  // in the submission ring, not yet in the kernel
  std::deque<IoRequest*> waiting_;
  std::deque<IoRequest*> ready_;
  size_t pending_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_URING_QUEUE_H_
