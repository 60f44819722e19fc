#include "bench/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "bench/directory.h"
#include "bench/meter.h"

namespace lamina::bench {
namespace {

constexpr double kProgressSeconds = 0.2;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr std::string_view kStoreName = "lamina";

// One line on stderr that is written over and over.
class ProgressLine {
 public:
  ProgressLine(std::string engine, size_t total) : engine_(std::move(engine)), total_(total) {}
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r{:60}\r", "");
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(size_t finished) {
    const double now = NowSeconds();
    if (now - last_ < kProgressSeconds) return;
    last_ = now;
    shown_ = true;
    fmt::print(stderr, "\r{:<8} {:>8} of {} requests", engine_, finished, total_);
    std::fflush(stderr);
  }

 private:
  const std::string engine_;
  const size_t total_;
  double last_ = 0;
  bool shown_ = false;
};

// The bytes that the engines together will need and do not have yet.
Status CheckFreeSpace(const RunConfig& config, uint64_t pages) {
  uint64_t needed = 0;
  for (const std::string& engine : config.engines) {
    const Result<uint64_t> bytes = EstimateDiskBytes(engine, config.engine, pages);
    if (!bytes.ok()) return bytes.status();
    needed += *bytes;
  }
  needed -= std::min(needed, DiskBytes(config.dir));
  const Result<uint64_t> free = FreeBytes(config.dir);
  if (!free.ok()) return free.status();
  if (needed <= *free) return Status::Ok();
  return Status(
      StatusCode::kNoSpace,
      fmt::format("{} pages of {} bytes on {} engine{} need up to {:.1f} GiB in {}, which "
                  "has {:.1f} GiB free; use a smaller --page-bytes, a --limit, or --dir "
                  "on another disk",
                  pages, config.engine.page_bytes, config.engines.size(),
                  config.engines.size() == 1 ? "" : "s", static_cast<double>(needed) / kGiB,
                  config.dir, static_cast<double>(*free) / kGiB));
}

// The requests of a run, and those before them, which may have filled what is there already.
struct Requests {
  std::span<const Request> replayed;
  std::span<const Request> with_skipped;
  std::span<const Request> all;  // a share of the distinct pages is of all of them
  size_t skipped = 0;
};

Result<Requests> RequestsOf(const Workload& workload, const RunConfig& config) {
  const std::span<const Request> all = workload.requests;
  if (config.skip >= all.size()) {
    return Status::InvalidArgument(
        fmt::format("cannot skip {} of {} requests", config.skip, all.size()));
  }
  const size_t rest = all.size() - config.skip;
  const size_t count = config.limit == 0 ? rest : std::min(config.limit, rest);
  return Requests{all.subspan(config.skip, count), all.first(config.skip + count), all,
                  config.skip};
}

// A run of the lamina engine within a capacity.
struct BoundedRun {
  CapacityPlan plan;
  Yardsticks yardsticks;
};

Result<Summary> RunEngine(const std::string& name, const std::string& dir, const Workload& workload,
                          std::span<const Request> requests, const RunConfig& config) {
  Status status = MakeDirectory(dir);
  if (!status.ok()) return status;
  EngineConfig engine_config = config.engine;
  engine_config.dir = dir;
  ReplayConfig replay_config = config.replay;
  replay_config.page_tokens = workload.page_tokens;
  std::optional<ProgressLine> progress;
  if (config.show_progress) {
    progress.emplace(name, requests.size());
    replay_config.progress = [&progress](size_t finished) { progress->Show(finished); };
  }
  uint64_t peak_bytes = 0;
  const bool is_store = name == kStoreName;
  if (is_store) {
    replay_config.sample = [&] { peak_bytes = std::max(peak_bytes, DiskBytes(dir)); };
  }

  const double start = NowSeconds();
  Result<std::unique_ptr<Engine>> engine = OpenEngine(name, engine_config);
  const double open_seconds = NowSeconds() - start;
  if (!engine.ok()) return engine.status();
  const Result<ReplayResult> result = Replay(engine->get(), engine_config, requests, replay_config);
  progress.reset();
  if (!result.ok()) return result.status();
  for (const std::string& note : result->wrong_page_notes) {
    fmt::print(stderr, "lamina-replay: {}: {}\n", name, note);
  }
  Summary summary = Summarize({.engine = name,
                               .workload = workload.name,
                               .page_bytes = engine_config.page_bytes,
                               .threads = replay_config.threads,
                               .verified = replay_config.verify,
                               .page_cache_dropped = replay_config.drop_page_cache,
                               .prefill_tokens_per_s = replay_config.prefill_tokens_per_s,
                               .stage_hit_rates = workload.stage_hit_rates},
                              *result);
  summary.open_ms = open_seconds * 1e3;
  summary.disk_bytes = DiskBytes(dir);
  summary.engine_stats = (*engine)->StatsJson();
  if (is_store) {
    summary.bounded.physical_bytes_peak = std::max(peak_bytes, summary.disk_bytes);
    ReadStoreFigures(summary.engine_stats, &summary.bounded);
  }
  return summary;
}

// Tells the lamina engine its capacity, and finds out what that is compared with.
Result<BoundedRun> Bound(const Workload& workload, const Requests& requests, bool is_new,
                         RunConfig* config) {
  const std::vector<std::string>& engines = config->engines;
  if (std::find(engines.begin(), engines.end(), kStoreName) == engines.end()) {
    return Status::InvalidArgument("--capacity: only the lamina engine has one");
  }
  const Result<CapacityPlan> plan =
      PlanCapacity(config->capacity, CountDistinctPages(requests.all), config->engine.page_bytes);
  if (!plan.ok()) return plan.status();
  config->engine.store_options +=
      fmt::format(";capacity_bytes={};page_tokens={}", plan->capacity_bytes, workload.page_tokens);
  config->policy.pages_per_unit = PagesPerUnit(workload.page_tokens);
  BoundedRun run{*plan, {}};
  // A directory with something in it got that from the requests skipped.
  run.yardsticks = is_new ? ComputeYardsticks(requests.replayed, 0, plan->slots, config->policy)
                          : ComputeYardsticks(requests.with_skipped, requests.skipped, plan->slots,
                                              config->policy);
  return run;
}

void AddBoundedRun(const BoundedRun& run, Summary* summary) {
  summary->bounded.slots = run.plan.slots;
  summary->bounded.capacity_bytes = run.plan.capacity_bytes;
  summary->bounded.lru_hit_rate = run.yardsticks.lru_hit_rate;
  summary->bounded.opt_hit_rate = run.yardsticks.opt_hit_rate;
  summary->bounded.policy_hit_rate = run.yardsticks.policy_hit_rate;
}

}  // namespace

Result<std::vector<PolicyReport>> RunPolicyOnly(const Workload& workload, const RunConfig& config,
                                                std::span<const CapacityChoice> capacities) {
  const Result<Requests> requests = RequestsOf(workload, config);
  if (!requests.ok()) return requests.status();
  PolicyReport report{.workload = workload.name, .choice = config.policy, .yardsticks = {}};
  report.choice.pages_per_unit = PagesPerUnit(workload.page_tokens);
  report.requests = requests->replayed.size();
  for (const Request& request : requests->replayed) report.pages_total += request.blocks.size();
  report.distinct_pages = CountDistinctPages(requests->all);
  std::vector<PolicyReport> reports;
  for (const CapacityChoice& capacity : capacities) {
    const Result<CapacityPlan> plan =
        PlanCapacity(capacity, report.distinct_pages, config.engine.page_bytes);
    if (!plan.ok()) return plan.status();
    report.capacity_percent =
        100 * static_cast<double>(plan->slots) / static_cast<double>(report.distinct_pages);
    report.yardsticks =
        ComputeYardsticks(requests->with_skipped, requests->skipped, plan->slots, report.choice);
    reports.push_back(report);
  }
  return reports;
}

Result<std::vector<Summary>> RunWorkload(const Workload& workload, const RunConfig& asked) {
  RunConfig config = asked;
  const Result<Requests> requests = RequestsOf(workload, config);
  if (!requests.ok()) return requests.status();
  const Result<bool> is_new = IsEmptyDirectory(config.dir);
  if (!is_new.ok()) return is_new.status();
  std::optional<BoundedRun> bounded;
  if (config.capacity.given()) {
    const Result<BoundedRun> run = Bound(workload, *requests, *is_new, &config);
    if (!run.ok()) return run.status();
    bounded = *run;
  }
  // What is there already holds the skipped requests' pages, if any; CheckFreeSpace subtracts it.
  const size_t pages = CountDistinctPages(*is_new ? requests->replayed : requests->with_skipped);
  Status status = CheckFreeSpace(config, pages);
  if (!status.ok()) return status;

  std::vector<Summary> summaries;
  for (const std::string& engine : config.engines) {
    const bool alone = config.engines.size() == 1;
    const std::string dir = alone ? config.dir : config.dir + "/" + engine;
    Result<Summary> summary = RunEngine(engine, dir, workload, requests->replayed, config);
    if (!summary.ok()) {
      return Status(summary.status().code(),
                    engine + ": " + std::string(summary.status().message()));
    }
    if (bounded && engine == kStoreName) AddBoundedRun(*bounded, &*summary);
    summaries.push_back(std::move(*summary));
    if (summaries.back().stopped) break;
  }
  return summaries;
}

Result<uint64_t> ParseBytes(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view suffix = text.substr(static_cast<size_t>(end - text.data()));
  unsigned shift = 0;
  if (suffix == "K" || suffix == "k") shift = 10;
  if (suffix == "M" || suffix == "m") shift = 20;
  if (suffix == "G" || suffix == "g") shift = 30;
  if (error != std::errc() || (shift == 0 && !suffix.empty()) || value > UINT64_MAX >> shift) {
    return Status::InvalidArgument(
        fmt::format("\"{}\" is not a number of bytes (such as 65536, 64K or 1M)", text));
  }
  return value << shift;
}

}  // namespace lamina::bench
