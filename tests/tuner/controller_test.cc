#include "tuner/controller.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <random>
#include <vector>

#include "tests/tuner/growing_tree.h"
#include "tests/tuner/random_seed.h"

namespace lamina::tuner {
namespace {

constexpr uint64_t kMemtableBytes = 40 * 1000;
constexpr uint64_t kEntries = 400000;
constexpr double kMeanEntries = 1.2 * kEntries;  // with the dead that merges have not met yet
constexpr uint64_t kWindow = 10000;

// Shares of puts, missing and existing lookups, stem and long scans.
using Shares = std::array<double, 5>;
constexpr Shares kWrites = {0.90, 0.04, 0.03, 0.02, 0.01};
constexpr Shares kReads = {0.04, 0.50, 0.40, 0.05, 0.01};
constexpr Shares kBoth = {0.45, 0.25, 0.24, 0.05, 0.01};

WorkloadCounters Draw(std::mt19937_64* random, const Shares& shares) {
  // A multinomial draw, class by class.
  std::array<uint64_t, 5> drawn{};
  uint64_t left = kWindow;
  double share_left = 1;
  for (size_t i = 0; i < shares.size(); ++i) {
    std::binomial_distribution<uint64_t> count(left, std::min(1.0, shares[i] / share_left));
    drawn[i] = i + 1 == shares.size() ? left : count(*random);
    left -= drawn[i];
    share_left -= shares[i];
  }
  return {.puts_written = drawn[0],
          .lookups_missing = drawn[1],
          .lookups_existing = drawn[2],
          .stem_scans = drawn[3],
          .stem_scan_entries = drawn[3] * 64,
          .long_scans = drawn[4],
          .long_scan_entries = drawn[4] * 500};
}

ControllerOptions SmallOptions() {
  ControllerOptions options;
  options.space.min_memtable_bytes = kMemtableBytes;
  options.space.max_memtable_bytes = kMemtableBytes;
  options.space.memory_bytes = kMemtableBytes + kEntries * 3 / 8;  // three bits per entry
  options.space.max_size_ratio = 16;
  options.window_operations = kWindow;
  return options;
}

// A drive whose writes are dear, so that both sides of the trade count.
DeviceModel SlowDevice() {
  DeviceModel device;
  device.write_bytes_per_s = 0.6e9;
  device.read_bytes_per_s = 2e9;
  return device;
}

TreeShape WithSmallMemory(TreeShape shape) {
  shape.memtable_bytes = kMemtableBytes;
  shape.filter_bits = kEntries * 3;
  return shape;
}

// A store of constant size in which everything costs what the model's prices say about the real
// runs: a mix drives a tree that follows a shape, with or without a controller.
class SimulatedStore {
 public:
  explicit SimulatedStore(const TreeShape& shape) : tree_(WithSmallMemory(shape)) {
    tree_.max_entries = kEntries;
    for (uint64_t i = 0; i < 2 * kEntries / tree_.MemtableEntries(); ++i) tree_.Flush();
    Settle();
  }

  void StartController(const ControllerOptions& options) {
    controller_.emplace(options, tree_.shape);
  }

  // One window of operations. Returns the decision, if there is a controller.
  std::optional<DecisionRecord> Run(const WorkloadCounters& counters) {
    pending_puts_ += counters.puts_written;
    while (pending_puts_ >= tree_.MemtableEntries()) {
      pending_puts_ -= tree_.MemtableEntries();
      tree_.Flush();
    }
    const CostInputs costs = Costs();
    const TreeState state = tree_.State();
    const Prediction now = PredictTree(costs, MixOf(counters), tree_.shape, state);
    const double lookups_s = (now.index_s - now.put_s) * static_cast<double>(counters.operations());
    cost_s_ += lookups_s + MovedSeconds(costs);
    if (!controller_) return std::nullopt;
    std::optional<DecisionRecord> record = controller_->Step(
        {.counters = counters, .tree = state, .costs = costs, .measured_lookup_s = lookups_s});
    tree_.shape = controller_->target();
    if (record && record->outcome.eager) tree_.ApplyShape();
    return record;
  }

  double cost_s() const { return cost_s_; }
  Controller& controller() { return *controller_; }
  const GrowingTree& tree() const { return tree_; }

 private:
  CostInputs Costs() const {
    CostInputs costs;
    costs.facts.entries = kMeanEntries;
    costs.device = SlowDevice();
    return costs;
  }
  // Flushes and merges since the last call.
  double MovedSeconds(const CostInputs& costs) {
    const double written = static_cast<double>(tree_.written_entries - written_) * 40;
    const double read = static_cast<double>(tree_.read_entries - read_) * 40;
    Settle();
    return written / costs.device.write_bytes_per_s + read / costs.device.read_bytes_per_s;
  }
  void Settle() {
    written_ = tree_.written_entries;
    read_ = tree_.read_entries;
  }

  GrowingTree tree_;
  std::optional<Controller> controller_;
  uint64_t pending_puts_ = 0;
  uint64_t written_ = 0;
  uint64_t read_ = 0;
  double cost_s_ = 0;
};

using Schedule = std::function<Shares(int window)>;

double RunSchedule(SimulatedStore* store, const Schedule& schedule, int windows, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < windows; ++i) (void)store->Run(Draw(&random, schedule(i)));
  return store->cost_s();
}

// The best and worst of a grid of shapes kept throughout.
struct StaticCosts {
  double best = 1e9;
  double worst = 0;
};
StaticCosts RunStatically(const Schedule& schedule, int windows, uint64_t seed) {
  StaticCosts costs;
  for (const uint32_t ratio : {3u, 4u, 6u, 9u, 13u}) {
    for (const TreeShape& shape : {LevelingShape(ratio), LazyShape(ratio), TieringShape(ratio)}) {
      SimulatedStore store(shape);
      const double cost = RunSchedule(&store, schedule, windows, seed);
      costs.best = std::min(costs.best, cost);
      costs.worst = std::max(costs.worst, cost);
    }
  }
  return costs;
}

TEST_CASE(
    "a constant mix switches to the best shape at most once, and then never in 10^6 operations") {
  LAMINA_TUNER_SEED(seed, 10);
  for (const Shares& mix : {kWrites, kReads, kBoth}) {
    SimulatedStore store(LazyShape(8));
    store.StartController(SmallOptions());
    std::mt19937_64 random(seed);
    for (int i = 0; i < 100; ++i) (void)store.Run(Draw(&random, mix));
    const uint64_t first = store.controller().switches();
    CHECK(first <= 1);
    for (int i = 0; i < 100; ++i) (void)store.Run(Draw(&random, mix));
    CHECK(store.controller().switches() == first);
    CHECK(store.controller().searches() == 1);
  }
}

TEST_CASE("from the best shape a constant mix never switches in 10^6 operations") {
  LAMINA_TUNER_SEED(seed, 11);
  std::mt19937_64 random(seed);
  for (const Shares& mix : {kWrites, kReads, kBoth}) {
    const ControllerOptions options = SmallOptions();
    CostInputs costs;
    costs.facts.entries = kMeanEntries;
    costs.device = SlowDevice();
    const SearchResult best = FindBestShapes(costs, MixOf(Draw(&random, mix)), options.space);
    SimulatedStore store(best.best[0].shape);
    store.StartController(options);
    for (int i = 0; i < 100; ++i) (void)store.Run(Draw(&random, mix));
    CHECK(store.controller().switches() == 0);
  }
}

TEST_CASE("the shape follows the mix when it moves far and stays") {
  LAMINA_TUNER_SEED(seed, 12);
  const auto schedule = [](int window) { return window / 300 % 2 == 0 ? kWrites : kReads; };
  constexpr int kWindows = 1200;
  SimulatedStore store(LazyShape(8));
  store.StartController(SmallOptions());
  const double cost = RunSchedule(&store, schedule, kWindows, seed);
  const StaticCosts fixed = RunStatically(schedule, kWindows, seed);
  INFO("cost " << cost << ", best static " << fixed.best << ", worst " << fixed.worst << ", "
               << store.controller().switches() << " switches");
  CHECK(store.controller().switches() >= 3);
  CHECK(cost < 0.95 * fixed.best);
  CHECK(cost < fixed.worst / 1.5);
}

TEST_CASE("an alternation faster than break-even costs little more than the best static shape") {
  LAMINA_TUNER_SEED(seed, 13);
  for (const int phase : {1, 4}) {
    const auto schedule = [phase](int window) {
      return window / phase % 2 == 0 ? kWrites : kReads;
    };
    constexpr int kWindows = 240;
    SimulatedStore store(LazyShape(8));
    store.StartController(SmallOptions());
    const double cost = RunSchedule(&store, schedule, kWindows, seed);
    const StaticCosts fixed = RunStatically(schedule, kWindows, seed);
    INFO("phase " << phase << ": cost " << cost << ", best static " << fixed.best << ", "
                  << store.controller().switches() << " switches");
    CHECK(cost <= 1.1 * fixed.best);
    CHECK(store.controller().switches() <= 4);
  }
}

TEST_CASE("observing decides the same and changes nothing") {
  LAMINA_TUNER_SEED(seed, 14);
  ControllerOptions options = SmallOptions();
  options.observe_only = true;
  SimulatedStore store(TieringShape(8));
  store.StartController(options);
  const TreeShape before = store.controller().target();
  std::mt19937_64 random(seed);
  int would_switch = 0;
  for (int i = 0; i < 50; ++i) {
    const std::optional<DecisionRecord> record = store.Run(Draw(&random, kReads));
    REQUIRE(record);
    CHECK_FALSE(record->applied);
    would_switch += record->outcome.verdict == Verdict::kSwitch ? 1 : 0;
  }
  CHECK(would_switch > 0);
  CHECK(store.controller().switches() == 0);
  CHECK(store.controller().target() == before);
}

TEST_CASE("no decision comes before the window is full") {
  ControllerOptions options = SmallOptions();
  Controller controller(options, WithSmallMemory(LazyShape(8)));
  Controller::Input input;
  input.costs.facts.entries = kMeanEntries;
  input.counters.lookups_missing = kWindow / 2;
  CHECK_FALSE(controller.Step(input));
  const std::optional<DecisionRecord> record = controller.Step(input);
  REQUIRE(record);
  CHECK(record->counters.lookups_missing == kWindow);
  CHECK(record->trigger == Trigger::kFirst);
  CHECK_FALSE(controller.Step(input));
}

// What a store with this tree reports for one window.
Controller::Input WindowOf(const Shares& shares, const TreeShape& shape, uint64_t seed) {
  GrowingTree tree(WithSmallMemory(shape));
  tree.max_entries = kEntries;
  for (uint64_t i = 0; i < kEntries / tree.MemtableEntries() - 1; ++i) tree.Flush();
  std::mt19937_64 random(seed);
  Controller::Input input;
  input.counters = Draw(&random, shares);
  input.tree = tree.State();
  input.costs.facts.entries = kMeanEntries;
  input.costs.device = SlowDevice();
  return input;
}

TEST_CASE("a restart goes on with the shape, the regret and the dwell of the last record") {
  const Controller::Input input = WindowOf(kWrites, LevelingShape(8), 15);
  Controller first(SmallOptions(), WithSmallMemory(LevelingShape(8)));
  const std::optional<DecisionRecord> record = first.Step(input);
  REQUIRE(record);
  REQUIRE(record->outcome.verdict == Verdict::kAccumulating);
  REQUIRE(record->outcome.regret_after_s > 0);

  Controller second(SmallOptions(), WithSmallMemory(LazyShape(3)));
  second.Restore(*record);
  CHECK(second.target().size_ratio == 8);
  const std::optional<DecisionRecord> went_on = first.Step(input);
  const std::optional<DecisionRecord> restarted = second.Step(input);
  REQUIRE(went_on);
  REQUIRE(restarted);
  CHECK(restarted->trigger == Trigger::kFirst);
  CHECK(restarted->inputs.regret_before_s == Approx(went_on->inputs.regret_before_s));
  CHECK(restarted->inputs.dwell_entries == went_on->inputs.dwell_entries);
  CHECK(restarted->outcome.verdict == went_on->outcome.verdict);
}

TEST_CASE("a restart after a switch starts in the new shape without regret") {
  Controller first(SmallOptions(), WithSmallMemory(TieringShape(8)));
  const Controller::Input input = WindowOf(kReads, TieringShape(8), 16);
  std::optional<DecisionRecord> record;
  for (int i = 0; i < 50 && first.switches() == 0; ++i) record = first.Step(input);
  REQUIRE(record);
  REQUIRE(record->outcome.verdict == Verdict::kSwitch);
  Controller second(SmallOptions(), WithSmallMemory(TieringShape(8)));
  second.Restore(*record);
  CHECK(second.target() == first.target());
  // Observed only: the shape is still the old one.
  record->applied = false;
  Controller third(SmallOptions(), WithSmallMemory(LazyShape(3)));
  third.Restore(*record);
  CHECK(third.target() == WithSmallMemory(TieringShape(8)));
}

TEST_CASE("pins that changed over a restart win over the journal") {
  Controller first(SmallOptions(), WithSmallMemory(TieringShape(8)));
  const std::optional<DecisionRecord> record = first.Step(WindowOf(kReads, TieringShape(8), 17));
  REQUIRE(record);
  ControllerOptions pinned = SmallOptions();
  pinned.space.policy = SearchSpace::Policy::kLeveling;
  pinned.space.min_size_ratio = pinned.space.max_size_ratio = 5;
  Controller second(pinned, WithSmallMemory(LevelingShape(5)));
  second.Restore(*record);
  CHECK(second.target() == WithSmallMemory(LevelingShape(5)));
  const std::optional<DecisionRecord> after = second.Step(WindowOf(kReads, LevelingShape(5), 17));
  REQUIRE(after);
  // Nothing else is allowed: the present shape stands alone.
  REQUIRE(after->candidates.size() == 1);
  CHECK(after->candidates[0] == after->current);
  CHECK(after->outcome.verdict == Verdict::kKeep);
}

TEST_CASE("a lookup that costs twice what was predicted is seen in the record") {
  Controller controller(SmallOptions(), WithSmallMemory(LazyShape(8)));
  Controller::Input input = WindowOf(kReads, LazyShape(8), 18);
  const std::optional<DecisionRecord> first = controller.Step(input);
  REQUIRE(first);
  CHECK(first->measured.measured_s == 0);
  CHECK(first->measured.predicted_s == Approx(first->present.index_s - first->present.put_s));
  input.measured_lookup_s = 2 * first->measured.predicted_s * kWindow;
  const std::optional<DecisionRecord> second = controller.Step(input);
  REQUIRE(second);
  CHECK(second->error_mean_ratio == Approx(2));
}

}  // namespace
}  // namespace lamina::tuner
