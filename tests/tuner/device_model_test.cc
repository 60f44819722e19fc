#include "tuner/device_model.h"

#include <catch2/catch.hpp>
#include <limits>

namespace lamina::tuner {
namespace {

DeviceObservation FourTimesSlower(const DeviceModel& model) {
  return {.lone_reads = 10000,
          .lone_read_latency_s = 10000 * 4 * model.read_latency_s,
          .saturated_reads = 10000,
          .saturated_read_s = 10000 * 4 * model.read_device_s,
          .read_bytes = 1e9,
          .read_busy_s = 4 * 1e9 / model.read_bytes_per_s,
          .write_bytes = 1e9,
          .write_busy_s = 4 * 1e9 / model.write_bytes_per_s};
}

TEST_CASE("the model follows what is observed, slowly, and arrives") {
  const DeviceModel first;
  const DeviceObservation observed = FourTimesSlower(first);
  DeviceModel model = Refreshed(first, first, observed);
  CHECK(model.read_latency_s > first.read_latency_s);
  CHECK(model.read_latency_s < first.read_latency_s * 1.25);
  CHECK(model.write_bytes_per_s < first.write_bytes_per_s);
  for (int i = 0; i < 200; ++i) model = Refreshed(model, first, observed);
  CHECK(model.read_latency_s == Approx(4 * first.read_latency_s).epsilon(1e-3));
  CHECK(model.read_device_s == Approx(4 * first.read_device_s).epsilon(1e-3));
  CHECK(model.read_bytes_per_s == Approx(first.read_bytes_per_s / 4).epsilon(1e-3));
  CHECK(model.write_bytes_per_s == Approx(first.write_bytes_per_s / 4).epsilon(1e-3));
}

TEST_CASE("one absurd observation moves the model by its largest step only") {
  const DeviceModel first;
  DeviceObservation observed = FourTimesSlower(first);
  observed.lone_read_latency_s = 1e9;
  const DeviceModel model = Refreshed(first, first, observed);
  CHECK(model.read_latency_s == Approx(first.read_latency_s * 1.25));
}

TEST_CASE("the model never drifts further from its first measurement than the bound") {
  const DeviceModel first;
  DeviceObservation observed = FourTimesSlower(first);
  observed.lone_read_latency_s = 1e9;
  DeviceModel model = first;
  for (int i = 0; i < 100; ++i) model = Refreshed(model, first, observed);
  CHECK(model.read_latency_s == Approx(8 * first.read_latency_s));
}

TEST_CASE("observations that are small, empty or not numbers change nothing") {
  const DeviceModel first;
  CHECK(Refreshed(first, first, {}) == first);
  CHECK(Refreshed(first, first, {.lone_reads = 999, .lone_read_latency_s = 1}) == first);
  CHECK(Refreshed(first, first, {.write_bytes = 1e9, .write_busy_s = 0}) == first);
  CHECK(Refreshed(first, first,
                  {.lone_reads = 1e6,
                   .lone_read_latency_s = std::numeric_limits<double>::quiet_NaN()}) == first);
}

TEST_CASE("a model with a number that is not positive is not valid") {
  CHECK(IsValid(DeviceModel()));
  DeviceModel model;
  model.read_device_s = 0;
  CHECK_FALSE(IsValid(model));
  model = {};
  model.write_bytes_per_s = std::numeric_limits<double>::infinity();
  CHECK_FALSE(IsValid(model));
}

}  // namespace
}  // namespace lamina::tuner
