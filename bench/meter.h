// What a bench measures with: clocks, counters of the process, percentiles.
#ifndef LAMINA_BENCH_METER_H_
#define LAMINA_BENCH_METER_H_

#include <cstdint>
#include <ctime>
#include <optional>
#include <vector>

namespace lamina::bench {

inline constexpr double kMicrosecondsPerSecond = 1e6;

// Monotonic.
inline double NowSeconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// CPU time of the calling thread.
inline double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// User and system time of all threads of the process so far.
double ProcessCpuSeconds();

// Bytes that this process has caused to be sent to block devices: direct writes as they are
// submitted, buffered ones as pages become dirty. The same for every engine; what the file system
// adds for itself is not in it. Nothing where the kernel does not count (/proc/self/io).
std::optional<uint64_t> ProcessWriteBytes();

// Samples of one quantity.
class Samples {
 public:
  void Add(double value) { values_.push_back(value); }
  void Merge(const Samples& other) {
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  }
  [[nodiscard]] size_t count() const { return values_.size(); }
  [[nodiscard]] double Sum() const;
  // 0 without samples.
  [[nodiscard]] double Mean() const;
  // The smallest sample that at least `share` (0 to 1) of the samples do not exceed; 0 without
  // samples.
  [[nodiscard]] double Percentile(double share) const;

 private:
  std::vector<double> values_;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_METER_H_
