// A small random generator whose state is one number, so that it can be saved.
#ifndef LAMINA_TENSORLOG_EVICTION_RANDOM_H_
#define LAMINA_TENSORLOG_EVICTION_RANDOM_H_

#include <cstdint>

namespace lamina {

class SplitMix {
 public:
  explicit SplitMix(uint64_t state) noexcept : state_(state) {}
  [[nodiscard]] uint64_t state() const noexcept { return state_; }

  uint64_t Next() noexcept {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // Uniform below `bound`, which is at least 1.
  uint32_t Below(uint32_t bound) noexcept {
    return static_cast<uint32_t>(((Next() >> 32) * bound) >> 32);
  }

 private:
  uint64_t state_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_RANDOM_H_
