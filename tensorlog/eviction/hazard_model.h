// How likely a page is to be used again, by age, and what that makes it worth to keep it: a
// proportional-hazard model learned online, ranked by hit density.
//
// hazard(page, age bucket k) = baseline[k] * exp(sum of the weights of the page's features
//                                                + weight of its age over its gap)
//
// where the gap is the time between the last two turns of its conversation. Hot pages, which many
// paths share, have a baseline of their own. What a page is worth at an age is the best ratio of
// expected hits to expected time over all the times it could be kept from then on (a Gittins
// index): the hazard itself would be a bad rank, since it is lowest just after a use. Pages of one
// row (gap) and one column (score) share a table entry; in between it is interpolated.
//
// Learning is one small step for each age bucket that a record passes and for each hit, sized by
// the evidence seen, with a start that counts in requests, since all pages of a path tell the same.
// Scores are trusted in proportion to the requests seen: until some hundreds of them have been, the
// order of pages stays near LRU's, which a model that follows its first examples falls below.
#ifndef LAMINA_TENSORLOG_EVICTION_HAZARD_MODEL_H_
#define LAMINA_TENSORLOG_EVICTION_HAZARD_MODEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "tensorlog/eviction/age_buckets.h"
#include "tensorlog/eviction/heat_bits.h"

namespace lamina {

inline constexpr uint32_t kFeatures = 6;
inline constexpr uint32_t kFeatureBins = 10;
// Ages over gaps by half octaves; 0: no gap.
inline constexpr uint32_t kRatioBins = 17;
// Rows of the table: no gap, gaps by octaves, hot.
inline constexpr uint32_t kGapRows = 12;
inline constexpr uint32_t kHotRow = kGapRows + 1;
inline constexpr uint32_t kRows = kHotRow + 1;
inline constexpr uint32_t kColumns = 25;

// The bins of a page's features, 4 bits each.
using FeatureBins = uint32_t;
inline uint32_t BinOf(FeatureBins bins, uint32_t feature) noexcept {
  return bins >> (4 * feature) & 0xF;
}

// The row of a gap as heats hold it (heat_bits.h).
inline uint32_t RowOf(uint32_t gap) noexcept {
  if (gap == 0) return 0;
  if (gap == kHotGap) return kHotRow;
  const uint32_t octave = (gap - 1) / 4;
  return std::clamp<uint32_t>(octave, 2, kGapRows + 1) - 1;
}

class HazardModel {
 public:
  HazardModel() noexcept;

  // The level (heat_bits.h) of a page with these features.
  [[nodiscard]] uint32_t LevelOf(FeatureBins bins) const noexcept;

  // A page of that heat, used `age` ticks ago. Fills in what it needs of the table, so it is not
  // for several threads at once, const as it is.
  [[nodiscard]] double Worth(uint32_t heat_bits, uint32_t age) const noexcept;

  // A record of that heat, last used at `tick`, is in an age bucket from now on (`sign` 1), or no
  // longer (-1): the time in which it has not returned yet counts as well, or the baseline of old
  // ages would explode.
  void Watch(uint32_t heat_bits, uint64_t tick, uint32_t bucket, int sign) noexcept;
  // A record was watched in a bucket for `ticks`, and then was used again or was not.
  void Learn(FeatureBins bins, uint32_t heat_bits, uint32_t bucket, double ticks,
             bool hit) noexcept;
  // Counts a request of so many units, and renews the table every so often. `now`: the tick.
  void EndRequest(uint64_t units, uint64_t now) noexcept;

  // Estimates the baselines, and what the table is made from, from what was learned so far.
  void Renew(uint64_t now) noexcept;

  // Whether bins that were read from somewhere are any.
  [[nodiscard]] static bool Legal(FeatureBins bins) noexcept;
  void Save(std::string* out) const noexcept;
  // Reads what Save wrote. On an error the model is undefined. Watched records are not part of it.
  Status Load(std::string_view bytes) noexcept;
  // Members of a JSON object.
  [[nodiscard]] std::string Explain() const noexcept;
  [[nodiscard]] uint64_t memory_bytes() const noexcept { return table_.size() * sizeof(float); }

 private:
  struct Weight {
    double value = 0;
    double evidence = 0;
    void Step(double y, double expected, double start, double limit) noexcept;
  };
  // What a baseline is estimated from: hits, and time at risk weighted by exp(score).
  struct Baseline {
    std::array<double, kAgeBuckets> hits{};
    std::array<double, kAgeBuckets> exposure{};
    std::array<double, kAgeBuckets> hazard{};
  };
  // Records that are in a bucket now: sums of exp(score), and of that times the tick of last use.
  struct Watched {
    double weight = 0;
    double weight_ticks = 0;
  };

  [[nodiscard]] double Score(FeatureBins bins) const noexcept;
  [[nodiscard]] double units_per_request() const noexcept;
  [[nodiscard]] double trust() const noexcept;
  // Hits of ordinary (0) or hot (1) pages by age, had the hazards been the prior's.
  [[nodiscard]] std::array<double, kAgeBuckets> ExpectedHits(uint32_t z,
                                                             uint64_t now) const noexcept;
  void EstimateBaselines(uint64_t now) noexcept;
  void Fade() noexcept;
  void ForgetTable() noexcept { filled_.fill(false); }
  // The table's entries of a row and a column.
  [[nodiscard]] const float* Entries(uint32_t row, uint32_t column) const noexcept;
  void Fill(uint32_t row, uint32_t column, float* out) const noexcept;

  std::array<std::array<Weight, kFeatureBins>, kFeatures> weights_;
  std::array<Weight, kRatioBins> ratio_weights_;
  std::array<Baseline, 2> baselines_;  // [1]: hot pages
  double requests_ = 0;
  double units_ = 0;
  double requests_since_renewal_ = 0;
  double hits_since_renewal_ = 0;
  double expected_since_renewal_ = 0;

  std::array<std::array<Watched, kAgeBuckets>, kRows> watched_{};
  std::array<double, kRatioBins>
      table_ratios_{};  // the ratio weights that the table is filled from
  // [row][column][bucket]. Entries are filled when they are first asked for: a store that has room
  // asks for none, and one that evicts for few between two renewals.
  mutable std::vector<float> table_;
  mutable std::array<bool, size_t{kRows} * kColumns> filled_{};
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_HAZARD_MODEL_H_
