#include "bench/tuner_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "bench/tuner_store.h"
#include "engine/store/tuner_tree.h"
#include "tuner/cost_model.h"

namespace lamina::bench {
namespace {

// One kind of operation in one tree.
struct Compared {
  std::string what;
  double measured = 0;
  double predicted = 0;
  [[nodiscard]] double error() const {
    return predicted == 0 ? 0 : (measured - predicted) / predicted;
  }
};

// A full tree: T^levels - 1 memtables.
uint64_t FullTree(uint32_t ratio) {
  const uint32_t levels = ratio == 2 ? 6 : ratio <= 4 ? 4 : 3;
  return static_cast<uint64_t>(std::llround(std::pow(ratio, levels))) - 1;
}

// Blocks read per lookup, all alike.
double ReadsPerLookup(TunerStore& store, const GridSettings& settings, const OperationMix& mix) {
  constexpr uint64_t kStep = 1000;
  const TunerStoreUse before = store.Use();
  TunerStoreUse used;
  do {
    store.Run(mix, kStep);
    used = store.Use() - before;
  } while (used.blocks_read < settings.enough_reads && used.operations < settings.most_lookups);
  return static_cast<double>(used.blocks_read) / static_cast<double>(used.operations);
}

std::vector<Compared> CompareCell(const GridSettings& settings, const std::string& shape,
                                  uint32_t ratio, double filter_bits) {
  const ScratchDirectory directory(settings.directory, "lamina-tuner-bench");
  const uint64_t batches = FullTree(ratio);
  TunerStoreSettings how;
  how.directory = directory / "store";
  how.shape = shape;
  how.size_ratio = ratio;
  how.filter_bits = filter_bits;
  how.shared_filter_bits = false;
  how.memtable_bytes =
      std::to_string(settings.memtable_entries * kMemtableBytesPerEntry / 1024) + "K";
  how.seed = settings.seed;
  how.live_entries = batches * settings.memtable_entries;
  TunerStore store(how);
  store.Fill();

  IndexStore& impl = store.store();
  const StoreCounters& counters = impl.counters();
  const tuner::TreeShape followed = TunerShape(impl.shape(), impl.batch_entries());
  const auto flushed = static_cast<double>(counters.entries_flushed);
  // Flushes and merges stand beside each other in the counters; what moves is copied by neither.
  const tuner::LevelHistory history = tuner::HistoryOfLevels(followed, batches);
  tuner::CostInputs inputs;
  inputs.curve = MeasuredFprCurve();
  inputs.facts.entry_bytes = static_cast<double>(impl.CurrentView()->tree->bytes()) /
                                 static_cast<double>(impl.CurrentView()->tree->entries()) -
                             filter_bits / 8;
  tuner::WorkloadMix stems;
  stems.stem_scan_entries = kStemPages;
  const tuner::Prediction predicted =
      tuner::PredictTree(inputs, stems, followed, TunerTree(*impl.CurrentView()->tree));
  const double copies = static_cast<double>(counters.compaction_entries_copied) / flushed;
  return {{"copies", copies, history.copies - history.moved},
          {"missing", ReadsPerLookup(store, settings, {.missing = 1}), predicted.missing_reads},
          {"existing", ReadsPerLookup(store, settings, {.existing = 1}), predicted.existing_reads},
          {"stems", ReadsPerLookup(store, settings, {.stems = 1}), predicted.stem_reads}};
}

}  // namespace

void WorstCell::Note(double error, const std::string& cell) {
  if (std::abs(error) <= std::abs(error_)) return;
  error_ = error;
  cell_ = cell;
}

nlohmann::ordered_json WorstCell::Report(nlohmann::ordered_json cells) const {
  fmt::print("largest error {:.1f} %: {}\n", 100 * error_, cell_);
  return {{"prediction_error_max", std::abs(error_)},
          {"worst_cell", cell_},
          {"worst_error", error_},
          {"cells", std::move(cells)}};
}

nlohmann::ordered_json RunGrid(const GridSettings& settings) {
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  WorstCell worst;
  fmt::print("{:<12}{:>5}", "predicted", "bits");
  for (const char* what : {"copies", "missing", "existing", "stems"})
    fmt::print("{:>10} {:>9} {:>7}", what, "measured", "error");
  fmt::print("\n");
  for (const uint32_t ratio : settings.size_ratios) {
    for (const char* shape : {"leveling", "lazy", "tiering"}) {
      for (const double bits : settings.filter_bits) {
        const std::string name = fmt::format("{}:{}", shape, ratio);
        nlohmann::ordered_json cell = {{"shape", name}, {"filter_bits", bits}};
        fmt::print("{:<12}{:>5}", name, bits);
        for (const Compared& one : CompareCell(settings, shape, ratio, bits)) {
          fmt::print("{:>10.4f} {:>9.4f} {:>6.1f}%", one.predicted, one.measured,
                     100 * one.error());
          cell[one.what] = {
              {"predicted", one.predicted}, {"measured", one.measured}, {"error", one.error()}};
          // Stems are seeks and walks within blocks, which no shape changes much.
          if (one.what == "stems") continue;
          worst.Note(one.error(), fmt::format("{} reads, {}, {} bits", one.what, name, bits));
        }
        fmt::print("\n");
        std::fflush(stdout);
        cells.push_back(std::move(cell));
      }
    }
  }
  return worst.Report(std::move(cells));
}

}  // namespace lamina::bench
