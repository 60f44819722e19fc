// The two yardsticks of a cache under the prefix metric: what an exact LRU hits, and what nothing
// can beat.
//
// A hit is a page of a request's leading cached pages; the hit rate is hits over all pages of all
// requests. A block of a request is a page. LRU counts the deepest page of a request as its oldest.
// The optimum is Belady with bypass (a page that would be evicted before its next use is not
// stored), ties in next use broken deepest first, which is exact for this metric.
#ifndef LAMINA_BENCH_OPTIMUM_H_
#define LAMINA_BENCH_OPTIMUM_H_

#include <cstdint>
#include <span>

#include "bench/trace.h"

namespace lamina::bench {

struct CacheResult {
  uint64_t pages = 0;    // of all requests
  uint64_t hits = 0;     // of them, leading ones that were cached
  uint64_t written = 0;  // pages that entered the cache
  [[nodiscard]] double hit_rate() const {
    return pages == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(pages);
  }
};

// Both serve all requests from an empty cache on, and count those from `first_counted` on.
CacheResult SimulateLru(std::span<const Request> requests, uint64_t capacity_pages,
                        size_t first_counted = 0);
CacheResult SimulateOptimum(std::span<const Request> requests, uint64_t capacity_pages,
                            size_t first_counted = 0);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_OPTIMUM_H_
