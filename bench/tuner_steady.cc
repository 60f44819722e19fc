#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "bench/tuner_grid.h"
#include "engine/store/tuner_tree.h"
#include "tuner/cost_model.h"

namespace lamina::bench {
namespace {

constexpr OperationMix kMix = {.puts = .5, .missing = .25, .existing = .25};
// Of the entries that live, how many times each is put anew: before anything is counted, and while
// it is.
constexpr uint64_t kWarmUpTurnovers = 2;
constexpr uint64_t kTurnovers = 4;

struct Costs {
  double put_s = 0;     // merges and flushes
  double lookup_s = 0;  // blocks read
  [[nodiscard]] double all_s() const { return put_s + lookup_s; }
};

// Of a store's use, per operation.
Costs MeasuredOf(const TunerStoreUse& use, const tuner::DeviceModel& device) {
  const auto operations = static_cast<double>(use.operations);
  const double lookups = static_cast<double>(use.blocks_read) * device.read_device_s;
  return {.put_s = (use.DeviceSeconds(device) - lookups) / operations,
          .lookup_s = lookups / operations};
}

tuner::WorkloadCounters CountersOf(const TunerStore& store) {
  const StoreCounters& counters = store.store().counters();
  return {.puts_written = counters.pages_put,
          .lookups_missing = counters.lookups_missing,
          .lookups_existing = counters.lookups_existing,
          .missing_stems = counters.missing_stems,
          .missing_stem_entries = counters.missing_stem_pages};
}

struct SteadyCell {
  Costs predicted;
  Costs measured;
  double runs = 0;  // at the end
  double predicted_runs = 0;
};

SteadyCell RunCell(TunerStoreSettings how) {
  const ScratchDirectory directory(how.directory, "lamina-tuner-bench");
  how.directory = directory / "store";
  how.mode = TunerStoreSettings::Mode::kObserve;
  TunerStore store(how);
  store.Fill();
  const auto turnover = static_cast<uint64_t>(static_cast<double>(how.live_entries) / kMix.puts);
  store.Run(kMix, kWarmUpTurnovers * turnover);

  const TunerStoreUse before = store.Use();
  const tuner::WorkloadCounters counted = CountersOf(store);
  store.Run(kMix, kTurnovers * turnover);
  const TunerStoreUse use = store.Use() - before;
  const tuner::WorkloadCounters counters = CountersOf(store) - counted;

  IndexStore& impl = store.store();
  tuner::CostInputs inputs;
  inputs.facts = impl.tuner()->summary().facts;
  inputs.facts.filter_check_s = 0;  // CPU is not counted
  inputs.device = how.device;
  inputs.curve = MeasuredFprCurve();
  tuner::TreeShape shape = TreeShapeOf(impl.tuner()->plan());
  shape.filter_bits = static_cast<uint64_t>(how.filter_bits * inputs.facts.entries);
  tuner::WorkloadMix mix = MixOf(counters);
  mix.put_lookups = 0;  // they are among the lookups
  const tuner::Prediction predicted = PredictShape(inputs, mix, shape);
  SteadyCell cell;
  // Per operation of the bench: lookups that puts make are none.
  const double scale =
      static_cast<double>(counters.operations()) / static_cast<double>(use.operations);
  cell.predicted = {.put_s = predicted.put_s * scale,
                    .lookup_s = (predicted.missing_s + predicted.existing_s) * scale};
  cell.measured = MeasuredOf(use, how.device);
  cell.runs = static_cast<double>(impl.CurrentView()->tree->run_count());
  cell.predicted_runs = predicted.missing_checks;
  return cell;
}

double ErrorOf(double measured, double predicted) { return (measured - predicted) / predicted; }

}  // namespace

nlohmann::ordered_json RunSteady(const TunerStoreSettings& settings,
                                 const std::vector<uint32_t>& size_ratios) {
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  WorstCell worst;
  fmt::print("{:<12}", "us/op");
  for (const char* what : {"puts", "lookups", "both"})
    fmt::print("{:>10} {:>9} {:>7}", what, "measured", "error");
  fmt::print("{:>8}{:>8}\n", "runs", "at end");
  for (const uint32_t ratio : size_ratios) {
    for (const char* shape : {"leveling", "lazy", "tiering"}) {
      if (ratio == 2 && std::string_view(shape) != "leveling") continue;
      TunerStoreSettings how = settings;
      how.shape = shape;
      how.size_ratio = ratio;
      const SteadyCell cell = RunCell(how);
      const std::string name = fmt::format("{}:{}", shape, ratio);
      fmt::print("{:<12}", name);
      const auto print = [](double predicted, double measured) {
        fmt::print("{:>10.3f} {:>9.3f} {:>6.1f}%", predicted * 1e6, measured * 1e6,
                   100 * ErrorOf(measured, predicted));
      };
      print(cell.predicted.put_s, cell.measured.put_s);
      print(cell.predicted.lookup_s, cell.measured.lookup_s);
      print(cell.predicted.all_s(), cell.measured.all_s());
      fmt::print("{:>8.1f}{:>8.0f}\n", cell.predicted_runs, cell.runs);
      std::fflush(stdout);
      const double error = ErrorOf(cell.measured.all_s(), cell.predicted.all_s());
      cells.push_back({{"shape", name},
                       {"predicted_put_s", cell.predicted.put_s},
                       {"measured_put_s", cell.measured.put_s},
                       {"predicted_lookup_s", cell.predicted.lookup_s},
                       {"measured_lookup_s", cell.measured.lookup_s},
                       {"error", error}});
      worst.Note(error, name);
    }
  }
  return worst.Report(std::move(cells));
}

}  // namespace lamina::bench
