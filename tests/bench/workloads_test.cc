#include "bench/workloads.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "bench/replay.h"

namespace lamina::bench {
namespace {

struct Statistics {
  double mean_pages = 0;
  double hit_rate = 0;
  double continued = 0;  // share of requests that hit more than the root block
  size_t most_pages = 0;
};

Statistics StatisticsOf(const Workload& workload) {
  const std::vector<size_t> hits = UnboundedHits(workload.requests);
  Statistics statistics;
  double pages = 0;
  for (size_t i = 0; i < hits.size(); ++i) {
    const size_t length = workload.requests[i].blocks.size();
    pages += static_cast<double>(length);
    statistics.hit_rate += static_cast<double>(hits[i]);
    statistics.continued += hits[i] > 1 ? 1 : 0;
    statistics.most_pages = std::max(statistics.most_pages, length);
  }
  const auto requests = static_cast<double>(hits.size());
  statistics.hit_rate /= pages;
  statistics.mean_pages = pages / requests;
  statistics.continued /= requests;
  return statistics;
}

bool SameRequests(const Workload& a, const Workload& b) {
  return std::equal(a.requests.begin(), a.requests.end(), b.requests.begin(), b.requests.end(),
                    [](const Request& x, const Request& y) {
                      return x.blocks == y.blocks && x.input_tokens == y.input_tokens &&
                             x.output_tokens == y.output_tokens &&
                             x.timestamp_ms == y.timestamp_ms && x.stage == y.stage;
                    });
}

TEST_CASE("the conversation workload resembles the trace it was fitted to") {
  // The trace: 23.98 pages a request, .3664 hits, .387 of requests beyond the root, 247 pages.
  const Statistics at_full_length = StatisticsOf(MakeConversation(12031, 1));
  CHECK(at_full_length.mean_pages == Approx(24).margin(1.5));
  CHECK(at_full_length.hit_rate == Approx(.3664).margin(.03));
  CHECK(at_full_length.continued == Approx(.387).margin(.03));
  CHECK(at_full_length.most_pages >= 200);
}

TEST_CASE("the conversation workload keeps its hit rate at a tenth of the length") {
  double hit_rate = 0;
  double pages = 0;
  constexpr int kSeeds = 8;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const Statistics statistics = StatisticsOf(MakeConversation(1000, static_cast<uint64_t>(seed)));
    hit_rate += statistics.hit_rate / kSeeds;
    pages += statistics.mean_pages / kSeeds;
  }
  CHECK(hit_rate == Approx(.3664).margin(.03));
  CHECK(pages == Approx(24).margin(2));
}

TEST_CASE("every conversation request begins with the one root block and fills its pages") {
  const Workload workload = MakeConversation(2000, 3);
  std::set<uint64_t> second_blocks;
  for (const Request& request : workload.requests) {
    REQUIRE(request.blocks.size() >= 2);
    CHECK(request.blocks.front() == 0);
    second_blocks.insert(request.blocks[1]);
    const uint64_t pages = (request.input_tokens + workload.page_tokens - 1) / workload.page_tokens;
    CHECK(pages == request.blocks.size());
  }
  // Nearly all fan-out is at the root: .61 of the trace's requests are children of it.
  CHECK(static_cast<double>(second_blocks.size()) / 2000 == Approx(.61).margin(.06));
}

TEST_CASE("each stage of the staged workload meets its target hit rate") {
  for (const size_t count : std::initializer_list<size_t>{70, 700, 1403}) {
    for (const uint64_t seed : std::initializer_list<uint64_t>{1, 2, 3}) {
      INFO(count << " requests, seed " << seed);
      const Workload workload = MakeStaged(count, seed);
      REQUIRE(workload.requests.size() == count);
      const std::vector<size_t> hits = UnboundedHits(workload.requests);
      std::array<double, kStages> pages{};
      std::array<double, kStages> found{};
      for (size_t i = 0; i < count; ++i) {
        REQUIRE(workload.requests[i].blocks.size() == kStagedPages);
        CHECK(workload.requests[i].input_tokens == 8192);
        pages.at(workload.requests[i].stage) += kStagedPages;
        found.at(workload.requests[i].stage) += static_cast<double>(hits[i]);
      }
      for (size_t stage = 0; stage < kStages; ++stage) {
        INFO("stage " << stage);
        // A page, and in the first stage also what the very first prompt could not share.
        const double allowed = (stage == 0 ? 1 + 2 * kStageHitRates[0] * kStagedPages : 1.001);
        CHECK(std::abs(found.at(stage) - kStageHitRates.at(stage) * pages.at(stage)) <= allowed);
      }
    }
  }
}

TEST_CASE("a staged workload's prompts share prefixes of many lengths") {
  const std::vector<size_t> hits = UnboundedHits(MakeStaged(700, 1).requests);
  CHECK(std::set<size_t>(hits.begin(), hits.end()).size() > kStagedPages / 2);
}

TEST_CASE("a workload is the same for the same seed and another for another") {
  for (const char* name : {"conversation", "staged"}) {
    INFO(name);
    const Result<Workload> a = MakeWorkload(name, 300, 5);
    const Result<Workload> b = MakeWorkload(name, 300, 5);
    const Result<Workload> c = MakeWorkload(name, 300, 6);
    REQUIRE((a.ok() && b.ok() && c.ok()));
    CHECK(a->requests.size() == 300);
    CHECK(SameRequests(*a, *b));
    CHECK(!SameRequests(*a, *c));
  }
}

TEST_CASE("an unknown workload is an error that names those there are") {
  const Result<Workload> workload = MakeWorkload("chat", 0, 1);
  REQUIRE(!workload.ok());
  CHECK(workload.status().message() == "unknown workload \"chat\" (known: conversation, staged)");
}

TEST_CASE("unbounded hits are the leading pages that an earlier request had") {
  const auto request = [](std::vector<uint64_t> blocks) {
    Request r;
    r.blocks = std::move(blocks);
    return r;
  };
  const std::vector<Request> requests = {request({1, 2, 3}), request({1, 2, 4}),
                                         request({2, 3}),    request({1, 2, 4, 5}),
                                         request({}),        request({1, 2, 4, 5})};
  CHECK(UnboundedHits(requests) == std::vector<size_t>{0, 2, 0, 3, 0, 4});
  CHECK(CountDistinctPages(requests) == 7);
}

TEST_CASE(
    "requests that share more than the common root go to one thread, and threads share work") {
  const Workload workload = MakeConversation(1000, 2);
  const std::vector<unsigned> assigned = AssignThreads(workload.requests, 4);
  std::vector<size_t> load(4);
  for (size_t i = 0; i < assigned.size(); ++i) {
    ++load.at(assigned[i]);
    for (size_t j = 0; j < i; ++j) {
      if (workload.requests[i].blocks[1] == workload.requests[j].blocks[1] &&
          assigned[i] != assigned[j]) {
        FAIL("requests " << j << " and " << i << " are of one session");
      }
    }
  }
  for (const size_t requests : load) CHECK(requests > 100);
}

TEST_CASE("identical requests all go to one thread") {
  std::vector<Request> requests(3);
  for (Request& request : requests) request.blocks = {1, 2};
  CHECK(AssignThreads(requests, 2) == std::vector<unsigned>{0, 0, 0});
}

}  // namespace
}  // namespace lamina::bench
