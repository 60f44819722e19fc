#include "tuner/controller.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {
namespace {

// Rivals that are remembered: what a few alternating mixes need.
constexpr size_t kMaxRivals = 8;

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
      return SameTree(shape, WithMemory(LevelingShape(shape.size_ratio), shape), kMaxLevels);
    case SearchSpace::Policy::kTiering:
      return SameTree(shape, WithMemory(TieringShape(shape.size_ratio), shape), kMaxLevels);
    case SearchSpace::Policy::kLazy:
      return SameTree(shape, WithMemory(LazyShape(shape.size_ratio), shape), kMaxLevels);
  }
  return false;
}

// The decisive rival first, then the cheapest others; the present shape when there is none.
void ListCandidates(const std::vector<Candidate>& rivals, const Candidate* decisive,
                    DecisionRecord* record) noexcept {
  if (decisive == nullptr) {
    record->candidates = {record->current};
    return;
  }
  record->candidates = {*decisive};
  std::vector<const Candidate*> others;
  for (const Candidate& rival : rivals) {
    if (&rival != decisive) others.push_back(&rival);
  }
  std::stable_sort(others.begin(), others.end(), [](const Candidate* a, const Candidate* b) {
    return a->prediction.index_s < b->prediction.index_s;
  });
  for (const Candidate* other : others) {
    if (record->candidates.size() == DecisionRecord::kMaxCandidates) break;
    record->candidates.push_back(*other);
  }
}

}  // namespace

Controller::Controller(const ControllerOptions& options, const TreeShape& initial) noexcept
    : options_(options), target_(initial), window_(options.window_operations) {}

void Controller::Restore(const DecisionRecord& last) noexcept {
  const bool switched = last.outcome.verdict == Verdict::kSwitch && last.applied;
  error_ = ModelError(last.error_mean_ratio, last.inputs.error_sd);
  const TreeShape& chosen = ShapeAfter(last);
  if (IsValid(chosen) && Allows(options_.space, chosen)) target_ = chosen;
  rivals_.clear();
  dwell_entries_ = switched ? 0 : last.inputs.dwell_entries;
  if (switched) return;
  for (const Candidate& candidate : last.candidates) {
    if (Allows(options_.space, candidate.shape)) Track(candidate);
  }
}

std::optional<DecisionRecord> Controller::Step(const Input& input) noexcept {
  window_.Add(input.counters);
  measured_lookup_s_ += input.measured_lookup_s;
  measured_put_s_ += input.measured_put_s;
  const Prediction now = PredictTree(input.costs, MixOf(input.counters), target_, input.tree);
  predicted_lookup_s_ += LookupSeconds(now) * static_cast<double>(input.counters.operations());
  if (!window_.full()) return std::nullopt;
  if (input.memory_bytes != 0) options_.space.memory_bytes = input.memory_bytes;

  DecisionRecord record;
  record.applied = !options_.observe_only;
  record.counters = window_.Take();
  record.mix = MixOf(record.counters);
  record.facts = input.costs.facts;
  record.device = input.costs.device;
  record.latency_weight = input.costs.latency_weight;
  record.limits = options_.limits;
  target_.filter_bits = FilterBudget(options_.space, record.facts, target_.memtable_bytes);
  record.current = {.shape = target_, .prediction = PredictShape(input.costs, record.mix, target_)};
  record.present = PredictTree(input.costs, record.mix, target_, input.tree);
  Measure(&record);

  if (searched_mix_) record.mix_distance = TotalVariation(record.mix, *searched_mix_);
  record.trigger = FindTrigger(input, record.mix_distance);
  if (record.trigger != Trigger::kNone) Search(input, record.mix);
  PriceRivals(input, record.mix);
  dwell_entries_ += static_cast<double>(record.counters.puts_written);
  Weigh(input, &record);
  if (record.outcome.verdict == Verdict::kSwitch) SwitchTo(record.candidates.front().shape);
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
  const SearchResult result =
      FindBestShapes(input.costs, mix, options_.space, DecisionRecord::kMaxCandidates);
  // The best one last, so that it is forgotten last.
  for (auto candidate = result.best.rbegin(); candidate != result.best.rend(); ++candidate) {
    Track(*candidate);
  }
  searched_mix_ = mix;
  searched_entries_ = input.costs.facts.entries;
  searched_device_ = input.costs.device;
  ++searches_;
}

// Adds a rival, or moves it to the end with the regret that it has.
void Controller::Track(const Candidate& candidate) noexcept {
  const uint32_t level_count = std::max(1u, candidate.prediction.level_count);
  if (SameTree(candidate.shape, target_, level_count)) return;
  Candidate tracked = candidate;
  const auto known = std::find_if(rivals_.begin(), rivals_.end(), [&](const Candidate& rival) {
    return SameTree(rival.shape, candidate.shape, level_count);
  });
  if (known != rivals_.end()) {
    tracked.regret_s = known->regret_s;
    rivals_.erase(known);
  }
  rivals_.push_back(tracked);
  if (rivals_.size() > kMaxRivals) rivals_.erase(rivals_.begin());
}

void Controller::PriceRivals(const Input& input, const WorkloadMix& mix) noexcept {
  for (Candidate& rival : rivals_) {
    rival.shape.filter_bits =
        FilterBudget(options_.space, input.costs.facts, rival.shape.memtable_bytes);
    rival.prediction = PredictShape(input.costs, mix, rival.shape);
  }
}

void Controller::Measure(DecisionRecord* record) noexcept {
  const auto operations = static_cast<double>(record->counters.operations());
  record->measured = {.predicted_s = predicted_lookup_s_ / operations,
                      .measured_s = measured_lookup_s_ / operations,
                      .put_predicted_s = record->present.put_s,
                      .put_measured_s = measured_put_s_ / operations};
  predicted_lookup_s_ = 0;
  measured_lookup_s_ = 0;
  measured_put_s_ = 0;
  error_.Add(record->measured.predicted_s, record->measured.measured_s, record->present.index_s);
  record->error_mean_ratio = error_.mean_ratio();
}

// Weighs every rival, and journals the one that decides: the cheapest of those that may be switched
// to, or the cheapest of all.
void Controller::Weigh(const Input& input, DecisionRecord* record) noexcept {
  const DecisionInputs window = {
      .operations = static_cast<double>(record->counters.operations()),
      .entries_written = static_cast<double>(record->counters.puts_written),
      .current_s = record->current.prediction.index_s,
      .error_sd = error_.relative_sd(),
      .memtable_entries =
          static_cast<double>(target_.memtable_bytes) / input.costs.facts.memtable_entry_bytes,
      .dwell_entries = dwell_entries_};
  record->inputs = window;
  record->inputs.best_s = window.current_s;
  record->outcome = Decide(options_.limits, record->inputs);

  const Candidate* decisive = nullptr;
  for (Candidate& rival : rivals_) {
    const TransitionCost transition =
        PredictTransition(input.costs, input.tree, target_, rival.shape);
    DecisionInputs inputs = window;
    inputs.best_s = rival.prediction.index_s;
    inputs.regret_before_s = rival.regret_s;
    inputs.transition_s = transition.total_s();
    inputs.return_s = transition.return_s;
    inputs.wait_entries = transition.wait_entries;
    const DecisionOutcome outcome = Decide(options_.limits, inputs);
    rival.regret_s = outcome.regret_after_s;
    const bool switches = outcome.verdict == Verdict::kSwitch;
    const bool switched_already = record->outcome.verdict == Verdict::kSwitch;
    const bool cheaper =
        decisive == nullptr || rival.prediction.index_s < decisive->prediction.index_s;
    if (switches == switched_already ? !cheaper : !switches) continue;
    decisive = &rival;
    record->transition = transition;
    record->inputs = inputs;
    record->outcome = outcome;
  }
  ListCandidates(rivals_, decisive, record);
}

void Controller::SwitchTo(const TreeShape& shape) noexcept {
  for (Candidate& rival : rivals_) rival.regret_s = 0;
  dwell_entries_ = 0;
  if (options_.observe_only) return;
  target_ = shape;
  ++switches_;
  std::erase_if(rivals_, [&](const Candidate& rival) {
    return SameTree(rival.shape, target_, std::max(1u, rival.prediction.level_count));
  });
}

}  // namespace lamina::tuner
