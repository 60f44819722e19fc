#include "bench/bounded.h"

#include <nlohmann/json.hpp>

namespace lamina::bench {
namespace {

using nlohmann::json;

// The number `stats[group][name]`, if it is there.
template <typename T>
std::optional<T> Number(const json& stats, const char* group, const char* name) {
  const auto in = stats.find(group);
  if (in == stats.end() || !in->is_object()) return {};
  const auto value = in->find(name);
  if (value == in->end() || !value->is_number()) return {};
  return value->get<T>();
}

template <typename T>
json OrNull(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

}  // namespace

void ReadStoreFigures(const std::string& engine_stats, BoundedFigures* figures) {
  const json stats = json::parse(engine_stats, nullptr, /*allow_exceptions=*/false);
  if (!stats.is_object()) return;
  const auto space = [&](const char* name) { return Number<double>(stats, "space", name); };
  const auto eviction = [&](const char* name) { return Number<uint64_t>(stats, "eviction", name); };
  figures->tensor_write_amplification = space("tensor_write_amplification");
  figures->physical_over_not_condemned = space("physical_over_not_condemned");
  figures->physical_over_readable = space("physical_over_readable");
  figures->condemned_hits = eviction("condemned_hits");
  figures->stranded_pages = eviction("stranded_pages");
  const std::optional<uint64_t> restored = eviction("restored_pages");
  const std::optional<uint64_t> in_runs = eviction("restored_in_runs");
  if (restored && in_runs && *restored > 0) {
    figures->restored_in_runs_share =
        static_cast<double>(*in_runs) / static_cast<double>(*restored);
  }
}

void AddToJson(const BoundedFigures& figures, json* out) {
  json& to = *out;
  to["slots"] = OrNull(figures.slots);
  to["capacity_bytes"] = OrNull(figures.capacity_bytes);
  to["physical_bytes_peak"] = OrNull(figures.physical_bytes_peak);
  to["lru_hit_rate"] = OrNull(figures.lru_hit_rate);
  to["opt_hit_rate"] = OrNull(figures.opt_hit_rate);
  to["policy_hit_rate"] = OrNull(figures.policy_hit_rate);
  to["tensor_write_amplification"] = OrNull(figures.tensor_write_amplification);
  to["physical_over_not_condemned"] = OrNull(figures.physical_over_not_condemned);
  to["physical_over_readable"] = OrNull(figures.physical_over_readable);
  to["restored_in_runs_share"] = OrNull(figures.restored_in_runs_share);
  to["condemned_hits"] = OrNull(figures.condemned_hits);
  to["stranded_pages"] = OrNull(figures.stranded_pages);
}

}  // namespace lamina::bench
