#include "bench/tuner_schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <limits>
#include <thread>

namespace lamina::bench {
namespace {

using Mode = TunerStoreSettings::Mode;

constexpr OperationMix kWrites = {.puts = .91, .missing = .03, .existing = .03, .stems = .03};
constexpr OperationMix kReads = {.puts = .03, .missing = .47, .existing = .47, .stems = .03};

// One store over one schedule.
struct Outcome {
  std::string name;
  TunerStoreUse use;
  std::vector<double> phase_s;  // device
  double device_s = 0;
  double put_us_p99 = 0;
  // Mean operations from a phase's beginning to its last switch, of the phases that had one.
  double operations_to_adapt = 0;
  // What lamina_explain says of the tuner's last decisions.
  nlohmann::ordered_json explained;
};

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

Outcome RunVariant(const ScheduleSettings& settings, const Schedule& schedule,
                   const std::string& name, TunerStoreSettings how) {
  const ScratchDirectory directory(settings.store.directory, "lamina-tuner-bench");
  how.directory = directory / "store";
  TunerStore store(how);
  store.Fill();
  store.Run(schedule.phases.front().mix, settings.warm_up_operations);
  (void)store.TakePutTimes();

  Outcome outcome;
  outcome.name = name;
  const TunerStoreUse before = store.Use();
  uint64_t adapted_phases = 0;
  for (const Phase& phase : schedule.phases) {
    const TunerStoreUse phase_before = store.Use();
    uint64_t switches = phase_before.switches;
    uint64_t adapted_after = 0;
    for (uint64_t done = 0; done < phase.operations;) {
      const uint64_t step = std::min(how.window_operations, phase.operations - done);
      store.Run(phase.mix, step);
      done += step;
      const uint64_t now = store.Use().switches;
      if (now != switches) adapted_after = done;
      switches = now;
    }
    if (adapted_after > 0) {
      ++adapted_phases;
      outcome.operations_to_adapt += static_cast<double>(adapted_after);
    }
    outcome.phase_s.push_back((store.Use() - phase_before).DeviceSeconds(how.device));
  }
  outcome.use = store.Use() - before;
  outcome.device_s = outcome.use.DeviceSeconds(how.device);
  outcome.put_us_p99 = Quantile(store.TakePutTimes(), .99);
  if (how.mode == Mode::kTuner)
    outcome.explained = nlohmann::ordered_json::parse(store.store().Explain())["tuner"];
  if (adapted_phases > 0) outcome.operations_to_adapt /= static_cast<double>(adapted_phases);
  return outcome;
}

struct Variant {
  std::string name;
  TunerStoreSettings how;
};

std::vector<Variant> MakeVariants(const ScheduleSettings& settings) {
  std::vector<Variant> variants;
  for (const uint32_t ratio : settings.size_ratios) {
    for (const char* shape : {"leveling", "lazy", "tiering"}) {
      // With two batches a level there is one shape.
      if (ratio == 2 && std::string_view(shape) != "leveling") continue;
      TunerStoreSettings how = settings.store;
      how.shape = shape;
      how.size_ratio = ratio;
      variants.push_back({fmt::format("{}:{}", shape, ratio), how});
    }
  }
  TunerStoreSettings how = settings.store;
  // What a store does by default.
  how.shape = "lazy";
  how.size_ratio = 10;
  const bool has_default = std::any_of(variants.begin(), variants.end(),
                                       [](const Variant& v) { return v.name == "lazy:10"; });
  if (!has_default) variants.push_back({"lazy:10", how});
  how.mode = Mode::kTuner;
  variants.push_back({"tuner", how});
  how.mode = Mode::kRandom;
  variants.push_back({"random", how});
  if (!settings.variants.empty()) {
    std::erase_if(variants, [&](const Variant& v) {
      return std::find(settings.variants.begin(), settings.variants.end(), v.name) ==
             settings.variants.end();
    });
  }
  return variants;
}

std::vector<Outcome> RunAll(const ScheduleSettings& settings, const Schedule& schedule) {
  const std::vector<Variant> variants = MakeVariants(settings);
  std::vector<Outcome> outcomes(variants.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < variants.size(); i = next++)
      outcomes[i] = RunVariant(settings, schedule, variants[i].name, variants[i].how);
  };
  std::vector<std::thread> workers;
  for (uint32_t i = 0; i < std::max(1u, settings.threads); ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  return outcomes;
}

nlohmann::ordered_json ToJson(const Outcome& o) {
  const auto operations = static_cast<double>(o.use.operations);
  return {{"name", o.name},
          {"operations", o.use.operations},
          {"device_us_per_operation", o.device_s / operations * 1e6},
          {"blocks_read_per_operation", static_cast<double>(o.use.blocks_read) / operations},
          {"filter_checks_per_operation", static_cast<double>(o.use.filter_checks) / operations},
          {"bytes_written_per_operation", static_cast<double>(o.use.bytes_written) / operations},
          {"merge_bytes_read_per_operation", static_cast<double>(o.use.bytes_read) / operations},
          {"wall_us_per_operation", o.use.wall_s / operations * 1e6},
          {"put_us_p99", o.put_us_p99},
          {"switches", o.use.switches},
          {"operations_to_adapt", o.operations_to_adapt},
          {"transition_bytes", o.use.eager_bytes},
          {"explained", o.explained}};
}

}  // namespace

std::vector<Schedule> MakeSchedules(uint64_t operations, uint64_t window_operations) {
  std::vector<Schedule> schedules;
  Schedule& stages = schedules.emplace_back(Schedule{"stages", {}});
  for (const double hits : {.1, .3, .5, .7, .5, .3, .1}) {
    stages.phases.push_back(
        {{.puts = (1 - hits) / 2, .missing = (1 - hits) / 2, .existing = hits}, operations / 7});
  }
  // Between each two neighbours of the four in six steps.
  Schedule& ring = schedules.emplace_back(Schedule{"ring", {}});
  constexpr double OperationMix::*kOperations[] = {&OperationMix::puts, &OperationMix::existing,
                                                   &OperationMix::missing, &OperationMix::stems};
  for (int from = 0; from < 4; ++from) {
    for (int step = 0; step < 6; ++step) {
      OperationMix mix = {.03, .03, .03, .03};
      mix.*kOperations[from] += .88 * (6 - step) / 6;
      mix.*kOperations[(from + 1) % 4] += .88 * step / 6;
      ring.phases.push_back({mix, operations / 24});
    }
  }
  Schedule& far = schedules.emplace_back(Schedule{"far", {}});
  for (int i = 0; i < 4; ++i) far.phases.push_back({i % 2 == 0 ? kWrites : kReads, operations / 4});
  Schedule& flutter = schedules.emplace_back(Schedule{"flutter", {}});
  for (uint64_t i = 0; i < operations / window_operations; ++i)
    flutter.phases.push_back({i % 2 == 0 ? kWrites : kReads, window_operations});
  schedules.push_back(
      {"constant", {{{.puts = .45, .missing = .25, .existing = .25, .stems = .05}, operations}}});
  return schedules;
}

nlohmann::ordered_json RunSchedule(const ScheduleSettings& settings, const Schedule& schedule) {
  const std::vector<Outcome> outcomes = RunAll(settings, schedule);
  const Outcome* best = nullptr;
  const Outcome* worst = nullptr;
  const Outcome* tuned = nullptr;
  std::vector<double> oracle(schedule.phases.size(), std::numeric_limits<double>::max());
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  fmt::print("\n{}\n{:<12}{:>12}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}\n", schedule.name, "",
             "device us/op", "reads/op", "written/op", "switches", "adapt ops", "put p99",
             "wall us");
  for (const Outcome& o : outcomes) {
    const auto operations = static_cast<double>(o.use.operations);
    fmt::print("{:<12}{:>12.3f}{:>12.3f}{:>12.1f}{:>10}{:>10.0f}{:>10.0f}{:>10.2f}\n", o.name,
               o.device_s / operations * 1e6, static_cast<double>(o.use.blocks_read) / operations,
               static_cast<double>(o.use.bytes_written) / operations, o.use.switches,
               o.operations_to_adapt, o.put_us_p99, o.use.wall_s / operations * 1e6);
    rows.push_back(ToJson(o));
    if (o.name == "tuner") tuned = &o;
    if (o.name == "tuner" || o.name == "random") continue;
    if (best == nullptr || o.device_s < best->device_s) best = &o;
    if (worst == nullptr || o.device_s > worst->device_s) worst = &o;
    for (size_t i = 0; i < oracle.size(); ++i) oracle[i] = std::min(oracle[i], o.phase_s[i]);
  }
  if (best == nullptr || tuned == nullptr)
    RequireOk(Status::InvalidArgument("the tuner needs a static shape beside it"), "--variants");
  double oracle_s = 0;
  for (const double phase_s : oracle) oracle_s += phase_s;
  const double regret = tuned->device_s / best->device_s - 1;
  const double oracle_regret = tuned->device_s / oracle_s - 1;
  const double gain = worst->device_s / tuned->device_s;
  fmt::print(
      "best static {}, worst {}; the tuner: {:+.1f} % against the best, {:+.1f} % against a free "
      "choice per phase, {:.2f} times better than the worst\n",
      best->name, worst->name, 100 * regret, 100 * oracle_regret, gain);
  std::fflush(stdout);
  return {{"schedule", schedule.name},         {"best_static", best->name},
          {"worst_static", worst->name},       {"regret_vs_best_static", regret},
          {"regret_vs_oracle", oracle_regret}, {"gain_vs_worst_static", gain},
          {"switches", tuned->use.switches},   {"variants", std::move(rows)}};
}

}  // namespace lamina::bench
