// What a store with a capacity is judged by, beside its speed.
#ifndef LAMINA_BENCH_BOUNDED_H_
#define LAMINA_BENCH_BOUNDED_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace lamina::bench {

// Empty where it is not known: an engine without a capacity, or one that does not count it.
struct BoundedFigures {
  std::optional<uint64_t> slots;           // pages that fit
  std::optional<uint64_t> capacity_bytes;  // of everything on disk
  // The most bytes that were allocated on disk during the run, as `du` counts them.
  std::optional<uint64_t> physical_bytes_peak;
  // Of the same requests at as many slots (policy_yardsticks.h).
  std::optional<double> lru_hit_rate;
  std::optional<double> opt_hit_rate;
  std::optional<double> policy_hit_rate;
  // The store's own counts.
  std::optional<double> tensor_write_amplification;
  std::optional<double> physical_over_not_condemned;
  std::optional<double> physical_over_readable;
  std::optional<double> restored_in_runs_share;
  std::optional<uint64_t> condemned_hits;
  std::optional<uint64_t> stranded_pages;
};

// Takes the store's own counts out of its statistics (JSON); what is not there stays empty.
void ReadStoreFigures(const std::string& engine_stats, BoundedFigures* figures);

// Adds every figure by its name; null where it is not known.
void AddToJson(const BoundedFigures& figures, nlohmann::json* json);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_BOUNDED_H_
