#include "tuner/search.h"

#include <algorithm>
#include <cmath>

namespace lamina::tuner {
namespace {

// How many of the shapes that the ideal curve ranks first are priced again with the measured one,
// and refined level by level.
constexpr size_t kShortList = 64;
constexpr size_t kRefined = 4;

// The cheapest shapes met so far, by cost. Ties go to the one met first, so that the result depends
// on the input alone.
class ShortList {
 public:
  explicit ShortList(size_t capacity) noexcept : capacity_(capacity) {}

  void Offer(const TreeShape& shape, double cost_s) noexcept {
    if (shapes_.size() == capacity_ && cost_s >= shapes_.back().cost_s) return;
    const auto at = std::upper_bound(shapes_.begin(), shapes_.end(), cost_s,
                                     [](double cost, const Item& i) { return cost < i.cost_s; });
    shapes_.insert(at, {shape, cost_s});
    if (shapes_.size() > capacity_) shapes_.pop_back();
  }

  struct Item {
    TreeShape shape;
    double cost_s;
  };
  [[nodiscard]] const std::vector<Item>& items() const noexcept { return shapes_; }

 private:
  size_t capacity_;
  std::vector<Item> shapes_;
};

// Puts `candidate` in its place unless the same tree is there already.
void Insert(std::vector<Candidate>* best, const Candidate& candidate) noexcept {
  for (const Candidate& other : *best) {
    if (SameTree(other.shape, candidate.shape, candidate.prediction.level_count)) return;
  }
  const auto at = std::upper_bound(best->begin(), best->end(), candidate,
                                   [](const Candidate& a, const Candidate& b) {
                                     return a.prediction.index_s < b.prediction.index_s;
                                   });
  best->insert(at, candidate);
}

class Searcher {
 public:
  Searcher(const CostInputs& inputs, const WorkloadMix& mix, const SearchSpace& space) noexcept
      : inputs_(inputs), ideal_(inputs), mix_(mix), space_(space), short_list_(kShortList) {
    ideal_.curve = FprCurve::Ideal(inputs.curve.max_bits());
  }

  SearchResult Run(size_t how_many) noexcept {
    for (const uint64_t memtable_bytes : MemtableSizes()) {
      const uint64_t filter_bits = FilterBudget(space_, inputs_.facts, memtable_bytes);
      const uint32_t min_ratio = std::clamp(space_.min_size_ratio, kMinSizeRatio, kMaxSizeRatio);
      const uint32_t max_ratio = std::clamp(space_.max_size_ratio, min_ratio, kMaxSizeRatio);
      for (uint32_t ratio = min_ratio; ratio <= max_ratio; ++ratio) {
        TryRatio(ratio, memtable_bytes, filter_bits);
      }
    }
    SearchResult result;
    for (const ShortList::Item& item : short_list_.items()) {
      Insert(&result.best,
             {.shape = item.shape, .prediction = PredictShape(inputs_, mix_, item.shape)});
    }
    if (space_.policy == SearchSpace::Policy::kAny && space_.per_level_runs) {
      const std::vector<Candidate> starts = result.best;
      for (size_t i = 0; i < starts.size() && i < kRefined; ++i) {
        Insert(&result.best, Refined(starts[i]));
      }
    }
    if (result.best.size() > how_many) result.best.resize(std::max<size_t>(1, how_many));
    result.shapes_tried = tried_;
    return result;
  }

 private:
  std::vector<uint64_t> MemtableSizes() const noexcept {
    const double smallest = static_cast<double>(std::max<uint64_t>(1, space_.min_memtable_bytes));
    const double largest = std::max(
        smallest, static_cast<double>(std::min(space_.max_memtable_bytes, space_.memory_bytes)));
    std::vector<uint64_t> sizes = {static_cast<uint64_t>(smallest)};
    for (uint32_t i = 1; i < space_.memtable_steps; ++i) {
      const double share = static_cast<double>(i) / (space_.memtable_steps - 1);
      sizes.push_back(static_cast<uint64_t>(smallest * std::pow(largest / smallest, share)));
    }
    sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
    return sizes;
  }

  void TryRatio(uint32_t ratio, uint64_t memtable_bytes, uint64_t filter_bits) noexcept {
    const auto attempt = [&](TreeShape shape) {
      shape.memtable_bytes = memtable_bytes;
      shape.filter_bits = filter_bits;
      ++tried_;
      short_list_.Offer(shape, PredictShape(ideal_, mix_, shape).index_s);
    };
    switch (space_.policy) {
      case SearchSpace::Policy::kLeveling:
        return attempt(LevelingShape(ratio));
      case SearchSpace::Policy::kTiering:
        return attempt(TieringShape(ratio));
      case SearchSpace::Policy::kLazy:
        return attempt(LazyShape(ratio));
      case SearchSpace::Policy::kAny:
        break;
    }
    for (uint32_t upper = 1; upper < ratio; ++upper) {
      for (uint32_t last = 1; last <= upper; ++last) attempt(UniformShape(ratio, upper, last));
    }
  }

  // Changes K of one level at a time, to whatever is best for it, until no level gains. The cost is
  // separable but for the filters, so this ends after two or three rounds.
  Candidate Refined(const Candidate& start) noexcept {
    Candidate best = start;
    const uint32_t count = start.prediction.level_count;
    for (bool improved = true; improved;) {
      improved = false;
      for (uint32_t level = 0; level < count; ++level) {
        for (uint32_t runs = 1; runs < best.shape.size_ratio; ++runs) {
          Candidate next = best;
          uint8_t* slot =
              level + 1 == count ? &next.shape.last_runs : &next.shape.upper_runs[level];
          *slot = static_cast<uint8_t>(runs);
          next.prediction = PredictShape(inputs_, mix_, next.shape);
          ++tried_;
          if (next.prediction.index_s < best.prediction.index_s * (1 - 1e-12)) {
            best = next;
            improved = true;
          }
        }
      }
    }
    return best;
  }

  const CostInputs& inputs_;
  CostInputs ideal_;
  const WorkloadMix& mix_;
  const SearchSpace& space_;
  ShortList short_list_;
  uint64_t tried_ = 0;
};

}  // namespace

SearchResult FindBestShapes(const CostInputs& inputs, const WorkloadMix& mix,
                            const SearchSpace& space, size_t how_many) noexcept {
  return Searcher(inputs, mix, space).Run(how_many);
}

bool SameTree(const TreeShape& a, const TreeShape& b, uint32_t level_count) noexcept {
  if (a.size_ratio != b.size_ratio || a.memtable_bytes != b.memtable_bytes) return false;
  for (uint32_t i = 0; i < level_count; ++i) {
    if (a.RunsAt(i, level_count) != b.RunsAt(i, level_count)) return false;
  }
  return true;
}

uint64_t FilterBudget(const SearchSpace& space, const StoreFacts& facts,
                      uint64_t memtable_bytes) noexcept {
  if (space.filter_bits_per_key >= 0) {
    return static_cast<uint64_t>(space.filter_bits_per_key * facts.entries);
  }
  const auto rest =
      static_cast<double>(space.memory_bytes - std::min(space.memory_bytes, memtable_bytes)) * 8;
  return static_cast<uint64_t>(std::min(rest, space.max_filter_bits_per_key * facts.entries));
}

}  // namespace lamina::tuner
