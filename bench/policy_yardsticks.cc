#include "bench/policy_yardsticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bench/meter.h"
#include "bench/optimum.h"
#include "bench/policy_sim.h"

namespace lamina::bench {
namespace {

// In the order of PolicyKind and of PolicySimOptions::Admission.
constexpr const char* kEvictionNames[] = {"prhd", "lru", "s3fifo"};
constexpr const char* kAdmissionNames[] = {"policy", "all", "second_use"};

template <size_t N>
size_t IndexOf(const char* const (&names)[N], const std::string& name) {
  return static_cast<size_t>(std::find(names, names + N, name) - names);
}

PolicySimOptions SimOptionsOf(const PolicyChoice& choice, uint64_t slots) {
  PolicySimOptions options;
  options.policy.kind = static_cast<PolicyKind>(IndexOf(kEvictionNames, choice.eviction));
  options.admission =
      static_cast<PolicySimOptions::Admission>(IndexOf(kAdmissionNames, choice.admission));
  options.slots = slots;
  options.logical_share = choice.live_share;
  options.run_pages = choice.run_pages;
  options.pages_per_unit = choice.pages_per_unit;
  return options;
}

}  // namespace

uint32_t PagesPerUnit(uint32_t page_tokens) {
  constexpr uint32_t kUnitTokens = 512;
  return std::max<uint32_t>(1, kUnitTokens / page_tokens);
}

std::vector<std::string> EvictionNames() {
  return {std::begin(kEvictionNames), std::end(kEvictionNames)};
}

std::vector<std::string> AdmissionNames() {
  return {std::begin(kAdmissionNames), std::end(kAdmissionNames)};
}

Yardsticks ComputeYardsticks(std::span<const Request> requests, size_t first_counted,
                             uint64_t slots, const PolicyChoice& choice) {
  Yardsticks out;
  out.slots = slots;
  const CacheResult lru = SimulateLru(requests, slots, first_counted);
  out.lru_hit_rate = lru.hit_rate();
  out.lru_pages_written = lru.written;
  out.opt_hit_rate = SimulateOptimum(requests, slots, first_counted).hit_rate();

  PolicySimOptions options = SimOptionsOf(choice, slots);
  const double start = NowSeconds();
  double hits = 0;
  double in_runs = 0;
  for (unsigned seed = 1; seed <= choice.seeds; ++seed) {
    options.policy.seed = seed;
    const PolicySimResult result = SimulatePolicy(requests, options, first_counted);
    const auto add = [&](double* mean, uint64_t value) {
      *mean += static_cast<double>(value) / choice.seeds;
    };
    out.policy_hit_rates.push_back(result.hit_rate());
    out.policy_hit_rate += result.hit_rate() / choice.seeds;
    add(&out.pages_written, result.written);
    add(&out.pages_rejected, result.rejected);
    add(&out.evicted_pages, result.evictions);
    add(&out.condemned_hits, result.condemned_hits);
    add(&out.stranded_pages, result.stranded);
    add(&hits, result.hits);
    add(&in_runs, result.restored_in_runs);
  }
  out.restored_in_runs_share = hits > 0 ? in_runs / hits : 0;
  out.seconds_per_seed = (NowSeconds() - start) / choice.seeds;
  return out;
}

nlohmann::json ToJson(const PolicyReport& report) {
  const Yardsticks& y = report.yardsticks;
  return {{"engine", nullptr},
          {"workload", report.workload},
          {"eviction", report.choice.eviction},
          {"admission", report.choice.admission},
          {"seeds", report.choice.seeds},
          {"live_share", report.choice.live_share},
          {"run_pages", report.choice.run_pages},
          {"pages_per_unit", report.choice.pages_per_unit},
          {"requests", report.requests},
          {"pages_total", report.pages_total},
          {"distinct_pages", report.distinct_pages},
          {"capacity_percent", report.capacity_percent},
          {"slots", y.slots},
          {"hit_rate", y.policy_hit_rate},
          {"policy_hit_rate", y.policy_hit_rate},
          {"policy_hit_rates", y.policy_hit_rates},
          {"lru_hit_rate", y.lru_hit_rate},
          {"opt_hit_rate", y.opt_hit_rate},
          {"pages_written", y.pages_written},
          {"lru_pages_written", y.lru_pages_written},
          {"pages_rejected", y.pages_rejected},
          {"evicted_pages", y.evicted_pages},
          {"condemned_hits", y.condemned_hits},
          {"stranded_pages", y.stranded_pages},
          {"restored_in_runs_share", y.restored_in_runs_share},
          {"tensor_write_amplification", nullptr},
          {"physical_over_not_condemned", nullptr},
          {"physical_over_readable", nullptr}};
}

std::string FormatTable(std::span<const PolicyReport> reports) {
  const PolicyReport& first = reports.front();
  std::string table = fmt::format(
      "{}, {} requests, {} distinct pages; {} with admission {}, mean of {} seed{}\n\n"
      "{:>8} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>10} {:>9} {:>8}\n",
      first.workload, first.requests, first.distinct_pages, first.choice.eviction,
      first.choice.admission, first.choice.seeds, first.choice.seeds == 1 ? "" : "s", "capacity",
      "slots", "hit rate", "LRU", "optimum", "written", "LRU's", "condemned", "stranded",
      "in runs");
  for (const PolicyReport& report : reports) {
    const Yardsticks& y = report.yardsticks;
    const auto pages = static_cast<double>(std::max<uint64_t>(report.pages_total, 1));
    table += fmt::format(
        "{:>7.2f}% {:>9} {:>8.4f} {:>8.4f} {:>8.4f} {:>9.3f} {:>9.3f} {:>10.0f} {:>9.0f} "
        "{:>8.3f}\n",
        report.capacity_percent, y.slots, y.policy_hit_rate, y.lru_hit_rate, y.opt_hit_rate,
        y.pages_written / pages, static_cast<double>(y.lru_pages_written) / pages, y.condemned_hits,
        y.stranded_pages, y.restored_in_runs_share);
  }
  return table +
         "\nwritten: pages written over pages requested; condemned: hits on condemned pages; "
         "stranded:\npages whose front went first; in runs: hits in runs of slots that a sweep "
         "looks for\n";
}

}  // namespace lamina::bench
