#include "engine/io/simulated_queue.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <utility>

#include "engine/io/simulated_file.h"

namespace lamina {
namespace {

const SimulatedOpenFile& FileOf(const Transfer& transfer) noexcept {
  return static_cast<const SimulatedFile*>(transfer.request()->file)->open_file();
}

}  // namespace

SimulatedQueue::SimulatedQueue(std::shared_ptr<SimulatedDisk::Impl> disk, size_t depth) noexcept
    : disk_(std::move(disk)), depth_(std::max<size_t>(depth, 1)) {}

SimulatedQueue::~SimulatedQueue() {
  waiting_.clear();
  while (!started_.empty()) Wait();
}

void SimulatedQueue::Submit(IoRequest* request) noexcept {
  waiting_.push_back(request);
  StartWaiting();
}

IoRequest* SimulatedQueue::Wait() noexcept {
  size_t delays_left = started_.size();
  while (!started_.empty()) {
    if (delays_left > 0 && DelayFirst()) {
      --delays_left;
      continue;
    }
    if (IoRequest* const request = StepOne()) return request;
  }
  return nullptr;
}

IoRequest* SimulatedQueue::Poll() noexcept {
  if (started_.empty() || DelayFirst()) return nullptr;
  return StepOne();
}

void SimulatedQueue::StartWaiting() noexcept {
  while (!waiting_.empty() && started_.size() < depth_) {
    Transfer& transfer = started_.emplace_back();
    transfer.Begin(waiting_.front());
    waiting_.pop_front();
    const std::lock_guard lock(disk_->mutex);
    if (transfer.request()->write) disk_->StartWrite(FileOf(transfer), &transfer);
  }
}

bool SimulatedQueue::DelayFirst() noexcept {
  const std::lock_guard lock(disk_->mutex);
  if (!disk_->Fault(FileOf(started_.front()).path, disk_->faults.delay)) return false;
  started_.splice(started_.end(), started_, started_.begin());
  return true;
}

IoRequest* SimulatedQueue::StepOne() noexcept {
  IoRequest* done = nullptr;
  {
    const std::lock_guard lock(disk_->mutex);
    auto at = started_.begin();
    if (disk_->faults.reorder)
      std::advance(at, static_cast<ptrdiff_t>(disk_->random.Below(started_.size())));
    if (disk_->Step(FileOf(*at), &*at, /*any_alignment=*/false) == Transfer::Next::kAgain)
      return nullptr;
    done = at->request();
    if (done->write) disk_->EndWrite(&*at);
    started_.erase(at);
  }
  StartWaiting();
  return done;
}

}  // namespace lamina
