#include "engine/store/collect_plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "tensorlog/geometry.h"

namespace lamina {
namespace {

constexpr uint64_t kMostLiveEighths = 7;
constexpr uint64_t kMostStepSegments = 8;

// The segments of one class in one directory, and how far they are planned for.
struct Lane {
  std::vector<SegmentUse> candidates;  // sparsest first
  size_t next = 0;
  uint64_t largest = 0;  // slots
};

bool Sparser(const SegmentUse& a, const SegmentUse& b) noexcept {
  const uint64_t left = a.live() * b.info.slot_count;
  const uint64_t right = b.live() * a.info.slot_count;
  return left != right ? left < right : a.info.id < b.info.id;
}

std::map<std::pair<uint32_t, uint32_t>, Lane> LanesOf(
    std::span<const SegmentUse> segments) noexcept {
  std::map<std::pair<uint32_t, uint32_t>, Lane> lanes;
  for (const SegmentUse& use : segments) {
    Lane& lane = lanes[{use.info.slot_bytes, use.info.log_dir}];
    lane.largest = std::max<uint64_t>(lane.largest, use.info.slot_count);
    if (WorthCollecting(use)) lane.candidates.push_back(use);
  }
  for (auto& [key, lane] : lanes)
    std::sort(lane.candidates.begin(), lane.candidates.end(), Sparser);
  return lanes;
}

// Full segments and one for the rest.
std::vector<uint32_t> SizesFor(uint64_t pages, uint64_t largest) noexcept {
  std::vector<uint32_t> sizes;
  for (; pages > 0; pages -= std::min(pages, largest)) {
    const uint64_t slots = std::max<uint64_t>(std::min(pages, largest), kMinSegmentSlots);
    sizes.push_back(static_cast<uint32_t>(slots));
  }
  return sizes;
}

bool Gains(const CollectionStep& step) noexcept { return step.bytes > step.new_bytes(); }

void Add(const SegmentUse& use, uint64_t largest, CollectionStep* step) noexcept {
  step->log_dir = use.info.log_dir;
  step->slot_bytes = use.info.slot_bytes;
  step->segments.push_back(use.info.id);
  step->bytes += use.info.bytes();
  step->pages += use.live();
  step->condemned += use.slots.condemned;
  step->new_segments = SizesFor(step->pages, largest);
}

// The lane's next group; without segments when it has none that gains.
CollectionStep NextStep(const Lane& lane, uint64_t wanted_bytes, uint64_t step_slots) noexcept {
  CollectionStep step;
  const uint64_t usual = std::max(lane.largest, step_slots);
  const uint64_t most = std::max(usual, kMostStepSegments * lane.largest);
  for (size_t i = lane.next; i < lane.candidates.size(); ++i) {
    const SegmentUse& use = lane.candidates[i];
    const bool gains = !step.segments.empty() && Gains(step);
    if (gains && step.gained_bytes() >= wanted_bytes) break;
    if (!step.segments.empty() && step.pages + use.live() > (gains ? usual : most)) break;
    Add(use, lane.largest, &step);
  }
  return Gains(step) ? step : CollectionStep{};
}

// Whether `a` copies less for what it gains.
bool Cheaper(const CollectionStep& a, const CollectionStep& b) noexcept {
  const auto cost = [](const CollectionStep& step) {
    return static_cast<double>(step.copied_bytes()) / static_cast<double>(step.gained_bytes());
  };
  return cost(a) < cost(b);
}

}  // namespace

bool WorthCollecting(const SegmentUse& use) noexcept {
  return use.live() * 8 <= use.info.slot_count * kMostLiveEighths;
}

uint64_t CollectionStep::new_bytes() const noexcept {
  uint64_t new_slots = 0;
  for (const uint32_t one : new_segments) new_slots += one;
  return new_slots * slot_bytes;
}

std::vector<CollectionStep> PlanCollection(std::span<const SegmentUse> segments,
                                           uint64_t target_bytes, uint64_t step_bytes) noexcept {
  auto lanes = LanesOf(segments);
  std::vector<CollectionStep> plan;
  for (uint64_t gained = 0; gained < target_bytes;) {
    CollectionStep best;
    Lane* from = nullptr;
    for (auto& [key, lane] : lanes) {
      CollectionStep step = NextStep(lane, target_bytes - gained, step_bytes / key.first);
      if (step.segments.empty() || (from != nullptr && !Cheaper(step, best))) continue;
      best = std::move(step);
      from = &lane;
    }
    if (from == nullptr) break;
    from->next += best.segments.size();
    gained += best.gained_bytes();
    plan.push_back(std::move(best));
  }
  return plan;
}

}  // namespace lamina
