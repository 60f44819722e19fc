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
}

IoGovernor::Session::~Session() {
  if (IsRead(class_)) {
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
  uint64_t all = limits_.writes_beside_reads;
  if (active(IoClass::kDemandGet) + active(IoClass::kPrefetchGet) == 0) {
    const Clock::time_point last{Clock::duration(last_read_.load(std::memory_order_relaxed))};
    const Clock::time_point now = Clock::now();
    constexpr int kMostDoublings = 10;
    // Nobody has read yet, or not for long.
    if (last == Clock::time_point::min() || now - last >= kMostDoublings * limits_.quiet)
      return kUnlimited;
    all <<= (now - last) / limits_.quiet;
  }
  return static_cast<uint32_t>(std::max<uint64_t>(1, all / std::max(1U, Writers())));
}

uint32_t IoGovernor::Writers() const noexcept {
  return active(IoClass::kPut) + active(IoClass::kFlush) + active(IoClass::kCompaction) +
         active(IoClass::kReclaim);
}

}  // namespace lamina
