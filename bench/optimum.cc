#include "bench/optimum.h"

#include <compare>
#include <cstddef>
#include <limits>
#include <list>
#include <set>
#include <vector>

#include "bench/page_numbers.h"

namespace lamina::bench {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

// The requests' pages by number, and which request uses each of them next.
struct NumberedRequests {
  std::vector<std::vector<uint64_t>> pages;
  std::vector<std::vector<uint64_t>> next_uses;  // a request's index, or kNever
  uint64_t distinct = 0;
};

NumberedRequests Number(std::span<const Request> requests) {
  NumberedRequests out;
  PageNumbers numbers;
  for (const Request& request : requests) out.pages.push_back(numbers.Of(request));
  out.distinct = numbers.count();
  out.next_uses.resize(requests.size());
  std::vector<uint64_t> later(out.distinct, kNever);
  for (size_t r = requests.size(); r-- > 0;) {
    for (uint64_t page : out.pages[r]) {
      out.next_uses[r].push_back(later[page]);
      later[page] = r;
    }
  }
  return out;
}

// A cached page in the order of its next use: the last one is to go.
struct Planned {
  uint64_t next_use = kNever;
  size_t depth = 0;
  uint64_t page = 0;
  friend auto operator<=>(const Planned&, const Planned&) = default;
};

}  // namespace

CacheResult SimulateLru(std::span<const Request> requests, uint64_t capacity_pages,
                        size_t first_counted) {
  CacheResult result;
  PageNumbers numbers;
  std::list<uint64_t> newest_first;
  std::vector<std::list<uint64_t>::iterator> places;  // end(): not cached
  for (size_t r = 0; r < requests.size(); ++r) {
    if (r == first_counted) result = {};
    const std::vector<uint64_t> pages = numbers.Of(requests[r]);
    places.resize(numbers.count(), newest_first.end());
    result.pages += pages.size();
    size_t leading = 0;
    while (leading < pages.size() && places[pages[leading]] != newest_first.end()) ++leading;
    result.hits += leading;
    for (size_t i = pages.size(); i-- > 0;) {
      auto& place = places[pages[i]];
      if (place != newest_first.end()) {
        newest_first.splice(newest_first.begin(), newest_first, place);
      } else {
        newest_first.push_front(pages[i]);
        place = newest_first.begin();
        ++result.written;
      }
    }
    while (newest_first.size() > capacity_pages) {
      places[newest_first.back()] = newest_first.end();
      newest_first.pop_back();
    }
  }
  return result;
}

CacheResult SimulateOptimum(std::span<const Request> requests, uint64_t capacity_pages,
                            size_t first_counted) {
  CacheResult result;
  const NumberedRequests numbered = Number(requests);
  std::set<Planned> plan;
  std::vector<Planned> planned(numbered.distinct);
  std::vector<bool> cached(numbered.distinct);
  std::vector<uint64_t> entered;
  for (size_t r = 0; r < requests.size(); ++r) {
    if (r == first_counted) result = {};
    const std::vector<uint64_t>& pages = numbered.pages[r];
    result.pages += pages.size();
    size_t leading = 0;
    while (leading < pages.size() && cached[pages[leading]]) ++leading;
    result.hits += leading;
    entered.clear();
    for (size_t i = 0; i < pages.size(); ++i) {
      const uint64_t page = pages[i];
      const bool was_cached = cached[page];
      if (was_cached) plan.erase(planned[page]);
      cached[page] = numbered.next_uses[r][i] != kNever;
      if (!cached[page]) continue;
      planned[page] = {numbered.next_uses[r][i], i, page};
      plan.insert(planned[page]);
      if (!was_cached) entered.push_back(page);
    }
    while (plan.size() > capacity_pages) {
      cached[plan.rbegin()->page] = false;
      plan.erase(std::prev(plan.end()));
    }
    // Those that went again at once are bypassed, not written.
    for (uint64_t page : entered) result.written += cached[page] ? 1 : 0;
  }
  return result;
}

}  // namespace lamina::bench
