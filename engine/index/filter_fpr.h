// Measured false-positive rates of the filter, and the probes per key that reach them.
//
// Made by: build/bench/index_micro_filter (its output is this table). 2^20 keys, asked for
// other keys until 2,000 were let through (or 2^26 asked); the probe count with the lowest rate is
// kept.
#ifndef LAMINA_ENGINE_INDEX_FILTER_FPR_H_
#define LAMINA_ENGINE_INDEX_FILTER_FPR_H_

#include <array>
#include <cstdint>

namespace lamina {

struct FilterFprPoint {
  double bits_per_key;
  uint32_t probes;
  double false_positive_rate;
};

inline constexpr std::array kFilterFpr = {
    FilterFprPoint{0.25, 1, 9.816e-01},   FilterFprPoint{0.50, 1, 8.647e-01},
    FilterFprPoint{0.75, 1, 7.364e-01},   FilterFprPoint{1.00, 1, 6.318e-01},
    FilterFprPoint{1.50, 1, 4.859e-01},   FilterFprPoint{2.00, 1, 3.929e-01},
    FilterFprPoint{2.50, 2, 3.048e-01},   FilterFprPoint{3.00, 2, 2.381e-01},
    FilterFprPoint{3.50, 2, 1.899e-01},   FilterFprPoint{4.00, 3, 1.487e-01},
    FilterFprPoint{5.00, 3, 9.337e-02},   FilterFprPoint{6.00, 4, 5.790e-02},
    FilterFprPoint{7.00, 5, 3.627e-02},   FilterFprPoint{8.00, 5, 2.349e-02},
    FilterFprPoint{9.00, 6, 1.442e-02},   FilterFprPoint{10.00, 6, 9.495e-03},
    FilterFprPoint{11.00, 7, 6.174e-03},  FilterFprPoint{12.00, 8, 4.061e-03},
    FilterFprPoint{13.00, 8, 2.702e-03},  FilterFprPoint{14.00, 9, 1.856e-03},
    FilterFprPoint{15.00, 9, 1.239e-03},  FilterFprPoint{16.00, 9, 8.427e-04},
    FilterFprPoint{18.00, 11, 4.136e-04}, FilterFprPoint{20.00, 11, 2.069e-04},
    FilterFprPoint{22.00, 12, 1.018e-04}, FilterFprPoint{24.00, 12, 5.452e-05},
    FilterFprPoint{28.00, 14, 1.654e-05}, FilterFprPoint{32.00, 14, 5.499e-06},
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_FILTER_FPR_H_
