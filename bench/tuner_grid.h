// Predicted beside measured, over shapes, size ratios and filter sizes: each operation alone.
#ifndef LAMINA_BENCH_TUNER_GRID_H_
#define LAMINA_BENCH_TUNER_GRID_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/tuner_store.h"

namespace lamina::bench {

struct GridSettings {
  std::string directory;
  std::vector<uint32_t> size_ratios = {2, 4, 10};
  std::vector<double> filter_bits = {1, 2, 5, 10};
  // Entries of a full memtable; the tree is as many of these as fill three levels (T = 10) or more.
  uint64_t memtable_entries = 1024;
  // Lookups go on until so many blocks have been read, or `most_lookups` were made.
  uint64_t enough_reads = 4000;
  uint64_t most_lookups = 200000;
  uint64_t seed = 1;
};

// The cell whose prediction is furthest off.
class WorstCell {
 public:
  void Note(double error, const std::string& cell);
  // Prints it: {"prediction_error_max": ..., "worst_cell": ..., "worst_error": ..., "cells": [...]}
  [[nodiscard]] nlohmann::ordered_json Report(nlohmann::ordered_json cells) const;

 private:
  double error_ = 0;
  std::string cell_;
};

// {"cells": [...], "prediction_error_max": ..., "worst_cell": ...}; a line for each cell is
// printed. Errors are (measured - predicted) / predicted.
nlohmann::ordered_json RunGrid(const GridSettings& settings);

// Predicted for a shape at its mean, which is what the tuner compares, beside what a store costs
// that keeps that shape while entries die as fast as they come: device time per operation.
// {"cells": [...], "prediction_error_max": ..., ...}; a line for each cell is printed.
nlohmann::ordered_json RunSteady(const TunerStoreSettings& settings,
                                 const std::vector<uint32_t>& size_ratios);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_TUNER_GRID_H_
