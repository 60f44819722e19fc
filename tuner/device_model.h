// What the tuner knows about the storage device: four numbers.
//
// They are measured when a store is created and refreshed from the completions that the store
// observes anyway. A refresh is smoothed and bounded, so that one bad second (a neighbour's burst,
// garbage collection in the drive) does not turn the tree around. Pure.
#ifndef LAMINA_TUNER_DEVICE_MODEL_H_
#define LAMINA_TUNER_DEVICE_MODEL_H_

namespace lamina::tuner {

struct DeviceModel {
  double read_latency_s = 80e-6;   // t4: one random 4 KiB read, from submission to completion
  double read_device_s = 1.25e-6;  // d4: device time of it at depth, 1 / IOPS
  double read_bytes_per_s = 6e9;
  double write_bytes_per_s = 3e9;
  friend bool operator==(const DeviceModel&, const DeviceModel&) = default;
};

// What completed in a while. Fields that are 0 change nothing.
struct DeviceObservation {
  // Reads of one block while few others were in flight, and the sum of their latencies.
  double lone_reads = 0;
  double lone_read_latency_s = 0;
  // Block reads while the queue was full, and for how long it was.
  double saturated_reads = 0;
  double saturated_read_s = 0;
  // Bytes of large requests while nothing else limited them, and for how long.
  double read_bytes = 0;
  double read_busy_s = 0;
  double write_bytes = 0;
  double write_busy_s = 0;
};

struct RefreshLimits {
  double weight = 0.1;      // of a new observation
  double max_step = 1.25;   // largest factor of one refresh, either way
  double max_drift = 8;     // largest factor away from `reference`, either way
  double min_reads = 1000;  // observations smaller than these are ignored
  double min_bytes = 64e6;
};

// `model` moved towards the observation. `reference` is what was measured at creation.
DeviceModel Refreshed(const DeviceModel& model, const DeviceModel& reference,
                      const DeviceObservation& observed, const RefreshLimits& limits = {}) noexcept;

// All four positive and finite.
bool IsValid(const DeviceModel& model) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_DEVICE_MODEL_H_
