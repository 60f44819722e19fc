#include "tools/sst_dump_decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tools/common_text.h"

namespace lamina::sst_dump {
namespace {

using tools::Counted;
using tools::HumanBytes;

double Micros(double seconds) { return seconds * 1e6; }

// "puts 45.0 %, missing 25.0 %, ..."; kinds that did not occur are left out.
std::string MixText(const tuner::WorkloadMix& mix) {
  const struct {
    const char* name;
    double share;
  } kinds[] = {{"puts", mix.puts},
               {"missing", mix.missing},
               {"existing", mix.existing},
               {"stem scans", mix.stem_scans},
               {"missing stems", mix.missing_stems},
               {"long scans", mix.long_scans}};
  std::string text;
  for (const auto& kind : kinds) {
    if (kind.share == 0) continue;
    text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", kind.name, 100 * kind.share);
  }
  return text.empty() ? "nothing" : text;
}

std::string NameOf(const tuner::TreeShape& shape, const tuner::Prediction& prediction) {
  return ShapeName(shape, std::max(1u, prediction.level_count));
}

// A line of the table of costs.
void AddCosts(const std::string& name, const tuner::Prediction& p, std::string* text) {
  fmt::format_to(
      std::back_inserter(*text),
      "    {:<26}{:>9.4f}{:>9.4f}{:>9.4f}{:>9.4f}{:>9.4f}{:>9.4f}{:>9.2f}{:>9.3f}{:>9.3f}\n", name,
      Micros(p.put_s), Micros(p.missing_s), Micros(p.existing_s), Micros(p.stem_s),
      Micros(p.long_scan_s), Micros(p.index_s), p.copies, p.missing_reads, p.existing_reads);
}

void AddCandidates(const tuner::DecisionRecord& decision, std::string* text) {
  fmt::format_to(
      std::back_inserter(*text),
      "  predicted: us per operation, copies of an entry, blocks read by a miss and a hit\n"
      "    {:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
      "", "puts", "missing", "existing", "stems", "scans", "all", "copies", "by miss", "by hit");
  const tuner::TreeShape& shape = decision.current.shape;
  AddCosts("the tree as it is", decision.present, text);
  AddCosts("present: " + NameOf(shape, decision.current.prediction), decision.current.prediction,
           text);
  for (size_t i = 0; i < decision.candidates.size(); ++i) {
    const tuner::Candidate& candidate = decision.candidates[i];
    AddCosts(fmt::format("{}: {}", i + 1, NameOf(candidate.shape, candidate.prediction)),
             candidate.prediction, text);
  }
}

void AddLookups(const char* what, const tuner::Measurement& m, std::string* text) {
  fmt::format_to(std::back_inserter(*text),
                 "  {}: lookups predicted {:.4f}, measured {:.4f} us; puts predicted {:.4f}, "
                 "measured {:.4f} us\n",
                 what, Micros(m.predicted_s), Micros(m.measured_s), Micros(m.put_predicted_s),
                 Micros(m.put_measured_s));
}

}  // namespace

std::string DecisionText(const tuner::DecisionRecord& decision) {
  const tuner::DecisionOutcome& outcome = decision.outcome;
  const tuner::DecisionInputs& inputs = decision.inputs;
  const tuner::TransitionCost& transition = decision.transition;
  const tuner::TreeShape& present = decision.current.shape;
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "decision {}: {}{}, {}: {}\n", decision.sequence,
                 VerdictName(outcome.verdict), outcome.eager ? ", merged at once" : "",
                 decision.applied ? "applied" : "only observed", ReasonOf(decision));
  fmt::format_to(out, "  window: {}: {}; moved by {:.3f} since the last search, searched: {}\n",
                 Counted(decision.counters.operations(), "operation"), MixText(decision.mix),
                 decision.mix_distance, TriggerName(decision.trigger));
  fmt::format_to(out, "  index: {:.0f} entries of {:.1f} bytes, {:.1f} % of block reads cached\n",
                 decision.facts.entries, decision.facts.entry_bytes,
                 100 * decision.facts.cache_hit_ratio);
  fmt::format_to(out, "  present: {}, memtables {}, filters {}\n",
                 NameOf(present, decision.current.prediction), HumanBytes(present.memtable_bytes),
                 HumanBytes(present.filter_bits / 8));
  if (!decision.candidates.empty()) {
    const tuner::Candidate& chosen = decision.candidates.front();
    fmt::format_to(out, "  {}: {}, memtables {}, filters {}\n",
                   outcome.verdict == tuner::Verdict::kSwitch ? "chosen" : "weighed",
                   NameOf(chosen.shape, chosen.prediction), HumanBytes(chosen.shape.memtable_bytes),
                   HumanBytes(chosen.shape.filter_bits / 8));
  }
  AddCandidates(decision, &text);
  fmt::format_to(out, "  gain: {:.4f} us per operation, {:.4f} needed ({:g} x error {:.1f} %)\n",
                 Micros(outcome.gain_s), Micros(outcome.required_gain_s),
                 decision.limits.error_multiple, 100 * inputs.error_sd);
  fmt::format_to(out,
                 "  regret: {:.6f} s, {:.6f} before this window; the transition costs {:.6f} s "
                 "({:.0f} entries), returning {:.6f} s, so {:.6f} are needed\n",
                 outcome.regret_after_s, inputs.regret_before_s, inputs.transition_s,
                 transition.entries, inputs.return_s, outcome.threshold_s);
  AddLookups("this window", decision.measured, &text);
  if (decision.after.windows > 0) {
    AddLookups(fmt::format("afterwards, {}", Counted(decision.after.windows, "window")).c_str(),
               decision.after.mean, &text);
  } else {
    text += "  afterwards: nothing yet\n";
  }
  text += '\n';
  return text;
}

}  // namespace lamina::sst_dump
