#include "tuner/filter_allocation.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "tests/tuner/growing_tree.h"
#include "tests/tuner/random_seed.h"

namespace lamina::tuner {
namespace {

constexpr double kLn2Squared = 0.480453013918201424667;

// What a cache-line-blocked filter measures like: a dent below one bit, more than the textbook's
// rate above.
FprCurve MeasuredCurve() {
  Result<FprCurve> curve = FprCurve::FromPoints(std::vector<FprPoint>{{0.5, 0.88},
                                                                      {1, 0.65},
                                                                      {1.5, 0.5},
                                                                      {2, 0.41},
                                                                      {3, 0.26},
                                                                      {4, 0.17},
                                                                      {6, 0.078},
                                                                      {8, 0.037},
                                                                      {10, 0.019},
                                                                      {14, 0.0058},
                                                                      {20, 0.0014}});
  REQUIRE(curve.ok());
  return std::move(curve).value();
}

std::vector<FilterRun> RandomRuns(std::mt19937_64* random, size_t count) {
  std::uniform_real_distribution<double> log_size(std::log(100.0), std::log(1e7));
  std::uniform_real_distribution<double> weight(0.05, 1);
  std::vector<FilterRun> runs(count);
  for (FilterRun& run : runs) {
    run.entries = static_cast<uint64_t>(std::exp(log_size(*random)));
    if ((*random)() % 2 == 0) run.weight = weight(*random);
  }
  return runs;
}

uint64_t Entries(const std::vector<FilterRun>& runs) {
  uint64_t sum = 0;
  for (const FilterRun& run : runs) sum += run.entries;
  return sum;
}

double FalsePositives(const std::vector<FilterRun>& runs, const std::vector<double>& bits_per_key,
                      const FprCurve& curve) {
  double sum = 0;
  for (size_t i = 0; i < runs.size(); ++i) sum += runs[i].weight * curve.RateAt(bits_per_key[i]);
  return sum;
}

// The allocation before it is rounded to whole bits.
std::vector<double> BitsPerKey(const std::vector<FilterRun>& runs, double budget_bits,
                               const FprCurve& curve) {
  std::vector<double> entries;
  std::vector<double> weights;
  for (const FilterRun& run : runs) {
    entries.push_back(static_cast<double>(run.entries));
    weights.push_back(run.weight);
  }
  std::vector<double> bits(runs.size());
  SolveFilterBits(entries, weights, budget_bits, curve, bits);
  return bits;
}

// The closed form as research writes it: drop the run with the largest entries / weight while its
// rate would exceed 1.
std::vector<double> ClosedFormRates(const std::vector<FilterRun>& runs, double budget_bits) {
  std::vector<size_t> order(runs.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto ratio = [&](size_t i) {
    return static_cast<double>(runs[i].entries) / runs[i].weight;
  };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ratio(a) < ratio(b); });
  std::vector<double> rates(runs.size(), 1);
  for (size_t kept = order.size(); kept > 0; --kept) {
    double entries = 0;
    double log_sum = 0;
    for (size_t k = 0; k < kept; ++k) {
      entries += static_cast<double>(runs[order[k]].entries);
      log_sum += static_cast<double>(runs[order[k]].entries) * std::log(ratio(order[k]));
    }
    const double log_theta = -(budget_bits * kLn2Squared + log_sum) / entries;
    if (log_theta + std::log(ratio(order[kept - 1])) > 0) continue;
    for (size_t k = 0; k < kept; ++k) rates[order[k]] = std::exp(log_theta) * ratio(order[k]);
    break;
  }
  return rates;
}

// A full tree: level i of L has K_i runs of equal size, the last one Z.
std::vector<FilterRun> FullTree(uint32_t size_ratio, uint32_t levels, uint32_t upper_runs,
                                uint32_t last_runs) {
  std::vector<FilterRun> runs;
  double capacity = (size_ratio - 1) * 1e4;
  for (uint32_t level = 0; level < levels; ++level) {
    const uint32_t count = level + 1 == levels ? last_runs : upper_runs;
    for (uint32_t run = 0; run < count; ++run) {
      runs.push_back({.entries = static_cast<uint64_t>(capacity / count)});
    }
    capacity *= size_ratio;
  }
  return runs;
}

double ReadsOfFullTree(uint32_t size_ratio, uint32_t levels, uint32_t upper_runs,
                       uint32_t last_runs, double bits) {
  const std::vector<FilterRun> runs = FullTree(size_ratio, levels, upper_runs, last_runs);
  return AllocateFilters(runs, static_cast<uint64_t>(bits * static_cast<double>(Entries(runs))),
                         FprCurve::Ideal())
      .false_positives_per_lookup;
}

TEST_CASE("the allocation is the closed form, run by run") {
  LAMINA_TUNER_SEED(seed, 1);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> bits(0.01, 14);
  // The textbook's curve has no end; far beyond the largest filter, so that nothing saturates.
  const FprCurve curve = FprCurve::Ideal(200);
  for (int round = 0; round < 200; ++round) {
    const std::vector<FilterRun> runs = RandomRuns(&random, 1 + random() % 40);
    const auto budget = static_cast<uint64_t>(bits(random) * static_cast<double>(Entries(runs)));
    const FilterAllocation allocation = AllocateFilters(runs, budget, curve);
    const std::vector<double> rates = ClosedFormRates(runs, static_cast<double>(budget));
    for (size_t i = 0; i < runs.size(); ++i) {
      const double slack = 1.0 / static_cast<double>(runs[i].entries) * 50;
      CHECK(allocation.shares[i].false_positive_rate == Approx(rates[i]).epsilon(1e-6 + slack));
    }
  }
}

TEST_CASE("the budget is met to the bit, and not exceeded by full filters") {
  LAMINA_TUNER_SEED(seed, 2);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> bits(0, 40);
  for (const FprCurve& curve : {FprCurve::Ideal(), MeasuredCurve()}) {
    for (int round = 0; round < 300; ++round) {
      const std::vector<FilterRun> runs = RandomRuns(&random, 1 + random() % 60);
      const auto budget = static_cast<uint64_t>(bits(random) * static_cast<double>(Entries(runs)));
      uint64_t most = 0;
      for (const FilterRun& run : runs) {
        most += static_cast<uint64_t>(static_cast<double>(run.entries) * curve.max_bits());
      }
      const FilterAllocation allocation = AllocateFilters(runs, budget, curve);
      uint64_t sum = 0;
      for (size_t i = 0; i < runs.size(); ++i) {
        sum += allocation.shares[i].bits;
        CHECK(allocation.shares[i].bits_per_key <= curve.max_bits() + 1e-9);
        CHECK(allocation.shares[i].bits_per_key ==
              Approx(static_cast<double>(allocation.shares[i].bits) /
                     static_cast<double>(runs[i].entries)));
      }
      CHECK(sum == std::min(budget, most));
      CHECK(sum == allocation.total_bits);
    }
  }
}

TEST_CASE("no small change within the budget finds an improvement") {
  LAMINA_TUNER_SEED(seed, 3);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> bits(0.05, 12);
  std::uniform_real_distribution<double> share(0, 1);
  const FprCurve curve = FprCurve::Ideal();
  int perturbations = 0;
  for (int round = 0; round < 180; ++round) {
    const std::vector<FilterRun> runs = RandomRuns(&random, 2 + random() % 30);
    const double budget = bits(random) * static_cast<double>(Entries(runs));
    const std::vector<double> best = BitsPerKey(runs, budget, curve);
    const double best_reads = FalsePositives(runs, best, curve);
    for (int k = 0; k < 100; ++k, ++perturbations) {
      const size_t from = random() % runs.size();
      const size_t to = random() % runs.size();
      std::vector<double> moved = best;
      const double from_entries = static_cast<double>(runs[from].entries);
      const double to_entries = static_cast<double>(runs[to].entries);
      const double amount =
          std::min(best[from] * from_entries, (curve.max_bits() - best[to]) * to_entries) *
          std::pow(share(random), 4);
      moved[from] -= amount / from_entries;
      moved[to] += amount / to_entries;
      CHECK(FalsePositives(runs, moved, curve) >= best_reads * (1 - 1e-9));
    }
  }
  CHECK(perturbations == 18000);
}

TEST_CASE("on small budgets nothing on a grid is better, whatever the curve") {
  LAMINA_TUNER_SEED(seed, 4);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> bits(0.2, 6);
  for (const FprCurve& curve : {FprCurve::Ideal(), MeasuredCurve()}) {
    for (int round = 0; round < 40; ++round) {
      const std::vector<FilterRun> runs = RandomRuns(&random, 3);
      const double budget = bits(random) * static_cast<double>(Entries(runs));
      const double found = FalsePositives(runs, BitsPerKey(runs, budget, curve), curve);
      double best = 1e9;
      constexpr int kSteps = 200;
      for (int i = 0; i <= kSteps; ++i) {
        for (int j = 0; i + j <= kSteps; ++j) {
          const double first = budget * i / kSteps / static_cast<double>(runs[0].entries);
          const double second = budget * j / kSteps / static_cast<double>(runs[1].entries);
          const double third =
              budget * (kSteps - i - j) / kSteps / static_cast<double>(runs[2].entries);
          best = std::min(best, FalsePositives(runs, {first, second, third}, curve));
        }
      }
      // Across the dent of a measured curve one run may stand within it to meet the budget exactly.
      const double slack = curve.points().size() > 2 ? 0.04 : 1e-9;
      CHECK(found <= best + slack);
    }
  }
}

TEST_CASE("the largest runs lose their filters first") {
  const std::vector<FilterRun> runs = FullTree(10, 4, 1, 1);
  const FprCurve curve = FprCurve::Ideal();
  const auto entries = static_cast<double>(Entries(runs));
  // Below ln T / (ln^2 2 (T-1)) bits per entry the last level of leveling has none; above, some.
  const double limit = std::log(10.0) / (kLn2Squared * 9);
  CHECK(limit == Approx(0.53).epsilon(0.01));
  const auto below = AllocateFilters(runs, static_cast<uint64_t>(0.95 * limit * entries), curve);
  CHECK(below.shares[3].bits == 0);
  CHECK(below.shares[2].bits > 0);
  const auto above = AllocateFilters(runs, static_cast<uint64_t>(1.05 * limit * entries), curve);
  CHECK(above.shares[3].bits > 0);
  CHECK(above.shares[2].bits_per_key > above.shares[3].bits_per_key);
}

TEST_CASE("expected false positives of the worked example: T=4, 7 levels, 5 bits") {
  CHECK(ReadsOfFullTree(4, 7, 1, 1, 5) == Approx(0.19).margin(0.005));
  CHECK(ReadsOfFullTree(4, 7, 3, 1, 5) == Approx(0.25).margin(0.005));
  CHECK(ReadsOfFullTree(4, 7, 3, 3, 5) == Approx(0.57).margin(0.005));
  // The same with the same bits everywhere.
  const double uniform = std::exp(-5 * kLn2Squared);
  CHECK(7 * uniform == Approx(0.63).margin(0.005));
  CHECK((6 * 3 + 1) * uniform == Approx(1.72).margin(0.005));
  CHECK(21 * uniform == Approx(1.90).margin(0.005));
}

TEST_CASE("a full tree gets the rates of the formula for full trees") {
  const uint32_t size_ratio = 6;
  const uint32_t levels = 5;
  const double upper_runs = 5;
  const double last_runs = 2;
  const double bits = 4;
  const std::vector<FilterRun> runs = FullTree(size_ratio, levels, 5, 2);
  const auto allocation = AllocateFilters(
      runs, static_cast<uint64_t>(bits * static_cast<double>(Entries(runs))), FprCurve::Ideal());
  // The formula is for infinitely many levels; five are within half a per cent.
  const double last = std::exp(-bits * kLn2Squared) * std::pow(6, 1.0 / 5) *
                      std::pow(upper_runs / last_runs, 1.0 / 6);
  CHECK(allocation.shares.back().false_positive_rate == Approx(last).epsilon(0.005));
  const double above = last * (last_runs / upper_runs) / 6;
  CHECK(allocation.shares[3 * 5].false_positive_rate == Approx(above).epsilon(0.005));
}

TEST_CASE("a run that few lookups reach gets fewer bits, and one that none reaches gets none") {
  const std::vector<FilterRun> runs = {{.entries = 100000, .weight = 1},
                                       {.entries = 100000, .weight = 0.1},
                                       {.entries = 100000, .weight = 0},
                                       {.entries = 0, .weight = 1}};
  const auto allocation = AllocateFilters(runs, 1000000, FprCurve::Ideal());
  CHECK(allocation.shares[0].bits > allocation.shares[1].bits);
  CHECK(allocation.shares[1].bits > 0);
  CHECK(allocation.shares[2].bits == 0);
  CHECK(allocation.shares[3].bits == 0);
  CHECK(allocation.total_bits == 1000000);
}

TEST_CASE("nothing to divide, or nothing to divide it over, is an empty allocation") {
  CHECK(AllocateFilters({}, 1000, FprCurve::Ideal()).total_bits == 0);
  const std::vector<FilterRun> runs = {{.entries = 1000}, {.entries = 10}};
  const auto none = AllocateFilters(runs, 0, FprCurve::Ideal());
  CHECK(none.total_bits == 0);
  CHECK(none.false_positives_per_lookup == 2);
  const auto one_bit = AllocateFilters(runs, 1, FprCurve::Ideal());
  CHECK(one_bit.total_bits == 1);
}

TEST_CASE("equal runs get equal filters") {
  const std::vector<FilterRun> runs(7, {.entries = 12345});
  for (const FprCurve& curve : {FprCurve::Ideal(), MeasuredCurve()}) {
    const auto allocation = AllocateFilters(runs, 7 * 12345 * 5, curve);
    for (const FilterShare& share : allocation.shares)
      CHECK(share.bits_per_key == Approx(5).margin(0.001));
  }
}

TEST_CASE("a new run gets no more than written filters have left") {
  const std::vector<WrittenFilterRun> remaining = {{.run = {.entries = 1000000}, .bits = 9990000}};
  const std::vector<FilterRun> fresh = {{.entries = 10000}};
  const FprCurve curve = FprCurve::Ideal();
  const auto tight = AllocateNewFilters(remaining, fresh, {}, 10000000, 10000000, curve);
  CHECK(tight.total_bits == 10000);
  const auto none = AllocateNewFilters(remaining, fresh, {}, 9000000, 9000000, curve);
  CHECK(none.total_bits == 0);
  const auto roomy = AllocateNewFilters(remaining, fresh, {}, 20000000, 20000000, curve);
  const std::vector<FilterRun> all = {{.entries = 10000}, {.entries = 1000000}};
  CHECK(roomy.total_bits == AllocateFilters(all, 20000000, curve).shares[0].bits);
}

TEST_CASE("filters fixed when written stay within the budget and keep most of the benefit") {
  const FprCurve curve = FprCurve::Ideal();
  constexpr int kFlushes = 1000;
  for (const double bits : {1.0, 2.0, 5.0}) {
    for (const TreeShape& shape : {LevelingShape(4), TieringShape(4), LazyShape(6)}) {
      GrowingTree tree(shape);
      // The memory is chosen for the store's final size.
      tree.shape.memtable_bytes = 1000 * 40;
      tree.shape.filter_bits = static_cast<uint64_t>(kFlushes * 1000 * bits);
      double runs_seen = 0;
      double reads = 0;
      double optimal_reads = 0;
      for (int flush = 1; flush <= kFlushes; ++flush) {
        tree.Flush();
        REQUIRE(tree.FilterBits() <= tree.shape.filter_bits);
        if (flush < kFlushes / 4) continue;
        for (const auto& level : tree.levels) {
          for (const GrowingTree::Run& run : level) {
            reads += curve.RateAt(static_cast<double>(run.bits) / static_cast<double>(run.entries));
            runs_seen += 1;
          }
        }
        optimal_reads +=
            AllocateFilters(tree.Runs(), tree.shape.filter_bits, curve).false_positives_per_lookup;
      }
      const double kept = (runs_seen - reads) / (runs_seen - optimal_reads);
      INFO(ShapeName(shape, 5) << ", " << bits << " bits: keeps " << kept << ", reads " << reads
                               << " against " << optimal_reads);
      CHECK(kept > 0.88);
    }
  }
}

}  // namespace
}  // namespace lamina::tuner
