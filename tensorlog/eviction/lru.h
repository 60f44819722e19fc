// Least recently used, by sampling; the deepest page of a request counts as its oldest.
#ifndef LAMINA_TENSORLOG_EVICTION_LRU_H_
#define LAMINA_TENSORLOG_EVICTION_LRU_H_

#include "tensorlog/eviction/recent_keys.h"
#include "tensorlog/eviction/sampled_policy.h"

namespace lamina {

class Lru final : public SampledPolicy {
 public:
  explicit Lru(const PolicyOptions& options) noexcept
      : SampledPolicy(options.seed), recent_(options.capacity_pages, options.record_bytes) {}

  void OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept override;
  [[nodiscard]] double Worth(const Heat& heat) const noexcept override;
  void SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept override;
  [[nodiscard]] uint64_t memory_bytes() const noexcept override;
  void Save(std::string* out) noexcept override;
  Status Load(std::string_view bytes) noexcept override;
  [[nodiscard]] Heat UnknownHeat() const noexcept override;
  void OnRecovered(const Heat& heat) noexcept override;
  [[nodiscard]] std::string Explain() const noexcept override;

 protected:
  // Nothing is used later than what is new: all is written but what would displace its own path.
  [[nodiscard]] double admission_margin() const noexcept override { return 1; }

 private:
  uint64_t clock_ = 0;  // requests
  RecentKeys recent_;   // what admission=second_use asks for
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_LRU_H_
