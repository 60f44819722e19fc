#include "tuner/decision.h"

#include <algorithm>
#include <cmath>
#include <limits>

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
  // Continued from elsewhere: as if windows like this one had gone before.
  if (seen_ && predicted_sum_s_ == 0) predicted_sum_s_ = predicted_s / kWeight;
  seen_ = true;
  predicted_sum_s_ = (1 - kWeight) * predicted_sum_s_ + predicted_s;
  mean_ratio_ += predicted_s / predicted_sum_s_ * (ratio - mean_ratio_);
  const double residual = (measured_s - mean_ratio_ * predicted_s) / index_s;
  variance_ = (1 - kWeight) * variance_ + kWeight * residual * residual;
}

double ModelError::relative_sd() const noexcept { return std::max(kFloor, std::sqrt(variance_)); }

DecisionOutcome Decide(const DecisionLimits& limits, const DecisionInputs& inputs) noexcept {
  DecisionOutcome outcome;
  outcome.gain_s = inputs.current_s - inputs.best_s;
  outcome.required_gain_s = limits.error_multiple * inputs.error_sd * inputs.current_s;
  outcome.regret_after_s = std::max(
      0.0, inputs.regret_before_s + (outcome.gain_s - outcome.required_gain_s) * inputs.operations);
  outcome.threshold_s = std::max(inputs.transition_s, (inputs.transition_s + inputs.return_s) / 2);
  outcome.dwell_required = limits.dwell_memtables * inputs.memtable_entries;
  if (outcome.gain_s > 0 && inputs.wait_entries > 0) {
    // Without puts it never comes about.
    outcome.waiting_s =
        inputs.entries_written > 0
            ? outcome.gain_s * inputs.operations * inputs.wait_entries / inputs.entries_written
            : std::numeric_limits<double>::max();
  }

  if (outcome.gain_s <= 0) {
    outcome.verdict = Verdict::kKeep;
  } else if (outcome.gain_s <= outcome.required_gain_s) {
    outcome.verdict = Verdict::kWithinError;
  } else if (outcome.regret_after_s < outcome.threshold_s) {
    outcome.verdict = Verdict::kAccumulating;
  } else if (inputs.dwell_entries < outcome.dwell_required) {
    outcome.verdict = Verdict::kDwelling;
  } else {
    outcome.verdict = Verdict::kSwitch;
    outcome.eager = outcome.waiting_s > inputs.transition_s;
  }
  return outcome;
}

}  // namespace lamina::tuner
