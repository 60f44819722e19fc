#include "engine/store/index_tuner.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "engine/base/json_writer.h"
#include "engine/store/tuner_tree.h"

namespace lamina {
namespace {

// Beyond this T nothing gains any more, and a search takes several times as long.
constexpr uint32_t kMostSizeRatio = 32;
// Sizes of a memtable that are tried, from a quarter of the largest to the largest.
constexpr uint32_t kMemtableSteps = 3;
// A last level that is fuller than the reverse of this does not stay where it is (picker.h,
// PickLift).
constexpr double kLevelHeadroom = 1.25;
// A new step's share in what is smoothed by steps.
constexpr double kStepWeight = 0.05;
// Far more than any number of decisions that is kept.
constexpr uint64_t kMostJournalBytes = uint64_t{16} << 20;

tuner::ControllerOptions ControllerOptionsOf(const IndexTunerOptions& options) noexcept {
  tuner::ControllerOptions controller;
  controller.observe_only = options.observe_only;
  controller.space = options.space;
  controller.window_operations = options.window_operations;
  return controller;
}

double Ratio(uint64_t part, uint64_t whole) noexcept {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

tuner::TreeShape TreeShapeOf(const IndexPlan& plan) noexcept {
  return TunerShape(plan.shape, static_cast<double>(kMemtables * plan.memtable_bytes));
}

IndexPlan PlanOf(const tuner::TreeShape& shape) noexcept {
  IndexPlan plan;
  plan.memtable_bytes = shape.memtable_bytes / kMemtables;
  plan.shape = {.size_ratio = shape.size_ratio,
                .run_caps = {shape.upper_runs.begin(), shape.upper_runs.end()},
                .last_run_cap = shape.last_runs};
  auto& caps = plan.shape.run_caps;
  while (caps.size() > 1 && caps[caps.size() - 2] == caps.back()) caps.pop_back();
  // By its name where it has one.
  if (caps.size() == 1 && caps.front() == plan.shape.last_run_cap) plan.shape.last_run_cap = 0;
  return plan;
}

tuner::SearchSpace SearchSpaceOf(const Options& options, uint64_t memtable_bytes) noexcept {
  using Policy = tuner::SearchSpace::Policy;
  tuner::SearchSpace space;
  switch (options.compaction) {
    case Options::Compaction::kAuto:
      space.policy = Policy::kAny;
      break;
    case Options::Compaction::kLeveling:
      space.policy = Policy::kLeveling;
      break;
    case Options::Compaction::kTiering:
      space.policy = Policy::kTiering;
      break;
    case Options::Compaction::kLazy:
      space.policy = Policy::kLazy;
      break;
  }
  space.max_size_ratio = kMostSizeRatio;
  if (options.size_ratio != 0) space.min_size_ratio = space.max_size_ratio = options.size_ratio;
  const uint64_t least = std::max(kLeastMemtableBytes, memtable_bytes / kLeastMemtableShare);
  space.min_memtable_bytes = kMemtables * std::min(memtable_bytes, least);
  space.max_memtable_bytes = kMemtables * memtable_bytes;
  space.memory_bytes = space.max_memtable_bytes;
  space.memtable_steps = kMemtableSteps;
  return space;
}

IndexTuner::IndexTuner(FileSystem& fs, IndexTunerOptions options,
                       const tuner::DeviceModel& reference, const IndexPlan& initial) noexcept
    : fs_(fs),
      options_(std::move(options)),
      reference_(reference),
      controller_(ControllerOptionsOf(options_), TreeShapeOf(initial)),
      random_window_(options_.window_operations),
      random_state_(options_.random_seed),
      journal_(options_.journal_blocks),
      plan_(initial) {
  summary_.device = reference;
}

std::string IndexTuner::Restore() noexcept {
  const std::lock_guard step_lock(step_mutex_);
  const std::lock_guard lock(mutex_);
  const auto exists = fs_.Exists(options_.journal_path);
  if (!exists.ok()) return options_.journal_path + ": " + std::string(exists.status().message());
  if (!*exists) return {};
  std::string bytes;
  const auto read = [&]() noexcept -> Status {
    LAMINA_ASSIGN_OR_RETURN(const auto file, fs_.Open(options_.journal_path, {}));
    LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    bytes.resize(std::min(size, kMostJournalBytes));
    return file->Read(0, std::as_writable_bytes(std::span(bytes)));
  };
  if (const Status status = read(); !status.ok()) {
    return "the tuner begins anew: " + std::string(status.message());
  }
  const auto report = journal_.Load(std::as_bytes(std::span(bytes)));
  if (const tuner::DecisionRecord* last = journal_.last()) {
    if (tuner::IsValid(last->device)) summary_.device = last->device;
    // The manifest says what shape the store has. Where the journal was left behind by a crash
    // between the two, its regrets are another shape's.
    const tuner::TreeShape present = TreeShapeOf(plan_);
    const tuner::TreeShape& left = tuner::ShapeAfter(*last);
    if (SameTree(tuner::WithMemory(left, present), present, tuner::kMaxLevels)) {
      controller_.Restore(*last);
      plan_ = PlanOf(controller_.target());
    }
  }
  if (report.damaged_blocks == 0) return {};
  return options_.journal_path + ": " + std::to_string(report.damaged_blocks) +
         " decisions could not be read";
}

// Where the store's plan is another than the controller's (it was set by hand, or the store could
// not adopt one), the controller begins anew from there.
void IndexTuner::FollowStore(const IndexPlan& plan) noexcept {
  const tuner::TreeShape shape = TreeShapeOf(plan);
  const tuner::TreeShape& target = controller_.target();
  if (PlanOf(target).memtable_bytes == plan.memtable_bytes &&
      tuner::SameTree(tuner::WithMemory(shape, target), target, tuner::kMaxLevels))
    return;
  controller_ = tuner::Controller(ControllerOptionsOf(options_), shape);
}

tuner::Controller::Input IndexTuner::InputOf(const Sample& sample) noexcept {
  const IndexUse& now = sample.use;
  tuner::Controller::Input input;
  input.counters = now.counters - last_.counters;
  input.tree = TunerTree(*sample.tree);
  input.memory_bytes = sample.memory_bytes;

  const auto tree_entries = static_cast<double>(sample.tree->entries());
  const auto all_live = static_cast<double>(sample.live_entries);
  const double live = std::min(tree_entries, all_live);
  if (tree_entries > 0) {
    const double table_bytes = static_cast<double>(sample.tree->bytes()) -
                               static_cast<double>(sample.tree->filter_bits()) / 8;
    const auto put = static_cast<double>(input.counters.puts_written);
    const double weight = std::min(1.0, 4 * put / tree_entries);
    if (put > 0 && live_entries_ > 0) {
      // A step may end between a put and the deaths that it brings: the next one makes up for it,
      // so neither is cut off at what is possible in the long run.
      const double deaths = std::clamp(1 - (all_live - live_entries_) / put, -1.0, 3.0);
      deaths_per_put_ += weight * (deaths - deaths_per_put_);
    }
    if (put > 0) live_entries_ = all_live;
    entry_bytes_ += (entry_bytes_ > 0 ? weight : 1) * (table_bytes / tree_entries - entry_bytes_);
  }
  const uint64_t blocks = now.blocks_read - last_.blocks_read;
  const uint64_t wanted = now.blocks_wanted - last_.blocks_wanted;
  if (wanted > 0) {
    const double weight = last_.blocks_wanted == 0 ? 1 : kStepWeight;
    const double hit_ratio = Ratio(now.blocks_cached - last_.blocks_cached, wanted);
    cache_hit_ratio_ += weight * (hit_ratio - cache_hit_ratio_);
  }

  tuner::CostInputs& costs = input.costs;
  costs.curve = MeasuredFprCurve();
  costs.facts.entries = std::max(1.0, live);
  costs.facts.deaths_per_put = std::clamp(deaths_per_put_, 0.0, 1.0);
  if (entry_bytes_ > 0) costs.facts.entry_bytes = entry_bytes_;
  costs.facts.memtable_entry_bytes = static_cast<double>(kMemtables * kMemtableBytesPerEntry);
  costs.facts.level_headroom = kLevelHeadroom;
  costs.facts.fixed_filter_bits = options_.fixed_filter_bits;
  costs.facts.cache_hit_ratio = cache_hit_ratio_;
  if (now.counters.puts_written > 0)
    costs.facts.page_bytes = Ratio(now.page_bytes_put, now.counters.puts_written);
  costs.device = tuner::Refreshed(summary_.device, reference_, sample.device);
  for (tuner::LevelState& level : input.tree.levels) level.cache_hit_ratio = cache_hit_ratio_;

  const auto checks = static_cast<double>(now.filter_checks - last_.filter_checks);
  input.measured_lookup_s = static_cast<double>(blocks) * costs.device.read_device_s +
                            checks * costs.facts.filter_check_s;
  input.measured_put_s = static_cast<double>(now.table_bytes_written - last_.table_bytes_written) /
                             costs.device.write_bytes_per_s +
                         static_cast<double>(now.table_bytes_read - last_.table_bytes_read) /
                             costs.device.read_bytes_per_s;
  last_ = now;
  return input;
}

IndexPlan IndexTuner::RandomPlan(const IndexPlan& present) noexcept {
  tuner::TreeShape memory = TreeShapeOf(present);
  tuner::TreeShape shape = tuner::RandomShape(&random_state_, memory);
  const auto pick = random_state_ >> 32;
  const uint64_t most = options_.space.max_memtable_bytes;
  shape.memtable_bytes = std::max(options_.space.min_memtable_bytes, most >> pick % 3);
  IndexPlan plan = PlanOf(shape);
  plan.eager = pick % 5 == 0;
  return plan;
}

std::optional<IndexPlan> IndexTuner::Step(const Sample& sample) noexcept {
  const std::lock_guard step_lock(step_mutex_);
  if (options_.random_seed != 0) {
    random_window_.Add(sample.use.counters - last_.counters);
    last_ = sample.use;
    if (!random_window_.full()) return std::nullopt;
    (void)random_window_.Take();
    const std::lock_guard lock(mutex_);
    ++summary_.windows;
    ++summary_.switches;
    return plan_ = RandomPlan(sample.plan);
  }
  FollowStore(sample.plan);
  const tuner::Controller::Input input = InputOf(sample);
  decided_ = controller_.Step(input);
  if (!decided_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  summary_.device = input.costs.device;
  summary_.facts = input.costs.facts;
  ++summary_.windows;
  summary_.searches += decided_->trigger == tuner::Trigger::kNone ? 0 : 1;
  if (decided_->outcome.verdict != tuner::Verdict::kSwitch || !decided_->applied)
    return std::nullopt;
  ++summary_.switches;
  plan_ = PlanOf(controller_.target());
  plan_.eager = decided_->outcome.eager;
  return plan_;
}

void IndexTuner::Conclude(bool adopted) noexcept {
  const std::lock_guard step_lock(step_mutex_);
  if (!decided_) return;
  decided_->applied = decided_->applied && adopted;
  const std::lock_guard lock(mutex_);
  for (const tuner::Journal::Write& write : journal_.Note(*decided_)) Write(write);
  decided_.reset();
}

void IndexTuner::Close() noexcept {
  const std::lock_guard lock(mutex_);
  if (const auto write = journal_.Finish()) Write(*write);
}

// Under mutex_.
void IndexTuner::Write(const tuner::Journal::Write& write) noexcept {
  const auto put = [&]() noexcept -> Status {
    if (file_ == nullptr) {
      LAMINA_ASSIGN_OR_RETURN(
          file_, fs_.Open(options_.journal_path, FileOpen{.write = true, .create = true}));
    }
    LAMINA_RETURN_IF_ERROR(file_->Write(write.file_offset, std::as_bytes(std::span(write.block))));
    return file_->Sync();
  };
  if (put().ok()) return;
  ++summary_.journal_failures;
  file_.reset();
}

IndexPlan IndexTuner::plan() const noexcept {
  const std::lock_guard lock(mutex_);
  return plan_;
}

IndexTuner::Summary IndexTuner::summary() const noexcept {
  const std::lock_guard lock(mutex_);
  return summary_;
}

std::string IndexTuner::ToJson(size_t limit) const noexcept {
  const std::lock_guard lock(mutex_);
  JsonWriter json;
  json.BeginObject()
      .Field("mode", options_.random_seed != 0 ? "random"
                     : options_.observe_only   ? "observe"
                                               : "on")
      .Field("shape", plan_.shape.ToString())
      .Field("memtable_bytes", plan_.memtable_bytes)
      .Field("window_operations", options_.window_operations)
      .Field("windows", summary_.windows)
      .Field("searches", summary_.searches)
      .Field("switches", summary_.switches)
      .Field("journal_failures", summary_.journal_failures);
  json.Key("device")
      .BeginObject()
      .Field("read_latency_s", summary_.device.read_latency_s)
      .Field("read_device_s", summary_.device.read_device_s)
      .Field("read_bytes_per_s", summary_.device.read_bytes_per_s)
      .Field("write_bytes_per_s", summary_.device.write_bytes_per_s)
      .End();
  json.End();
  std::string text = json.Take();
  text.back() = ',';
  return text + journal_.ToJson(limit).substr(1);
}

}  // namespace lamina
