#include "tuner/device_model.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {
namespace {

// Geometric smoothing: a value that doubles and halves again ends where it was.
double Moved(double value, double reference, double observed,
             const RefreshLimits& limits) noexcept {
  if (!(observed > 0) || !std::isfinite(observed)) return value;
  const double factor =
      std::clamp(std::pow(observed / value, limits.weight), 1 / limits.max_step, limits.max_step);
  return std::clamp(value * factor, reference / limits.max_drift, reference * limits.max_drift);
}

}  // namespace

DeviceModel Refreshed(const DeviceModel& model, const DeviceModel& reference,
                      const DeviceObservation& observed, const RefreshLimits& limits) noexcept {
  DeviceModel result = model;
  if (observed.lone_reads >= limits.min_reads) {
    result.read_latency_s = Moved(model.read_latency_s, reference.read_latency_s,
                                  observed.lone_read_latency_s / observed.lone_reads, limits);
  }
  if (observed.saturated_reads >= limits.min_reads) {
    result.read_device_s = Moved(model.read_device_s, reference.read_device_s,
                                 observed.saturated_read_s / observed.saturated_reads, limits);
  }
  if (observed.read_bytes >= limits.min_bytes) {
    result.read_bytes_per_s = Moved(model.read_bytes_per_s, reference.read_bytes_per_s,
                                    observed.read_bytes / observed.read_busy_s, limits);
  }
  if (observed.write_bytes >= limits.min_bytes) {
    result.write_bytes_per_s = Moved(model.write_bytes_per_s, reference.write_bytes_per_s,
                                     observed.write_bytes / observed.write_busy_s, limits);
  }
  return result;
}

bool IsValid(const DeviceModel& model) noexcept {
  const auto good = [](double value) { return value > 0 && std::isfinite(value); };
  return good(model.read_latency_s) && good(model.read_device_s) && good(model.read_bytes_per_s) &&
         good(model.write_bytes_per_s);
}

}  // namespace lamina::tuner
