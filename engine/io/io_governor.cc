#include "engine/io/io_governor.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr std::array<const char*, kIoClasses> kNames = {"demand_get", "prefetch_get", "put",
                                                        "flush",      "compaction",   "reclaim"};

bool IsRead(IoClass io_class) noexcept {
  return io_class == IoClass::kDemandGet || io_class == IoClass::kPrefetchGet;
}

}  // namespace

const char* IoClassName(IoClass io_class) noexcept { return kNames[static_cast<size_t>(io_class)]; }

IoGovernor::Session::Session(IoGovernor& governor, IoClass io_class, uint32_t most) noexcept
    : governor_(governor), class_(io_class), most_(most) {
  governor_.active_[static_cast<size_t>(class_)].fetch_add(1, std::memory_order_relaxed);
  if (IsRead(class_)) SetReads(kReadsPerShare);
}

void IoGovernor::Session::SetReads(uint32_t requests) noexcept {
  // Modulo 2^32, so that fewer are added too.
  governor_.reads_.fetch_add(requests - reads_, std::memory_order_relaxed);
  reads_ = requests;
}

IoGovernor::Session::~Session() {
  if (IsRead(class_)) {
    const uint32_t reads = governor_.reads_.fetch_sub(reads_, std::memory_order_relaxed);
    governor_.last_reads_.store(reads, std::memory_order_relaxed);
    governor_.last_read_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }
  governor_.active_[static_cast<size_t>(class_)].fetch_sub(1, std::memory_order_relaxed);
}

uint32_t IoGovernor::Session::depth() const noexcept {
  const uint32_t depth = governor_.DepthOf(class_);
  const auto at = static_cast<size_t>(class_);
  governor_.asked_[at].fetch_add(1, std::memory_order_relaxed);
  if (depth != kUnlimited) governor_.held_back_[at].fetch_add(1, std::memory_order_relaxed);
  return std::min(depth, most_);
}

uint32_t IoGovernor::DepthOf(IoClass io_class) const noexcept {
  if (!limits_.enabled || io_class == IoClass::kDemandGet) return kUnlimited;
  if (io_class == IoClass::kPrefetchGet) {
    if (active(IoClass::kDemandGet) == 0) return kUnlimited;
    return std::max(1U, limits_.prefetch_beside_demand / std::max(1U, active(io_class)));
  }
  return WriteDepth();
}

uint32_t IoGovernor::WriteDepth() const noexcept {
  uint64_t reads = reads_.load(std::memory_order_relaxed);
  uint32_t doublings = 0;
  if (active(IoClass::kDemandGet) + active(IoClass::kPrefetchGet) == 0) {
    const Clock::time_point last{Clock::duration(last_read_.load(std::memory_order_relaxed))};
    const Clock::time_point now = Clock::now();
    constexpr int kMostDoublings = 10;
    // Nobody has read yet, or not for long.
    if (last == Clock::time_point::min() || now - last >= kMostDoublings * limits_.quiet)
      return kUnlimited;
    doublings = static_cast<uint32_t>((now - last) / limits_.quiet);
    reads = last_reads_.load(std::memory_order_relaxed);
  }
  const uint64_t all = std::max<uint64_t>(1, reads * limits_.writes_beside_reads / kReadsPerShare)
                       << doublings;
  return static_cast<uint32_t>(std::max<uint64_t>(1, all / std::max(1U, writers())));
}

uint32_t IoGovernor::writers() const noexcept {
  return active(IoClass::kPut) + active(IoClass::kFlush) + active(IoClass::kCompaction) +
         active(IoClass::kReclaim);
}

}  // namespace lamina
