#include "engine/store/write_allowance.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr uint64_t kHoursPerDay = 24;
constexpr double kSecondsPerDay = 86400;

}  // namespace

WriteAllowance::WriteAllowance(uint64_t bytes_per_day, Clock::time_point now) noexcept
    : bytes_per_day_(bytes_per_day),
      burst_bytes_(std::max(kLeastBurstBytes, bytes_per_day / kHoursPerDay)),
      level_(static_cast<double>(burst_bytes_)),
      refilled_(now) {}

void WriteAllowance::Refill(Clock::time_point now) noexcept {
  // Threads may come with times that are out of order.
  if (now <= refilled_) return;
  const double seconds = std::chrono::duration<double>(now - refilled_).count();
  refilled_ = now;
  level_ = std::min(static_cast<double>(burst_bytes_),
                    level_ + seconds / kSecondsPerDay * static_cast<double>(bytes_per_day_));
}

bool WriteAllowance::TryTake(uint64_t bytes, Clock::time_point now) noexcept {
  if (bytes_per_day_ == 0) return true;
  const std::lock_guard lock(mutex_);
  Refill(now);
  if (level_ < static_cast<double>(std::min(bytes, burst_bytes_))) return false;
  level_ -= static_cast<double>(bytes);
  return true;
}

void WriteAllowance::Charge(uint64_t bytes) noexcept {
  if (bytes_per_day_ == 0) return;
  const std::lock_guard lock(mutex_);
  level_ -= static_cast<double>(bytes);
}

void WriteAllowance::GiveBack(uint64_t bytes) noexcept {
  if (bytes_per_day_ == 0) return;
  const std::lock_guard lock(mutex_);
  level_ = std::min(static_cast<double>(burst_bytes_), level_ + static_cast<double>(bytes));
}

uint64_t WriteAllowance::Available(Clock::time_point now) noexcept {
  if (bytes_per_day_ == 0) return UINT64_MAX;
  const std::lock_guard lock(mutex_);
  Refill(now);
  return level_ <= 0 ? 0 : static_cast<uint64_t>(level_);
}

}  // namespace lamina
