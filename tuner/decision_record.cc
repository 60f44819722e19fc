#include "tuner/decision_record.h"

#include <algorithm>

#include "tuner/decision_fields.h"
#include "tuner/json_text.h"

namespace lamina::tuner {
namespace {

std::string Printed(double value) noexcept {
  char digits[40];
  const auto end =
      std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::general, 4).ptr;
  return std::string(digits, end);
}

class JsonArchive {
 public:
  template <class T>
  void Number(std::string_view name, T value) noexcept {
    json_.Value(name, value);
  }
  template <class E>
  void Enum(std::string_view name, E value, E, const char* (*name_of)(E) noexcept) noexcept {
    json_.Value(name, std::string_view(name_of(value)));
  }
  template <class T>
  void Object(std::string_view name, T& value) noexcept {
    json_.Open(name, '{');
    DescribeFields(*this, value);
    json_.Close('}');
  }
  template <class T>
  void List(std::string_view name, std::vector<T>& values, size_t) noexcept {
    json_.Open(name, '[');
    for (T& value : values) Object("", value);
    json_.Close(']');
  }
  void Levels(std::string_view name, uint32_t count, std::span<LevelPrediction> levels) noexcept {
    json_.Open(name, '[');
    for (LevelPrediction& level : levels.first(std::min<size_t>(count, levels.size()))) {
      Object("", level);
    }
    json_.Close(']');
  }
  // For people: the levels that exist, top first, instead of the two members.
  void Shape(std::string_view name, TreeShape& shape, const Prediction& prediction) noexcept {
    const uint32_t count = std::clamp(prediction.level_count, 1u, kMaxLevels);
    json_.Open(name, '{');
    json_.Value("name", std::string_view(ShapeName(shape, count)));
    json_.Value("size_ratio", shape.size_ratio);
    json_.Open("runs", '[');
    for (uint32_t i = 0; i < count; ++i) json_.Value("", shape.RunsAt(i, count));
    json_.Close(']');
    json_.Value("memtable_bytes", shape.memtable_bytes);
    json_.Value("filter_bits", shape.filter_bits);
    json_.Close('}');
  }

  JsonText& json() noexcept { return json_; }

 private:
  JsonText json_;
};

template <class T>
std::string JsonOf(T value) noexcept {
  JsonArchive archive;
  archive.Object("", value);
  return archive.json().text();
}

}  // namespace

const TreeShape& ShapeAfter(const DecisionRecord& record) noexcept {
  const bool switched = record.outcome.verdict == Verdict::kSwitch && record.applied;
  return switched ? record.candidates.front().shape : record.current.shape;
}

std::string ReasonOf(const DecisionRecord& record) noexcept {
  const DecisionOutcome& outcome = record.outcome;
  const std::string gain = Printed(outcome.gain_s * 1e6) + " us/op";
  const std::string required = Printed(outcome.required_gain_s * 1e6) + " us/op";
  const std::string regret = Printed(outcome.regret_after_s) + " s";
  const std::string threshold = Printed(outcome.threshold_s) + " s";
  switch (outcome.verdict) {
    case Verdict::kKeep:
      return "the present shape is the best one";
    case Verdict::kWithinError:
      return "the best shape gains " + gain + ", within the model's error of " + required;
    case Verdict::kAccumulating:
      return "regret of " + regret + " has not reached the transition's " + threshold;
    case Verdict::kDwelling:
      return "regret of " + regret + " covers the transition's " + threshold + ", but only " +
             Printed(record.inputs.dwell_entries) + " of " + Printed(outcome.dwell_required) +
             " entries were written since the last switch";
    case Verdict::kSwitch:
      return "regret of " + regret + " reached the transition's " + threshold + "; the gain of " +
             gain + " is above the model's error of " + required;
  }
  return "unknown";
}

const char* TriggerName(Trigger trigger) noexcept {
  switch (trigger) {
    case Trigger::kNone:
      return "none";
    case Trigger::kFirst:
      return "first";
    case Trigger::kMix:
      return "mix";
    case Trigger::kGrowth:
      return "growth";
  }
  return "unknown";
}

std::string ToJson(const DecisionRecord& record) noexcept {
  DecisionRecord copy = record;
  JsonArchive archive;
  archive.json().Open("", '{');
  archive.json().Value("reason", std::string_view(ReasonOf(record)));
  DescribeFields(archive, copy);
  archive.json().Close('}');
  return archive.json().text();
}

std::string ToJson(const WorkloadMix& mix) noexcept { return JsonOf(mix); }

std::string ToJson(const Prediction& prediction) noexcept { return JsonOf(prediction); }

std::string ToJson(const Candidate& candidate) noexcept { return JsonOf(candidate); }

}  // namespace lamina::tuner
