// The two yardsticks of a cache under the prefix metric: what an exact LRU hits, and what nothing
// can beat.
//
// A hit is a page of a request's leading cached pages; the hit rate is hits over all pages of all
// requests. LRU counts the deepest page of a request as its oldest. The optimum is Belady with
// bypass, ties in next use broken deepest first, which is exact for this metric.
#ifndef LAMINA_BENCH_OPTIMUM_H_
#define LAMINA_BENCH_OPTIMUM_H_

#include <cstdint>
#include <span>
#include <vector>

namespace lamina::bench {

// A request for the pages of a path, first page first, each named by a block's id.
struct TraceRequest {
  uint64_t timestamp_ms = 0;
  std::vector<uint64_t> pages;
};

struct CacheResult {
  uint64_t pages = 0;
  uint64_t hits = 0;
  uint64_t written = 0;  // pages put into the cache
  [[nodiscard]] double hit_rate() const noexcept {
    return pages == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(pages);
  }
};

// Distinct pages of a trace.
uint64_t DistinctPages(std::span<const TraceRequest> trace);
CacheResult SimulateLru(std::span<const TraceRequest> trace, uint64_t capacity_pages);
CacheResult SimulateOptimum(std::span<const TraceRequest> trace, uint64_t capacity_pages);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_OPTIMUM_H_
