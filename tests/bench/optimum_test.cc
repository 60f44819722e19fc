#include "bench/optimum.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <deque>
#include <vector>

#include "bench/page_numbers.h"
#include "bench/random.h"

namespace lamina::bench {
namespace {

std::vector<Request> RequestsOf(const std::vector<std::vector<uint64_t>>& paths) {
  std::vector<Request> requests;
  for (const std::vector<uint64_t>& path : paths) requests.emplace_back().blocks = path;
  return requests;
}

// Requests for few paths of a small tree.
std::vector<Request> SmallRequests(Random* random, size_t count) {
  std::vector<std::vector<uint64_t>> paths;
  for (size_t i = 0; i < count; ++i) {
    std::vector<uint64_t> path = {random->Below(2)};
    while (path.size() < 3 && random->Below(3) != 0) path.push_back(random->Below(2));
    paths.push_back(path);
  }
  return RequestsOf(paths);
}

// The most hits of any way to choose after each request what stays, by trying all.
uint64_t BestHits(const std::vector<Request>& requests, unsigned capacity) {
  PageNumbers numbers;
  std::vector<std::vector<uint64_t>> paths;
  for (const Request& request : requests) paths.push_back(numbers.Of(request));
  const uint32_t states = uint32_t{1} << numbers.count();
  constexpr int64_t kImpossible = -1;
  std::vector<int64_t> best(states, kImpossible);
  best[0] = 0;
  for (const std::vector<uint64_t>& path : paths) {
    std::vector<int64_t> next(states, kImpossible);
    for (uint32_t cached = 0; cached < states; ++cached) {
      if (best[cached] == kImpossible) continue;
      int64_t hits = 0;
      while (static_cast<size_t>(hits) < path.size() &&
             (cached >> path[static_cast<size_t>(hits)] & 1) != 0) {
        ++hits;
      }
      uint32_t reachable = cached;
      for (const uint64_t page : path) reachable |= uint32_t{1} << page;
      // All subsets of what is there now.
      for (uint32_t kept = reachable;; kept = (kept - 1) & reachable) {
        if (static_cast<unsigned>(std::popcount(kept)) <= capacity)
          next[kept] = std::max(next[kept], best[cached] + hits);
        if (kept == 0) break;
      }
    }
    best = std::move(next);
  }
  return static_cast<uint64_t>(*std::max_element(best.begin(), best.end()));
}

TEST_CASE("the optimum is what trying every way to evict finds") {
  Random random(11);
  for (int round = 0; round < 60; ++round) {
    const std::vector<Request> requests = SmallRequests(&random, 10);
    for (unsigned capacity = 1; capacity <= 4; ++capacity) {
      INFO("round " << round << ", capacity " << capacity);
      REQUIRE(SimulateOptimum(requests, capacity).hits == BestHits(requests, capacity));
    }
  }
}

TEST_CASE("LRU agrees with a list that is searched from its front") {
  Random random(12);
  for (int round = 0; round < 20; ++round) {
    const std::vector<Request> requests = SmallRequests(&random, 200);
    for (size_t capacity = 1; capacity <= 8; ++capacity) {
      PageNumbers numbers;
      std::deque<uint64_t> newest_first;
      uint64_t hits = 0;
      uint64_t written = 0;
      for (const Request& request : requests) {
        const std::vector<uint64_t> pages = numbers.Of(request);
        const auto cached = [&](uint64_t page) {
          return std::find(newest_first.begin(), newest_first.end(), page);
        };
        for (const uint64_t page : pages) {
          if (cached(page) == newest_first.end()) break;
          ++hits;
        }
        for (size_t i = pages.size(); i-- > 0;) {
          const auto at = cached(pages[i]);
          if (at == newest_first.end()) {
            ++written;
          } else {
            newest_first.erase(at);
          }
          newest_first.push_front(pages[i]);
        }
        while (newest_first.size() > capacity) newest_first.pop_back();
      }
      const CacheResult result = SimulateLru(requests, capacity);
      REQUIRE(result.hits == hits);
      REQUIRE(result.written == written);
    }
  }
}

TEST_CASE("a page is its whole path, and hits stop at the first page that is missing") {
  const std::vector<Request> requests =
      RequestsOf({{1, 2, 3}, {2, 3}, {1, 2, 4, 5}, {1, 2, 4, 5}, {1}});
  for (const CacheResult& result : {SimulateLru(requests, 100), SimulateOptimum(requests, 100)}) {
    CHECK(result.pages == 14);
    CHECK(result.hits == 0 + 0 + 2 + 4 + 1);
  }
  CHECK(SimulateLru(requests, 100).written == 7);
  // What is not used again is not stored.
  CHECK(SimulateOptimum(requests, 100).written == 4);
}

TEST_CASE("LRU lets the end of a path go before its front") {
  const std::vector<Request> requests = RequestsOf({{1, 2, 3}, {1, 2, 3}});
  CHECK(SimulateLru(requests, 2).hits == 2);
  CHECK(SimulateOptimum(requests, 2).hits == 2);
}

TEST_CASE("requests before the first that counts still fill the cache") {
  const std::vector<Request> requests = RequestsOf({{1, 2}, {1, 2}, {1, 2}});
  for (const CacheResult& result : {SimulateLru(requests, 9, 2), SimulateOptimum(requests, 9, 2)}) {
    CHECK(result.pages == 2);
    CHECK(result.hits == 2);
    CHECK(result.written == 0);
  }
}

}  // namespace
}  // namespace lamina::bench
