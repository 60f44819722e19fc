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
  return summary;
}

}  // namespace

Result<std::vector<Summary>> RunWorkload(const Workload& workload, const RunConfig& config) {
  const std::span<const Request> all = workload.requests;
  if (config.skip >= all.size()) {
    return Status::InvalidArgument(
        fmt::format("cannot skip {} of {} requests", config.skip, all.size()));
  }
  const std::span<const Request> rest = all.subspan(config.skip);
  const std::span<const Request> requests =
      config.limit == 0 ? rest : rest.first(std::min(config.limit, rest.size()));

  // What is there already holds the skipped requests' pages, if any; CheckFreeSpace subtracts it.
  const Result<bool> is_new = IsEmptyDirectory(config.dir);
  if (!is_new.ok()) return is_new.status();
  const size_t first = *is_new ? config.skip : 0;
  const size_t pages =
      CountDistinctPages(all.subspan(first, config.skip + requests.size() - first));
  Status status = CheckFreeSpace(config, pages);
  if (!status.ok()) return status;

  std::vector<Summary> summaries;
  for (const std::string& engine : config.engines) {
    const bool alone = config.engines.size() == 1;
    const std::string dir = alone ? config.dir : config.dir + "/" + engine;
    Result<Summary> summary = RunEngine(engine, dir, workload, requests, config);
    if (!summary.ok()) {
      return Status(summary.status().code(),
                    engine + ": " + std::string(summary.status().message()));
    }
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
