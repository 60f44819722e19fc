// The tuner as a whole: counters in, a shape to follow and a record of why out.
//
// The store calls Step several times a window with what was counted since the last call: the tree
// changes within one, and what lookups cost is predicted for each part. When the window is full,
// the controller prices the present shape and the best one, and applies the switch rule. The store
// follows target() lazily: each flush and compaction asks for the limits of the level that it
// writes to. Nothing here blocks, reads a clock or touches a file.
//
// Not thread-safe: one thread steps, and hands target() to the others itself.
#ifndef LAMINA_TUNER_CONTROLLER_H_
#define LAMINA_TUNER_CONTROLLER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "tuner/cost_model.h"
#include "tuner/decision.h"
#include "tuner/decision_record.h"
#include "tuner/search.h"
#include "tuner/workload_window.h"

namespace lamina::tuner {

struct ControllerOptions {
  bool observe_only = false;  // decide and report, but keep the shape
  SearchSpace space;
  DecisionLimits limits;
  uint64_t window_operations = 10000;
};

class Controller {
 public:
  // `initial`: the shape that the tree follows now.
  Controller(const ControllerOptions& options, const TreeShape& initial) noexcept;

  // Continues where a record left off (the journal's last, after a restart): the shape that it left
  // in force, regrets, dwell and model error. A shape outside `options.space` (pins have changed)
  // is not taken. The first window then searches anew.
  void Restore(const DecisionRecord& last) noexcept;

  struct Input {
    WorkloadCounters counters;  // since the last Step
    TreeState tree;
    CostInputs costs;
    // SearchSpace::memory_bytes from here on; 0: as it was.
    uint64_t memory_bytes = 0;
    // What lookups and scans cost since the last Step, by the same prices as the prediction: block
    // reads that missed the cache * d4 (plus their weighted latency) and filters asked; 0 when not
    // known. Compared with what was predicted.
    double measured_lookup_s = 0;
    // Likewise of flushes and merges: bytes of tables written and read. Journaled, and that is all.
    double measured_put_s = 0;
  };
  // Nothing until the window is full; then the decision, whose outcome says whether target() has
  // changed. Not numbered: the journal does that.
  std::optional<DecisionRecord> Step(const Input& input) noexcept;

  [[nodiscard]] const TreeShape& target() const noexcept { return target_; }
  [[nodiscard]] uint64_t switches() const noexcept { return switches_; }
  [[nodiscard]] uint64_t searches() const noexcept { return searches_; }

 private:
  Trigger FindTrigger(const Input& input, double mix_distance) const noexcept;
  void Search(const Input& input, const WorkloadMix& mix) noexcept;
  void Track(const Candidate& candidate) noexcept;
  void PriceRivals(const Input& input, const WorkloadMix& mix) noexcept;
  void Measure(DecisionRecord* record) noexcept;
  void Weigh(const Input& input, DecisionRecord* record) noexcept;
  void SwitchTo(const TreeShape& shape) noexcept;

  ControllerOptions options_;
  TreeShape target_;
  WorkloadWindow window_;
  ModelError error_;
  double predicted_lookup_s_ = 0;  // of the window so far
  double measured_lookup_s_ = 0;
  double measured_put_s_ = 0;
  // Written since the last switch; as good as any number where there has been none.
  double dwell_entries_ = 1e18;
  uint64_t switches_ = 0;
  uint64_t searches_ = 0;
  // Shapes other than target_ that some search found among the best, with the regret against each;
  // the most recently found last.
  std::vector<Candidate> rivals_;
  // Of the last search:
  std::optional<WorkloadMix> searched_mix_;
  double searched_entries_ = 0;
  DeviceModel searched_device_;
};

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_CONTROLLER_H_
