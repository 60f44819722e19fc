// What PRHD and LRU share: the page of least worth in a sample goes, from the end of its path.
#ifndef LAMINA_TENSORLOG_EVICTION_SAMPLED_POLICY_H_
#define LAMINA_TENSORLOG_EVICTION_SAMPLED_POLICY_H_

#include <vector>

#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/random.h"

namespace lamina {

class SampledPolicy : public EvictionPolicy {
 public:
  void PickVictims(Residents& residents, const Heat* newcomer, bool admit_all, size_t want,
                   std::vector<PageHandle>* victims) noexcept override;

 protected:
  explicit SampledPolicy(uint64_t seed) noexcept : random_(seed) {}
  // A newcomer must be worth more than so many times what goes for it.
  [[nodiscard]] virtual double admission_margin() const noexcept = 0;

  SplitMix random_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_SAMPLED_POLICY_H_
