#include "engine/store/write_allowance.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr uint64_t kHoursPerDay = 24;
constexpr double kSecondsPerDay = 86400;

uint64_t UnixSeconds(WriteAllowance::WallTime time) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
  return static_cast<uint64_t>(std::max<int64_t>(0, seconds.count()));
}

}  // namespace

WriteAllowance::WriteAllowance(uint64_t bytes_per_day, Clock::time_point now) noexcept
    : bytes_per_day_(bytes_per_day),
      burst_bytes_(std::max(kLeastBurstBytes, bytes_per_day / kHoursPerDay)),
      level_(static_cast<double>(burst_bytes_)),
      refilled_(now) {}

void WriteAllowance::Add(double bytes) noexcept {
  level_ = std::min(static_cast<double>(burst_bytes_), level_ + bytes);
}

void WriteAllowance::Restore(const WriteLevel& saved, WallTime now) noexcept {
  const uint64_t unix_seconds = UnixSeconds(now);
  const uint64_t seconds =
      unix_seconds > saved.unix_seconds ? unix_seconds - saved.unix_seconds : 0;
  const std::lock_guard lock(mutex_);
  level_ = static_cast<double>(saved.bytes);
  if (!bounded()) {
    restored_unix_seconds_ = saved.unix_seconds;
    return;
  }
  Add(static_cast<double>(seconds) / kSecondsPerDay * static_cast<double>(bytes_per_day_));
}

std::optional<WriteLevel> WriteAllowance::Save(Clock::time_point now, WallTime wall) noexcept {
  const std::lock_guard lock(mutex_);
  if (!bounded()) {
    if (!restored_unix_seconds_) return std::nullopt;
    return WriteLevel{static_cast<int64_t>(level_), *restored_unix_seconds_};
  }
  Refill(now);
  return WriteLevel{static_cast<int64_t>(level_), UnixSeconds(wall)};
}

void WriteAllowance::Refill(Clock::time_point now) noexcept {
  // Threads may come with times that are out of order.
  if (now <= refilled_) return;
  const double seconds = std::chrono::duration<double>(now - refilled_).count();
  refilled_ = now;
  Add(seconds / kSecondsPerDay * static_cast<double>(bytes_per_day_));
}

bool WriteAllowance::Has(uint64_t bytes) const noexcept {
  return level_ >= static_cast<double>(std::min(bytes, burst_bytes_));
}

bool WriteAllowance::Allows(uint64_t bytes, Clock::time_point now) noexcept {
  if (!bounded()) return true;
  const std::lock_guard lock(mutex_);
  Refill(now);
  return Has(bytes);
}

bool WriteAllowance::TryTake(uint64_t bytes, Clock::time_point now) noexcept {
  if (!bounded()) return true;
  const std::lock_guard lock(mutex_);
  Refill(now);
  if (!Has(bytes)) return false;
  level_ -= static_cast<double>(bytes);
  return true;
}

void WriteAllowance::Charge(uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  if (!bounded() && !restored_unix_seconds_) return;
  level_ -= static_cast<double>(bytes);
}

void WriteAllowance::GiveBack(uint64_t bytes) noexcept {
  if (!bounded()) return;
  const std::lock_guard lock(mutex_);
  Add(static_cast<double>(bytes));
}

uint64_t WriteAllowance::Available(Clock::time_point now) noexcept {
  if (!bounded()) return UINT64_MAX;
  const std::lock_guard lock(mutex_);
  Refill(now);
  return level_ <= 0 ? 0 : static_cast<uint64_t>(level_);
}

}  // namespace lamina
