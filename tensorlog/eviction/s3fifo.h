// S3-FIFO (Yang et al., SOSP 2023), by sampling: a small queue of a tenth, where new pages prove
// themselves, a main queue with second chances, and a memory of pages that were not kept.
//
// A queue's order is the tick in the heat, its oldest page the oldest of a sample. Pages that were
// requested lately and are not resident stand for the paper's ghost queue.
#ifndef LAMINA_TENSORLOG_EVICTION_S3FIFO_H_
#define LAMINA_TENSORLOG_EVICTION_S3FIFO_H_

#include <vector>

#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/random.h"
#include "tensorlog/eviction/recent_keys.h"
#include "tensorlog/eviction/victim_search.h"

namespace lamina {

class S3Fifo final : public EvictionPolicy {
 public:
  explicit S3Fifo(const PolicyOptions& options) noexcept
      : random_(options.seed), recent_(options.capacity_pages, options.record_bytes) {}

  void OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept override;
  void PickVictims(Residents& residents, const Heat* newcomer, bool admit_all, size_t want,
                   std::vector<PageHandle>* victims) noexcept override;
  [[nodiscard]] double Worth(const Heat& heat) const noexcept override;
  void SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept override;
  [[nodiscard]] uint64_t memory_bytes() const noexcept override;
  void Save(std::string* out) noexcept override;
  Status Load(std::string_view bytes) noexcept override;
  [[nodiscard]] Heat UnknownHeat() const noexcept override;
  void OnRecovered(const Heat& heat) noexcept override;
  [[nodiscard]] std::string Explain() const noexcept override;

 private:
  // The candidate at the head of the queue that is to shrink.
  [[nodiscard]] const Candidate& Head(std::span<const Candidate> candidates) const noexcept;
  // Gives the head of its queue another turn where it has earned one, or where it is the newcomer's
  // own ancestor. Whether it did.
  bool PutBack(Residents& residents, const Candidate& head, bool own) noexcept;
  [[nodiscard]] uint32_t AgeOf(uint32_t tick) const noexcept {
    return static_cast<uint32_t>(clock_) - tick;
  }

  uint64_t clock_ = 0;  // requests, and pages that got another chance
  SplitMix random_;
  RecentKeys recent_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_S3FIFO_H_
