// Seeded random numbers that are the same with every standard library.
#ifndef LAMINA_BENCH_RANDOM_H_
#define LAMINA_BENCH_RANDOM_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bench/page_name.h"

namespace lamina::bench {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed)) {}

  uint64_t Next() { return Mix(state_++); }
  // In [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  // In [0, bound); bound at least 1. The bias of the remainder is far below what a bench can see.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  bool Chance(double probability) { return Uniform() < probability; }

 private:
  uint64_t state_;
};

// A point of an inverse distribution function: this share of the values is below `value`.
struct Quantile {
  double share = 0;
  double value = 0;
};

// The value at `share` (0 to 1) of a table that begins at share 0, ends at 1 and rises, linear
// between its points.
inline double ValueAt(std::span<const Quantile> table, double share) {
  size_t i = 1;
  while (i + 1 < table.size() && table[i].share < share) ++i;
  const Quantile& from = table[i - 1];
  const Quantile& to = table[i];
  return from.value + (to.value - from.value) * (share - from.share) / (to.share - from.share);
}

inline double Draw(std::span<const Quantile> table, Random* random) {
  return ValueAt(table, random->Uniform());
}

// A whole number whose mean is that of the table's interpolation.
inline size_t DrawCount(std::span<const Quantile> table, Random* random) {
  return static_cast<size_t>(std::lround(Draw(table, random)));
}

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_RANDOM_H_
