#include "tuner/controller.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {
namespace {

// The factor by which two positive numbers differ, at least 1; infinite when one of them is 0.
double FactorBetween(double a, double b) noexcept {
  if (a == b) return 1;
  if (!(a > 0) || !(b > 0)) return HUGE_VAL;
  return std::max(a / b, b / a);
}

double FactorBetween(const DeviceModel& a, const DeviceModel& b) noexcept {
  return std::max({FactorBetween(a.read_latency_s, b.read_latency_s),
                   FactorBetween(a.read_device_s, b.read_device_s),
                   FactorBetween(a.read_bytes_per_s, b.read_bytes_per_s),
                   FactorBetween(a.write_bytes_per_s, b.write_bytes_per_s)});
}

bool SameRuns(const TreeShape& a, const TreeShape& b, uint32_t level_count) noexcept {
  if (a.size_ratio != b.size_ratio || a.memtable_bytes != b.memtable_bytes) return false;
  for (uint32_t i = 0; i < level_count; ++i) {
    if (a.RunsAt(i, level_count) != b.RunsAt(i, level_count)) return false;
  }
  return true;
}

double LookupSeconds(const Prediction& prediction) noexcept {
  return prediction.missing_s + prediction.existing_s + prediction.stem_s + prediction.long_scan_s;
}

bool Allows(const SearchSpace& space, const TreeShape& shape) noexcept {
  if (shape.size_ratio < space.min_size_ratio || shape.size_ratio > space.max_size_ratio) {
    return false;
  }
  if (shape.memtable_bytes < space.min_memtable_bytes ||
      shape.memtable_bytes > std::max(space.min_memtable_bytes, space.max_memtable_bytes)) {
    return false;
  }
  switch (space.policy) {
    case SearchSpace::Policy::kAny:
      return true;
    case SearchSpace::Policy::kLeveling:
      return SameRuns(shape, WithMemory(LevelingShape(shape.size_ratio), shape), kMaxLevels);
    case SearchSpace::Policy::kTiering:
      return SameRuns(shape, WithMemory(TieringShape(shape.size_ratio), shape), kMaxLevels);
    case SearchSpace::Policy::kLazy:
      return SameRuns(shape, WithMemory(LazyShape(shape.size_ratio), shape), kMaxLevels);
  }
  return false;
}

}  // namespace

Controller::Controller(const ControllerOptions& options, const TreeShape& initial) noexcept
    : options_(options),
      target_(initial),
      window_(options.window_operations),
      rule_(options.limits) {}

void Controller::Restore(const DecisionRecord& last) noexcept {
  const bool switched = last.outcome.verdict == Verdict::kSwitch;
  rule_.Restore(switched ? 0 : last.outcome.regret_after_s,
                switched ? 0 : last.outcome.dwell_entries);
  error_ = ModelError(last.error_mean_ratio, last.inputs.error_sd);
  const TreeShape& chosen =
      switched && last.applied ? last.candidates.front().shape : last.current.shape;
  if (IsValid(chosen) && Allows(options_.space, chosen)) target_ = chosen;
  // The candidates are of the old pins, perhaps: the first window searches anew.
}

std::optional<DecisionRecord> Controller::Step(const Input& input) noexcept {
  window_.Add(input.counters);
  measured_lookup_s_ += input.measured_lookup_s;
  if (!window_.full()) return std::nullopt;

  DecisionRecord record;
  record.applied = !options_.observe_only;
  record.counters = window_.Take();
  record.mix = MixOf(record.counters);
  record.facts = input.costs.facts;
  record.device = input.costs.device;
  record.latency_weight = input.costs.latency_weight;
  record.limits = options_.limits;
  target_.filter_bits = FilterBudget(options_.space, record.facts, target_.memtable_bytes);
  record.current = {target_, PredictShape(input.costs, record.mix, target_)};
  record.present = PredictTree(input.costs, record.mix, target_, input.tree);
  Measure(&record);

  if (searched_mix_) record.mix_distance = TotalVariation(record.mix, *searched_mix_);
  record.trigger = FindTrigger(input, record.mix_distance);
  if (record.trigger == Trigger::kNone) {
    PriceAgain(input, record.mix);
  } else {
    Search(input, record.mix);
  }
  record.candidates = candidates_;
  Decide(input, &record);
  return record;
}

Trigger Controller::FindTrigger(const Input& input, double distance) const noexcept {
  if (!searched_mix_) return Trigger::kFirst;
  if (distance > options_.limits.mix_trigger) return Trigger::kMix;
  const double growth = options_.limits.growth_trigger;
  if (FactorBetween(input.costs.facts.entries, searched_entries_) > growth ||
      FactorBetween(input.costs.device, searched_device_) > growth) {
    return Trigger::kGrowth;
  }
  return Trigger::kNone;
}

void Controller::Search(const Input& input, const WorkloadMix& mix) noexcept {
  candidates_ =
      FindBestShapes(input.costs, mix, options_.space, DecisionRecord::kMaxCandidates).best;
  searched_mix_ = mix;
  searched_entries_ = input.costs.facts.entries;
  searched_device_ = input.costs.device;
  ++searches_;
}

void Controller::PriceAgain(const Input& input, const WorkloadMix& mix) noexcept {
  for (Candidate& candidate : candidates_) {
    candidate.shape.filter_bits =
        FilterBudget(options_.space, input.costs.facts, candidate.shape.memtable_bytes);
    candidate.prediction = PredictShape(input.costs, mix, candidate.shape);
  }
  std::stable_sort(candidates_.begin(), candidates_.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return a.prediction.index_s < b.prediction.index_s;
                   });
}

void Controller::Measure(DecisionRecord* record) noexcept {
  const auto operations = static_cast<double>(record->counters.operations());
  record->measured = {.predicted_s = LookupSeconds(record->present),
                      .measured_s = measured_lookup_s_ / operations};
  measured_lookup_s_ = 0;
  error_.Add(record->measured.predicted_s, record->measured.measured_s, record->present.index_s);
  record->error_mean_ratio = error_.mean_ratio();
}

void Controller::Decide(const Input& input, DecisionRecord* record) noexcept {
  const Candidate& best = record->candidates.front();
  record->transition = PredictTransition(input.costs, input.tree, best.shape);
  record->inputs = {.operations = static_cast<double>(record->counters.operations()),
                    .entries_written = static_cast<double>(record->counters.puts_written),
                    .current_s = record->current.prediction.index_s,
                    .best_s = best.prediction.index_s,
                    .transition_s = record->transition.total_s(),
                    .error_sd = error_.relative_sd(),
                    .memtable_entries =
                        static_cast<double>(target_.memtable_bytes) / input.costs.facts.entry_bytes,
                    .same_shape = SameRuns(target_, best.shape, best.prediction.level_count)};
  record->outcome = rule_.Step(record->inputs);
  if (record->outcome.verdict != Verdict::kSwitch || options_.observe_only) return;
  target_ = best.shape;
  ++switches_;
}

}  // namespace lamina::tuner
