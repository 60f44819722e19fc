// The built-in workloads: request sequences made from a seed, for benches and tests that should
// not need a trace file.
//
// conversation: resembles one hour of a real chat service (workloads.cc says which statistics are
//   matched): 512-token blocks, about 24 pages a request, about 37 % prefix hits whatever its
//   length.
// staged: 8,192-token prompts of 256-token chunks, 32 pages each, in seven stages of equal length
//   with target prefix-hit rates .1 .3 .5 .7 .5 .3 .1: a workload whose mix of reads and writes
//   moves, as in the evaluation of SGLANG-LSM (arXiv 2511.16138).
#ifndef LAMINA_BENCH_WORKLOADS_H_
#define LAMINA_BENCH_WORKLOADS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/trace.h"
#include "engine/lamina.h"

namespace lamina::bench {

inline constexpr size_t kStages = 7;
inline constexpr std::array<double, kStages> kStageHitRates = {.1, .3, .5, .7, .5, .3, .1};
inline constexpr size_t kStagedPages = 32;
inline constexpr uint32_t kStagedPageTokens = 256;

struct Workload {
  std::string name;                     // the generator's, or the trace's file
  uint32_t page_tokens = 512;           // in a block that is full
  std::vector<double> stage_hit_rates;  // targets; empty when there are no stages
  std::vector<Request> requests;
};

// `count` requests; the same seed and count make the same requests. At least 1.
Workload MakeConversation(size_t count, uint64_t seed);
Workload MakeStaged(size_t count, uint64_t seed);
// By name; an unknown name is an error that lists the known ones. A count of 0 is the workload's
// default: 1,000 requests, 700 staged ones.
Result<Workload> MakeWorkload(std::string_view name, size_t count, uint64_t seed);

// Makes `pages` pages of each block (at least 1); the workload's page_tokens must be a multiple.
void SplitBlocks(uint32_t pages, Workload* workload);

// What a store without a bound would answer: the leading pages of each request that an earlier
// request had.
std::vector<size_t> UnboundedHits(std::span<const Request> requests);
// Distinct pages of the requests.
size_t CountDistinctPages(std::span<const Request> requests);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_WORKLOADS_H_
