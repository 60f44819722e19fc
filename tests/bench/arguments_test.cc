#include "bench/arguments.h"

#include <catch2/catch.hpp>

namespace lamina::bench {
namespace {

Arguments Parse(const std::vector<std::string>& arguments) {
  auto parsed = ParseArguments(arguments);
  REQUIRE(std::holds_alternative<Arguments>(parsed));
  return std::get<Arguments>(parsed);
}

// The engine that every build has.
const std::vector<std::string> kFile = {"--engine", "file"};

std::vector<std::string> WithFile(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kFile.begin(), kFile.end());
  return arguments;
}

TEST_CASE("every option of a replay reaches its place") {
  const Arguments arguments = Parse({"--trace",
                                     "t.jsonl",
                                     "--page-bytes",
                                     "64K",
                                     "--limit",
                                     "5",
                                     "--skip",
                                     "7",
                                     "--engine",
                                     "file",
                                     "--dir",
                                     "/d",
                                     "--threads",
                                     "3",
                                     "--json",
                                     "j",
                                     "--seed",
                                     "9",
                                     "--root",
                                     "r",
                                     "--prefill-tokens-per-s",
                                     "100",
                                     "--keep",
                                     "--no-verify",
                                     "--options",
                                     "io=threads",
                                     "--page-tokens",
                                     "64",
                                     "--page-cache",
                                     "--raw-depth",
                                     "4",
                                     "--file-workers",
                                     "2"});
  CHECK(arguments.trace == "t.jsonl");
  CHECK(arguments.run.engine.page_bytes == 65536);
  CHECK(arguments.run.limit == 5);
  CHECK(arguments.run.skip == 7);
  CHECK(arguments.run.engines == std::vector<std::string>{"file"});
  CHECK(arguments.dir == "/d");
  CHECK(arguments.run.replay.threads == 3);
  CHECK(arguments.json == "j");
  CHECK(arguments.seed == 9);
  CHECK(arguments.run.engine.root == "r");
  CHECK(arguments.run.replay.prefill_tokens_per_s == 100);
  CHECK(arguments.keep);
  CHECK(!arguments.run.replay.verify);
  CHECK(arguments.run.engine.store_options == "io=threads");
  CHECK(arguments.page_tokens == 64);
  CHECK(!arguments.run.replay.drop_page_cache);
  CHECK(arguments.run.engine.raw_depth == 4);
  CHECK(arguments.run.engine.file_workers == 2);
}

TEST_CASE("a replay verifies and drops page caches unless told otherwise") {
  const Arguments arguments = Parse(kFile);
  CHECK(arguments.run.replay.verify);
  CHECK(arguments.run.replay.drop_page_cache);
  CHECK(arguments.run.replay.prefill_tokens_per_s == 31000);
  CHECK(arguments.run.replay.threads == 1);
}

TEST_CASE("engines are named by list, by repetition, or all at once") {
  const std::vector<std::string> both = {"raw", "file"};
  CHECK(Parse({"--engine", "raw,file"}).run.engines == both);
  CHECK(Parse({"--engine", "raw", "--engine", "file"}).run.engines == both);
  CHECK(Parse({"--engine", "all"}).run.engines == EngineNames());
}

TEST_CASE("a capacity, its policy and its list reach their places") {
  const Arguments one = Parse({"--capacity", "5%", "--eviction", "lru", "--admission", "all",
                               "--options", "io=threads", "--pages-per-block", "8"});
  CHECK(!one.policy_only);
  CHECK(one.run.capacity.percent == 5);
  CHECK(one.run.policy.eviction == "lru");
  CHECK(one.run.policy.admission == "all");
  CHECK(one.pages_per_block == 8);
  CHECK(one.run.engine.store_options == "io=threads;eviction=lru;admission=all");
  const Arguments list = Parse({"--policy-only", "--capacity", "1%,2M", "--capacity", "5%",
                                "--seeds", "7", "--live-share", ".95", "--run-pages", "4"});
  CHECK(list.policy_only);
  REQUIRE(list.capacities.size() == 3);
  CHECK(list.capacities[1].bytes == 2 << 20);
  CHECK(list.run.policy.eviction == "prhd");
  CHECK(list.run.policy.seeds == 7);
  CHECK(list.run.policy.live_share == .95);
  CHECK(list.run.policy.run_pages == 4);
  CHECK(list.run.engine.store_options.empty());
}

TEST_CASE("wrong usage ends with 2 and help with 0") {
  const std::vector<std::vector<std::string>> wrong = {
      {"--engine", "tape"},
      {"--engine", "file,file"},
      {"--engine", "all,raw"},
      WithFile({"--page-bytes", "0"}),
      WithFile({"--page-bytes", "2G"}),
      WithFile({"--page-bytes", "64KB"}),
      WithFile({"--threads", "0"}),
      WithFile({"--limit", "-1"}),
      WithFile({"--prefill-tokens-per-s", "0"}),
      WithFile({"--trace", "t", "--workload", "staged"}),
      {"--policy-only"},
      {"--capacity", "1%,2%"},
      {"--capacity", "0"},
      {"--capacity", "5%", "--eviction", "fifo"},
      {"--capacity", "5%", "--admission", "none"},
      {"--capacity", "5%", "--run-pages", "4"},
      {"--policy-only", "--capacity", "5%", "--seeds", "0"},
      WithFile({"--pages-per-block", "0"}),
      WithFile({"--unknown"}),
      WithFile({"stray"})};
  for (const std::vector<std::string>& arguments : wrong) {
    INFO(arguments.back());
    const auto parsed = ParseArguments(arguments);
    REQUIRE(std::holds_alternative<ExitCode>(parsed));
    CHECK(std::get<ExitCode>(parsed).value == kExitUsage);
  }
  const auto help = ParseArguments({"--help"});
  REQUIRE(std::holds_alternative<ExitCode>(help));
  CHECK(std::get<ExitCode>(help).value == 0);
}

TEST_CASE("blocks become as many pages as was asked for, if those are whole tokens") {
  Arguments arguments = Parse(WithFile({"--requests", "20", "--pages-per-block", "8"}));
  const Result<Workload> split = LoadWorkload(arguments);
  arguments.pages_per_block = 1;
  const Result<Workload> whole = LoadWorkload(arguments);
  REQUIRE((split.ok() && whole.ok()));
  CHECK(split->page_tokens == 64);
  CHECK(CountDistinctPages(split->requests) == 8 * CountDistinctPages(whole->requests));
  arguments.pages_per_block = 3;
  CHECK(LoadWorkload(arguments).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a workload has the length that was asked for, and a trace's errors are handed on") {
  Arguments arguments = Parse(WithFile({"--workload", "staged", "--requests", "14"}));
  const Result<Workload> staged = LoadWorkload(arguments);
  REQUIRE(staged.ok());
  CHECK(staged->requests.size() == 14);
  CHECK(staged->page_tokens == 256);
  arguments.trace = "/nowhere/t.jsonl";
  CHECK(!LoadWorkload(arguments).ok());
  arguments.trace.clear();
  arguments.workload = "none";
  CHECK(!LoadWorkload(arguments).ok());
}

}  // namespace
}  // namespace lamina::bench
