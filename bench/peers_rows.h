// From the phases of all rounds to the rows that lamina-bench reports. Pure.
#ifndef LAMINA_BENCH_PEERS_ROWS_H_
#define LAMINA_BENCH_PEERS_ROWS_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/peers_phases.h"
#include "bench/peers_plan.h"

namespace lamina::bench {

// A phase, and where it belongs.
struct Measurement {
  size_t shape = 0;      // index in the plan
  size_t contender = 0;  // likewise
  PeerOp op = PeerOp::kPut;
  unsigned threads = 1;
  size_t round = 0;
  PhaseResult result;
};

// A ratio of two engines' rates, taken round by round: the median, the least and the greatest.
struct RatioFigures {
  double median = 0;
  double least = 0;
  double greatest = 0;
  // (greatest - least) / median.
  [[nodiscard]] double spread() const { return median > 0 ? (greatest - least) / median : 0; }
};

struct PeerRow {
  std::string engine;  // the contender's label
  PeerOp op = PeerOp::kPut;
  Shape shape;
  unsigned threads = 1;
  size_t rounds = 0;
  uint64_t bytes = 0;   // of all rounds
  double mb_per_s = 0;  // median of the rounds; 10^6 bytes; 0 for probes
  double calls_per_s = 0;
  std::optional<RatioFigures> to_raw;  // of mb_per_s; of calls_per_s for probes
  double cpu_cores = 0;                // median of the rounds
  double p50_us = 0;                   // of the calls of all rounds together
  double p99_us = 0;
  uint64_t wrong_pages = 0;
  uint64_t missing_pages = 0;

  // How far the engine's estimates before its restores, of all rounds together, were from what
  // these took: |estimated - actual| / actual.
  struct EstimateErrors {
    double p50 = 0;
    double p95 = 0;
  };
  std::optional<EstimateErrors> estimates;

  // Of restores beside a writer: both sides, and what they keep of what they do alone in the same
  // round (random restores by one thread; puts).
  struct BesideWriter {
    double writer_mb_per_s = 0;
    RatioFigures writer_to_solo;
    RatioFigures restore_to_solo;
    double solo_p50_us = 0;
  };
  std::optional<BesideWriter> beside_writer;
};

// Of an even number of values, the mean of the middle two; 0 without values.
double MedianOf(std::vector<double> values);
// Of `rates[i] / bases[i]`; nothing without values or where a base is 0.
std::optional<RatioFigures> RatiosOf(std::span<const double> rates, std::span<const double> bases);

// In the order of shapes, operations, threads and contenders. The rounds of all contenders are
// complete, or cut short alike.
std::vector<PeerRow> MakePeerRows(const PeersPlan& plan, std::span<const Measurement> measurements);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PEERS_ROWS_H_
