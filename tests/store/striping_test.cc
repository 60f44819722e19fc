// One restore over several log directories gets the sum of their devices.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "engine/io/forwarding_file_system.h"
#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

// Devices of one rate each, one for each log directory, on a clock of their own: a device moves one
// request after the other, and time passes when a caller waits for one.
class Devices {
 public:
  void Start(IoRequest* request) {
    const std::string& path = request->file->path();
    double& free = free_[path.substr(0, path.rfind('/'))];
    free = std::max(free, now_) + static_cast<double>(request->bytes) / kBytesPerSecond;
    done_.emplace(free + kLatency, request);
  }
  // The next to be done; without `block` only if it is done by now.
  IoRequest* Next(bool block) {
    if (done_.empty() || (!block && done_.begin()->first > now_)) return nullptr;
    now_ = std::max(now_, done_.begin()->first);
    return done_.extract(done_.begin()).mapped();
  }
  [[nodiscard]] double now() const { return now_; }
  [[nodiscard]] size_t pending() const { return done_.size(); }

 private:
  static constexpr double kBytesPerSecond = 1e9;
  static constexpr double kLatency = 1e-4;

  double now_ = 0;
  std::map<std::string, double> free_;  // directory to when its device is idle
  std::multimap<double, IoRequest*> done_;
};

// Moves the bytes at once, and reports them when the device would have.
class TimedQueue final : public IoQueue {
 public:
  TimedQueue(std::unique_ptr<IoQueue> below, Devices& devices)
      : below_(std::move(below)), devices_(devices) {}
  ~TimedQueue() override { REQUIRE(devices_.pending() == 0); }
  void Submit(IoRequest* request) noexcept override {
    below_->Submit(request);
    devices_.Start(below_->Wait());
  }
  IoRequest* Wait() noexcept override { return devices_.Next(true); }
  IoRequest* Poll() noexcept override { return devices_.Next(false); }
  [[nodiscard]] size_t pending() const noexcept override { return devices_.pending(); }
  [[nodiscard]] size_t depth() const noexcept override { return below_->depth(); }

 private:
  const std::unique_ptr<IoQueue> below_;
  Devices& devices_;
};

class TimedFileSystem final : public ForwardingFileSystem {
 public:
  TimedFileSystem(std::unique_ptr<FileSystem> below, Devices& devices)
      : ForwardingFileSystem(std::move(below)), devices_(devices) {}
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override {
    auto below = ForwardingFileSystem::NewQueue(depth);
    if (!below.ok()) return below;
    return std::unique_ptr<IoQueue>(std::make_unique<TimedQueue>(std::move(*below), devices_));
  }

 private:
  Devices& devices_;
};

struct Seconds {
  double put = 0;
  double restore = 0;
};

// One sequence of `pages`, put in calls of 16 pages and restored in one.
Seconds TimeOf(const std::string& log_dirs, size_t pages, size_t page_bytes) {
  Devices devices;
  SimulatedDisk disk(11);
  auto store = OpenSimulatedStore(std::make_unique<TimedFileSystem>(disk.Restart(), devices),
                                  "memory_bytes=512M;capacity_bytes=4G;log_dirs=" + log_dirs);
  INFO(store.status().ToString());
  REQUIRE(store.ok());
  TestPath path = MakePath(**store, "model", Tokens(0, pages));
  Seconds seconds;
  const double began = devices.now();
  for (size_t page = 0; page < pages; page += 16)
    REQUIRE(CountOk(PutPages(**store, path, page, 16, page_bytes)) == 16);
  seconds.put = devices.now() - began;
  const GetOutcome got = GetPages(**store, path, 0, pages, page_bytes);
  REQUIRE(CountOk(got.states) == pages);
  REQUIRE(got.wrong == 0);
  seconds.restore = devices.now() - began - seconds.put;
  return seconds;
}

TEST_CASE("two log directories restore one sequence at 1.8 times the speed of one, four at 3.4",
          "[simulated]") {
  const size_t page_bytes = GENERATE(size_t{64} << 10, size_t{256} << 10, size_t{1} << 20);
  const size_t pages = (size_t{64} << 20) / page_bytes;
  CAPTURE(page_bytes);
  const Seconds one = TimeOf("/a", pages, page_bytes);
  const Seconds two = TimeOf("/a,/b", pages, page_bytes);
  const Seconds four = TimeOf("/a,/b,/c,/d", pages, page_bytes);
  CAPTURE(one.restore, two.restore, four.restore);
  CHECK(one.restore >= 1.8 * two.restore);
  CHECK(one.restore >= 3.4 * four.restore);
  // A put is spread as soon as it is larger than a stripe of 4 MiB.
  CAPTURE(one.put, two.put);
  if (page_bytes == size_t{1} << 20) CHECK(one.put >= 1.7 * two.put);
}

}  // namespace
}  // namespace lamina::testing
