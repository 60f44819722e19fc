#include "bench/peers_rows.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace lamina::bench {
namespace {

constexpr double kMega = 1e6;

// The results of one contender in one operation, by round.
using Rounds = std::map<size_t, const PhaseResult*>;
// Shape, operation, threads, contender.
using Key = std::tuple<size_t, PeerOp, unsigned, size_t>;
using Cells = std::map<Key, Rounds>;

double PerSecond(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

double BytesPerSecond(const PhaseResult& result) {
  return PerSecond(static_cast<double>(result.bytes), result.seconds);
}
double CallsPerSecond(const PhaseResult& result) {
  return PerSecond(static_cast<double>(result.calls), result.seconds);
}
double WriterBytesPerSecond(const PhaseResult& result) {
  return PerSecond(static_cast<double>(result.writer_bytes), result.writer_seconds);
}
double Cores(const PhaseResult& result) { return PerSecond(result.cpu_seconds, result.seconds); }

using Rate = double (*)(const PhaseResult&);

std::vector<double> RatesOf(const Rounds& rounds, Rate rate) {
  std::vector<double> rates;
  for (const auto& [round, result] : rounds) rates.push_back(rate(*result));
  return rates;
}

// In the rounds that both have.
std::optional<RatioFigures> CompareRounds(const Rounds& rounds, Rate rate, const Rounds* base,
                                          Rate base_rate) {
  if (base == nullptr) return std::nullopt;
  std::vector<double> rates;
  std::vector<double> bases;
  for (const auto& [round, result] : rounds) {
    const auto same = base->find(round);
    if (same == base->end()) continue;
    rates.push_back(rate(*result));
    bases.push_back(base_rate(*same->second));
  }
  return RatiosOf(rates, bases);
}

const Rounds* Find(const Cells& cells, const Key& key) {
  const auto cell = cells.find(key);
  return cell == cells.end() ? nullptr : &cell->second;
}

Samples AllOf(const Rounds& rounds, Samples PhaseResult::*samples) {
  Samples all;
  for (const auto& [round, result] : rounds) all.Merge(result->*samples);
  return all;
}

Samples AllCalls(const Rounds& rounds) { return AllOf(rounds, &PhaseResult::call_seconds); }

std::optional<PeerRow::BesideWriter> BesideWriterOf(const Cells& cells, const Key& key,
                                                    const Rounds& rounds) {
  const auto& [shape, op, threads, contender] = key;
  if (op != PeerOp::kRestoreBesideWriter) return std::nullopt;
  const Rounds* const puts = Find(cells, {shape, PeerOp::kPut, 1, contender});
  const Rounds* const solo = Find(cells, {shape, PeerOp::kRestoreRandom, 1, contender});
  const auto writer = CompareRounds(rounds, WriterBytesPerSecond, puts, BytesPerSecond);
  const auto restore = CompareRounds(rounds, BytesPerSecond, solo, BytesPerSecond);
  if (!writer || !restore) return std::nullopt;
  return PeerRow::BesideWriter{
      .writer_mb_per_s = MedianOf(RatesOf(rounds, WriterBytesPerSecond)) / kMega,
      .writer_to_solo = *writer,
      .restore_to_solo = *restore,
      .solo_p50_us = AllCalls(*solo).Percentile(.5) * kMicrosecondsPerSecond};
}

std::optional<PeerRow::EstimateErrors> EstimatesOf(const Rounds& rounds) {
  const Samples errors = AllOf(rounds, &PhaseResult::estimate_errors);
  if (errors.count() == 0) return std::nullopt;
  return PeerRow::EstimateErrors{.p50 = errors.Percentile(.5), .p95 = errors.Percentile(.95)};
}

PeerRow MakeRow(const PeersPlan& plan, const Cells& cells, const Key& key, const Rounds& rounds,
                const Rounds* raw) {
  const auto& [shape, op, threads, contender] = key;
  PeerRow row;
  row.engine = plan.contenders[contender].label;
  row.op = op;
  row.shape = plan.shapes[shape];
  row.threads = threads;
  row.rounds = rounds.size();
  for (const auto& [round, result] : rounds) {
    row.bytes += result->bytes;
    row.wrong_pages += result->wrong_pages;
    row.missing_pages += result->missing_pages;
  }
  row.mb_per_s = MedianOf(RatesOf(rounds, BytesPerSecond)) / kMega;
  row.calls_per_s = MedianOf(RatesOf(rounds, CallsPerSecond));
  row.cpu_cores = MedianOf(RatesOf(rounds, Cores));
  const Rate rate = row.bytes > 0 ? BytesPerSecond : CallsPerSecond;
  row.to_raw = CompareRounds(rounds, rate, raw, rate);
  const Samples calls = AllCalls(rounds);
  row.p50_us = calls.Percentile(.5) * kMicrosecondsPerSecond;
  row.p99_us = calls.Percentile(.99) * kMicrosecondsPerSecond;
  row.estimates = EstimatesOf(rounds);
  row.beside_writer = BesideWriterOf(cells, key, rounds);
  return row;
}

}  // namespace

double MedianOf(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::optional<RatioFigures> RatiosOf(std::span<const double> rates, std::span<const double> bases) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(rates.size(), bases.size()); ++i) {
    if (bases[i] > 0) ratios.push_back(rates[i] / bases[i]);
  }
  if (ratios.empty()) return std::nullopt;
  const auto [least, greatest] = std::minmax_element(ratios.begin(), ratios.end());
  return RatioFigures{MedianOf(ratios), *least, *greatest};
}

std::vector<PeerRow> MakePeerRows(const PeersPlan& plan,
                                  std::span<const Measurement> measurements) {
  Cells cells;
  for (const Measurement& m : measurements) {
    cells[{m.shape, m.op, m.threads, m.contender}][m.round] = &m.result;
  }
  const auto raw = std::find_if(plan.contenders.begin(), plan.contenders.end(),
                                [](const Contender& c) { return c.engine == "raw"; });
  const auto raw_index = static_cast<size_t>(raw - plan.contenders.begin());
  std::vector<PeerRow> rows;
  for (const auto& [key, rounds] : cells) {
    const auto& [shape, op, threads, contender] = key;
    const Rounds* const base = Find(cells, {shape, op, threads, raw_index});
    rows.push_back(MakeRow(plan, cells, key, rounds, base));
  }
  return rows;
}

}  // namespace lamina::bench
