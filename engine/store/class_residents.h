// The slots of one class as the eviction policy sees them: numbered from 0 over all its segments.
//
// The words of a slot's heat (slot.h) are the policy's 8 bytes, and the slot of the page that
// followed this one on the path that used it last, so that a path's tail is found from any of its
// pages.
//
// Used under the evictor's mutex, inside a Session. What other threads do to slots meanwhile makes
// counts stale by a few pages, never wrong for long: they are taken anew with each session.
#ifndef LAMINA_ENGINE_STORE_CLASS_RESIDENTS_H_
#define LAMINA_ENGINE_STORE_CLASS_RESIDENTS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/store/counters.h"
#include "tensorlog/eviction/policy.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

inline uint64_t HeatWord(const Heat& heat) noexcept {
  return uint64_t{heat.tick} << 32 | heat.bits;
}
inline Heat HeatOf(uint64_t word) noexcept {
  return {static_cast<uint32_t>(word >> 32), static_cast<uint32_t>(word)};
}
// No segment has id 0, so that 0 is no slot.
inline uint64_t ChildWord(SlotRef slot) noexcept {
  return uint64_t{slot.segment} << 32 | slot.slot;
}
inline SlotRef ChildOf(uint64_t word) noexcept {
  return {static_cast<uint32_t>(word >> 32), static_cast<uint32_t>(word)};
}

// Live pages over slots: the rest is condemned and being overwritten (tensor log design; 63/64
// for slots that are runs by themselves, 96 % where a run is several slots: with less slack, runs
// of 256 KiB get rare).
double LogicalShare(uint32_t slot_bytes) noexcept;

class ClassResidents final : public Residents {
 public:
  ClassResidents(const TensorLog& log, uint32_t slot_bytes, StoreCounters& counters) noexcept
      : log_(log), slot_bytes_(slot_bytes), counters_(counters) {}

  // While one exists the segments stay. `growable`: slots that may be added to the class.
  class Session {
   public:
    Session(ClassResidents& residents, uint64_t growable) noexcept
        : section_(residents.log_.table()) {
      residents.Refresh(growable);
    }

   private:
    SegmentTable::ReadSection section_;
  };

  [[nodiscard]] uint32_t slot_bytes() const noexcept { return slot_bytes_; }
  // Pages that were admitted and are not live yet.
  void Reserve(uint64_t pages) noexcept { reserved_ += pages; }
  void Unreserve(uint64_t pages) noexcept { reserved_ -= pages; }
  [[nodiscard]] uint64_t reserved() const noexcept { return reserved_; }
  [[nodiscard]] PageHandle HandleOf(SlotRef slot) const noexcept;

  struct Part {
    Segment* segment = nullptr;
    uint32_t first = 0;  // handle of its slot 0
  };
  // By segment id. Those that are being given up have pages too, and no slots for others.
  [[nodiscard]] const std::vector<Part>& parts() const noexcept { return parts_; }
  // The heats of what was condemned since the last call.
  [[nodiscard]] std::vector<Heat> TakeVictims() noexcept { return std::exchange(victims_, {}); }
  [[nodiscard]] uint32_t usable_slots() const noexcept { return usable_slots_; }

  // Residents:
  [[nodiscard]] uint32_t slot_count() const noexcept override { return slots_; }
  [[nodiscard]] uint64_t live_pages() const noexcept override { return live_; }
  [[nodiscard]] uint64_t capacity_pages() const noexcept override { return capacity_; }
  [[nodiscard]] bool Live(PageHandle slot, Heat* heat) const noexcept override;
  [[nodiscard]] PageHandle LastChild(PageHandle slot) const noexcept override;
  void SetHeat(PageHandle slot, const Heat& heat) noexcept override;
  void Condemn(PageHandle slot) noexcept override;

 private:
  void Refresh(uint64_t growable) noexcept;
  [[nodiscard]] Slot* SlotOf(PageHandle handle, Segment** segment, uint32_t* number) const noexcept;

  const TensorLog& log_;
  const uint32_t slot_bytes_;
  StoreCounters& counters_;
  uint64_t version_ = 0;  // of the segment table when parts_ was made
  std::vector<Part> parts_;
  uint32_t slots_ = 0;
  uint32_t usable_slots_ = 0;  // of segments that take pages
  uint32_t even_slots_ =
      0;               // slots of every segment but the last, where they agree; 0: they do not
  uint64_t live_ = 0;  // and reserved
  uint64_t capacity_ = 0;
  uint64_t reserved_ = 0;
  std::vector<Heat> victims_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_CLASS_RESIDENTS_H_
