#include "tuner/cost_model.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "tuner/filter_allocation.h"

namespace lamina::tuner {
namespace {

// A level with its full number of batches is full, whatever the last digits of the sum are.
constexpr double kFullLevel = 1 + 1e-9;

// Seconds that block reads cost which are waited for at most `waits` times.
double BlockReadSeconds(const CostInputs& inputs, double reads, double waits) noexcept {
  return reads * inputs.device.read_device_s +
         std::min(reads, waits) * inputs.latency_weight * inputs.device.read_latency_s;
}

// Dead entries of the last level at their mean. Deaths come as evenly as puts, and are found when
// the level is merged: by the next batch that comes, where it has one run, and in any case when
// there are half as many as live ones.
double DeadEntries(const StoreFacts& facts, const TreeShape& shape, uint32_t level) noexcept {
  double most = (kTieredHeadroom - 1) * facts.entries;
  if (shape.last_runs == 1)
    most = std::min(most, BatchEntries(shape, facts.memtable_entry_bytes, level));
  return facts.deaths_per_put * most / 2;
}

// X: the flush, and sum f_i x_i over the levels, f_i = 1 but for the last. Where entries die as
// fast as they come, the last level stays as it is instead of filling.
void PredictCopies(const StoreFacts& facts, const TreeShape& shape,
                   Prediction* prediction) noexcept {
  prediction->copies = 1;
  for (uint32_t i = 0; i < prediction->level_count; ++i) {
    LevelPrediction& level = prediction->levels[i];
    const uint32_t runs = shape.RunsAt(i, prediction->level_count);
    double fill = 1;
    if (i + 1 == prediction->level_count) {
      fill = std::min(1.0, level.entries / LevelCapacity(shape, facts.memtable_entry_bytes, i));
    }
    level.copies = fill * LevelCopies(shape.size_ratio, runs);
    if (i + 1 == prediction->level_count) {
      const double live = level.entries - DeadEntries(facts, shape, i);
      const double batches = live / BatchEntries(shape, facts.memtable_entry_bytes, i);
      const double steady = SteadyLastCopies(shape.size_ratio, runs, batches);
      level.copies += facts.deaths_per_put * (steady - level.copies);
    }
    if (i == 0) prediction->copies = FlushCopies(shape.size_ratio, runs, fill);
    prediction->copies += level.copies;
  }
}

// Blocks read by lookups that ask one run after the other for `pages` neighbouring pages: a run is
// read, once, when its filter says yes to any of them.
double StemReads(double false_positive_rate, double pages) noexcept {
  return 1 - std::pow(1 - std::min(1.0, false_positive_rate), pages);
}

// Scans, from the numbers per level and R0.
void PredictScans(const CostInputs& inputs, const WorkloadMix& mix,
                  Prediction* prediction) noexcept {
  const StoreFacts& facts = inputs.facts;
  double runs = 0;
  double entries = 0;
  double cached_entries = 0;
  prediction->long_scan_seeks = 0;
  for (uint32_t i = 0; i < prediction->level_count; ++i) {
    const LevelPrediction& level = prediction->levels[i];
    runs += level.runs;
    entries += level.entries;
    cached_entries += level.entries * level.cache_hit_ratio;
    prediction->long_scan_seeks += level.runs * (1 - level.cache_hit_ratio);
  }
  const double uncached = entries > 0 ? 1 - cached_entries / entries : 0;
  prediction->long_scan_bytes = mix.long_scan_entries * facts.entry_bytes * uncached;
  // A seek in each run that holds a part of the stem, the blocks walked there, and false positives
  // in the others.
  const double holding = std::min(facts.stem_runs, runs);
  const double walked = mix.stem_scan_entries * facts.entry_bytes / facts.block_bytes;
  const double others = runs > 0 ? 1 - holding / runs : 0;
  prediction->stem_reads =
      (holding + (runs > 0 ? walked : 0)) * uncached + prediction->missing_reads * others;
  prediction->stem_checks = runs;
}

// Seconds per operation of the mix, from the numbers per operation of each kind.
void PredictSeconds(const CostInputs& inputs, const WorkloadMix& mix,
                    Prediction* prediction) noexcept {
  const StoreFacts& facts = inputs.facts;
  const DeviceModel& device = inputs.device;
  const auto lookup_s = [&](double reads, double checks, double waits) {
    return BlockReadSeconds(inputs, reads, waits) + checks * facts.filter_check_s;
  };
  Prediction& p = *prediction;
  // A copy is read when the next one is made, or when its entry is found dead.
  const double merged = p.copies - 1 + facts.deaths_per_put;
  p.put_s = mix.written() * facts.entry_bytes *
            (p.copies / device.write_bytes_per_s + merged / device.read_bytes_per_s);
  p.missing_s = mix.effective_missing() * lookup_s(p.missing_reads, p.missing_checks, 1);
  // Blocks for the pages behind the first are fetched when that one has not been found.
  p.missing_s += mix.missing_stems *
                 lookup_s(p.missing_stem_reads, p.missing_checks * mix.missing_stem_entries, 2);
  p.existing_s = mix.effective_existing() * lookup_s(p.existing_reads, p.existing_checks, 1);
  // A stem's next run is known when its pages in the one before have been found.
  p.stem_s = mix.stem_scans * lookup_s(p.stem_reads, p.stem_checks, std::max(1.0, facts.stem_runs));
  p.long_scan_s = mix.long_scans * (BlockReadSeconds(inputs, p.long_scan_seeks, p.long_scan_seeks) +
                                    p.long_scan_bytes / device.read_bytes_per_s);
  p.index_s = p.put_s + p.missing_s + p.existing_s + p.stem_s + p.long_scan_s;
  const double moved = facts.log_write_amplification - 1;
  p.fixed_s =
      mix.written() * ((facts.page_bytes * facts.log_write_amplification + facts.journal_bytes) /
                           device.write_bytes_per_s +
                       facts.page_bytes * moved / device.read_bytes_per_s);
}

// Runs of a last level of which `fill` is taken: they grow in number with it, and the newest one is
// half full on the mean (with one batch a run it is full at once).
double MeanLastRuns(uint32_t size_ratio, uint32_t runs, double fill) noexcept {
  if (!(fill > 0)) return 0;
  const double newest = 0.5 * (1 - runs / (size_ratio - 1.0));
  return std::clamp(fill * runs + newest, 1.0, static_cast<double>(runs));
}

// Entries and runs of each level at their mean: upper levels over their fill cycle, the last level
// with what is left, which changes slowly.
void FillMeanLevels(const StoreFacts& facts, const TreeShape& shape,
                    Prediction* prediction) noexcept {
  const uint32_t count = CandidateLevels(facts, shape);
  prediction->level_count = count;
  double left = facts.entries;
  for (uint32_t i = 0; i < count; ++i) {
    LevelPrediction& level = prediction->levels[i];
    const double capacity = LevelCapacity(shape, facts.memtable_entry_bytes, i);
    const uint32_t runs = shape.RunsAt(i, count);
    level.cache_hit_ratio = facts.cache_hit_ratio;
    if (i + 1 < count) {
      level.entries = std::min(left, capacity / 2);
      level.runs = MeanRuns(shape.size_ratio, runs);
    } else {
      level.entries = left + DeadEntries(facts, shape, i);
      level.runs = MeanLastRuns(shape.size_ratio, runs, level.entries / capacity);
    }
    left -= level.entries;
  }
}

// Filters by the closed form over the mean runs: r runs of n / r entries each behave as one of n
// entries that is asked r times. Or all alike.
void FillMeanFilters(const CostInputs& inputs, const TreeShape& shape,
                     Prediction* prediction) noexcept {
  const uint32_t count = prediction->level_count;
  std::array<double, kMaxLevels> entries;
  std::array<double, kMaxLevels> weights;
  std::array<double, kMaxLevels> bits;
  for (uint32_t i = 0; i < count; ++i) {
    entries[i] = prediction->levels[i].entries;
    weights[i] = prediction->levels[i].runs;
  }
  if (inputs.facts.fixed_filter_bits >= 0) {
    bits.fill(inputs.facts.fixed_filter_bits);
  } else {
    SolveFilterBits(std::span(entries).first(count), std::span(weights).first(count),
                    static_cast<double>(shape.filter_bits), inputs.curve,
                    std::span(bits).first(count));
  }
  prediction->filter_bits = 0;
  for (uint32_t i = 0; i < count; ++i) {
    LevelPrediction& level = prediction->levels[i];
    level.filter_bits_per_key = bits[i];
    level.false_positive_rate = inputs.curve.RateAt(bits[i]);
    prediction->filter_bits += bits[i] * level.entries;
  }
}

// R0, and R1 for lookups whose keys lie in the levels by entries: a block of the key's run, and
// false positives of all others.
void FillMeanReads(const WorkloadMix& mix, Prediction* prediction) noexcept {
  Prediction& p = *prediction;
  double entries = 0;
  for (uint32_t i = 0; i < p.level_count; ++i) {
    LevelPrediction& level = p.levels[i];
    level.missing_reads = level.runs * level.false_positive_rate * (1 - level.cache_hit_ratio);
    p.missing_reads += level.missing_reads;
    p.missing_stem_reads += level.runs *
                            StemReads(level.false_positive_rate, mix.missing_stem_entries) *
                            (1 - level.cache_hit_ratio);
    p.missing_checks += level.runs;
    entries += level.entries;
  }
  for (uint32_t i = 0; i < p.level_count; ++i) {
    const LevelPrediction& level = p.levels[i];
    const double uncached = 1 - level.cache_hit_ratio;
    const double beside = std::max(0.0, level.runs - 1);
    const double share = entries > 0 ? level.entries / entries : 0;
    p.existing_reads += share * (uncached * (1 + beside * level.false_positive_rate) +
                                 p.missing_reads - level.missing_reads);
    p.existing_checks += share * (1 + beside + p.missing_checks - level.runs);
  }
}

// R0 and the rest of what does not depend on where a key lies, from the real runs.
void FillRealLevels(const CostInputs& inputs, const WorkloadMix& mix, const TreeState& tree,
                    Prediction* prediction) noexcept {
  Prediction& p = *prediction;
  for (uint32_t i = 0; i < p.level_count; ++i) {
    const LevelState& state = tree.levels[i];
    LevelPrediction& level = p.levels[i];
    level.cache_hit_ratio = state.cache_hit_ratio;
    double rates = 0;
    for (const RunState& run : state.runs) level.entries += run.entries;
    for (const RunState& run : state.runs) {
      const double rate = inputs.curve.RateAt(run.filter_bits_per_key);
      rates += rate;
      level.runs += 1;
      level.missing_reads += run.weight * rate * (1 - state.cache_hit_ratio);
      p.missing_stem_reads +=
          run.weight * StemReads(rate, mix.missing_stem_entries) * (1 - state.cache_hit_ratio);
      p.missing_checks += run.weight;
      p.filter_bits += run.filter_bits_per_key * run.entries;
      level.filter_bits_per_key +=
          level.entries > 0 ? run.filter_bits_per_key * run.entries / level.entries : 0;
    }
    if (level.runs > 0) level.false_positive_rate = rates / level.runs;
    p.missing_reads += level.missing_reads;
  }
}

// R1: a block of the key's run, and false positives of all others.
void FillRealHits(const CostInputs& inputs, const TreeState& tree,
                  Prediction* prediction) noexcept {
  Prediction& p = *prediction;
  const double all_entries = tree.entries();
  double share_sum = 0;
  for (uint32_t i = 0; i < p.level_count; ++i) {
    const LevelState& state = tree.levels[i];
    const LevelPrediction& level = p.levels[i];
    const double uncached = 1 - state.cache_hit_ratio;
    for (const RunState& run : state.runs) {
      double share = all_entries > 0 ? run.entries / all_entries : 0;
      if (state.hit_share >= 0) {
        share = level.entries > 0 ? state.hit_share * run.entries / level.entries : 0;
      }
      share_sum += share;
      const double own = run.weight * inputs.curve.RateAt(run.filter_bits_per_key);
      p.existing_reads += share * (uncached * (1 - own) + p.missing_reads);
      p.existing_checks += share * (1 - run.weight + p.missing_checks);
    }
  }
  // Measured shares need not add up to one.
  if (share_sum > 0) {
    p.existing_reads /= share_sum;
    p.existing_checks /= share_sum;
  }
}

// What an empty level of at most `runs` runs has done when `left` batches have come to it, in
// batches.
LevelHistory HistoryOfLevel(uint32_t size_ratio, uint32_t runs, uint64_t left) noexcept {
  const auto cycles = static_cast<double>(left / size_ratio);
  auto in_progress = static_cast<uint32_t>(left % size_ratio);
  LevelHistory history = {
      .copies = cycles * (size_ratio - 1) * CopiesPerEntry(size_ratio - 1, runs),
      .moved = cycles * runs};
  for (uint32_t run = 0; run < runs && in_progress > 0; ++run) {
    const uint32_t taken = std::min(in_progress, BatchesOfRun(size_ratio - 1, runs, run));
    history.copies += taken * (taken + 1) / 2.0;
    history.moved += 1;
    in_progress -= taken;
  }
  return history;
}

// Levels down to the deepest that holds anything, at least one.
uint32_t UsedLevels(const TreeState& tree) noexcept {
  auto count = static_cast<uint32_t>(std::min<size_t>(tree.levels.size(), kMaxLevels));
  while (count > 0 && tree.levels[count - 1].runs.empty()) --count;
  return count;
}

}  // namespace

double TreeState::entries() const noexcept {
  double sum = 0;
  for (const LevelState& level : levels) {
    for (const RunState& run : level.runs) sum += run.entries;
  }
  return sum;
}

double CopiesPerEntry(uint32_t batches, uint32_t runs) noexcept {
  if (batches == 0 || runs == 0) return 0;
  double copies = 0;
  for (uint32_t run = 0; run < runs; ++run) {
    const double taken = BatchesOfRun(batches, runs, run);
    copies += taken * (taken + 1) / 2;
  }
  return copies / batches;
}

double LevelCopies(uint32_t size_ratio, uint32_t runs) noexcept {
  return (size_ratio - 1.0) / size_ratio * CopiesPerEntry(size_ratio - 1, runs);
}

double MeanRuns(uint32_t size_ratio, uint32_t runs) noexcept {
  // While run j (of 1..K) takes its batches there are j of them.
  double sum = 0;
  for (uint32_t run = 0; run < runs; ++run) {
    sum += (run + 1.0) * BatchesOfRun(size_ratio - 1, runs, run);
  }
  return sum / size_ratio;
}

// A tree of `batches` memtables has so many levels that T^levels > batches. It went through all
// smaller numbers of levels, and each time that batch T^l came all levels were merged into the
// first batch of the new last one, of index l. So history falls into as many parts as there are
// levels, each of which begins with empty upper levels: within a part limits do not change, and
// the batches that come to a level are those of the level above over T.
LevelHistory HistoryOfLevels(const TreeShape& shape, uint64_t batches) noexcept {
  if (batches == 0) return {};
  const uint64_t ratio = shape.size_ratio;
  LevelHistory memtables;  // not per entry yet
  const auto add = [&](uint32_t level, uint32_t runs, uint64_t left, uint64_t batch) {
    const LevelHistory taken = HistoryOfLevel(shape.size_ratio, runs, left);
    memtables.copies += static_cast<double>(batch) * taken.copies;
    if (level == 0) memtables.moved += taken.moved;
  };
  uint64_t first = 1;  // batch of this part: T^last
  for (uint32_t last = 0; last < kMaxLevels; ++last) {
    const bool ended = batches / first >= ratio;
    const uint64_t end = ended ? first * ratio - 1 : batches;
    uint64_t batch = 1;
    for (uint32_t level = 0; level < last; ++level, batch *= ratio) {
      add(level, shape.RunsAt(level, last + 1), (end - first) / batch, batch);
    }
    add(last, shape.last_runs, end / first, first);
    if (!ended) break;
    first *= ratio;
  }
  const auto all = static_cast<double>(batches);
  return {.copies = memtables.copies / all, .moved = memtables.moved / all};
}

// With one run, each batch that comes is merged with all n entries there, of which as many have
// died as the batch brings: n written for each batch, n / B per entry. Where a batch brings more
// than half of n, the dead are too many before it comes, once or more, and each time all is
// rewritten. With several, the newest run takes in its quota of batches, m (m + 1) / 2 written for
// m, unless so few live at a time that there is one run.
double SteadyLastCopies(uint32_t size_ratio, uint32_t runs, double batches) noexcept {
  if (!(batches > 0)) return 0;
  if (runs <= 1) return batches * std::max(1.0, std::ceil(1 / ((kTieredHeadroom - 1) * batches)));
  return std::min(std::max(1.0, batches), CopiesPerEntry(size_ratio - 1, runs));
}

uint32_t CandidateLevels(const StoreFacts& facts, const TreeShape& shape) noexcept {
  const double entry_bytes = facts.memtable_entry_bytes;
  uint32_t count = LevelCount(shape, entry_bytes, facts.entries);
  if (facts.level_headroom <= 1) return count;
  const double headroom = shape.last_runs == 1 ? facts.level_headroom : kTieredHeadroom;
  while (count < kMaxLevels &&
         facts.entries * headroom > LevelCapacity(shape, entry_bytes, count - 1)) {
    ++count;
  }
  return count;
}

double FlushCopies(uint32_t size_ratio, uint32_t runs, double fill) noexcept {
  return 1 - fill * runs / size_ratio;
}

Prediction PredictShape(const CostInputs& inputs, const WorkloadMix& mix,
                        const TreeShape& shape) noexcept {
  Prediction prediction;
  FillMeanLevels(inputs.facts, shape, &prediction);
  FillMeanFilters(inputs, shape, &prediction);
  FillMeanReads(mix, &prediction);
  PredictCopies(inputs.facts, shape, &prediction);
  PredictScans(inputs, mix, &prediction);
  PredictSeconds(inputs, mix, &prediction);
  return prediction;
}

Prediction PredictTree(const CostInputs& inputs, const WorkloadMix& mix, const TreeShape& shape,
                       const TreeState& tree) noexcept {
  Prediction prediction;
  prediction.level_count = UsedLevels(tree);
  FillRealLevels(inputs, mix, tree, &prediction);
  FillRealHits(inputs, tree, &prediction);
  PredictCopies(inputs.facts, shape, &prediction);
  PredictScans(inputs, mix, &prediction);
  PredictSeconds(inputs, mix, &prediction);
  return prediction;
}

TransitionCost PredictTransition(const CostInputs& inputs, const TreeState& tree,
                                 const TreeShape& from, const TreeShape& to) noexcept {
  const StoreFacts& facts = inputs.facts;
  TransitionCost cost;
  const uint32_t level_count = UsedLevels(tree);
  // Deeper than its live entries need: all from the level that is to be the last.
  const uint32_t needed = CandidateLevels(facts, to);
  const bool too_deep = facts.level_headroom > 1 && to.last_runs == 1 && level_count > needed;
  double room_above = BatchEntries(to, facts.memtable_entry_bytes, 0);
  for (uint32_t i = 0; i < level_count; ++i) {
    double entries = 0;
    for (const RunState& run : tree.levels[i].runs) entries += run.entries;
    const double capacity = LevelCapacity(to, facts.memtable_entry_bytes, i);
    const bool too_many = tree.levels[i].runs.size() > to.RunsAt(i, level_count);
    if (too_many || entries > capacity * kFullLevel || (too_deep && i + 1 >= needed)) {
      cost.entries += entries;
      // What lies too deep comes up when the level above it has filled.
      cost.wait_entries =
          too_deep && i >= needed ? std::max(cost.wait_entries, room_above) : room_above;
    }
    room_above += std::max(0.0, capacity - entries);
  }
  Prediction after;
  FillMeanLevels(facts, to, &after);
  double returning = 0;
  for (uint32_t i = 0; i < after.level_count; ++i) {
    const bool more = to.RunsAt(i, after.level_count) > from.RunsAt(i, after.level_count);
    const double entries = after.levels[i].entries;
    if (more || entries > LevelCapacity(from, facts.memtable_entry_bytes, i) * kFullLevel) {
      returning += entries;
    }
  }
  const double device_s = facts.entry_bytes * (1 / inputs.device.read_bytes_per_s +
                                               1 / inputs.device.write_bytes_per_s);
  cost.device_s = cost.entries * device_s;
  cost.cpu_s = cost.entries * facts.merge_cpu_s;
  cost.return_s = returning * (device_s + facts.merge_cpu_s);
  return cost;
}

}  // namespace lamina::tuner
