// The hazard model as bytes (state_format.h has the layout) and as text.
#include <cmath>
#include <cstdio>

#include "engine/base/coding.h"
#include "tensorlog/eviction/hazard_model.h"

namespace lamina {
namespace {

void PutDouble(std::string* out, double value) { PutFixed(out, std::bit_cast<uint64_t>(value)); }

// Reads finite doubles within bounds and remembers whether all were.
class DoubleReader {
 public:
  explicit DoubleReader(Decoder* in) noexcept : in_(in) {}
  double Next(double least, double most) noexcept {
    const auto value = std::bit_cast<double>(in_->Fixed<uint64_t>());
    if (!(value >= least && value <= most)) {  // false for NaN, too
      ok_ = false;
      return least;
    }
    return value;
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }

 private:
  Decoder* in_;
  bool ok_ = true;
};

// Far beyond what counting can reach; keeps arithmetic finite.
constexpr double kMost = 1e18;
constexpr double kMostWeight = 5;
// Divided by.
constexpr double kLeastHazard = 1e-100;

void AppendNumbers(std::string* out, const char* name, std::span<const double> values) {
  *out += std::string("\"") + name + "\": [";
  for (size_t i = 0; i < values.size(); ++i) {
    char text[32];
    std::snprintf(text, sizeof text, "%s%.4g", i == 0 ? "" : ", ", values[i]);
    *out += text;
  }
  *out += "]";
}

}  // namespace

bool HazardModel::Legal(FeatureBins bins) noexcept {
  for (uint32_t f = 0; f < kFeatures; ++f)
    if (BinOf(bins, f) >= kFeatureBins) return false;
  return bins >> (4 * kFeatures) == 0;
}

void HazardModel::Save(std::string* out) const noexcept {
  for (uint32_t dimension : {kFeatures, kFeatureBins, kRatioBins, kAgeBuckets})
    PutFixed(out, dimension);
  for (const auto& feature : weights_) {
    for (const Weight& weight : feature) {
      PutDouble(out, weight.value);
      PutDouble(out, weight.evidence);
    }
  }
  for (const Weight& weight : ratio_weights_) {
    PutDouble(out, weight.value);
    PutDouble(out, weight.evidence);
  }
  for (const Baseline& baseline : baselines_) {
    for (double hits : baseline.hits) PutDouble(out, hits);
    for (double exposure : baseline.exposure) PutDouble(out, exposure);
    for (double hazard : baseline.hazard) PutDouble(out, hazard);
  }
  for (double ratio : table_ratios_) PutDouble(out, ratio);
  for (double count :
       {requests_, units_, requests_since_renewal_, hits_since_renewal_, expected_since_renewal_})
    PutDouble(out, count);
}

Status HazardModel::Load(std::string_view bytes) noexcept {
  Decoder in(bytes);
  bool same = true;
  for (uint32_t dimension : {kFeatures, kFeatureBins, kRatioBins, kAgeBuckets})
    same = in.Fixed<uint32_t>() == dimension && same;
  if (in.ok() && !same)
    return Status::NotSupported("eviction state: a model of other dimensions than this build's");
  DoubleReader read(&in);
  for (auto& feature : weights_) {
    for (Weight& weight : feature) {
      weight.value = read.Next(-kMostWeight, kMostWeight);
      weight.evidence = read.Next(0, kMost);
    }
  }
  for (Weight& weight : ratio_weights_) {
    weight.value = read.Next(-kMostWeight, kMostWeight);
    weight.evidence = read.Next(0, kMost);
  }
  for (Baseline& baseline : baselines_) {
    for (double& hits : baseline.hits) hits = read.Next(0, kMost);
    for (double& exposure : baseline.exposure) exposure = read.Next(0, kMost);
    for (double& hazard : baseline.hazard) hazard = read.Next(kLeastHazard, kMost);
  }
  for (double& ratio : table_ratios_) ratio = read.Next(-kMostWeight, kMostWeight);
  for (double* count : {&requests_, &units_, &requests_since_renewal_, &hits_since_renewal_,
                        &expected_since_renewal_})
    *count = read.Next(0, kMost);
  ForgetTable();
  if (!in.done() || !read.ok()) return Status::Corruption("eviction state: the model is damaged");
  return Status::Ok();
}

std::string HazardModel::Explain() const noexcept {
  static constexpr const char* kNames[kFeatures] = {"weights_turn",      "weights_new_units",
                                                    "weights_units",     "weights_known_age",
                                                    "weights_shared_by", "weights_last_unit"};
  char text[64];
  std::snprintf(text, sizeof text, "\"requests\": %.0f, \"units_per_request\": %.1f, ", requests_,
                units_per_request());
  std::string out = text;
  for (uint32_t f = 0; f < kFeatures; ++f) {
    std::array<double, kFeatureBins> values;
    for (uint32_t b = 0; b < kFeatureBins; ++b) values[b] = weights_[f][b].value;
    AppendNumbers(&out, kNames[f], values);
    out += ", ";
  }
  std::array<double, kRatioBins> ratios;
  for (uint32_t r = 0; r < kRatioBins; ++r) ratios[r] = ratio_weights_[r].value;
  AppendNumbers(&out, "weights_age_over_gap", ratios);
  out += ", ";
  AppendNumbers(&out, "age_units", std::span(kBucketStart).first(kAgeBuckets));
  out += ", ";
  AppendNumbers(&out, "hazard_per_unit", baselines_[0].hazard);
  out += ", ";
  AppendNumbers(&out, "hazard_per_unit_hot", baselines_[1].hazard);
  return out;
}

}  // namespace lamina
