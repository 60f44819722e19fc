// Finds what to evict by sampling: some random live pages, and the worst few of the search before,
// which makes a small sample nearly as sharp as a sorted list. No lists of pages are kept.
#ifndef LAMINA_TENSORLOG_EVICTION_VICTIM_SEARCH_H_
#define LAMINA_TENSORLOG_EVICTION_VICTIM_SEARCH_H_

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/random.h"

namespace lamina {

struct Candidate {
  PageHandle slot = kNoPage;
  Heat heat;
  double worth = 0;
};

class VictimSearch {
 public:
  static constexpr size_t kSample = 16;
  static constexpr size_t kMost = kSample + Residents::kPoolSize;
  using Candidates = std::array<Candidate, kMost>;

  // Pages that are no candidates: those of the newcomer's request, as same_request tells them.
  struct Spared {
    const Heat* newcomer = nullptr;  // null: none are spared
    bool (*same_request)(const Heat& page, const Heat& newcomer) = nullptr;

    [[nodiscard]] bool Has(const Heat& page) const noexcept {
      return newcomer != nullptr && same_request(page, *newcomer);
    }
  };

  // Fills in live pages without their worth, the same page at most once; none only if there is no
  // live page that is not spared.
  static size_t Gather(Residents& residents, SplitMix& random, const Spared& spared,
                       Candidates* out) noexcept;

  // Orders candidates by worth, the least first, and keeps the first few for the next search.
  static void Rank(Residents& residents, std::span<Candidate> candidates) noexcept;

  // Appends up to `want` pages at the end of the path that used `from` last: those of its deepest
  // unit that is resident.
  static void FollowPath(const Residents& residents, const Candidate& from, size_t want,
                         std::vector<PageHandle>* out) noexcept;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_VICTIM_SEARCH_H_
