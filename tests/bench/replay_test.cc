#include "bench/replay.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bench/directory.h"
#include "bench/report.h"
#include "bench/run.h"
#include "bench/workloads.h"
#include "tests/bench/memory_engine.h"
#include "tests/bench/temporary_directory.h"

namespace lamina::bench {
namespace {

constexpr size_t kPageBytes = 512;

EngineConfig SmallPages() {
  EngineConfig config;
  config.page_bytes = kPageBytes;
  return config;
}

ReplayResult MustReplay(MemoryEngine* engine, const Workload& workload,
                        const ReplayConfig& config = {}) {
  Result<ReplayResult> result = Replay(engine, SmallPages(), workload.requests, config);
  INFO(result.status().message());
  REQUIRE(result.ok());
  return std::move(*result);
}

TEST_CASE("a replay hits what an unbounded store hits and stores the rest") {
  const Workload workload = MakeConversation(300, 1);
  const std::vector<size_t> hits = UnboundedHits(workload.requests);
  MemoryEngine engine(kPageBytes);
  const ReplayResult result = MustReplay(&engine, workload);
  CHECK(result.requests == 300);
  CHECK(result.pages_hit == std::accumulate(hits.begin(), hits.end(), size_t{0}));
  CHECK(result.pages_put == CountDistinctPages(workload.requests));
  CHECK(result.pages_total == result.pages_hit + result.pages_put);
  CHECK(result.wrong_pages == 0);
  CHECK(result.pages_rejected == 0);
  CHECK(result.probe_seconds.count() == 300);
  CHECK(result.ttft_seconds.count() == 300);
  CHECK(engine.flushes == 1);
}

TEST_CASE("threads change a replay's hits by the first pages of a common root only") {
  const Workload workload = MakeConversation(300, 1);
  MemoryEngine alone(kPageBytes);
  MemoryEngine together(kPageBytes);
  const ReplayResult one = MustReplay(&alone, workload);
  ReplayConfig config;
  config.threads = 4;
  const ReplayResult four = MustReplay(&together, workload, config);
  CHECK(four.requests == 300);
  CHECK(four.wrong_pages == 0);
  CHECK(four.pages_hit <= one.pages_hit);
  CHECK(four.pages_hit + 3 >= one.pages_hit);
}

TEST_CASE("small buffers split requests without changing what is hit") {
  const Workload workload = MakeConversation(100, 1);
  MemoryEngine whole(kPageBytes);
  MemoryEngine split(kPageBytes);
  ReplayConfig config;
  config.buffer_bytes = size_t{3} * 4096;
  CHECK(MustReplay(&split, workload, config).pages_hit == MustReplay(&whole, workload).pages_hit);
}

TEST_CASE("one flipped bit is one wrong page, and its note says where it is") {
  const Workload workload = MakeStaged(70, 1);
  MemoryEngine engine(kPageBytes);
  bool spoilt = false;
  engine.spoil = [&](const PageName&, std::span<std::byte> page) {
    if (!std::exchange(spoilt, true)) page[300] ^= std::byte{4};
  };
  const ReplayResult result = MustReplay(&engine, workload);
  CHECK(result.wrong_pages == 1);
  REQUIRE(result.wrong_page_notes.size() == 1);
  CHECK(result.wrong_page_notes[0].find("wrong from byte 300 of 512") != std::string::npos);
}

TEST_CASE("two swapped pages are two wrong pages") {
  const Workload workload = MakeStaged(70, 1);
  MemoryEngine engine(kPageBytes);
  std::vector<std::span<std::byte>> seen;
  engine.spoil = [&](const PageName&, std::span<std::byte> page) {
    seen.push_back(page);
    if (seen.size() == 2) std::swap_ranges(seen[0].begin(), seen[0].end(), page.begin());
  };
  CHECK(MustReplay(&engine, workload).wrong_pages == 2);
}

TEST_CASE("a replay that is told not to verify counts no wrong page") {
  const Workload workload = MakeStaged(70, 1);
  MemoryEngine engine(kPageBytes);
  engine.spoil = [](const PageName&, std::span<std::byte> page) { page[0] ^= std::byte{1}; };
  ReplayConfig config;
  config.verify = false;
  CHECK(MustReplay(&engine, workload, config).wrong_pages == 0);
}

TEST_CASE("pages that an engine has no room for are counted as rejected and do not end a replay") {
  const Workload workload = MakeConversation(100, 1);
  MemoryEngine engine(kPageBytes);
  engine.capacity_pages = 50;
  const ReplayResult result = MustReplay(&engine, workload);
  CHECK(result.requests == 100);
  CHECK(result.pages_put == 50);
  CHECK(result.pages_rejected == result.pages_total - result.pages_hit - result.pages_put);
}

TEST_CASE("an engine's error ends a replay and is handed on") {
  MemoryEngine engine(kPageBytes);
  engine.put_error = Status::IoError("the disk is gone");
  const Result<ReplayResult> result =
      Replay(&engine, SmallPages(), MakeConversation(10, 1).requests, {});
  REQUIRE(!result.ok());
  CHECK(result.status().message() == "the disk is gone");
}

TEST_CASE("a replay that is stopped says so and has served only a part") {
  const Workload workload = MakeConversation(100, 1);
  MemoryEngine engine(kPageBytes);
  std::atomic<bool> stop{false};
  ReplayConfig config;
  config.stop = &stop;
  config.progress = [&](size_t finished) { stop = finished >= 10; };
  const ReplayResult result = MustReplay(&engine, workload, config);
  CHECK(result.stopped);
  CHECK(result.requests == 10);
}

TEST_CASE("time to first token counts the uncached tokens at the given speed") {
  Workload workload;
  workload.requests.resize(2);
  for (Request& request : workload.requests) {
    request.blocks = {1, 2};
    request.input_tokens = 1000;
  }
  MemoryEngine engine(kPageBytes);
  ReplayConfig config;
  config.prefill_tokens_per_s = 1;
  config.page_tokens = 512;
  const ReplayResult result = MustReplay(&engine, workload, config);
  // All 1000 tokens of the first request, and the last one of the second, which is cached.
  CHECK(result.ttft_seconds.Percentile(1) == Approx(1000).margin(.9));
  CHECK(result.ttft_seconds.Percentile(.5) == Approx(1).margin(.9));
}

TEST_CASE("the summary has every name that scripts rely on, and sums that agree") {
  const Workload workload = MakeStaged(70, 1);
  MemoryEngine engine(kPageBytes);
  const ReplayResult result = MustReplay(&engine, workload);
  RunConditions conditions;
  conditions.engine = "memory";
  conditions.page_bytes = kPageBytes;
  conditions.stage_hit_rates = workload.stage_hit_rates;
  const Summary summary = Summarize(conditions, result);
  const nlohmann::json json = ToJson(summary);
  for (const char* name : {"requests", "pages_total", "pages_hit", "hit_rate", "wrong_pages",
                           "put_mb_per_s", "restore_mb_per_s", "probe_us_p50", "probe_us_p99",
                           "get_ms_p50", "get_ms_p99", "put_ms_p50", "put_ms_p99", "cpu_cores",
                           "disk_bytes", "ttft_ms_mean", "ttft_ms_p99", "pages_rejected"}) {
    INFO(name);
    REQUIRE(json.contains(name));
    CHECK(json[name].is_number());
  }
  CHECK(json["engine"] == "memory");
  CHECK(json.contains("write_amplification"));
  CHECK(json["ttft_is_modelled"] == true);
  CHECK(json["hit_rate"].get<double>() ==
        Approx(static_cast<double>(result.pages_hit) / static_cast<double>(result.pages_total)));
  CHECK(json["put_mb_per_s"].get<double>() > 0);
  CHECK(json["restore_mb_per_s"].get<double>() > 0);
  CHECK(json["get_ms_p50"].get<double>() <= json["get_ms_p99"].get<double>());
  REQUIRE(json["stages"].size() == 7);
  CHECK(json["stages"][3]["hit_rate"].get<double>() == Approx(.7).margin(.01));
}

TEST_CASE("the table has a column an engine and says that time to first token is modelled") {
  const auto summary_of = [](std::string engine, double put_mb_per_s) {
    Summary summary;
    summary.conditions.engine = std::move(engine);
    summary.put_mb_per_s = put_mb_per_s;
    return summary;
  };
  const std::vector<Summary> summaries = {summary_of("first", 100), summary_of("raw", 200)};
  const std::string table = FormatTable(summaries);
  CHECK(table.find("first         raw\n") != std::string::npos);
  CHECK(table.find("Time to first token is modelled") != std::string::npos);
  CHECK(table.find("put, ratio to raw             0.50        1.00\n") != std::string::npos);
}

TEST_CASE("percentiles are samples, the smallest that enough samples do not exceed") {
  Samples samples;
  CHECK(samples.Percentile(.5) == 0);
  for (int i = 100; i >= 1; --i) samples.Add(i);
  CHECK(samples.Percentile(.5) == 50);
  CHECK(samples.Percentile(.99) == 99);
  CHECK(samples.Percentile(1) == 100);
  CHECK(samples.Percentile(0) == 1);
  CHECK(samples.Mean() == 50.5);
}

TEST_CASE("bytes are read with suffixes of 1024") {
  CHECK(ParseBytes("65536").value() == 65536);
  CHECK(ParseBytes("64K").value() == 65536);
  CHECK(ParseBytes("1M").value() == uint64_t{1} << 20);
  CHECK(ParseBytes("2g").value() == uint64_t{2} << 30);
  for (const char* text :
       {"", "K", "-1", "1.5M", "64KB", "1T", "99999999999999999999", "99999999999G"}) {
    INFO(text);
    CHECK(!ParseBytes(text).ok());
  }
}

// Few pages, since each is a file to make and remove.
Workload TinyWorkload() {
  Workload workload;
  workload.name = "tiny";
  for (uint64_t i = 0; i < 24; ++i) {
    Request request;
    request.blocks = {0, i % 5, i % 7, i % 3};
    request.input_tokens = 4 * 512;
    workload.requests.push_back(std::move(request));
  }
  return workload;
}

RunConfig FileRun(const std::string& dir) {
  RunConfig config;
  config.engines = {"file"};
  config.engine.page_bytes = 4096;
  config.dir = dir;
  return config;
}

TEST_CASE("a run in two parts on one directory hits what one run hits") {
  const Workload workload = TinyWorkload();
  const TemporaryDirectory once;
  const TemporaryDirectory twice;
  const Result<std::vector<Summary>> whole = RunWorkload(workload, FileRun(once.path()));
  RunConfig config = FileRun(twice.path());
  config.limit = 12;
  const Result<std::vector<Summary>> first = RunWorkload(workload, config);
  config.skip = 12;
  config.limit = 0;
  const Result<std::vector<Summary>> second = RunWorkload(workload, config);
  REQUIRE((whole.ok() && first.ok() && second.ok()));
  CHECK(first->front().requests == 12);
  CHECK(second->front().requests == 12);
  CHECK(first->front().pages_hit > 0);
  CHECK(first->front().pages_hit + second->front().pages_hit == whole->front().pages_hit);
  CHECK(second->front().wrong_pages == 0);
}

TEST_CASE("engines that run in turn have a directory each, agree on hits and count their disk") {
  const Workload workload = TinyWorkload();
  const TemporaryDirectory dir;
  RunConfig config = FileRun(dir.path());
  config.engines = {"file", "raw"};
  const Result<std::vector<Summary>> summaries = RunWorkload(workload, config);
  INFO(summaries.status().message());
  REQUIRE(summaries.ok());
  REQUIRE(summaries->size() == 2);
  CHECK(summaries->at(0).conditions.engine == "file");
  CHECK(summaries->at(0).pages_hit == summaries->at(1).pages_hit);
  CHECK(summaries->at(0).wrong_pages + summaries->at(1).wrong_pages == 0);
  for (const Summary& summary : *summaries) {
    CHECK(summary.disk_bytes >= CountDistinctPages(workload.requests) * 4096);
  }
  CHECK(!*IsEmptyDirectory(dir.path() + "/file"));
  CHECK(!*IsEmptyDirectory(dir.path() + "/raw"));
}

TEST_CASE("a run that the disk has no room for is refused before it begins") {
  const TemporaryDirectory dir;
  RunConfig config = FileRun(dir.path());
  config.engine.page_bytes = size_t{1} << 30;
  const Result<std::vector<Summary>> summaries = RunWorkload(MakeConversation(2000, 1), config);
  REQUIRE(!summaries.ok());
  CHECK(summaries.status().code() == StatusCode::kNoSpace);
  CHECK(*IsEmptyDirectory(dir.path()));
}

TEST_CASE("skipping all requests is an error") {
  const TemporaryDirectory dir;
  RunConfig config = FileRun(dir.path());
  config.skip = 10;
  CHECK(!RunWorkload(MakeConversation(10, 1), config).ok());
}

TEST_CASE("a named workspace stays and a new one is removed") {
  const TemporaryDirectory dir;
  const std::string named = dir.path() + "/a/b";
  { CHECK(Workspace::Prepare(named, false).ok()); }
  CHECK(*IsEmptyDirectory(named));
  std::string made;
  {
    const Result<Workspace> workspace = Workspace::Prepare("", false);
    REQUIRE(workspace.ok());
    made = workspace->path();
    CHECK(MakeDirectory(made + "/a/b").ok());
    std::ofstream(made + "/a/b/file") << "x";
    CHECK(!*IsEmptyDirectory(made));
  }
  CHECK(!IsEmptyDirectory(made).ok());
}

}  // namespace
}  // namespace lamina::bench
