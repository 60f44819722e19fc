#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

namespace lamina::bench {
namespace {

constexpr double kMega = 1e6;
constexpr double kMillisecondsPerSecond = 1e3;

double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

double HitRate(uint64_t hit, uint64_t total) {
  return Ratio(static_cast<double>(hit), static_cast<double>(total));
}

struct Row {
  const char* name;
  std::function<std::string(const Summary&)> value;
};

std::string Number(double value, int digits) { return fmt::format("{:.{}f}", value, digits); }

// Empty where the figure is not known: a row of which no engine knows anything is left out.
template <typename T>
Row BoundedRow(const char* name, std::optional<T> BoundedFigures::*figure, double unit,
               int digits) {
  return {name, [=](const Summary& s) {
            const std::optional<T>& value = s.bounded.*figure;
            return value ? Number(static_cast<double>(*value) / unit, digits) : std::string();
          }};
}

std::string HitsLost(const Summary& s) {
  const std::optional<double>& policy = s.bounded.policy_hit_rate;
  return policy && *policy > 0 ? Number((1 - s.hit_rate / *policy) * 100, 2) : std::string();
}

const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {
      {"requests", [](const Summary& s) { return std::to_string(s.requests); }},
      {"pages", [](const Summary& s) { return std::to_string(s.pages_total); }},
      {"pages hit", [](const Summary& s) { return std::to_string(s.pages_hit); }},
      {"hit rate", [](const Summary& s) { return Number(s.hit_rate, 4); }},
      BoundedRow("LRU hit rate", &BoundedFigures::lru_hit_rate, 1, 4),
      BoundedRow("optimum hit rate", &BoundedFigures::opt_hit_rate, 1, 4),
      BoundedRow("policy hit rate", &BoundedFigures::policy_hit_rate, 1, 4),
      {"hits lost %", HitsLost},
      {"pages rejected", [](const Summary& s) { return std::to_string(s.pages_rejected); }},
      {"wrong pages",
       [](const Summary& s) {
         return s.conditions.verified ? std::to_string(s.wrong_pages) : "unchecked";
       }},
      {"put MB/s", [](const Summary& s) { return Number(s.put_mb_per_s, 0); }},
      {"restore MB/s", [](const Summary& s) { return Number(s.restore_mb_per_s, 0); }},
      {"probe us p50", [](const Summary& s) { return Number(s.probe_us_p50, 1); }},
      {"probe us p99", [](const Summary& s) { return Number(s.probe_us_p99, 1); }},
      {"get ms p50", [](const Summary& s) { return Number(s.get_ms_p50, 2); }},
      {"get ms p99", [](const Summary& s) { return Number(s.get_ms_p99, 2); }},
      {"put ms p50", [](const Summary& s) { return Number(s.put_ms_p50, 2); }},
      {"put ms p99", [](const Summary& s) { return Number(s.put_ms_p99, 2); }},
      {"CPU cores", [](const Summary& s) { return Number(s.cpu_cores, 2); }},
      {"disk MB",
       [](const Summary& s) { return Number(static_cast<double>(s.disk_bytes) / kMega, 0); }},
      {"write amplification",
       [](const Summary& s) {
         return s.write_amplification ? Number(*s.write_amplification, 3) : "unknown";
       }},
      BoundedRow("capacity MB", &BoundedFigures::capacity_bytes, kMega, 1),
      BoundedRow("peak disk MB", &BoundedFigures::physical_bytes_peak, kMega, 1),
      BoundedRow("tensor write amp.", &BoundedFigures::tensor_write_amplification, 1, 3),
      BoundedRow("disk / not condemned", &BoundedFigures::physical_over_not_condemned, 1, 3),
      BoundedRow("disk / readable", &BoundedFigures::physical_over_readable, 1, 3),
      BoundedRow("restored in runs", &BoundedFigures::restored_in_runs_share, 1, 3),
      BoundedRow("condemned hits", &BoundedFigures::condemned_hits, 1, 0),
      BoundedRow("stranded pages", &BoundedFigures::stranded_pages, 1, 0),
      {"TTFT ms mean *", [](const Summary& s) { return Number(s.ttft_ms_mean, 1); }},
      {"TTFT ms p99 *", [](const Summary& s) { return Number(s.ttft_ms_p99, 1); }},
      {"open ms", [](const Summary& s) { return Number(s.open_ms, 1); }},
      {"wall s", [](const Summary& s) { return Number(s.wall_s, 1); }},
  };
  return rows;
}

std::string RatioRow(const char* name, std::span<const Summary> summaries, const Summary& raw,
                     double Summary::*rate) {
  std::string row = fmt::format("{:<22}", name);
  for (const Summary& s : summaries) {
    row += fmt::format("{:>12}", Number(Ratio(s.*rate, raw.*rate), 2));
  }
  return row + "\n";
}

std::string StageRows(std::span<const Summary> summaries) {
  const std::vector<double>& targets = summaries.front().conditions.stage_hit_rates;
  std::string rows;
  for (size_t stage = 0; stage < targets.size(); ++stage) {
    rows += fmt::format("{:<22}", fmt::format("hit rate {} ({:.1f})", stage + 1, targets[stage]));
    for (const Summary& s : summaries) {
      const StageCounts counts = stage < s.stages.size() ? s.stages[stage] : StageCounts{};
      rows += fmt::format("{:>12}", counts.pages_total == 0
                                        ? "-"
                                        : Number(HitRate(counts.pages_hit, counts.pages_total), 4));
    }
    rows += "\n";
  }
  return rows;
}

std::string Notes(std::span<const Summary> summaries) {
  const RunConditions& conditions = summaries.front().conditions;
  std::string notes = fmt::format(
      "* Time to first token is modelled: probe + restore + uncached tokens at {:.0f} tokens/s.\n"
      "  put MB/s include the final sync; MB are 10^6 bytes.",
      conditions.prefill_tokens_per_s);
  notes += conditions.page_cache_dropped
               ? " Pages were dropped from the page cache before restores.\n"
               : " Restores may have come from the page cache.\n";
  if (std::any_of(summaries.begin(), summaries.end(), [](const Summary& s) { return s.stopped; })) {
    notes += "  The run was stopped before its end.\n";
  }
  return notes;
}

}  // namespace

Summary Summarize(const RunConditions& conditions, const ReplayResult& result) {
  const auto page_bytes = static_cast<double>(conditions.page_bytes);
  const double put_bytes = static_cast<double>(result.pages_put) * page_bytes;
  const double got_bytes = static_cast<double>(result.pages_hit) * page_bytes;
  const auto threads = static_cast<double>(conditions.threads);
  const double put_seconds = result.put_seconds.Sum() / threads + result.flush_seconds;
  const double get_seconds = result.get_seconds.Sum() / threads;
  const double engine_seconds = result.probe_seconds.Sum() / threads + put_seconds + get_seconds;

  Summary summary;
  summary.conditions = conditions;
  summary.requests = result.requests;
  summary.pages_total = result.pages_total;
  summary.pages_hit = result.pages_hit;
  summary.pages_rejected = result.pages_rejected;
  summary.hit_rate = HitRate(result.pages_hit, result.pages_total);
  summary.wrong_pages = result.wrong_pages;
  summary.put_mb_per_s = put_bytes > 0 ? Ratio(put_bytes / kMega, put_seconds) : 0;
  summary.restore_mb_per_s = Ratio(got_bytes / kMega, get_seconds);
  summary.probe_us_p50 = result.probe_seconds.Percentile(.50) * kMicrosecondsPerSecond;
  summary.probe_us_p99 = result.probe_seconds.Percentile(.99) * kMicrosecondsPerSecond;
  summary.get_ms_p50 = result.get_seconds.Percentile(.50) * kMillisecondsPerSecond;
  summary.get_ms_p99 = result.get_seconds.Percentile(.99) * kMillisecondsPerSecond;
  summary.put_ms_p50 = result.put_seconds.Percentile(.50) * kMillisecondsPerSecond;
  summary.put_ms_p99 = result.put_seconds.Percentile(.99) * kMillisecondsPerSecond;
  summary.cpu_cores = Ratio(result.engine_cpu_seconds, engine_seconds);
  if (result.written_bytes && put_bytes > 0) {
    summary.write_amplification = static_cast<double>(*result.written_bytes) / put_bytes;
  }
  summary.ttft_ms_mean = result.ttft_seconds.Mean() * kMillisecondsPerSecond;
  summary.ttft_ms_p99 = result.ttft_seconds.Percentile(.99) * kMillisecondsPerSecond;
  summary.wall_s = result.wall_seconds;
  summary.stopped = result.stopped;
  summary.stages = result.stages;
  return summary;
}

nlohmann::json ToJson(const Summary& summary) {
  nlohmann::json json = {
      {"engine", summary.conditions.engine},
      {"workload", summary.conditions.workload},
      {"page_bytes", summary.conditions.page_bytes},
      {"threads", summary.conditions.threads},
      {"verified", summary.conditions.verified},
      {"page_cache_dropped", summary.conditions.page_cache_dropped},
      {"requests", summary.requests},
      {"pages_total", summary.pages_total},
      {"pages_hit", summary.pages_hit},
      {"pages_rejected", summary.pages_rejected},
      {"hit_rate", summary.hit_rate},
      {"wrong_pages", summary.wrong_pages},
      {"put_mb_per_s", summary.put_mb_per_s},
      {"restore_mb_per_s", summary.restore_mb_per_s},
      {"probe_us_p50", summary.probe_us_p50},
      {"probe_us_p99", summary.probe_us_p99},
      {"get_ms_p50", summary.get_ms_p50},
      {"get_ms_p99", summary.get_ms_p99},
      {"put_ms_p50", summary.put_ms_p50},
      {"put_ms_p99", summary.put_ms_p99},
      {"cpu_cores", summary.cpu_cores},
      {"disk_bytes", summary.disk_bytes},
      {"write_amplification", nullptr},
      {"ttft_ms_mean", summary.ttft_ms_mean},
      {"ttft_ms_p99", summary.ttft_ms_p99},
      {"ttft_is_modelled", true},
      {"prefill_tokens_per_s", summary.conditions.prefill_tokens_per_s},
      {"open_ms", summary.open_ms},
      {"wall_s", summary.wall_s},
      {"stopped", summary.stopped},
  };
  if (summary.write_amplification) json["write_amplification"] = *summary.write_amplification;
  AddToJson(summary.bounded, &json);
  const std::vector<double>& targets = summary.conditions.stage_hit_rates;
  for (size_t i = 0; i < targets.size() && i < summary.stages.size(); ++i) {
    const StageCounts& stage = summary.stages[i];
    json["stages"].push_back({{"target_hit_rate", targets[i]},
                              {"requests", stage.requests},
                              {"hit_rate", HitRate(stage.pages_hit, stage.pages_total)}});
  }
  if (!summary.engine_stats.empty()) {
    json["engine_stats"] = nlohmann::json::parse(summary.engine_stats, nullptr, false);
  }
  return json;
}

std::string FormatTable(std::span<const Summary> summaries) {
  const RunConditions& conditions = summaries.front().conditions;
  std::string table = fmt::format("{}, {} bytes a page, {} thread{}\n\n{:<22}", conditions.workload,
                                  conditions.page_bytes, conditions.threads,
                                  conditions.threads == 1 ? "" : "s", "");
  for (const Summary& s : summaries) table += fmt::format("{:>12}", s.conditions.engine);
  table += "\n";
  for (const Row& row : Rows()) {
    std::string line = fmt::format("{:<22}", row.name);
    bool known = false;
    for (const Summary& s : summaries) {
      const std::string value = row.value(s);
      known = known || !value.empty();
      line += fmt::format("{:>12}", value.empty() ? "-" : value);
    }
    if (known) table += line + "\n";
  }
  const auto raw = std::find_if(summaries.begin(), summaries.end(),
                                [](const Summary& s) { return s.conditions.engine == "raw"; });
  if (raw != summaries.end() && summaries.size() > 1) {
    table += RatioRow("put, ratio to raw", summaries, *raw, &Summary::put_mb_per_s);
    table += RatioRow("restore, ratio to raw", summaries, *raw, &Summary::restore_mb_per_s);
  }
  return table + StageRows(summaries) + "\n" + Notes(summaries);
}

}  // namespace lamina::bench
