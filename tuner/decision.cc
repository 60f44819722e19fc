#include "tuner/decision.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {

const char* VerdictName(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kKeep:
      return "keep";
    case Verdict::kAccumulating:
      return "accumulating";
    case Verdict::kWithinError:
      return "within_error";
    case Verdict::kDwelling:
      return "dwelling";
    case Verdict::kSwitch:
      return "switch";
  }
  return "unknown";
}

void ModelError::Add(double predicted_s, double measured_s, double index_s) noexcept {
  const auto good = [](double value) { return value > 0 && std::isfinite(value); };
  if (!good(predicted_s) || !good(measured_s) || !good(index_s)) return;
  const double ratio = measured_s / predicted_s;
  if (!seen_) mean_ratio_ = ratio;
  seen_ = true;
  const double residual = (measured_s - mean_ratio_ * predicted_s) / index_s;
  mean_ratio_ += kWeight * (ratio - mean_ratio_);
  variance_ = (1 - kWeight) * variance_ + kWeight * residual * residual;
}

double ModelError::relative_sd() const noexcept { return std::max(kFloor, std::sqrt(variance_)); }

DecisionOutcome SwitchRule::Step(const DecisionInputs& inputs) noexcept {
  DecisionOutcome outcome;
  outcome.gain_s = inputs.current_s - inputs.best_s;
  outcome.required_gain_s = limits_.error_multiple * inputs.error_sd * inputs.current_s;
  outcome.regret_before_s = regret_s_;
  regret_s_ = std::max(0.0, regret_s_ + outcome.gain_s * inputs.operations);
  outcome.regret_after_s = regret_s_;
  outcome.threshold_s = inputs.transition_s;
  entries_since_switch_ += inputs.entries_written;
  outcome.dwell_entries = entries_since_switch_;
  outcome.dwell_required = limits_.dwell_memtables * inputs.memtable_entries;

  if (inputs.same_shape || outcome.gain_s <= 0) {
    outcome.verdict = Verdict::kKeep;
  } else if (outcome.gain_s <= outcome.required_gain_s) {
    outcome.verdict = Verdict::kWithinError;
  } else if (outcome.regret_after_s < outcome.threshold_s) {
    outcome.verdict = Verdict::kAccumulating;
  } else if (outcome.dwell_entries < outcome.dwell_required) {
    outcome.verdict = Verdict::kDwelling;
  } else {
    outcome.verdict = Verdict::kSwitch;
    regret_s_ = 0;
    entries_since_switch_ = 0;
  }
  return outcome;
}

void SwitchRule::Restore(double regret_s, double entries_since_switch) noexcept {
  regret_s_ = std::max(0.0, regret_s);
  entries_since_switch_ = std::max(0.0, entries_since_switch);
}

}  // namespace lamina::tuner
