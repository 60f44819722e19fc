#include "tensorlog/eviction/sampled_policy.h"

#include "tensorlog/eviction/victim_search.h"

namespace lamina {

void SampledPolicy::PickVictims(Residents& residents, const Heat* newcomer, bool admit_all,
                                size_t want, std::vector<PageHandle>* victims) noexcept {
  VictimSearch::Candidates candidates;
  const size_t count = VictimSearch::Gather(residents, random_, &candidates);
  if (count == 0 || want == 0) return;
  for (size_t i = 0; i < count; ++i) candidates[i].worth = Worth(candidates[i].heat);
  VictimSearch::Rank(residents, std::span(candidates.data(), count));
  const Candidate& worst = candidates[0];
  if (newcomer != nullptr) {
    // A tick is one request: the page is the newcomer's own ancestor.
    if (worst.heat.tick == newcomer->tick) return;
    if (!admit_all && Worth(*newcomer) <= admission_margin() * worst.worth) return;
  }
  VictimSearch::FollowPath(residents, worst, want, victims);
}

}  // namespace lamina
