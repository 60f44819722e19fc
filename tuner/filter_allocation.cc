#include "tuner/filter_allocation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/base/status.h"

namespace lamina::tuner {
namespace {

// Where, along -ln(price), the number of bits bought changes: a run starts or stops buying, or buys
// `jump` bits at once.
struct Breakpoint {
  double position = 0;
  double rate_change = 0;  // bits per unit of position
  double jump = 0;         // bits of the whole run
  size_t run = 0;
};

// Where run and curve meet: the larger a run for its weight, the later it buys.
double OffsetOf(double entries, double weight) noexcept { return std::log(entries / weight); }

std::vector<Breakpoint> BreakpointsOf(std::span<const double> entries,
                                      std::span<const double> weights,
                                      std::span<const FprCurve::Piece> pieces) noexcept {
  std::vector<Breakpoint> points;
  points.reserve(entries.size() * pieces.size() * 2);
  for (size_t run = 0; run < entries.size(); ++run) {
    if (!(entries[run] > 0 && weights[run] > 0)) continue;
    const double offset = OffsetOf(entries[run], weights[run]);
    for (const FprCurve::Piece& piece : pieces) {
      const double bits = piece.bits * entries[run];
      if (piece.end <= piece.begin) {
        points.push_back({.position = piece.begin + offset, .jump = bits, .run = run});
        continue;
      }
      const double rate = bits / (piece.end - piece.begin);
      points.push_back({.position = piece.begin + offset, .rate_change = rate, .run = run});
      points.push_back({.position = piece.end + offset, .rate_change = -rate, .run = run});
    }
  }
  // By run among equals, so that the result depends on the input alone.
  std::sort(points.begin(), points.end(), [](const Breakpoint& a, const Breakpoint& b) {
    return a.position != b.position ? a.position < b.position : a.run < b.run;
  });
  return points;
}

// Walks the breakpoints until the budget is spent; returns the position where it is. Jumps on the
// way are added to `bits_per_key`, the last one in part.
double SpendBudget(std::span<const Breakpoint> points, std::span<const double> entries,
                   double budget_bits, std::span<double> bits_per_key) noexcept {
  double position = -std::numeric_limits<double>::infinity();
  double spent = 0;
  double rate = 0;
  for (const Breakpoint& point : points) {
    if (rate > 0) {
      const double next = spent + rate * (point.position - position);
      if (next >= budget_bits) return position + (budget_bits - spent) / rate;
      spent = next;
    }
    position = point.position;
    if (point.jump > 0) {
      const double bits = std::min(point.jump, budget_bits - spent);
      bits_per_key[point.run] += bits / entries[point.run];
      spent += bits;
      if (spent >= budget_bits) return position;
    }
    rate += point.rate_change;
  }
  return std::numeric_limits<double>::infinity();
}

// Makes whole bits of the shares, and their sum exactly `target` where the runs have room for it:
// the largest fractions are rounded up.
void RoundToTarget(std::span<const FilterRun> runs, uint64_t target, double max_bits,
                   std::span<FilterShare> shares) noexcept {
  const auto room = [&](size_t i) {
    const auto most = static_cast<uint64_t>(static_cast<double>(runs[i].entries) * max_bits);
    return runs[i].weight > 0 ? most - std::min(most, shares[i].bits) : 0;
  };
  uint64_t sum = 0;
  std::vector<std::pair<double, size_t>> fractions;
  for (size_t i = 0; i < runs.size(); ++i) {
    const double bits = shares[i].bits_per_key * static_cast<double>(runs[i].entries);
    shares[i].bits = static_cast<uint64_t>(bits);
    sum += shares[i].bits;
    fractions.emplace_back(std::floor(bits) - bits, i);
  }
  std::sort(fractions.begin(), fractions.end());
  for (const auto& [fraction, i] : fractions) {
    if (sum < target && room(i) > 0) {
      shares[i].bits += 1;
      sum += 1;
    }
  }
  // What floating point lost beyond that, a few bits in 2^50.
  for (const auto& [fraction, i] : fractions) {
    if (sum < target) {
      const uint64_t more = std::min(target - sum, room(i));
      shares[i].bits += more;
      sum += more;
    } else {
      const uint64_t less = std::min(sum - target, shares[i].bits);
      shares[i].bits -= less;
      sum -= less;
    }
  }
}

double FalsePositives(std::span<const FilterRun> runs,
                      std::span<const FilterShare> shares) noexcept {
  double sum = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].entries > 0) sum += runs[i].weight * shares[i].false_positive_rate;
  }
  return sum;
}

}  // namespace

void SolveFilterBits(std::span<const double> entries, std::span<const double> weights,
                     double budget_bits, const FprCurve& curve,
                     std::span<double> bits_per_key) noexcept {
  LAMINA_CHECK(entries.size() == weights.size() && entries.size() == bits_per_key.size());
  std::fill(bits_per_key.begin(), bits_per_key.end(), 0.0);
  if (!(budget_bits > 0)) return;
  const std::span<const FprCurve::Piece> pieces = curve.pieces();
  const std::vector<Breakpoint> points = BreakpointsOf(entries, weights, pieces);
  const double position = SpendBudget(points, entries, budget_bits, bits_per_key);
  for (size_t run = 0; run < entries.size(); ++run) {
    if (!(entries[run] > 0 && weights[run] > 0)) continue;
    const double offset = OffsetOf(entries[run], weights[run]);
    for (const FprCurve::Piece& piece : pieces) {
      if (piece.end <= piece.begin) continue;
      const double share = (position - offset - piece.begin) / (piece.end - piece.begin);
      bits_per_key[run] += piece.bits * std::clamp(share, 0.0, 1.0);
    }
  }
}

FilterAllocation AllocateFilters(std::span<const FilterRun> runs, uint64_t budget_bits,
                                 const FprCurve& curve) noexcept {
  std::vector<double> entries(runs.size());
  std::vector<double> weights(runs.size());
  std::vector<double> bits_per_key(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    entries[i] = static_cast<double>(runs[i].entries);
    weights[i] = runs[i].weight;
  }
  SolveFilterBits(entries, weights, static_cast<double>(budget_bits), curve, bits_per_key);

  FilterAllocation result;
  result.shares.resize(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) result.shares[i].bits_per_key = bits_per_key[i];
  RoundToTarget(runs, budget_bits, curve.max_bits(), result.shares);
  for (size_t i = 0; i < runs.size(); ++i) {
    FilterShare& share = result.shares[i];
    share.bits_per_key = runs[i].entries > 0 ? static_cast<double>(share.bits) / entries[i] : 0;
    share.false_positive_rate = curve.RateAt(share.bits_per_key);
    result.total_bits += share.bits;
  }
  result.false_positives_per_lookup = FalsePositives(runs, result.shares);
  return result;
}

FilterAllocation AllocateNewFilters(std::span<const WrittenFilterRun> remaining,
                                    std::span<const FilterRun> new_runs,
                                    std::span<const FilterRun> to_come, uint64_t budget_bits,
                                    uint64_t limit_bits, const FprCurve& curve) noexcept {
  std::vector<FilterRun> all(new_runs.begin(), new_runs.end());
  all.insert(all.end(), to_come.begin(), to_come.end());
  uint64_t written_bits = 0;
  double written_false_positives = 0;
  for (const WrittenFilterRun& written : remaining) {
    all.push_back(written.run);
    written_bits += written.bits;
    if (written.run.entries == 0) continue;
    written_false_positives +=
        written.run.weight *
        curve.RateAt(static_cast<double>(written.bits) / static_cast<double>(written.run.entries));
  }
  FilterAllocation result = AllocateFilters(all, budget_bits, curve);
  result.shares.resize(new_runs.size());
  result.total_bits = 0;
  for (const FilterShare& share : result.shares) result.total_bits += share.bits;
  const uint64_t available_bits = limit_bits - std::min(limit_bits, written_bits);
  if (result.total_bits > available_bits) {
    result = AllocateFilters(new_runs, available_bits, curve);
  }
  result.false_positives_per_lookup =
      written_false_positives + FalsePositives(new_runs, result.shares);
  return result;
}

}  // namespace lamina::tuner
