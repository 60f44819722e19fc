#include "engine/store/load_model.h"

#include <catch2/catch.hpp>
#include <random>

namespace lamina::testing {
namespace {

TEST_CASE("a prediction is there before anything was measured, and grows with the load") {
  const LoadModel model;
  const auto small = model.Predict({.bytes = 1 << 20, .requests = 1});
  const auto large = model.Predict({.bytes = 64 << 20, .requests = 64});
  const auto queued = model.Predict({.bytes = 1 << 20, .requests = 1, .bytes_ahead = 64 << 20});
  CHECK(small.us_p50 > 0);
  CHECK(small.us_p95 >= small.us_p50);
  CHECK(large.us_p50 > small.us_p50);
  CHECK(queued.us_p50 > small.us_p50);
  CHECK(model.error().observed == 0);
}

TEST_CASE("predictions follow a device that is not the nominal one, by size of call and request") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> noise(.9, 1.1);
  LoadModel model;
  // Latency and bandwidth far from the common drive's, and dearer requests.
  const auto actual = [](const LoadModel::Load& load) {
    return 600 + 30.0 * static_cast<double>(load.requests) + static_cast<double>(load.bytes) / 500;
  };
  const LoadModel::Load kinds[] = {{4 << 20, 4}, {4 << 20, 64}, {64 << 20, 64}, {256 << 10, 1}};
  for (int i = 0; i < 200; ++i) {
    const LoadModel::Load& load = kinds[random() % 4];
    model.Observe(load, actual(load) * noise(random));
  }
  for (const LoadModel::Load& load : kinds) {
    const auto predicted = model.Predict(load);
    CHECK(predicted.us_p50 == Approx(actual(load)).epsilon(.06));
    CHECK(predicted.us_p95 > predicted.us_p50);
    CHECK(predicted.us_p95 < actual(load) * 1.15);
  }
  // One that was never seen is judged by the likest.
  const LoadModel::Load between = {16 << 20, 16};
  CHECK(model.Predict(between).us_p50 == Approx(actual(between)).epsilon(.35));
  CHECK(model.error().observed == 200);
  CHECK(model.error().p50 < .1);
}

TEST_CASE("a device that has become slower is believed after a few calls") {
  LoadModel model;
  const LoadModel::Load load = {1 << 20, 1};
  for (int i = 0; i < 100; ++i) model.Observe(load, 500);
  CHECK(model.Predict(load).us_p50 == Approx(500).epsilon(.01));
  for (int i = 0; i < 20; ++i) model.Observe(load, 2000);
  CHECK(model.Predict(load).us_p50 == Approx(2000).epsilon(.01));
}

TEST_CASE("bytes of gets that run are counted while they do") {
  LoadModel model;
  CHECK(model.oldest_running().count() == 0);
  const LoadModel::Running first(model, 100);
  CHECK(first.ahead() == 0);
  const auto began = LoadModel::Clock::now();
  while (LoadModel::Clock::now() - began < std::chrono::microseconds(2)) continue;
  CHECK(model.oldest_running() >= std::chrono::microseconds(2));
  {
    const LoadModel::Running second(model, 10);
    CHECK(second.ahead() == 100);
    CHECK(model.running_bytes() == 110);
  }
  CHECK(model.running_bytes() == 100);
}

TEST_CASE("gets beside writes are predicted from gets beside writes, once there were some") {
  LoadModel model;
  const LoadModel::Load alone{.bytes = 8 << 20, .requests = 8};
  LoadModel::Load beside = alone;
  beside.beside_writes = true;
  for (int i = 0; i < 20; ++i) model.Observe(alone, 4000);
  CHECK(model.Predict(beside).us_p50 == Approx(4000).epsilon(.01));
  for (int i = 0; i < 20; ++i) model.Observe(beside, 9000);
  CHECK(model.Predict(beside).us_p50 == Approx(9000).epsilon(.01));
  CHECK(model.Predict(alone).us_p50 == Approx(4000).epsilon(.01));
  // They say nothing of what the device can do.
  CHECK(model.TakeBandwidth().bytes == 20 * alone.bytes);
}

}  // namespace
}  // namespace lamina::testing
