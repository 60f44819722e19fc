// Predicts what an operation costs the device, for the tree as it is and for any other shape.
//
// Costs are device seconds per operation of the mix, split by cause. Puts: each entry is written
// once to the journal, and once per copy that flushes and merges make of it. Lookups: one block per
// run whose filter says yes. The engine asks all filters first and reads those blocks at the same
// time: a lookup waits once, and one that finds its page has read, in vain, from older runs as well
// as from newer ones. Scans: one block per run, and the bytes walked. Block reads that the cache
// serves cost nothing. Sources: Monkey, Dostoevsky, K-LSM/Endure, adapted to the engine's own spill
// rule (tree_shape.h), under which these formulas are exact and not bounds.
//
// A candidate is priced at its mean over a fill cycle; the present tree is priced from its real
// runs. Pure.
#ifndef LAMINA_TUNER_COST_MODEL_H_
#define LAMINA_TUNER_COST_MODEL_H_

#include <array>
#include <cstdint>
#include <vector>

#include "tuner/device_model.h"
#include "tuner/fpr_curve.h"
#include "tuner/tree_shape.h"
#include "tuner/workload_window.h"

namespace lamina::tuner {

// What does not depend on the shape.
struct StoreFacts {
  // N, live entries in the index. The dead that merges have not met yet are not among them: they
  // depend on the shape, and a number that swings as merges drop them would make the tuner swing.
  double entries = 0;
  double entry_bytes = 40;  // on disk, in a table, without filter
  // Memory of the memtables (TreeShape::memtable_bytes) per entry of one that is full: a batch is
  // the quotient.
  double memtable_entry_bytes = 40;
  // Entries that die per entry put: 0 while a store grows, 1 in one that stays as large as it is.
  double deaths_per_put = 0;
  // Where entries die, the last level of a candidate has room for so many times N, or it would
  // spill again and again (kTieredHeadroom where it may have several runs). 1: a tree that only
  // grows.
  double level_headroom = 1;
  double journal_bytes = 50;  // per put; 0 without a journal
  double block_bytes = 4096;
  // Not negative: every run gets so many filter bits per entry, instead of its share of the budget.
  double fixed_filter_bits = -1;
  double page_bytes = 0;  // tensor bytes per put; 0 for entries only
  double log_write_amplification = 1;
  double cache_hit_ratio = 0;  // of index block reads, for candidates
  double stem_runs = 1;        // mean number of runs that hold a part of one stem
  // CPU per entry merged, as part of what a switch costs: about 0.2 us, at a tenth, because merges
  // run on cores that would be idle.
  double merge_cpu_s = 20e-9;
  // Per run that a lookup asks. Without it, an index that is cached whole would be best with any
  // number of runs. Counts as device time; 0 prices I/O alone.
  double filter_check_s = 20e-9;
  friend bool operator==(const StoreFacts&, const StoreFacts&) = default;
};

struct CostInputs {
  StoreFacts facts;
  DeviceModel device;
  FprCurve curve = FprCurve::Ideal();
  // How much a second of waiting for block reads counts beside a second of device time. 0: device
  // time alone. Reads that are made at the same time are waited for once.
  double latency_weight = 0;
};

// Several runs in the last level keep their dead until there are half as many as live ones: then
// tables are rewritten for it.
inline constexpr double kTieredHeadroom = 1.5;

// A run of the present tree.
struct RunState {
  double entries = 0;
  double filter_bits_per_key = 0;
  double weight = 1;  // probability that a lookup's key lies within the run's key fences
};
struct LevelState {
  std::vector<RunState> runs;  // newest first
  double cache_hit_ratio = 0;
  double hit_share = -1;  // share of found lookups that end here; negative: by entries
};
struct TreeState {
  std::vector<LevelState> levels;
  [[nodiscard]] double entries() const noexcept;
};

struct LevelPrediction {
  double entries = 0;
  double runs = 0;
  double filter_bits_per_key = 0;
  double false_positive_rate = 1;  // mean over its runs
  double copies = 0;               // times that an entry of a put is written here
  double cache_hit_ratio = 0;
  double missing_reads = 0;  // blocks read here by a lookup that finds nothing
  friend bool operator==(const LevelPrediction&, const LevelPrediction&) = default;
};

struct Prediction {
  uint32_t level_count = 0;
  std::array<LevelPrediction, kMaxLevels> levels{};
  // Per operation of the kind:
  double copies = 0;          // X, times that a put entry is written: its flush, then levels
  double missing_reads = 0;   // R0
  double existing_reads = 0;  // R1, the reads that turn out unused included
  double missing_checks = 0;  // filters asked
  double existing_checks = 0;
  double stem_reads = 0;
  double stem_checks = 0;
  double missing_stem_reads = 0;  // by a lookup of a stem's pages that finds none
  double long_scan_seeks = 0;     // blocks read before anything is walked
  double long_scan_bytes = 0;     // walked
  double filter_bits = 0;         // memory that the filters take, all runs
  // Per operation of the mix, device seconds (latency included with its weight):
  double put_s = 0;
  double missing_s = 0;  // of pages and of stems
  double existing_s = 0;
  double stem_s = 0;
  double long_scan_s = 0;
  // The sum of the five: what a shape can change.
  double index_s = 0;
  // Writing the tensors and the journal: the same for every shape.
  double fixed_s = 0;
  friend bool operator==(const Prediction&, const Prediction&) = default;
};

// Mean number of times that an entry is written while `batches` batches come into at most `runs`
// runs: gamma(a, K) = sum m_j (m_j + 1) / (2 a).
double CopiesPerEntry(uint32_t batches, uint32_t runs) noexcept;
// Copies that one level makes of an entry on its way through, (T-1)/T * gamma(T-1, K).
double LevelCopies(uint32_t size_ratio, uint32_t runs) noexcept;
// Mean number of runs of a level over its fill cycle; ((T-1)/T) (K+1) / 2 when they are equal.
double MeanRuns(uint32_t size_ratio, uint32_t runs) noexcept;
// What levels have done since a tree took its first memtable; memtables are of one size.
struct LevelHistory {
  // Copies per entry, with partly filled levels. A batch that begins a run counts as a copy.
  double copies = 0;
  // Of those, the batches that became a run of level 0 as flushed: no bytes were copied.
  double moved = 0;
};
// Exact, with the limits that the levels had while the tree was shallower.
LevelHistory HistoryOfLevels(const TreeShape& shape, uint64_t batches) noexcept;

// Copies that the last level makes of an entry when `batches` batches' worth of live entries lie
// there and the store does not grow.
double SteadyLastCopies(uint32_t size_ratio, uint32_t runs, double batches) noexcept;

// Levels of a candidate.
uint32_t CandidateLevels(const StoreFacts& facts, const TreeShape& shape) noexcept;

// What flushing adds to the copies that the levels make: every memtable is written as a table, and
// of T of them K move into level 0 as they are. `fill` is that of level 0.
double FlushCopies(uint32_t size_ratio, uint32_t runs, double fill) noexcept;

// `shape` at its mean over a fill cycle, filters allocated optimally within shape.filter_bits.
Prediction PredictShape(const CostInputs& inputs, const WorkloadMix& mix,
                        const TreeShape& shape) noexcept;
// The tree as it is: real runs, real filters; copies by the shape that it follows.
Prediction PredictTree(const CostInputs& inputs, const WorkloadMix& mix, const TreeShape& shape,
                       const TreeState& tree) noexcept;

struct TransitionCost {
  double entries = 0;  // to be merged sooner than they would have been
  double device_s = 0;
  double cpu_s = 0;
  // Entries that have to be put before batches have reached all levels that break the new limits.
  // Applied lazily, the new shape pays off only then.
  double wait_entries = 0;
  // What going back would cost, device and CPU, once the new shape has filled.
  double return_s = 0;
  [[nodiscard]] double total_s() const noexcept { return device_s + cpu_s; }
  friend bool operator==(const TransitionCost&, const TransitionCost&) = default;
};
// What it costs to bring the tree, which follows `from`, under `to`: the entries of each level that
// has more runs or more entries than `to` allows there, or lies deeper than `to` needs. More runs
// allowed cost nothing to get, and their price when they have to go again. An upper bound when
// applied lazily.
TransitionCost PredictTransition(const CostInputs& inputs, const TreeState& tree,
                                 const TreeShape& from, const TreeShape& to) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_COST_MODEL_H_
