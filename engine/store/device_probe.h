// What the tuner has to know about the device under the index: measured once, kept as text in the
// manifest.
#ifndef LAMINA_ENGINE_STORE_DEVICE_PROBE_H_
#define LAMINA_ENGINE_STORE_DEVICE_PROBE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "tuner/device_model.h"

namespace lamina {

// A file of this name is what is left of a measurement that was cut off.
inline constexpr char kDeviceProbeFileName[] = "device-probe.tmp";

struct DeviceProbeLimits {
  uint64_t file_bytes = uint64_t{4} << 20;  // a multiple of 1 MiB; written once
  std::chrono::milliseconds time{200};      // for all of it; each part ends at its share
};

// Writes `<directory>/device-probe.tmp`, reads it back (1 MiB requests for the bandwidths; 4 KiB
// ones, one at a time for the latency and many at a time for the rate) and removes it. Direct I/O
// where the file system has it. A number for which there was no time stays at its default. Errors
// are those of the file.
Result<tuner::DeviceModel> MeasureDevice(FileSystem& fs, const std::string& directory,
                                         const DeviceProbeLimits& limits = {}) noexcept;

// "read_latency_s=8e-05;read_device_s=1.25e-06;read_bytes_per_s=6e+09;write_bytes_per_s=3e+09".
// Parse reads what DeviceModelText writes; nothing for text that is no valid model.
std::string DeviceModelText(const tuner::DeviceModel& model) noexcept;
std::optional<tuner::DeviceModel> ParseDeviceModel(std::string_view text) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_DEVICE_PROBE_H_
