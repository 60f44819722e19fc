// The staged workload. Each prompt takes its first pages from a random earlier prompt and is new
// from there on. How many it takes is spread evenly around the stage's target, as far as 0 and all
// pages allow: always the same number would make a prefix tree of one shape. The values of a stage
// are evenly spaced and shuffled, and rounding errors are carried, so each stage meets its target
// within one page, however short it is (but for the first prompt of all, which has none to take
// from).
#include <algorithm>
#include <cmath>
#include <utility>

#include "bench/random.h"
#include "bench/workloads.h"

namespace lamina::bench {
namespace {

// How many pages each of `count` prompts takes from an earlier one; `count * target` pages in all.
std::vector<size_t> SharedPages(size_t count, double target, Random* random) {
  const double reach = std::min(target, 1 - target);
  std::vector<double> wanted(count);
  for (size_t i = 0; i < count; ++i) {
    const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(count);
    wanted[i] = static_cast<double>(kStagedPages) * (target + reach * (2 * place - 1));
  }
  for (size_t i = count; i > 1; --i) std::swap(wanted[i - 1], wanted[random->Below(i)]);
  std::vector<size_t> shared(count);
  double carried = 0;
  for (size_t i = 0; i < count; ++i) {
    const double whole =
        std::clamp(std::round(wanted[i] + carried), 0.0, static_cast<double>(kStagedPages));
    carried += wanted[i] - whole;
    shared[i] = static_cast<size_t>(whole);
  }
  return shared;
}

}  // namespace

Workload MakeStaged(size_t count, uint64_t seed) {
  Random random(seed);
  Workload workload{"staged",
                    kStagedPageTokens,
                    {kStageHitRates.begin(), kStageHitRates.end()},
                    std::vector<Request>(count)};
  std::vector<Request>& requests = workload.requests;
  uint64_t next_block = 0;
  for (size_t stage = 0; stage < kStages; ++stage) {
    const size_t first = stage * count / kStages;
    const size_t end = (stage + 1) * count / kStages;
    const std::vector<size_t> shared = SharedPages(end - first, kStageHitRates[stage], &random);
    for (size_t i = first; i < end; ++i) {
      Request& request = requests[i];
      request.stage = static_cast<uint32_t>(stage);
      request.timestamp_ms = static_cast<double>(i) * 1000;
      request.input_tokens = kStagedPages * kStagedPageTokens;
      if (i > 0) {
        const std::vector<uint64_t>& parent = requests[random.Below(i)].blocks;
        const auto cut = parent.begin() + static_cast<ptrdiff_t>(shared[i - first]);
        request.blocks.assign(parent.begin(), cut);
      }
      while (request.blocks.size() < kStagedPages) request.blocks.push_back(next_block++);
    }
  }
  return workload;
}

}  // namespace lamina::bench
