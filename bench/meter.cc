#include "bench/meter.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>

namespace lamina::bench {

double ProcessCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<uint64_t> ProcessWriteBytes() {
  std::ifstream counters("/proc/self/io");
  std::string name;
  uint64_t value = 0;
  while (counters >> name >> value) {
    if (name == "write_bytes:") return value;
  }
  return std::nullopt;
}

double Samples::Sum() const { return std::accumulate(values_.begin(), values_.end(), 0.0); }

double Samples::Mean() const {
  return values_.empty() ? 0 : Sum() / static_cast<double>(values_.size());
}

double Samples::Percentile(double share) const {
  if (values_.empty()) return 0;
  std::vector<double> values = values_;
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  const auto index = static_cast<ptrdiff_t>(std::max(rank, 1.0)) - 1;
  const auto at = values.begin() + std::min(index, static_cast<ptrdiff_t>(values.size()) - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace lamina::bench
