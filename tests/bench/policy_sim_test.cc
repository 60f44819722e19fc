#include "bench/policy_sim.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "bench/optimum.h"
#include "bench/workloads.h"

namespace lamina::bench {
namespace {

PolicySimOptions OptionsOf(const Workload& workload, double percent,
                           PolicyKind kind = PolicyKind::kPrhd) {
  PolicySimOptions options;
  options.policy.kind = kind;
  options.slots = static_cast<uint64_t>(percent / 100 *
                                        static_cast<double>(CountDistinctPages(workload.requests)));
  return options;
}

TEST_CASE("a simulated store without need to evict hits all that was requested before") {
  const Workload workload = MakeConversation(500, 1);
  uint64_t unbounded = 0;
  for (const size_t hits : UnboundedHits(workload.requests)) unbounded += hits;
  for (const PolicyKind kind : {PolicyKind::kPrhd, PolicyKind::kLru, PolicyKind::kS3Fifo}) {
    const PolicySimResult result =
        SimulatePolicy(workload.requests, OptionsOf(workload, 100, kind));
    CHECK(result.hits == unbounded);
    CHECK(result.rejected == 0);
    CHECK(result.evictions == 0);
  }
}

TEST_CASE("LRU by sampling hits what an exact one does") {
  const Workload workload = MakeConversation(3000, 2);
  for (const double percent : {2., 10.}) {
    const PolicySimOptions options = OptionsOf(workload, percent, PolicyKind::kLru);
    const PolicySimResult result = SimulatePolicy(workload.requests, options);
    const CacheResult exact = SimulateLru(workload.requests, options.slots);
    CHECK(result.hit_rate() == Approx(exact.hit_rate()).margin(.003));
    CHECK(static_cast<double>(result.written) ==
          Approx(static_cast<double>(exact.written)).epsilon(.01));
  }
}

TEST_CASE("PRHD lies between LRU and the optimum, and writes less", "[hit rates]") {
  const Workload workload = MakeConversation(4000, 3);
  for (const double percent : {1., 2., 5.}) {
    INFO(percent << " %");
    const PolicySimOptions options = OptionsOf(workload, percent);
    const PolicySimResult result = SimulatePolicy(workload.requests, options);
    const CacheResult lru = SimulateLru(workload.requests, options.slots);
    CHECK(result.hit_rate() > lru.hit_rate() + .005);
    CHECK(result.hit_rate() < SimulateOptimum(workload.requests, options.slots).hit_rate());
    CHECK(result.written < lru.written);
    CHECK(result.max_live <= options.slots);
  }
}

TEST_CASE("PRHD is nowhere far below LRU when hit rates swing", "[hit rates]") {
  for (const uint64_t seed : {1u, 2u, 3u}) {
    const Workload workload = MakeStaged(1400, seed);
    for (const double percent : {2., 10., 20.}) {
      INFO("seed " << seed << ", " << percent << " %");
      const PolicySimOptions options = OptionsOf(workload, percent);
      const CacheResult lru = SimulateLru(workload.requests, options.slots);
      CHECK(SimulatePolicy(workload.requests, options).hit_rate() > lru.hit_rate() - .002);
    }
  }
}

TEST_CASE("condemned pages give back most of what the slack takes", "[hit rates]") {
  const Workload workload = MakeConversation(4000, 4);
  const PolicySimOptions whole = OptionsOf(workload, 10);
  PolicySimOptions smaller = whole;
  smaller.slots = whole.slots * 8 / 10;
  PolicySimOptions slack = whole;
  slack.logical_share = .8;
  const auto hits = [&](const PolicySimOptions& options) {
    return static_cast<double>(SimulatePolicy(workload.requests, options).hits);
  };
  CHECK(hits(slack) > hits(smaller) + .5 * (hits(whole) - hits(smaller)));
  CHECK(SimulatePolicy(workload.requests, slack).condemned_hits > 100);
  CHECK(SimulatePolicy(workload.requests, slack).max_live <= whole.slots * 8 / 10);
}

TEST_CASE("the sweep leaves small pages in long runs") {
  Workload workload = MakeConversation(1500, 5);
  SplitBlocks(8, &workload);
  PolicySimOptions options = OptionsOf(workload, 5);
  options.pages_per_unit = 8;
  options.run_pages = 4;
  const auto share_in_runs = [&] {
    const PolicySimResult result = SimulatePolicy(workload.requests, options);
    return static_cast<double>(result.restored_in_runs) / static_cast<double>(result.hits);
  };
  options.logical_share = .95;
  CHECK(share_in_runs() > .97);
}

TEST_CASE("small pages are evicted as well as the blocks they make") {
  Workload workload = MakeConversation(2000, 6);
  const double blocks = SimulatePolicy(workload.requests, OptionsOf(workload, 5)).hit_rate();
  SplitBlocks(8, &workload);
  PolicySimOptions options = OptionsOf(workload, 5);
  options.pages_per_unit = 8;
  CHECK(SimulatePolicy(workload.requests, options).hit_rate() == Approx(blocks).margin(.006));
}

TEST_CASE("a restart costs no hits, one with an old state few, and one without any not all") {
  const Workload workload = MakeConversation(4000, 7);
  const size_t half = workload.requests.size() / 2;
  enum class Way { kStraight, kRestart, kOldState, kStateLost };
  const auto hit_rate_of_rest = [&](Way way) {
    PolicySimulator simulator(OptionsOf(workload, 5));
    std::string state;
    for (size_t r = 0; r < workload.requests.size(); ++r) {
      if (r == half - 300 && way == Way::kOldState) simulator.policy().Save(&state);
      if (r == half) {
        simulator.ForgetCounts();
        if (way == Way::kRestart) simulator.policy().Save(&state);
        if (way != Way::kStraight) simulator.Restart(state);
      }
      simulator.Step(workload.requests[r]);
    }
    return simulator.result().hit_rate();
  };
  const double straight = hit_rate_of_rest(Way::kStraight);
  CHECK(hit_rate_of_rest(Way::kRestart) == Approx(straight).margin(.001));
  CHECK(hit_rate_of_rest(Way::kOldState) == Approx(straight).margin(.01));
  CHECK(hit_rate_of_rest(Way::kStateLost) == Approx(straight).margin(.02));
}

TEST_CASE("admission by second use writes only what was requested before") {
  const Workload workload = MakeConversation(1000, 8);
  PolicySimOptions options = OptionsOf(workload, 20);
  options.admission = PolicySimOptions::Admission::kSecondUse;
  const PolicySimResult second_use = SimulatePolicy(workload.requests, options);
  options.admission = PolicySimOptions::Admission::kAll;
  const PolicySimResult all = SimulatePolicy(workload.requests, options);
  CHECK(all.rejected == 0);
  CHECK(second_use.written * 2 < all.written);
  CHECK(second_use.written + second_use.rejected + second_use.hits == second_use.pages);
  CHECK(second_use.hits > 0);
}

// The trace that the yardsticks were published for, from LAMINA_TRACE or where a checkout may have
// it beside it.
std::string TraceFile() {
  const char* given = std::getenv("LAMINA_TRACE");
  return given != nullptr ? given : LAMINA_TEST_TRACE;
}

TEST_CASE("on the real trace the yardsticks are exact and PRHD meets its goals", "[hit rates]") {
  const std::string file = TraceFile();
  if (!std::filesystem::exists(file)) {
    WARN("skipped: " << file << " is not there");
    return;
  }
  const Result<std::vector<Request>> requests = LoadTrace(file, 0);
  REQUIRE(requests.ok());
  Workload workload;
  workload.requests = *requests;
  struct Row {
    double percent, lru, optimum, goal, written_over_lru;
  };
  for (const Row& row : {Row{1, .0525, .2464, .105, 1. / 3}, Row{5, .1958, .3664, .228, 2. / 3},
                         Row{20, .3453, .3664, .343, 1}}) {
    INFO(row.percent << " %");
    const PolicySimOptions options = OptionsOf(workload, row.percent);
    const CacheResult lru = SimulateLru(workload.requests, options.slots);
    CHECK(lru.hit_rate() == Approx(row.lru).margin(.00005));
    CHECK(SimulateOptimum(workload.requests, options.slots).hit_rate() ==
          Approx(row.optimum).margin(.00005));
    const PolicySimResult prhd = SimulatePolicy(workload.requests, options);
    CHECK(prhd.hit_rate() >= row.goal);
    CHECK(static_cast<double>(prhd.written) <=
          row.written_over_lru * static_cast<double>(lru.written));
  }
}

}  // namespace
}  // namespace lamina::bench
