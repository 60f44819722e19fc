#include "engine/store/tuner_tree.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/index/filter_fpr.h"

namespace lamina {
namespace {

double Span(const OwnedStemKey& first, const OwnedStemKey& last) noexcept {
  const bool one_anchor = first.anchor == last.anchor;
  const auto place = [=](const OwnedStemKey& key) {
    return static_cast<double>(one_anchor ? key.fingerprints.front() : key.anchor.high);
  };
  return std::ldexp(place(last) - place(first), -64);
}

}  // namespace

const tuner::FprCurve& MeasuredFprCurve() noexcept {
  static const tuner::FprCurve curve = [] {
    std::vector<tuner::FprPoint> points;
    for (const FilterFprPoint& point : kFilterFpr)
      points.push_back({point.bits_per_key, point.false_positive_rate});
    auto measured = tuner::FprCurve::FromPoints(points);
    return measured.ok() ? std::move(*measured) : tuner::FprCurve::Ideal();
  }();
  return curve;
}

tuner::TreeShape TunerShape(const Shape& shape, double batch_entries) noexcept {
  tuner::TreeShape converted;
  converted.size_ratio = shape.size_ratio;
  for (uint32_t level = 0; level < tuner::kMaxLevels; ++level)
    converted.upper_runs[level] = static_cast<uint8_t>(shape.RunCap(level + 1, kMaxLevels));
  converted.last_runs =
      static_cast<uint8_t>(shape.last_run_cap != 0 ? shape.last_run_cap : shape.run_caps.back());
  converted.memtable_bytes = static_cast<uint64_t>(std::max(1.0, batch_entries));
  return converted;
}

tuner::TreeState TunerTree(const Tree& tree) noexcept {
  tuner::TreeState state;
  state.levels.resize(TunerLevel(tree.last_level()) + 1);
  for (const RunPtr& run : tree.RunsNewestFirst()) {
    tuner::RunState converted;
    converted.entries = static_cast<double>(run->entries);
    if (run->entries > 0)
      converted.filter_bits_per_key = static_cast<double>(run->filter_bits) / converted.entries;
    converted.weight = Span(run->tables.front().smallest, run->tables.back().largest);
    state.levels[TunerLevel(run->level)].runs.push_back(converted);
  }
  return state;
}

}  // namespace lamina
