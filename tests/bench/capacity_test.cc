#include "bench/capacity.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "bench/bounded.h"
#include "bench/run.h"
#include "tests/bench/temporary_directory.h"

namespace lamina::bench {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST_CASE("a capacity is bytes or a share of the distinct pages") {
  CHECK(ParseCapacity("64M")->bytes == 64 * kMiB);
  CHECK(ParseCapacity("64M")->percent == 0);
  CHECK(ParseCapacity("2.5%")->percent == 2.5);
  CHECK(ParseCapacity("2.5%")->bytes == 0);
  CHECK(ParseCapacity("100%")->given());
  CHECK(!CapacityChoice().given());
  for (const char* text : {"", "0", "0%", "-1%", "101%", "nan%", "%", "5 %", "5%%", "5x", "M"}) {
    INFO(text);
    CHECK(!ParseCapacity(text).ok());
  }
}

TEST_CASE("a share sizes the segments, and what lies beside them comes on top") {
  const Result<CapacityPlan> plan = PlanCapacity({.bytes = 0, .percent = 5}, 182'790, 65536);
  REQUIRE(plan.ok());
  CHECK(plan->slots == 9139);
  CHECK(plan->capacity_bytes == CapacityFor(9139, 65536));
  CHECK(plan->capacity_bytes > 9139 * 65536);
  CHECK(PlanCapacity({.bytes = 0, .percent = 10}, 50, 4096)->slots == 5);
}

TEST_CASE("bytes are those of everything, and as many slots fit as a share of them would have") {
  for (const uint64_t page_bytes : {16384u, 65536u, 81920u, 262144u}) {
    const Result<CapacityPlan> share = PlanCapacity({.percent = 7}, 100'000, page_bytes);
    const Result<CapacityPlan> bytes =
        PlanCapacity({.bytes = share->capacity_bytes}, 1, page_bytes);
    CHECK(bytes->slots == 7000);
    CHECK(bytes->capacity_bytes == share->capacity_bytes);
  }
}

TEST_CASE("a capacity without room for a page is refused") {
  CHECK(!PlanCapacity({.percent = 1}, 99, 4096).ok());
  CHECK(!PlanCapacity({.bytes = 4095}, 1000, 4096).ok());
}

TEST_CASE("the store's figures are read where they are, and null where not") {
  BoundedFigures figures;
  ReadStoreFigures(R"({"space": {"tensor_write_amplification": 1.25, "slots": 7,
                       "physical_over_not_condemned": 1.05, "physical_over_readable": null},
                       "eviction": {"policy": "prhd", "condemned_hits": 12, "restored_pages": 8,
                       "restored_in_runs": 6}})",
                   &figures);
  nlohmann::json json;
  AddToJson(figures, &json);
  CHECK(json["tensor_write_amplification"] == 1.25);
  CHECK(json["physical_over_not_condemned"] == 1.05);
  CHECK(json["physical_over_readable"].is_null());
  CHECK(json["condemned_hits"] == 12);
  CHECK(json["restored_in_runs_share"] == .75);
  CHECK(json["stranded_pages"].is_null());
  for (const char* name : {"lru_hit_rate", "opt_hit_rate", "policy_hit_rate", "capacity_bytes",
                           "physical_bytes_peak", "slots"}) {
    INFO(name);
    REQUIRE(json.contains(name));
    CHECK(json[name].is_null());
  }
  for (const char* other : {"", "[]", "{\"space\": 3, \"eviction\": []}", "{"}) {
    BoundedFigures empty;
    ReadStoreFigures(other, &empty);
    CHECK(!empty.tensor_write_amplification);
    CHECK(!empty.condemned_hits);
  }
}

TEST_CASE("the policy alone is reported beside LRU and the optimum, as JSON and as a table") {
  const Workload workload = MakeConversation(600, 1);
  RunConfig config;
  config.policy.seeds = 2;
  const std::vector<CapacityChoice> capacities = {{.percent = 5}, {.percent = 20}};
  const Result<std::vector<PolicyReport>> reports = RunPolicyOnly(workload, config, capacities);
  REQUIRE(reports.ok());
  REQUIRE(reports->size() == 2);
  for (const PolicyReport& report : *reports) {
    const nlohmann::json json = ToJson(report);
    for (const char* name :
         {"hit_rate", "policy_hit_rate", "lru_hit_rate", "opt_hit_rate", "pages_rejected",
          "pages_written", "lru_pages_written", "condemned_hits", "stranded_pages", "slots",
          "restored_in_runs_share", "capacity_percent", "distinct_pages", "pages_total"}) {
      INFO(name);
      REQUIRE(json.contains(name));
      CHECK(json[name].is_number());
    }
    CHECK(json["policy_hit_rates"].size() == 2);
    CHECK(json["policy_hit_rate"] <= json["opt_hit_rate"]);
    CHECK(json["requests"] == 600);
  }
  CHECK(reports->at(0).yardsticks.policy_hit_rate < reports->at(1).yardsticks.policy_hit_rate);
  const std::string table = FormatTable(*reports);
  CHECK(table.find("prhd with admission policy, mean of 2 seeds") != std::string::npos);
  for (const PolicyReport& report : *reports)
    CHECK(table.find(" " + std::to_string(report.yardsticks.slots) + " ") != std::string::npos);
}

TEST_CASE("the policy alone counts what was not skipped, over a store that served the rest") {
  const Workload workload = MakeConversation(400, 2);
  RunConfig config;
  config.policy.seeds = 1;
  const std::vector<CapacityChoice> all = {{.percent = 100}};
  const auto hits = [&](size_t skip, size_t limit) {
    config.skip = skip;
    config.limit = limit;
    const PolicyReport report = RunPolicyOnly(workload, config, all)->front();
    return report.yardsticks.policy_hit_rate * static_cast<double>(report.pages_total);
  };
  CHECK(hits(0, 0) == Approx(hits(0, 250) + hits(250, 0)));
  CHECK(hits(250, 0) > 0);
}

TEST_CASE("a store within a capacity never exceeds it, and hits what its policy does") {
  const TemporaryDirectory dir;
  RunConfig config;
  config.engines = {"lamina"};
  config.engine.page_bytes = 16384;
  config.dir = dir.path();
  config.capacity.percent = 20;
  config.policy.seeds = 2;
  config.replay.sample_interval = 20;
  const Result<std::vector<Summary>> summaries = RunWorkload(MakeConversation(1000, 3), config);
  INFO(summaries.status().message());
  REQUIRE(summaries.ok());
  const Summary& summary = summaries->front();
  const BoundedFigures& figures = summary.bounded;
  CHECK(summary.wrong_pages == 0);
  CHECK(*figures.physical_bytes_peak <= *figures.capacity_bytes);
  CHECK(summary.disk_bytes > *figures.slots * 16384 * 9 / 10);
  CHECK(*figures.tensor_write_amplification == Approx(1));
  CHECK(*figures.physical_over_not_condemned < 1.08);
  CHECK(*figures.opt_hit_rate > *figures.lru_hit_rate);
  CHECK(summary.hit_rate < *figures.opt_hit_rate);
  CHECK(summary.hit_rate == Approx(*figures.policy_hit_rate).epsilon(.06));
}

TEST_CASE("a capacity is for the lamina engine alone") {
  const TemporaryDirectory dir;
  RunConfig config;
  config.engines = {"file"};
  config.engine.page_bytes = 4096;
  config.dir = dir.path();
  config.capacity.percent = 50;
  const Result<std::vector<Summary>> summaries = RunWorkload(MakeStaged(20, 1), config);
  REQUIRE(!summaries.ok());
  CHECK(summaries.status().code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace lamina::bench
