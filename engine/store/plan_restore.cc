// Where to cut a restore: compute the front of a prefix while its back is loaded.
#include <algorithm>

#include "engine/lamina.h"

namespace lamina {

size_t PlanRestore(const LoadEstimate& estimate, size_t page_count, double a, double b) noexcept {
  const auto pages = static_cast<double>(page_count);
  const auto compute_us = [&](size_t n) {
    const auto x = static_cast<double>(n);
    return a * x + b * x * x;
  };
  const auto load_us = [&](size_t n) { return estimate.us_p50 * static_cast<double>(n) / pages; };
  // Both run at the same time, so the restore ends with the slower of the two. Computing grows with
  // the cut and loading shrinks: the best cut is where they cross, or the page before.
  size_t low = 0;
  size_t high = page_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (compute_us(middle) < load_us(page_count - middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const auto ends_us = [&](size_t cut) {
    return std::max(compute_us(cut), load_us(page_count - cut));
  };
  if (low > 0 && ends_us(low - 1) <= ends_us(low)) --low;
  return low;
}

}  // namespace lamina
