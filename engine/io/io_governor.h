// The I/O governor: how hard each kind of work may push the devices.
//
// Writes are what ruins reads. A device takes large writes faster than it can work them off, and
// reads that come meanwhile wait behind them: a queue of writes costs a concurrent restore most of
// its throughput. What a device gives each side goes by what each has in flight, so the requests
// that writers have in flight together are few in proportion to those of the readers, and as many
// as their queues hold when nobody reads. It never stops either side: every session may have one
// request in flight. Prefetch gives way to demand in the same manner.
//
// Nothing here waits or wakes; a session is asked before each request how many it may have.
#ifndef LAMINA_ENGINE_IO_IO_GOVERNOR_H_
#define LAMINA_ENGINE_IO_IO_GOVERNOR_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace lamina {

// How many requests a call may have in flight now. Asked from the thread that makes the call.
class DepthLimit {
 public:
  virtual ~DepthLimit() = default;
  // At least 1; what the queue cannot hold does not count.
  [[nodiscard]] virtual uint32_t depth() const noexcept = 0;
};

class FixedDepth final : public DepthLimit {
 public:
  explicit FixedDepth(uint32_t depth) noexcept : depth_(depth) {}
  [[nodiscard]] uint32_t depth() const noexcept override { return depth_; }

 private:
  const uint32_t depth_;
};

enum class IoClass : uint8_t { kDemandGet, kPrefetchGet, kPut, kFlush, kCompaction, kReclaim };
inline constexpr size_t kIoClasses = 6;
const char* IoClassName(IoClass io_class) noexcept;

// Thread-safe. Outlives its sessions.
class IoGovernor {
 public:
  struct Limits {
    bool enabled = true;
    // Requests in flight of all writers together for each kReadsPerShare that readers have.
    uint32_t writes_beside_reads = 15;
    // Of all prefetches together while there is demand.
    uint32_t prefetch_beside_demand = 4;
    // Who has just read reads on: a restore is many calls. So long writes stay few; then they may
    // double in each such time.
    std::chrono::microseconds quiet{1000};
  };
  explicit IoGovernor(const Limits& limits) noexcept : limits_(limits) {}
  IoGovernor(const IoGovernor&) = delete;
  IoGovernor& operator=(const IoGovernor&) = delete;

  static constexpr uint32_t kUnlimited = UINT32_MAX;
  static constexpr uint32_t kReadsPerShare = 32;

  // One call that moves data, for as long as it does.
  class Session final : public DepthLimit {
   public:
    // At most `most` requests, whatever else is going on.
    Session(IoGovernor& governor, IoClass io_class, uint32_t most = kUnlimited) noexcept;
    // Of a reader: it has so many requests in flight, from now on. Before, kReadsPerShare.
    void SetReads(uint32_t requests) noexcept;
    ~Session() override;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    [[nodiscard]] uint32_t depth() const noexcept override;

   private:
    IoGovernor& governor_;
    const IoClass class_;
    const uint32_t most_;
    uint32_t reads_ = 0;
  };

  [[nodiscard]] uint32_t active(IoClass io_class) const noexcept {
    return active_[static_cast<size_t>(io_class)].load(std::memory_order_relaxed);
  }
  // Calls that write.
  [[nodiscard]] uint32_t writers() const noexcept;
  // How often a session was asked, and how often it got less than it might have had.
  [[nodiscard]] uint64_t asked(IoClass io_class) const noexcept {
    return asked_[static_cast<size_t>(io_class)].load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t held_back(IoClass io_class) const noexcept {
    return held_back_[static_cast<size_t>(io_class)].load(std::memory_order_relaxed);
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] uint32_t DepthOf(IoClass io_class) const noexcept;
  [[nodiscard]] uint32_t WriteDepth() const noexcept;

  const Limits limits_;
  std::array<std::atomic<uint32_t>, kIoClasses> active_{};
  std::atomic<uint32_t> reads_{0};       // requests of readers
  std::atomic<uint32_t> last_reads_{0};  // and when the last reader ended
  std::array<std::atomic<uint64_t>, kIoClasses> asked_{};
  std::array<std::atomic<uint64_t>, kIoClasses> held_back_{};
  std::atomic<Clock::rep> last_read_{Clock::time_point::min().time_since_epoch().count()};
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_IO_GOVERNOR_H_
