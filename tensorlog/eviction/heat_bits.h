// What the 32 bits of a heat mean to PRHD and LRU (S3-FIFO reuses some: s3fifo.cc).
//
//   bit  0  tail    7  units between the page and the end of the path that used it last, saturated
//   bit  7  uses    7  requests that used the page, saturated
//   bit 14  turn    5  requests in a row that each went on where the one before it had ended
//   bit 19  level   7  the score the model gave it, in sixteenths around 64; bit 25 is inverted, so
//                      that all zero is an ordinary page of which nothing is known
//   bit 26  gap     6  time between the last two turns: 0 none, 63 a hot page (it has no gap of its
//                      own), otherwise 1 + 4 * log2(ticks / 16)
#ifndef LAMINA_TENSORLOG_EVICTION_HEAT_BITS_H_
#define LAMINA_TENSORLOG_EVICTION_HEAT_BITS_H_

#include <algorithm>
#include <cstdint>

#include "tensorlog/eviction/policy.h"

namespace lamina {

inline constexpr uint32_t kMaxTail = 127;
inline constexpr uint32_t kMaxUses = 127;
inline constexpr uint32_t kMaxTurn = 31;
inline constexpr uint32_t kLevels = 128;
inline constexpr uint32_t kHotGap = 63;

struct HeatFields {
  uint32_t tail = 0;
  uint32_t uses = 0;
  uint32_t turn = 0;
  uint32_t level = kLevels / 2;
  uint32_t gap = 0;
};

inline uint32_t TailOf(uint32_t bits) noexcept { return bits & 0x7F; }

inline HeatFields Unpack(uint32_t bits) noexcept {
  return {TailOf(bits), (bits >> 7) & 0x7F, (bits >> 14) & 0x1F, ((bits >> 19) & 0x7F) ^ 64,
          bits >> 26};
}

// Tail, uses and turn saturate; level and gap must be in range.
inline uint32_t Pack(const HeatFields& f) noexcept {
  return std::min(f.tail, kMaxTail) | std::min(f.uses, kMaxUses) << 7 |
         std::min(f.turn, kMaxTurn) << 14 | (f.level ^ 64) << 19 | f.gap << 26;
}

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_HEAT_BITS_H_
