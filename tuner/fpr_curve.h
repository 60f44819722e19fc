// How often a filter of a given size answers yes for a key that it does not hold.
//
// The textbook says e^(-bits ln^2 2); filters whose bits lie in one cache line miss it, so the
// curve is a table that a bench measured. Between its points the logarithm of the rate is
// interpolated; beyond the last one more bits buy nothing.
//
// A curve also knows how it is best bought from. Minimising sum(weight * rate(bits)) under a bound
// on sum(entries * bits) means: every run stops where -rate'(bits) = price * entries / weight. The
// *pieces* list how many bits a run has bought when the logarithm of (1 / that slope) reaches a
// value. Where the measured curve is not convex (real filters below about one bit per key are worse
// than none plus a better filter elsewhere) a piece is a jump across the dent.
//
// Immutable, thread-safe.
#ifndef LAMINA_TUNER_FPR_CURVE_H_
#define LAMINA_TUNER_FPR_CURVE_H_

#include <span>
#include <vector>

#include "engine/base/status.h"

namespace lamina::tuner {

// Largest filter that options allow, bits per entry.
inline constexpr double kMaxFilterBits = 32;

struct FprPoint {
  double bits_per_key = 0;
  double false_positive_rate = 1;
};

class FprCurve {
 public:
  // `bits` more bits per key are bought while the price goes from `begin` to `end` (equal: at
  // once). Prices are -ln(-rate'(bits)).
  struct Piece {
    double begin = 0;
    double end = 0;
    double bits = 0;
  };

  // e^(-bits ln^2 2) up to `max_bits`.
  static FprCurve Ideal(double max_bits = kMaxFilterBits) noexcept;
  // From measured points, bits ascending, rates in (0, 1] and not ascending. The point (0, 1) is
  // added when missing. kInvalidArgument names the first point that breaks a rule.
  static Result<FprCurve> FromPoints(std::span<const FprPoint> points) noexcept;

  // Bits below 0 count as 0.
  [[nodiscard]] double RateAt(double bits_per_key) const noexcept;
  // What more than this is wasted.
  [[nodiscard]] double max_bits() const noexcept { return points_.back().bits_per_key; }
  // At least two, the first one (0, 1).
  [[nodiscard]] std::span<const FprPoint> points() const noexcept { return points_; }
  [[nodiscard]] std::span<const Piece> pieces() const noexcept { return pieces_; }

 private:
  explicit FprCurve(std::vector<FprPoint> points) noexcept;

  std::vector<FprPoint> points_;
  std::vector<double> log_rates_;  // of points_
  std::vector<Piece> pieces_;
};

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_FPR_CURVE_H_
