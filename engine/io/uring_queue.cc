#include "engine/io/uring_queue.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string_view>

#include "engine/io/file_system.h"
#include "engine/io/io_error.h"

namespace lamina {
namespace {

// Refusals of io_uring_enter (EAGAIN, EBUSY), 1 ms apart, before the ring is given up.
constexpr uint32_t kMaxStalls = 100;
// What the kernel moves at most in one call (its MAX_RW_COUNT); the rest is a short transfer.
constexpr size_t kMaxAttemptBytes = 0x7ffff000;

void SleepOneMillisecond() noexcept {
  const timespec pause = {.tv_sec = 0, .tv_nsec = 1'000'000};
  ::nanosleep(&pause, nullptr);
}

Status SetupError(std::string_view call, int error) noexcept {
  std::string message(call);
  message += ": ";
  message += ErrnoText(error);
  return Status::NotSupported(std::move(message));
}

// Completions are posted when the thread is in the kernel anyway rather than by an interrupt;
// TASKRUN_FLAG lets Poll see that there are some. Both came with Linux 5.19: older kernels, which
// refuse them, get a plain ring.
int SetUp(unsigned entries, io_uring* ring) noexcept {
  io_uring_params params{};
  params.flags = IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  int result = io_uring_queue_init_params(entries, ring, &params);
  if (result == -EINVAL) {
    params = {};
    params.flags = IORING_SETUP_CLAMP;
    result = io_uring_queue_init_params(entries, ring, &params);
  }
  return result;
}

}  // namespace

UringQueue::UringQueue(size_t depth) noexcept
    : batch_(std::clamp<size_t>(depth / 4, 1, 16)), transfers_(depth) {
  free_.reserve(depth);
  again_.reserve(depth);
  staged_.reserve(depth);
  for (size_t i = depth; i > 0; --i) free_.push_back(static_cast<uint32_t>(i - 1));
}

Result<std::unique_ptr<UringQueue>> UringQueue::Create(size_t depth,
                                                       std::span<const int> kept_open) noexcept {
  depth = std::clamp<size_t>(depth, 1, kMaxDepth);
  std::unique_ptr<UringQueue> queue(new UringQueue(depth));
  int result = SetUp(static_cast<unsigned>(depth), &queue->ring_);
  if (result < 0) return SetupError("io_uring_setup", -result);
  queue->has_ring_ = true;
  if (!kept_open.empty()) {
    result = io_uring_register_files(&queue->ring_, kept_open.data(),
                                     static_cast<unsigned>(kept_open.size()));
    if (result < 0) return SetupError("io_uring_register", -result);
  }
  return queue;
}

UringQueue::~UringQueue() {
  if (!has_ring_) return;
  waiting_.clear();
  while (!staged_.empty() || !again_.empty() || in_kernel() > 0) {
    ready_.clear();
    Stage();
    Enter(/*block=*/true);
    Reap();
  }
  io_uring_queue_exit(&ring_);
}

void UringQueue::Submit(IoRequest* request) noexcept {
  ++pending_;
  waiting_.push_back(request);
}

IoRequest* UringQueue::Wait() noexcept {
  while (ready_.empty() && pending_ > 0) {
    Stage();
    Enter(/*block=*/true);
    Reap();
  }
  return PopReady();
}

// What was submitted starts, also where completions are ready: the caller has work to do meanwhile.
IoRequest* UringQueue::Poll() noexcept {
  if (pending_ > 0) {
    Stage();
    Enter(/*block=*/false);
    if (ready_.empty()) Reap();
  }
  return PopReady();
}

IoRequest* UringQueue::PopReady() noexcept {
  if (ready_.empty()) return nullptr;
  IoRequest* const request = ready_.front();
  ready_.pop_front();
  --pending_;
  // While the caller works through a batch of completions the device should not run dry.
  if (!ready_.empty()) {
    Stage();
    if (staged_.size() >= batch_) Enter(/*block=*/false);
  }
  return request;
}

void UringQueue::Stage() noexcept {
  for (const uint32_t index : again_) Prepare(index);
  again_.clear();
  while (!waiting_.empty() && !free_.empty()) {
    const uint32_t index = free_.back();
    free_.pop_back();
    transfers_[index].Begin(waiting_.front());
    waiting_.pop_front();
    Prepare(index);
  }
}

void UringQueue::Prepare(uint32_t index) noexcept {
  Transfer& transfer = transfers_[index];
  if (broken_ != 0) {
    transfer.Fail(broken_);
    Finish(index);
    return;
  }
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
  LAMINA_CHECK(sqe != nullptr);  // the ring has at least depth() entries
  const IoRequest& request = *transfer.request();
  const int fd = request.file->fd();
  const iovec& first = transfer.vectors()[0];
  if (transfer.vector_count() > 1) {
    request.write ? io_uring_prep_writev(sqe, fd, transfer.vectors(), transfer.vector_count(),
                                         transfer.offset())
                  : io_uring_prep_readv(sqe, fd, transfer.vectors(), transfer.vector_count(),
                                        transfer.offset());
  } else {
    const auto bytes = static_cast<unsigned>(std::min(first.iov_len, kMaxAttemptBytes));
    request.write ? io_uring_prep_write(sqe, fd, first.iov_base, bytes, transfer.offset())
                  : io_uring_prep_read(sqe, fd, first.iov_base, bytes, transfer.offset());
  }
  // What the kernel could not do without blocking it does in a thread of its own.
  if (transfer.retries() > 0) io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
  io_uring_sqe_set_data64(sqe, index);
  staged_.push_back(index);
}

void UringQueue::Enter(bool block) noexcept {
  if (broken_ != 0) {
    if (block && ready_.empty() && in_kernel() > 0) WaitForKernel();
    return;
  }
  if (staged_.empty() && !block) return;
  const bool wait = block && io_uring_cq_ready(&ring_) == 0;
  if (staged_.empty() && !wait) return;
  const int result = io_uring_submit_and_wait(&ring_, wait ? 1 : 0);
  if (result < 0) {
    HandleEnterError(-result, block);
    return;
  }
  stalls_ = 0;
  staged_.erase(staged_.begin(),
                staged_.begin() + std::min<ptrdiff_t>(result, std::ssize(staged_)));
}

void UringQueue::HandleEnterError(int error, bool block) noexcept {
  if (error == EINTR) return;
  if (error != EAGAIN && error != EBUSY && error != ENOMEM) {
    Break(error);
    return;
  }
  // The kernel has no room: what is complete must be reaped, or what is in flight must end.
  if (!block || io_uring_cq_ready(&ring_) > 0) return;
  if (in_kernel() > 0) {
    WaitForKernel();
  } else if (++stalls_ < kMaxStalls) {
    SleepOneMillisecond();
  } else {
    Break(error);
  }
}

void UringQueue::Break(int error) noexcept {
  broken_ = error;
  // The kernel took none of them: io_uring_enter fails only when it has submitted nothing.
  for (const uint32_t index : staged_) {
    transfers_[index].Fail(error);
    Finish(index);
  }
  staged_.clear();
}

void UringQueue::WaitForKernel() noexcept {
  io_uring_cqe* cqe = nullptr;
  const int result = io_uring_wait_cqe(&ring_, &cqe);
  // If even that is refused, completions still appear in the ring: look again in a while.
  if (result < 0 && result != -EINTR) SleepOneMillisecond();
}

void UringQueue::Reap() noexcept {
  std::array<io_uring_cqe*, 64> batch;
  for (;;) {
    const unsigned count =
        io_uring_peek_batch_cqe(&ring_, batch.data(), static_cast<unsigned>(batch.size()));
    for (unsigned i = 0; i < count; ++i) {
      const auto index = static_cast<uint32_t>(io_uring_cqe_get_data64(batch[i]));
      if (transfers_[index].Complete(batch[i]->res) == Transfer::Next::kDone) {
        Finish(index);
      } else {
        again_.push_back(index);
      }
    }
    io_uring_cq_advance(&ring_, count);
    if (count < batch.size()) return;
  }
}

void UringQueue::Finish(uint32_t index) noexcept {
  ready_.push_back(transfers_[index].request());
  free_.push_back(index);
}

}  // namespace lamina
