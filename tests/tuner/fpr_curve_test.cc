#include "tuner/fpr_curve.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

namespace lamina::tuner {
namespace {

constexpr double kLn2Squared = 0.480453013918201424667;

TEST_CASE("the ideal curve is the textbook's") {
  const FprCurve curve = FprCurve::Ideal();
  CHECK(curve.RateAt(0) == 1);
  CHECK(curve.RateAt(-3) == 1);
  for (const double bits : {0.1, 1.0, 5.0, 10.0, 17.3}) {
    CHECK(curve.RateAt(bits) == Approx(std::exp(-bits * kLn2Squared)).epsilon(1e-12));
  }
  CHECK(curve.RateAt(10) == Approx(0.00819).epsilon(0.001));
  CHECK(curve.RateAt(1000) == curve.RateAt(curve.max_bits()));
}

TEST_CASE("a measured curve passes through its points and is log-linear between them") {
  const std::vector<FprPoint> points = {{2, 0.4}, {4, 0.17}, {8, 0.03}};
  const Result<FprCurve> curve = FprCurve::FromPoints(points);
  REQUIRE(curve.ok());
  for (const FprPoint& point : points) {
    CHECK(curve->RateAt(point.bits_per_key) == Approx(point.false_positive_rate).epsilon(1e-12));
  }
  CHECK(curve->RateAt(6) == Approx(std::sqrt(0.17 * 0.03)).epsilon(1e-12));
  CHECK(curve->RateAt(1) == Approx(std::sqrt(0.4)).epsilon(1e-12));
  CHECK(curve->RateAt(20) == Approx(0.03));
  CHECK(curve->max_bits() == 8);
}

TEST_CASE("a curve that is not one is refused by the point that breaks it") {
  const auto message = [](std::vector<FprPoint> points) {
    const Result<FprCurve> curve = FprCurve::FromPoints(points);
    CHECK_FALSE(curve.ok());
    CHECK(curve.status().code() == StatusCode::kInvalidArgument);
    return std::string(curve.status().message());
  };
  CHECK_THAT(message({}), Catch::Contains("no point"));
  CHECK_THAT(message({{1, 1}}), Catch::Contains("no point"));
  CHECK_THAT(message({{0, 0.5}}), Catch::Contains("point 0"));
  CHECK_THAT(message({{1, 0.6}, {1, 0.5}}), Catch::Contains("point 1"));
  CHECK_THAT(message({{1, 0.6}, {2, 0.7}}), Catch::Contains("point 1"));
  CHECK_THAT(message({{1, 0.6}, {2, 0}}), Catch::Contains("point 1"));
  CHECK_THAT(message({{1, 1.5}}), Catch::Contains("point 0"));
  CHECK_THAT(message({{-1, 0.5}}), Catch::Contains("point 0"));
  CHECK_THAT(message({{std::nan(""), 0.5}}), Catch::Contains("point 0"));
}

TEST_CASE("pieces buy the whole curve, and cheaper bits first") {
  const Result<FprCurve> curve =
      FprCurve::FromPoints(std::vector<FprPoint>{{0.5, 0.87}, {1, 0.64}, {2, 0.4}, {4, 0.17}});
  REQUIRE(curve.ok());
  double bits = 0;
  double price = -1e9;
  for (const FprCurve::Piece& piece : curve->pieces()) {
    CHECK(piece.begin >= price - 1e-12);
    CHECK(piece.end >= piece.begin);
    price = piece.end;
    bits += piece.bits;
  }
  CHECK(bits == Approx(4));
  // Half a bit per key buys less for its price than a whole one: nobody stops there.
  CHECK(curve->pieces()[0].bits == Approx(1));
  CHECK(curve->pieces()[0].begin == curve->pieces()[0].end);
}

TEST_CASE("a flat tail of the curve is not bought") {
  const Result<FprCurve> curve =
      FprCurve::FromPoints(std::vector<FprPoint>{{2, 0.4}, {4, 0.2}, {6, 0.2}});
  REQUIRE(curve.ok());
  double bits = 0;
  for (const FprCurve::Piece& piece : curve->pieces()) bits += piece.bits;
  CHECK(bits == Approx(4));
  CHECK(curve->max_bits() == 6);
}

}  // namespace
}  // namespace lamina::tuner
