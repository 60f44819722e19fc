#include "tensorlog/eviction/hazard_model.h"

#include <cmath>
#include <cstdio>

namespace lamina {
namespace {

// Step sizes and the weight of the prior, in requests.
constexpr double kStartRequests = 10;
constexpr double kPriorRequests = 0.4;
// After so many requests half of a score counts.
constexpr double kTrustRequests = 500;
// Beyond so much evidence, in requests, weights go on following what changes.
constexpr double kWeightMemoryRequests = 2000;
constexpr double kBaselineMemoryRequests = 20000;
// Hits between two renewals, over what was expected, from which on what was learned counts less.
constexpr double kSurprise = 1.5;
constexpr double kSurpriseFactor = 0.5;
constexpr double kWeightBound = 5;
constexpr double kRatioWeightBound = 4;
constexpr double kHotFactor = 10;
// The hazard before anything was seen: falls as 1 over the age, so that a new model ranks like LRU.
constexpr double kPriorHits = 0.3;
constexpr double kPriorAge = 120;
// The weight in a bucket's baseline of what its neighbours say, in requests.
constexpr double kNearRequests = 4;
constexpr double kRenewalRequests = 100;

constexpr double PriorHazard(uint32_t bucket, bool hot) noexcept {
  const double middle = (kBucketStart[bucket] + kBucketStart[bucket + 1]) / 2;
  return kPriorHits / (middle + kPriorAge) * (hot ? kHotFactor : 1);
}

// Columns are thirds of a score, levels sixteenths.
constexpr double ScoreOfLevel(uint32_t level) noexcept { return (level - 64.0) / 16; }
constexpr double ScoreOfColumn(uint32_t column) noexcept { return (column - 12.0) / 3; }

const std::array<double, kLevels> kExpOfLevel = [] {
  std::array<double, kLevels> values{};
  for (uint32_t level = 0; level < kLevels; ++level) values[level] = std::exp(ScoreOfLevel(level));
  return values;
}();

// The bin of the age of a bucket over the gap of a row.
uint32_t RatioBin(uint32_t row, uint32_t bucket) noexcept {
  if (row == 0 || row == kHotRow) return 0;
  const double octaves = OctaveOf(bucket) - (row + 1.5);
  return static_cast<uint32_t>(std::clamp(std::lround(2 * octaves) + 8, 1L, 16L));
}

}  // namespace

void HazardModel::Weight::Step(double y, double expected, double start, double limit) noexcept {
  evidence = std::min(evidence + (y + expected) / 2, limit);
  value += (y - expected) / (evidence + start);
}

HazardModel::HazardModel() noexcept : table_(size_t{kRows} * kColumns * kAgeBuckets) { Renew(0); }

double HazardModel::units_per_request() const noexcept { return (units_ + 50) / (requests_ + 2); }

double HazardModel::Score(FeatureBins bins) const noexcept {
  double score = 0;
  for (uint32_t f = 0; f < kFeatures; ++f) score += weights_[f][BinOf(bins, f)].value;
  return score;
}

double HazardModel::trust() const noexcept { return requests_ / (requests_ + kTrustRequests); }

uint32_t HazardModel::LevelOf(FeatureBins bins) const noexcept {
  return static_cast<uint32_t>(
      std::clamp(std::lround(Score(bins) * trust() * 16) + 64, 0L, long{kLevels} - 1));
}

double HazardModel::Worth(uint32_t heat_bits, uint32_t age) const noexcept {
  const HeatFields heat = Unpack(heat_bits);
  const double column = std::clamp((heat.level - 64.0) * 3 / 16 + 12, 0.0, kColumns - 1.0001);
  const double position = PositionOf(age);
  const auto c = static_cast<uint32_t>(column);
  const auto k = static_cast<size_t>(position);
  const size_t k1 = std::min<size_t>(k + 1, kAgeBuckets - 1);
  const double cf = column - static_cast<double>(c);
  const double kf = position - static_cast<double>(k);
  const float* low = Entries(RowOf(heat.gap), c);
  const float* high = Entries(RowOf(heat.gap), c + 1);
  return (1 - cf) * ((1 - kf) * low[k] + kf * low[k1]) + cf * ((1 - kf) * high[k] + kf * high[k1]);
}

void HazardModel::Watch(uint32_t heat_bits, uint64_t tick, uint32_t bucket, int sign) noexcept {
  const HeatFields heat = Unpack(heat_bits);
  Watched& watched = watched_[RowOf(heat.gap)][bucket];
  const double weight = sign * kExpOfLevel[heat.level];
  watched.weight += weight;
  watched.weight_ticks += weight * static_cast<double>(tick);
}

void HazardModel::Learn(FeatureBins bins, uint32_t heat_bits, uint32_t bucket, double ticks,
                        bool hit) noexcept {
  const HeatFields heat = Unpack(heat_bits);
  const uint32_t row = RowOf(heat.gap);
  const uint32_t ratio = RatioBin(row, bucket);
  Baseline& baseline = baselines_[row == kHotRow];
  const double ratio_weight = ratio_weights_[ratio].value;
  const double expected = std::exp(Score(bins) + ratio_weight) * baseline.hazard[bucket] * ticks;
  const double y = hit ? 1 : 0;
  const double start = kStartRequests * units_per_request();
  const double limit = kWeightMemoryRequests * units_per_request();
  for (uint32_t f = 0; f < kFeatures; ++f) {
    Weight& weight = weights_[f][BinOf(bins, f)];
    weight.Step(y, expected, start, limit);
    weight.value = std::clamp(weight.value, -kWeightBound, kWeightBound);
  }
  if (ratio > 0) {
    Weight& weight = ratio_weights_[ratio];
    weight.Step(y, expected, start, limit);
    weight.value = std::clamp(weight.value, -kRatioWeightBound, kRatioWeightBound);
  }
  hits_since_renewal_ += y;
  expected_since_renewal_ += expected;
  baseline.hits[bucket] += y;
  baseline.exposure[bucket] += ticks * kExpOfLevel[heat.level] * std::exp(ratio_weight);
}

void HazardModel::EndRequest(uint64_t units, uint64_t now) noexcept {
  requests_ += 1;
  units_ += static_cast<double>(units);
  requests_since_renewal_ += 1;
  // Often at first, while every request changes the picture.
  if (requests_since_renewal_ < std::min(requests_ / 20, kRenewalRequests)) return;
  Fade();
  requests_since_renewal_ = 0;
  Renew(now);
}

void HazardModel::Renew(uint64_t now) noexcept {
  EstimateBaselines(now);
  for (uint32_t r = 0; r < kRatioBins; ++r) table_ratios_[r] = ratio_weights_[r].value;
  ForgetTable();
}

void HazardModel::Fade() noexcept {
  double factor = std::exp(-requests_since_renewal_ / kBaselineMemoryRequests);
  const double start = kStartRequests * units_per_request();
  const double surprise = (hits_since_renewal_ + start) / (expected_since_renewal_ + start);
  if (surprise > kSurprise || surprise < 1 / kSurprise) {
    factor = kSurpriseFactor;
    for (auto& feature : weights_)
      for (Weight& weight : feature) weight.evidence *= factor;
    for (Weight& weight : ratio_weights_) weight.evidence *= factor;
  }
  hits_since_renewal_ = 0;
  expected_since_renewal_ = 0;
  for (Baseline& baseline : baselines_) {
    for (double& hits : baseline.hits) hits *= factor;
    for (double& exposure : baseline.exposure) exposure *= factor;
  }
}

std::array<double, kAgeBuckets> HazardModel::ExpectedHits(uint32_t z, uint64_t now) const noexcept {
  std::array<double, kAgeBuckets> expected{};
  for (uint32_t k = 0; k < kAgeBuckets; ++k) {
    double live = 0;
    for (uint32_t row = z == 0 ? 0 : kHotRow; row < (z == 0 ? kHotRow : kRows); ++row) {
      const Watched& watched = watched_[row][k];
      const double ticks =
          watched.weight * (static_cast<double>(now) - kBucketStart[k]) - watched.weight_ticks;
      live += std::max(0.0, ticks) * std::exp(ratio_weights_[RatioBin(row, k)].value);
    }
    expected[k] = (baselines_[z].exposure[k] + live) * PriorHazard(k, z == 1);
  }
  return expected;
}

// Hazards are the prior's, times a ratio of hits to what the prior would have expected, which is
// smooth over ages, as hazards are not. Where there is little evidence, the ratio of the bucket's
// neighbours stands in; where they have little, the one of all ages: were it 1, a workload with few
// hits would seem to have them at the ages that it has not reached yet.
void HazardModel::EstimateBaselines(uint64_t now) noexcept {
  const double prior_hits = kPriorRequests * units_per_request();
  const double near_hits = kNearRequests * units_per_request();
  const std::array<std::array<double, kAgeBuckets>, 2> expected = {ExpectedHits(0, now),
                                                                   ExpectedHits(1, now)};
  double all_hits = near_hits;
  double all_expected = near_hits;
  for (uint32_t z = 0; z < 2; ++z) {
    for (uint32_t k = 0; k < kAgeBuckets; ++k) {
      all_hits += baselines_[z].hits[k];
      all_expected += expected[z][k];
    }
  }
  for (uint32_t z = 0; z < 2; ++z) {
    Baseline& baseline = baselines_[z];
    for (uint32_t k = 0; k < kAgeBuckets; ++k) {
      double hits = prior_hits * all_hits / all_expected;
      double exposure = prior_hits;
      if (k > 0) {
        hits += baseline.hits[k - 1];
        exposure += expected[z][k - 1];
      }
      if (k + 1 < kAgeBuckets) {
        hits += baseline.hits[k + 1];
        exposure += expected[z][k + 1];
      }
      const double near = hits / exposure;
      baseline.hazard[k] = PriorHazard(k, z == 1) * (baseline.hits[k] + near_hits * near) /
                           (expected[z][k] + near_hits);
    }
  }
}

const float* HazardModel::Entries(uint32_t row, uint32_t column) const noexcept {
  const size_t entry = size_t{row} * kColumns + column;
  float* const out = &table_[entry * kAgeBuckets];
  if (!filled_[entry]) Fill(row, column, out);
  filled_[entry] = true;
  return out;
}

void HazardModel::Fill(uint32_t row, uint32_t column, float* out) const noexcept {
  // Stretches of buckets that are best kept through together, from the oldest age down: a stretch
  // grows while the next one's density is above its own.
  struct Stretch {
    double hits, ticks, survival;
    uint32_t end;
  };
  std::array<Stretch, kAgeBuckets> stretches;
  const double factor = std::exp(ScoreOfColumn(column));
  for (uint32_t k = kAgeBuckets; k-- > 0;) {
    const double h =
        baselines_[row == kHotRow].hazard[k] * std::exp(table_ratios_[RatioBin(row, k)]) * factor;
    const double hits = -std::expm1(-h * WidthOf(k));
    Stretch& own = stretches[k];
    own = {hits, hits / h, 1 - hits, k + 1};
    while (own.end < kAgeBuckets) {
      const Stretch& next = stretches[own.end];
      if (next.hits * own.ticks <= own.hits * next.ticks) break;
      own.hits += own.survival * next.hits;
      own.ticks += own.survival * next.ticks;
      own.survival *= next.survival;
      own.end = next.end;
    }
    out[k] = static_cast<float>(own.hits / own.ticks);
  }
}

}  // namespace lamina
