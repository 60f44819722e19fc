#include "tests/simulation/shrink.h"

#include <algorithm>
#include <numeric>

namespace lamina::simulation {

Plan Keep(const Plan& plan, std::span<const size_t> steps) {
  Plan kept = plan;
  kept.steps.clear();
  for (const size_t step : steps)
    if (step < plan.steps.size()) kept.steps.push_back(plan.steps[step]);
  return kept;
}

std::vector<size_t> Shrink(const Plan& plan, size_t tries) {
  std::vector<size_t> steps(plan.steps.size());
  std::iota(steps.begin(), steps.end(), size_t{0});
  const auto fails = [&](std::span<const size_t> kept) {
    return !History(Keep(plan, kept)).Run().violation.empty();
  };
  // Halves, quarters, down to single steps, from the end, where most are without effect.
  for (size_t length = std::max<size_t>(steps.size() / 2, 1);; length /= 2) {
    for (size_t end = steps.size(); end > 0 && tries > 0;) {
      const size_t begin = end > length ? end - length : 0;
      std::vector<size_t> rest(steps.begin(), steps.begin() + static_cast<ptrdiff_t>(begin));
      rest.insert(rest.end(), steps.begin() + static_cast<ptrdiff_t>(end), steps.end());
      --tries;
      if (fails(rest)) steps = std::move(rest);
      end = begin;
    }
    if (length <= 1 || tries == 0) return steps;
  }
}

}  // namespace lamina::simulation
