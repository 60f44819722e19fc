#include "tensorlog/eviction/sampled_policy.h"

#include "tensorlog/eviction/victim_search.h"

namespace lamina {
namespace {

// A tick is one request.
bool SameTick(const Heat& page, const Heat& newcomer) noexcept {
  return page.tick == newcomer.tick;
}

}  // namespace

void SampledPolicy::PickVictims(Residents& residents, const Heat* newcomer, bool admit_all,
                                size_t want, std::vector<PageHandle>* victims) noexcept {
  VictimSearch::Candidates candidates;
  // Where the newcomer is worth more than all others, these are asked alone: its own ancestors may
  // be worth less than they are.
  const VictimSearch::Spared spared = {admit_all ? newcomer : nullptr, SameTick};
  const size_t count = VictimSearch::Gather(residents, random_, spared, &candidates);
  if (count == 0 || want == 0) return;
  for (size_t i = 0; i < count; ++i) candidates[i].worth = Worth(candidates[i].heat);
  VictimSearch::Rank(residents, std::span(candidates.data(), count));
  const Candidate& worst = candidates[0];
  if (newcomer != nullptr && !admit_all) {
    // The newcomer's own ancestor.
    if (SameTick(worst.heat, *newcomer)) return;
    if (Worth(*newcomer) <= admission_margin() * worst.worth) return;
  }
  VictimSearch::FollowPath(residents, worst, want, victims);
}

}  // namespace lamina
