// When to change the shape: only once staying has cost as much as going would.
//
// For each shape that was ever found to be the best, the controller sums up what the present shape
// cost above it, beyond what the model can tell, window by window, never below 0: the regret. What
// lies within the model's error is no gain: shapes that are equally good, and differ by the chance
// that is in a window's mix, do not add up to one. When a regret reaches the cost of
// that transition, the tree switches: the break-even rule of ski rental, whose total cost is within
// a constant factor of knowing the future. A mix that alternates faster than break-even takes back
// in one phase what it added in the other, so it does not switch at all.
//
// Where going is free but coming back is not (more runs are had for nothing), half of the way there
// and back must be paid for: else a short phase would lure the tree where the next one hurts.
//
// Three guards: the gain must exceed twice the standard deviation of the model's own error, the
// last switch must be at least one memtable ago, and a new search is made only when the mix has
// moved by more than the trigger (or the store has grown), so a constant mix never switches.
//
// Pure functions and values.
#ifndef LAMINA_TUNER_DECISION_H_
#define LAMINA_TUNER_DECISION_H_

#include <cstdint>

#include "tuner/workload_window.h"

namespace lamina::tuner {

struct DecisionLimits {
  double mix_trigger = 0.05;   // total variation since the last search that calls for another
  double growth_trigger = 2;   // change of entry count or device, as a factor, that does too
  double error_multiple = 2;   // a gain must exceed so many standard deviations of the error
  double dwell_memtables = 1;  // memtables filled between two switches, at least
  friend bool operator==(const DecisionLimits&, const DecisionLimits&) = default;
};

enum class Verdict : uint8_t {
  kKeep = 0,          // the present shape is the best one
  kAccumulating = 1,  // another would be better, but regret has not paid for the transition
  kWithinError = 2,   // better by less than the model can tell
  kDwelling = 3,      // paid for, but the last switch was just now
  kSwitch = 4,        // all of it holds
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
  // Measured / predicted, smoothed. Windows count by what their lookups cost: one of hardly any
  // lookups says little of what they will cost when there are many.
  [[nodiscard]] double mean_ratio() const noexcept { return mean_ratio_; }
  // Standard deviation of (measured - mean_ratio * predicted) / index_s; at least kFloor: however
  // well the present shape is predicted, other shapes are not known that well.
  [[nodiscard]] double relative_sd() const noexcept;

  static constexpr double kFloor = 0.02;
  static constexpr double kWeight = 0.1;  // of a new window

 private:
  bool seen_ = false;
  double mean_ratio_ = 1;
  double predicted_sum_s_ = 0;  // of windows, each next one weighing 1 - kWeight less
  double variance_;
};

// What the rule looks at for one window and one other shape, all of it journaled.
struct DecisionInputs {
  double operations = 0;
  double entries_written = 0;
  double current_s = 0;        // predicted index cost per operation of the present shape
  double best_s = 0;           // and of the other
  double regret_before_s = 0;  // against the other, up to the window before
  double transition_s = 0;     // to get there, TransitionCost::total_s
  double return_s = 0;         // TransitionCost::return_s
  double wait_entries = 0;     // TransitionCost::wait_entries
  double error_sd = 0;         // ModelError::relative_sd
  double memtable_entries = 0;
  double dwell_entries = 0;  // entries written since the last switch, this window's included
  friend bool operator==(const DecisionInputs&, const DecisionInputs&) = default;
};

// What the rule found, all of it journaled.
struct DecisionOutcome {
  Verdict verdict = Verdict::kKeep;
  double gain_s = 0;           // current_s - best_s
  double required_gain_s = 0;  // error_multiple * error_sd * current_s
  double regret_after_s = 0;   // max(0, before + (gain - required) * operations)
  double threshold_s = 0;      // max(transition_s, (transition_s + return_s) / 2)
  double dwell_required = 0;   // dwell_memtables * memtable_entries
  // What is lost until the new shape has come about by itself, as batches arrive:
  // gain * operations * wait_entries / entries_written.
  double waiting_s = 0;
  // With kSwitch: waiting would cost more than merging the levels concerned now, with what I/O is
  // idle. Regret has paid for it.
  bool eager = false;
  friend bool operator==(const DecisionOutcome&, const DecisionOutcome&) = default;
};

DecisionOutcome Decide(const DecisionLimits& limits, const DecisionInputs& inputs) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_DECISION_H_
