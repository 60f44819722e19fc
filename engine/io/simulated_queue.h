// A queue of a simulated disk. Requests make progress, one attempt at a time, when their owner
// waits or polls; until then they are in flight.
#ifndef LAMINA_ENGINE_IO_SIMULATED_QUEUE_H_
#define LAMINA_ENGINE_IO_SIMULATED_QUEUE_H_

#include <cstddef>
#include <deque>
#include <list>
#include <memory>

#include "engine/io/io_queue.h"
#include "engine/io/simulated_disk.h"
#include "engine/io/transfer.h"

namespace lamina {

// Takes requests on SimulatedFiles of the same disk alone.
class SimulatedQueue final : public IoQueue {
 public:
  SimulatedQueue(std::shared_ptr<SimulatedDisk::Impl> disk, size_t depth) noexcept;
  ~SimulatedQueue() override;
  SimulatedQueue(const SimulatedQueue&) = delete;
  SimulatedQueue& operator=(const SimulatedQueue&) = delete;

  void Submit(IoRequest* request) noexcept override;
  IoRequest* Wait() noexcept override;
  IoRequest* Poll() noexcept override;
  [[nodiscard]] size_t pending() const noexcept override {
    return started_.size() + waiting_.size();
  }
  [[nodiscard]] size_t depth() const noexcept override { return depth_; }

 private:
  void StartWaiting() noexcept;
  // Puts the first request behind the others, if that is drawn.
  bool DelayFirst() noexcept;
  // One attempt of one request; the request when it is done with that.
  IoRequest* StepOne() noexcept;

  const std::shared_ptr<SimulatedDisk::Impl> disk_;
  const size_t depth_;
  std::deque<IoRequest*> waiting_;
  std::list<Transfer> started_;  // a list: the disk keeps pointers to writes
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_SIMULATED_QUEUE_H_
