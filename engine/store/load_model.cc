#include "engine/store/load_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace lamina {
namespace {

// A common drive. The factors correct it.
constexpr double kCallUs = 80;
constexpr double kRequestUs = 2;
constexpr double kBytesPerUs = 2500;
// Gets of so many bytes are limited by bandwidth.
constexpr uint64_t kLargeBytes = uint64_t{4} << 20;

// As unlike as calls of which one is eight times the other are those beside writes and others.
constexpr int kWritesApart = 3;

double NominalUs(const LoadModel::Load& load) noexcept {
  return kCallUs + kRequestUs * static_cast<double>(load.requests) +
         static_cast<double>(load.bytes + load.bytes_ahead) / kBytesPerUs;
}

}  // namespace

LoadModel::Running::Running(LoadModel& model, uint64_t bytes) noexcept
    : model_(model), bytes_(bytes) {
  const std::lock_guard lock(model_.mutex_);
  ahead_ = model_.running_bytes_;
  model_.running_bytes_ += bytes_;
  began_ = model_.running_since_.insert(Clock::now());
}

LoadModel::Running::~Running() {
  const std::lock_guard lock(model_.mutex_);
  model_.running_bytes_ -= bytes_;
  model_.running_since_.erase(began_);
}

uint64_t LoadModel::running_bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return running_bytes_;
}

std::chrono::microseconds LoadModel::oldest_running() const noexcept {
  const std::lock_guard lock(mutex_);
  if (running_since_.empty()) return {};
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() -
                                                               *running_since_.begin());
}

void LoadModel::Window::Add(double value) noexcept {
  values[count++ % kWindow] = static_cast<float>(value);
}

double LoadModel::Window::Quantile(double q) const noexcept {
  const size_t size = std::min<uint64_t>(count, kWindow);
  std::array<float, kWindow> sorted = values;
  const auto end = sorted.begin() + static_cast<ptrdiff_t>(size);
  const auto at =
      sorted.begin() + static_cast<ptrdiff_t>(std::lround(q * static_cast<double>(size - 1)));
  std::nth_element(sorted.begin(), at, end);
  return *at;
}

LoadModel::Kind LoadModel::KindOf(const Load& load) noexcept {
  const uint64_t request = load.bytes / std::max<uint64_t>(load.requests, 1);
  return {load.beside_writes, static_cast<int>(std::bit_width(load.bytes)),
          static_cast<int>(std::bit_width(request))};
}

// Of calls like that, or of the likest that were seen.
const LoadModel::Window* LoadModel::Nearest(const Kind& kind) const noexcept {
  const Window* nearest = nullptr;
  int least = 0;
  for (const auto& [other, window] : factors_) {
    const int distance = std::abs(other.bytes - kind.bytes) +
                         std::abs(other.request - kind.request) +
                         (other.beside_writes == kind.beside_writes ? 0 : kWritesApart);
    if (nearest != nullptr && distance >= least) continue;
    nearest = &window;
    least = distance;
  }
  return nearest;
}

LoadModel::Prediction LoadModel::PredictLocked(const Load& load) const noexcept {
  const double nominal = NominalUs(load);
  const Window* const window = Nearest(KindOf(load));
  if (window == nullptr) return {nominal, 2 * nominal};
  return {nominal * window->Quantile(.5), nominal * window->Quantile(.95)};
}

LoadModel::Prediction LoadModel::Predict(const Load& load) const noexcept {
  const std::lock_guard lock(mutex_);
  return PredictLocked(load);
}

void LoadModel::Observe(const Load& load, double us) noexcept {
  const std::lock_guard lock(mutex_);
  errors_.Add(std::abs(PredictLocked(load).us_p50 - us) / us);
  factors_[KindOf(load)].Add(us / NominalUs(load));
  if (load.bytes < kLargeBytes || load.bytes_ahead > 0 || load.beside_writes || !(us > 0)) return;
  bandwidth_.bytes += load.bytes;
  bandwidth_.bytes_per_us = std::max(bandwidth_.bytes_per_us, static_cast<double>(load.bytes) / us);
}

LoadModel::Bandwidth LoadModel::TakeBandwidth() noexcept {
  const std::lock_guard lock(mutex_);
  return std::exchange(bandwidth_, {});
}

LoadModel::Error LoadModel::error() const noexcept {
  const std::lock_guard lock(mutex_);
  if (errors_.count == 0) return {};
  return {errors_.count, errors_.Quantile(.5), errors_.Quantile(.95)};
}

}  // namespace lamina
