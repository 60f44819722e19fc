// PRHD: proportional-hazard rank by hit density. The default policy.
//
// Learns from a record of every unit requested lately how likely paths like this one are to come
// back, and keeps what gives most hits for the time it takes a slot. Path features: does the
// request go on where an earlier one ended, for the how manieth time, after what gap, how many
// units are new, how long is it, how long ago was what is known of it used, how often was this unit
// used, is it the last. Cost: O(pages) a request, no lists of pages, about 36 bytes a record.
//
// Where a unit is many pages, records are of units: the whole ones of a path, and its partial last
// one, each named by its last page. A path that grows within a unit finds the partial record.
#ifndef LAMINA_TENSORLOG_EVICTION_PRHD_H_
#define LAMINA_TENSORLOG_EVICTION_PRHD_H_

#include <vector>

#include "tensorlog/eviction/hazard_model.h"
#include "tensorlog/eviction/record_table.h"
#include "tensorlog/eviction/sampled_policy.h"
#include "tensorlog/eviction/state_format.h"

namespace lamina {

class Prhd final : public SampledPolicy {
 public:
  explicit Prhd(const PolicyOptions& options) noexcept;

  void OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept override;
  void Settle() noexcept override;
  [[nodiscard]] double Worth(const Heat& heat) const noexcept override;
  void SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept override;
  [[nodiscard]] uint64_t memory_bytes() const noexcept override;
  void Save(std::string* out) noexcept override;
  Status Load(std::string_view bytes) noexcept override;
  [[nodiscard]] Heat UnknownHeat() const noexcept override;
  void OnRecovered(const Heat& heat) noexcept override;
  [[nodiscard]] std::string Explain() const noexcept override;

 protected:
  [[nodiscard]] double admission_margin() const noexcept override;

 private:
  // Pages [first, end) of a request, which share a record and a heat.
  struct Unit {
    size_t first = 0;
    size_t end = 0;
    uint64_t key = 0;  // of its record: its last page's
    // What is known of it, if anything is.
    bool known = false;
    HeatFields old;
    uint32_t age = 0;
    // Known by the record of an earlier request's partial last unit only, under another key.
    bool grown = false;
    uint64_t grown_from = 0;
  };
  // What the units of a request have in common.
  struct PathView {
    FeatureBins bins = 0;
    uint32_t turn = 0;
    uint32_t gap = 0;
  };

  [[nodiscard]] uint32_t AgeOf(uint32_t tick) const noexcept {
    return static_cast<uint32_t>(clock_) - tick;
  }

  void EndRequest() noexcept;
  void AgeRecords() noexcept;
  void SplitIntoUnits(const RequestShape& shape, std::span<const RequestPage> pages) noexcept;
  void LookUp(Unit* unit, const RequestPage& last_page) const noexcept;
  void FindGrown(Unit* unit, std::span<const RequestPage> pages) const noexcept;
  [[nodiscard]] PathView ViewPath(std::span<const RequestPage> pages) noexcept;
  [[nodiscard]] static PathView ViewFlat(const Unit& unit) noexcept;
  [[nodiscard]] Heat Touch(const Unit& unit, const PathView& path, size_t tail, bool last) noexcept;
  void LearnEnd(RecordId id, bool hit) noexcept;
  void MakeRoom() noexcept;
  void Watch(RecordId id, int sign) noexcept;

  uint64_t clock_ = 0;      // units requested
  uint64_t unsettled_ = 0;  // units of the last request, unless it is settled
  uint64_t unended_ = 0;    // units of the last request, unless the model knows that it has ended
  HazardModel model_;
  RecordTable records_;
  std::vector<Unit> units_;  // of the request at hand
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_PRHD_H_
