// How many tensor bytes may be written, so that flash lasts as long as it is meant to: a token
// bucket over Options::write_bytes_per_day.
//
// The bucket holds one hour's worth, at least 64 MiB, so that bursts pass which the day allows. Its
// level is kept over restarts with the time, in the manifest, so that opening a store again and
// again allows no more than leaving it open. A page that is larger than the bucket passes when the
// bucket is full, and what follows it waits until the debt is paid.
//
// A store that was opened without a bound for once (by a tool, say, which moves pages) goes on with
// the level that it found: what it writes by itself is charged, what is put costs nothing. The time
// until the next bounded open is refilled by that one, which knows the rate.
//
// Pure but for its mutex: time is the caller's. Thread-safe.
#ifndef LAMINA_ENGINE_STORE_WRITE_ALLOWANCE_H_
#define LAMINA_ENGINE_STORE_WRITE_ALLOWANCE_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace lamina {

// A level as it is kept over a restart.
struct WriteLevel {
  int64_t bytes = 0;          // negative: debt
  uint64_t unix_seconds = 0;  // when it was so
  friend bool operator==(const WriteLevel&, const WriteLevel&) = default;
};

class WriteAllowance {
 public:
  using Clock = std::chrono::steady_clock;
  using WallTime = std::chrono::system_clock::time_point;
  static constexpr uint64_t kLeastBurstBytes = uint64_t{64} << 20;

  // 0 bytes a day: no bound.
  WriteAllowance(uint64_t bytes_per_day, Clock::time_point now) noexcept;

  // Goes on where an earlier store left off, which may have had another bound. Time that went
  // backwards counts as none.
  void Restore(const WriteLevel& saved, WallTime now) noexcept;
  // To be restored; both clocks say now. None if there never was a bound.
  [[nodiscard]] std::optional<WriteLevel> Save(Clock::time_point now, WallTime wall) noexcept;

  // Whether so many bytes may be written now.
  [[nodiscard]] bool Allows(uint64_t bytes, Clock::time_point now) noexcept;
  // The same; if so, they are taken.
  bool TryTake(uint64_t bytes, Clock::time_point now) noexcept;
  // Written without asking: by the store itself, which moves pages.
  void Charge(uint64_t bytes) noexcept;
  // Taken and not written after all.
  void GiveBack(uint64_t bytes) noexcept;

  // What could be taken now; 0 while there is debt, UINT64_MAX without a bound.
  [[nodiscard]] uint64_t Available(Clock::time_point now) noexcept;
  [[nodiscard]] uint64_t burst_bytes() const noexcept { return burst_bytes_; }

 private:
  [[nodiscard]] bool bounded() const noexcept { return bytes_per_day_ != 0; }
  void Add(double bytes) noexcept;
  void Refill(Clock::time_point now) noexcept;
  [[nodiscard]] bool Has(uint64_t bytes) const noexcept;  // under mutex_

  const uint64_t bytes_per_day_;
  const uint64_t burst_bytes_;
  std::mutex mutex_;
  double level_;  // bytes; negative is debt
  Clock::time_point refilled_;
  // Without a bound: when the restored level was so, which Charge has lowered since.
  std::optional<uint64_t> restored_unix_seconds_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_WRITE_ALLOWANCE_H_
