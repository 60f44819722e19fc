// Which steps of a history that fails are enough to make it fail.
#ifndef LAMINA_TESTS_SIMULATION_SHRINK_H_
#define LAMINA_TESTS_SIMULATION_SHRINK_H_

#include <cstddef>
#include <span>
#include <vector>

#include "tests/simulation/history.h"

namespace lamina::simulation {

// The plan with these of its steps alone, ascending.
Plan Keep(const Plan& plan, std::span<const size_t> steps);

// Cuts the steps of a plan that fails for as long as what is left fails, in any way; makes at most
// so many tries.
std::vector<size_t> Shrink(const Plan& plan, size_t tries);

}  // namespace lamina::simulation

#endif  // LAMINA_TESTS_SIMULATION_SHRINK_H_
