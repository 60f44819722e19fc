// Everything that one decision of the tuner rested on, as plain values: enough to recompute it.
#ifndef LAMINA_TUNER_DECISION_RECORD_H_
#define LAMINA_TUNER_DECISION_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tuner/cost_model.h"
#include "tuner/decision.h"
#include "tuner/search.h"

namespace lamina::tuner {

// What called for a search in this window.
enum class Trigger : uint8_t {
  kNone = 0,    // none was made: candidates of earlier ones were priced again
  kFirst = 1,   // the first window since the store was opened
  kMix = 2,     // the mix moved by more than DecisionLimits::mix_trigger
  kGrowth = 3,  // entries or device changed by more than DecisionLimits::growth_trigger
};
// "none", "first", "mix", "growth".
const char* TriggerName(Trigger trigger) noexcept;

// What lookups and scans of a window cost, and what flushes and merges did, beside what had been
// predicted for the real runs. Seconds per operation; what was not measured is 0. Merges come in
// bursts: only over many windows does their measurement say something.
struct Measurement {
  double predicted_s = 0;
  double measured_s = 0;
  double put_predicted_s = 0;
  double put_measured_s = 0;
  friend bool operator==(const Measurement&, const Measurement&) = default;
};

// What happened after a decision: the windows until the next one that was journaled.
struct Aftermath {
  uint64_t windows = 0;
  uint64_t operations = 0;
  Measurement mean;
  friend bool operator==(const Aftermath&, const Aftermath&) = default;
};

struct DecisionRecord {
  uint64_t sequence = 0;  // 1 is the store's first
  bool applied = false;   // false: only observed
  Trigger trigger = Trigger::kNone;
  double mix_distance = 0;  // total variation since the last search
  WorkloadCounters counters;
  WorkloadMix mix;
  StoreFacts facts;
  DeviceModel device;
  double latency_weight = 0;
  DecisionLimits limits;

  Candidate current;   // the shape that the tree follows, at its mean
  Prediction present;  // the same from the real runs of this moment
  // The one that was weighed against the present shape, then the cheapest others; 1 to
  // kMaxCandidates. The present shape alone when nothing else is allowed.
  std::vector<Candidate> candidates;
  TransitionCost transition;  // to candidates[0]
  DecisionInputs inputs;
  DecisionOutcome outcome;
  double error_mean_ratio = 1;  // ModelError::mean_ratio
  Measurement measured;         // of this window, under the present shape
  Aftermath after;              // of those that followed

  static constexpr size_t kMaxCandidates = 3;
  friend bool operator==(const DecisionRecord&, const DecisionRecord&) = default;
};

// The shape in force once the decision was made.
const TreeShape& ShapeAfter(const DecisionRecord& record) noexcept;

// Why the verdict is what it is, as a sentence.
std::string ReasonOf(const DecisionRecord& record) noexcept;

// The record as one JSON object. Numbers are printed so that they read back as the same doubles;
// all of the model's inputs and intermediate results are there.
std::string ToJson(const DecisionRecord& record) noexcept;

// Parts of the above, each one JSON object.
std::string ToJson(const WorkloadMix& mix) noexcept;
std::string ToJson(const Prediction& prediction) noexcept;
std::string ToJson(const Candidate& candidate) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_DECISION_RECORD_H_
