#include "tensorlog/eviction/victim_search.h"

#include <algorithm>

#include "tensorlog/eviction/heat_bits.h"

namespace lamina {
namespace {

// Random slots tried for each candidate wanted. Capacity is most of the slots where anything is
// trimmed, so nearly every one hits; the rest is for a class that is being drained.
constexpr size_t kTriesPerCandidate = 8;
// More pages than the longest path has; ends a walk over links that damage made circular.
constexpr size_t kMaxWalk = size_t{1} << 16;
// The most pages of a unit that go together.
constexpr size_t kMaxUnitPages = 64;

}  // namespace

size_t VictimSearch::Gather(Residents& residents, SplitMix& random, const Spared& spared,
                            Candidates* out) noexcept {
  size_t count = 0;
  const auto add = [&](PageHandle slot) {
    Candidate& next = (*out)[count];
    for (size_t i = 0; i < count; ++i)
      if ((*out)[i].slot == slot) return;
    if (!residents.Live(slot, &next.heat) || spared.Has(next.heat)) return;
    next.slot = slot;
    ++count;
  };
  for (size_t i = 0; i < residents.pool_size_; ++i) add(residents.pool_[i]);
  const uint32_t slots = residents.slot_count();
  if (slots == 0) return 0;
  const size_t goal = std::min<size_t>(count + kSample, residents.live_pages());
  for (size_t i = 0; i < kSample * kTriesPerCandidate && count < goal; ++i)
    add(random.Below(slots));
  // Candidates are rare here: one scan finds one, if there is any.
  if (count == 0) {
    const uint32_t start = random.Below(slots);
    for (uint32_t i = 0; i < slots && count == 0; ++i)
      add(static_cast<PageHandle>((uint64_t{start} + i) % slots));
  }
  return count;
}

void VictimSearch::Rank(Residents& residents, std::span<Candidate> candidates) noexcept {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.worth != b.worth ? a.worth < b.worth : a.slot < b.slot;
  });
  residents.pool_size_ = std::min(candidates.size(), Residents::kPoolSize);
  for (size_t i = 0; i < residents.pool_size_; ++i) residents.pool_[i] = candidates[i].slot;
}

void VictimSearch::FollowPath(const Residents& residents, const Candidate& from, size_t want,
                              std::vector<PageHandle>* out) noexcept {
  // The pages met last, in a ring: those with the tail of the very last are its unit.
  std::array<PageHandle, kMaxUnitPages> ring;
  ring[0] = from.slot;
  size_t walked = 1;
  size_t unit_pages = 1;
  uint32_t tail = TailOf(from.heat.bits);
  while (walked < kMaxWalk) {
    const PageHandle child = residents.LastChild(ring[(walked - 1) % kMaxUnitPages]);
    Heat heat;
    if (child == kNoPage || !residents.Live(child, &heat)) break;
    // Another tick: the slot holds another page by now, or the page was used on another path since.
    if (heat.tick != from.heat.tick || TailOf(heat.bits) > tail) break;
    unit_pages = TailOf(heat.bits) == tail ? unit_pages + 1 : 1;
    tail = TailOf(heat.bits);
    ring[walked++ % kMaxUnitPages] = child;
  }
  // A saturated tail does not tell units apart.
  if (tail == kMaxTail) unit_pages = 1;
  const size_t count = std::min({unit_pages, want, kMaxUnitPages});
  for (size_t i = 1; i <= count; ++i) out->push_back(ring[(walked - i) % kMaxUnitPages]);
}

}  // namespace lamina
