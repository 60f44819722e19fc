#include "tensorlog/eviction/policy.h"

#include "tensorlog/eviction/lru.h"
#include "tensorlog/eviction/prhd.h"
#include "tensorlog/eviction/s3fifo.h"

namespace lamina {

std::unique_ptr<EvictionPolicy> MakePolicy(const PolicyOptions& options) noexcept {
  switch (options.kind) {
    case PolicyKind::kLru:
      return std::make_unique<Lru>(options);
    case PolicyKind::kS3Fifo:
      return std::make_unique<S3Fifo>(options);
    case PolicyKind::kPrhd:
      break;
  }
  return std::make_unique<Prhd>(options);
}

size_t TrimToCapacity(EvictionPolicy& policy, Residents& residents, std::span<const Heat> newcomers,
                      bool admit_all) noexcept {
  const uint64_t capacity = residents.capacity_pages();
  size_t kept = newcomers.size();
  std::vector<PageHandle> victims;
  while (residents.live_pages() + kept > capacity) {
    victims.clear();
    const uint64_t excess = residents.live_pages() + kept - capacity;
    policy.PickVictims(residents, kept > 0 ? &newcomers[kept - 1] : nullptr, admit_all,
                       static_cast<size_t>(excess), &victims);
    Heat heat;
    // Links that damage made circular can name a page twice.
    for (PageHandle victim : victims)
      if (residents.Live(victim, &heat)) residents.Condemn(victim);
    if (!victims.empty()) continue;
    if (kept == 0) break;  // nothing is live; the engine's count says otherwise for a moment
    --kept;
  }
  return kept;
}

}  // namespace lamina
