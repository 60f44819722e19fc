// How long gets take: learned from those that were made, to say what the next one will take.
//
// A nominal device gives the form, time as a function of bytes and requests; what was measured
// gives the factor to it, by the size of the call and of its requests and by whether somebody
// writes meanwhile, since devices are neither linear nor steady. A call's factor is that of the
// calls like it that were made last: their median, and their 95th percentile.
#ifndef LAMINA_ENGINE_STORE_LOAD_MODEL_H_
#define LAMINA_ENGINE_STORE_LOAD_MODEL_H_

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace lamina {

// Thread-safe.
class LoadModel {
 public:
  // What a get moves, and what is to be moved before it or beside it.
  struct Load {
    uint64_t bytes = 0;
    uint64_t requests = 0;
    uint64_t bytes_ahead = 0;
    bool beside_writes = false;  // when it begins
  };
  struct Prediction {
    double us_p50 = 0;
    double us_p95 = 0;
  };
  // |predicted - actual| / actual, of the gets that were observed last.
  struct Error {
    uint64_t observed = 0;  // in all
    double p50 = 0;
    double p95 = 0;
  };

  [[nodiscard]] Prediction Predict(const Load& load) const noexcept;
  // Such a get has taken so long.
  void Observe(const Load& load, double us) noexcept;
  [[nodiscard]] Error error() const noexcept;

  // Of the large gets since the last call, with nothing ahead of them or beside them: their bytes,
  // and the rate of the fastest, which says most of the device.
  struct Bandwidth {
    uint64_t bytes = 0;
    double bytes_per_us = 0;
  };
  Bandwidth TakeBandwidth() noexcept;

  using Clock = std::chrono::steady_clock;

  // A get, while it runs: its bytes, and since when it may have slots pinned.
  class Running {
   public:
    Running(LoadModel& model, uint64_t bytes) noexcept;
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    // Of those that ran when it began.
    [[nodiscard]] uint64_t ahead() const noexcept { return ahead_; }

   private:
    LoadModel& model_;
    const uint64_t bytes_;
    uint64_t ahead_ = 0;
    std::multiset<Clock::time_point>::iterator began_;
  };
  [[nodiscard]] uint64_t running_bytes() const noexcept;
  // How long the oldest get has been running; 0 when none is.
  [[nodiscard]] std::chrono::microseconds oldest_running() const noexcept;

 private:
  // The last kWindow values, oldest overwritten.
  static constexpr size_t kWindow = 32;
  struct Window {
    std::array<float, kWindow> values{};
    uint64_t count = 0;
    void Add(double value) noexcept;
    // Of those that there are; at least one.
    [[nodiscard]] double Quantile(double q) const noexcept;
  };
  // Binary logarithms, of its mean request also.
  struct Kind {
    bool beside_writes;
    int bytes;
    int request;
    auto operator<=>(const Kind&) const = default;
  };

  [[nodiscard]] static Kind KindOf(const Load& load) noexcept;
  [[nodiscard]] const Window* Nearest(const Kind& kind) const noexcept;
  [[nodiscard]] Prediction PredictLocked(const Load& load) const noexcept;

  mutable std::mutex mutex_;
  uint64_t running_bytes_ = 0;
  std::multiset<Clock::time_point> running_since_;
  std::map<Kind, Window> factors_;
  Window errors_;
  Bandwidth bandwidth_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_LOAD_MODEL_H_
