// When to change the shape: only once staying has cost as much as going would.
//
// Each window adds what the present shape cost above the best one (never below 0 in sum). When that
// regret reaches the cost of the transition, the tree switches: the break-even rule of ski rental,
// whose total cost is within a constant factor of knowing the future, however the mix alternates.
// Three guards: the gain must exceed twice the standard deviation of the model's own error, the
// last switch must be at least one memtable ago, and a new search is made only when the mix has
// moved by more than the trigger (or the store has grown), so a constant mix never switches.
//
// Pure state; not thread-safe.
#ifndef LAMINA_TUNER_DECISION_H_
#define LAMINA_TUNER_DECISION_H_

#include <cstdint>

#include "tuner/workload_window.h"

namespace lamina::tuner {

struct DecisionLimits {
  double mix_trigger = 0.05;     // total variation since the last search that calls for another
  double growth_trigger = 1.25;  // change of entry count or device, as a factor, that does too
  double error_multiple = 2;     // a gain must exceed so many standard deviations of the error
  double dwell_memtables = 1;    // memtables filled between two switches, at least
  friend bool operator==(const DecisionLimits&, const DecisionLimits&) = default;
};

enum class Verdict : uint8_t {
  kKeep = 0,          // the present shape is the best one
  kAccumulating = 1,  // another would be better, but regret has not paid for the transition
  kWithinError = 2,   // better by less than the model can tell
  kDwelling = 3,      // paid for, but the last switch was just now
  kSwitch = 4,
};
// "keep", "accumulating", "within_error", "dwelling", "switch".
const char* VerdictName(Verdict verdict) noexcept;

// How far predictions were from measurements, as a fraction of what the index costs.
//
// Only lookups are compared: they are what a window measures well, while merges come in bursts that
// say nothing about their mean. A constant factor between prediction and measurement is no error
// here: it does not change which shape is best.
class ModelError {
 public:
  // Starts as if the error had been `relative_sd`.
  explicit ModelError(double relative_sd = 0.02) noexcept : variance_(relative_sd * relative_sd) {}
  // Continues where another left off.
  ModelError(double mean_ratio, double relative_sd) noexcept
      : seen_(true), mean_ratio_(mean_ratio), variance_(relative_sd * relative_sd) {}
  // Lookup seconds per operation over one window, and all that the index costs (predicted) per
  // operation. Ignored unless all are positive and finite.
  void Add(double predicted_s, double measured_s, double index_s) noexcept;
  // Measured / predicted, smoothed.
  [[nodiscard]] double mean_ratio() const noexcept { return mean_ratio_; }
  // Standard deviation of (measured - mean_ratio * predicted) / index_s; at least kFloor: no model
  // is perfect.
  [[nodiscard]] double relative_sd() const noexcept;

  static constexpr double kFloor = 0.005;
  static constexpr double kWeight = 0.1;  // of a new window

 private:
  bool seen_ = false;
  double mean_ratio_ = 1;
  double variance_;
};

// What the rule looks at in one window, all of it journaled.
struct DecisionInputs {
  double operations = 0;
  double entries_written = 0;
  double current_s = 0;     // predicted index cost per operation of the present shape
  double best_s = 0;        // and of the best one
  double transition_s = 0;  // to get there, device and CPU
  double error_sd = 0;      // ModelError::relative_sd
  double memtable_entries = 0;
  bool same_shape = false;  // the best one is the present one
  friend bool operator==(const DecisionInputs&, const DecisionInputs&) = default;
};

// What the rule found, all of it journaled.
struct DecisionOutcome {
  Verdict verdict = Verdict::kKeep;
  double gain_s = 0;           // current_s - best_s
  double required_gain_s = 0;  // error_multiple * error_sd * current_s
  double regret_before_s = 0;
  double regret_after_s = 0;  // max(0, before + gain * operations)
  double threshold_s = 0;     // transition_s
  double dwell_entries = 0;   // entries written since the last switch
  double dwell_required = 0;
  friend bool operator==(const DecisionOutcome&, const DecisionOutcome&) = default;
};

class SwitchRule {
 public:
  explicit SwitchRule(const DecisionLimits& limits = {}) noexcept : limits_(limits) {}
  // One window. A switch resets regret and dwell.
  DecisionOutcome Step(const DecisionInputs& inputs) noexcept;
  // For a restart.
  void Restore(double regret_s, double entries_since_switch) noexcept;
  [[nodiscard]] double regret_s() const noexcept { return regret_s_; }
  [[nodiscard]] double entries_since_switch() const noexcept { return entries_since_switch_; }
  [[nodiscard]] const DecisionLimits& limits() const noexcept { return limits_; }

 private:
  DecisionLimits limits_;
  double regret_s_ = 0;
  double entries_since_switch_ = 0;
};

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_DECISION_H_
