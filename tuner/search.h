// Finds the best shapes for a mix by trying them all.
//
// Every T from 2 to 64, every K for the upper levels and Z <= K for the last, every split of the
// memory between memtable and filters; then, from the best of those, K level by level until nothing
// improves. A shape costs about a microsecond, so no solver is needed and nothing is missed. The
// ranking allocates filters by the ideal curve; the best are priced again with the measured one.
// Pure and deterministic.
#ifndef LAMINA_TUNER_SEARCH_H_
#define LAMINA_TUNER_SEARCH_H_

#include <cstdint>
#include <vector>

#include "tuner/cost_model.h"

namespace lamina::tuner {

// What may be chosen. Pins are ranges of one.
struct SearchSpace {
  enum class Policy : uint8_t { kAny, kLeveling, kTiering, kLazy } policy = Policy::kAny;
  uint32_t min_size_ratio = kMinSizeRatio;
  uint32_t max_size_ratio = kMaxSizeRatio;
  // K different from level to level, beside the last. Ignored unless policy is kAny.
  bool per_level_runs = true;
  // Memory for memtables and filters together, bytes. Memtables take their size; filters the rest.
  uint64_t memory_bytes = uint64_t{64} << 20;
  uint64_t min_memtable_bytes = uint64_t{1} << 20;
  uint64_t max_memtable_bytes = uint64_t{1} << 30;
  // Sizes tried between them, in equal ratios. 1: only the smallest.
  uint32_t memtable_steps = 1;
  // Pins the filters, bits per entry, instead of "the rest of the memory". Negative: not pinned.
  double filter_bits_per_key = -1;
  // Unless pinned: the most bits per entry that the budget may have.
  double max_filter_bits_per_key = kMaxFilterBits;
};

struct Candidate {
  TreeShape shape;
  Prediction prediction;
  // What the present shape has cost above this one so far (decision.h). The search leaves it 0.
  double regret_s = 0;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

struct SearchResult {
  // Cheapest first; distinct in (T, K per level that exists, Z, memtable). Never empty.
  std::vector<Candidate> best;
  uint64_t shapes_tried = 0;
};

SearchResult FindBestShapes(const CostInputs& inputs, const WorkloadMix& mix,
                            const SearchSpace& space, size_t how_many = 3) noexcept;

// Whether two shapes make the same tree of `level_count` levels: T, K per level and memtable.
bool SameTree(const TreeShape& a, const TreeShape& b, uint32_t level_count) noexcept;

// Filter budget of a shape with that memtable, by the rules of SearchSpace.
uint64_t FilterBudget(const SearchSpace& space, const StoreFacts& facts,
                      uint64_t memtable_bytes) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_SEARCH_H_
