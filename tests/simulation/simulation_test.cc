// Simulated histories of whole stores, from seeds.
//
// LAMINA_SIMULATION_HISTORIES says how many, LAMINA_SIMULATION_SEED from which seed on. What fails
// is repeated, and cut to the steps that matter, by tests/simulation/simulate --seed N.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/simulation/shrink.h"

namespace lamina::simulation {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST_CASE("no history of faults and crashes gives wrong, lost or resurrected pages") {
  const uint64_t first = FromEnvironment("LAMINA_SIMULATION_SEED", 1);
  const uint64_t histories = FromEnvironment("LAMINA_SIMULATION_HISTORIES", 800);
  uint64_t crashes = 0;
  uint64_t faults = 0;
  uint64_t pages = 0;
  for (uint64_t seed = first; seed < first + histories; ++seed) {
    const Outcome outcome = History(Plan::Draw(seed)).Run();
    INFO("tests/simulation/simulate --seed " << seed);
    if (!outcome.violation.empty()) FAIL_CHECK(outcome.violation);
    crashes += outcome.crashes;
    faults += outcome.faults;
    pages += outcome.pages_checked;
  }
  if (histories < 100) return;
  // A history is not an easy one.
  CHECK(crashes > histories);
  CHECK(faults > histories);
  CHECK(pages > 50 * histories);
}

TEST_CASE("a seed repeats its history") {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    const Plan plan = Plan::Draw(seed);
    const Outcome first = History(plan).Run();
    const Outcome second = History(plan).Run();
    CAPTURE(seed);
    CHECK(first.digest == second.digest);
    CHECK(first.faults == second.faults);
  }
  CHECK(History(Plan::Draw(1)).Run().digest != History(Plan::Draw(2)).Run().digest);
}

// Those that have found something, each by itself.
TEST_CASE("histories that once failed do so no more") {
  const uint64_t seed =
      GENERATE(80u, 117u, 243u, 593u, 1275u, 1487u, 2110u, 2372u, 2415u, 2469u, 2035800u, 2062964u,
               2068273u, 2071360u, 5021221u, 5042949u, 5096325u);
  CAPTURE(seed);
  const Outcome outcome = History(Plan::Draw(seed)).Run();
  CHECK(outcome.violation.empty());
  CHECK(outcome.pages_checked > 0);
}

}  // namespace
}  // namespace lamina::simulation
