#include "tuner/fpr_curve.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

namespace lamina::tuner {
namespace {

constexpr double kLn2Squared = 0.480453013918201424667;

// Indices of the points on the lower convex hull of (bits, rate); flat tails are left off.
std::vector<size_t> LowerHull(std::span<const FprPoint> points) noexcept {
  std::vector<size_t> hull;
  const auto slope = [&](size_t a, size_t b) {
    return (points[b].false_positive_rate - points[a].false_positive_rate) /
           (points[b].bits_per_key - points[a].bits_per_key);
  };
  for (size_t i = 0; i < points.size(); ++i) {
    while (hull.size() >= 2 && slope(hull.back(), i) <= slope(hull[hull.size() - 2], hull.back())) {
      hull.pop_back();
    }
    hull.push_back(i);
  }
  while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) >= 0) hull.pop_back();
  return hull;
}

}  // namespace

FprCurve::FprCurve(std::vector<FprPoint> points) noexcept : points_(std::move(points)) {
  for (const FprPoint& point : points_) log_rates_.push_back(std::log(point.false_positive_rate));
  const std::vector<size_t> hull = LowerHull(points_);
  for (size_t i = 0; i + 1 < hull.size(); ++i) {
    const size_t from = hull[i];
    const size_t to = hull[i + 1];
    const double bits = points_[to].bits_per_key - points_[from].bits_per_key;
    if (to == from + 1) {
      // ln rate falls by `steepness` a bit, so -rate' = steepness * rate.
      const double steepness = (log_rates_[from] - log_rates_[to]) / bits;
      pieces_.push_back({.begin = -std::log(steepness) - log_rates_[from],
                         .end = -std::log(steepness) - log_rates_[to],
                         .bits = bits});
    } else {
      const double chord =
          (points_[from].false_positive_rate - points_[to].false_positive_rate) / bits;
      pieces_.push_back({.begin = -std::log(chord), .end = -std::log(chord), .bits = bits});
    }
  }
}

FprCurve FprCurve::Ideal(double max_bits) noexcept {
  return FprCurve({{0, 1}, {max_bits, std::exp(-max_bits * kLn2Squared)}});
}

Result<FprCurve> FprCurve::FromPoints(std::span<const FprPoint> points) noexcept {
  std::vector<FprPoint> checked = {{0, 1}};
  const auto refuse = [&](size_t i, const char* rule) {
    return Status::InvalidArgument("filter curve, point " + std::to_string(i) + " (" +
                                   std::to_string(points[i].bits_per_key) + " bits, rate " +
                                   std::to_string(points[i].false_positive_rate) + "): " + rule);
  };
  for (size_t i = 0; i < points.size(); ++i) {
    const FprPoint& point = points[i];
    if (!std::isfinite(point.bits_per_key) || point.bits_per_key < 0) {
      return refuse(i, "bits per key must be finite and not negative");
    }
    if (!(point.false_positive_rate > 0 && point.false_positive_rate <= 1)) {
      return refuse(i, "the rate must be in (0, 1]");
    }
    if (point.bits_per_key == 0 && i == 0) {
      if (point.false_positive_rate != 1) return refuse(i, "no bits must have the rate 1");
      continue;
    }
    if (point.bits_per_key <= checked.back().bits_per_key) return refuse(i, "bits must ascend");
    if (point.false_positive_rate > checked.back().false_positive_rate) {
      return refuse(i, "rates must not ascend");
    }
    checked.push_back(point);
  }
  if (checked.back().false_positive_rate == 1) {
    return Status::InvalidArgument("filter curve: no point has a rate below 1");
  }
  return FprCurve(std::move(checked));
}

double FprCurve::RateAt(double bits_per_key) const noexcept {
  if (!(bits_per_key > 0)) return 1;
  if (bits_per_key >= max_bits()) return points_.back().false_positive_rate;
  const auto above = std::upper_bound(
      points_.begin(), points_.end(), bits_per_key,
      [](double bits, const FprPoint& point) { return bits < point.bits_per_key; });
  const auto i = static_cast<size_t>(above - points_.begin());
  const double share = (bits_per_key - points_[i - 1].bits_per_key) /
                       (points_[i].bits_per_key - points_[i - 1].bits_per_key);
  return std::exp(log_rates_[i - 1] + share * (log_rates_[i] - log_rates_[i - 1]));
}

}  // namespace lamina::tuner
