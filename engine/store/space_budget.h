// How capacity_bytes is divided, and whether there is room for one more segment.
//
//   capacity_bytes = segments + 16 MiB + 400 bytes a slot
//
// What is kept beside the segments is for everything else: the index and tables being merged (22
// bytes an entry, up to 1.5 entries a slot, twice: 66), slot tables of two generations (88), the
// eviction policy's records of two generations (200), the journal, the manifest, the ballast. If
// these ever need more (`excess`), the segments get less. min_free_bytes bounds segments too: what
// is free on the disks of the log directories beyond it. And slots take memory (SegmentMemory),
// which is bounded as well.
//
// Thread-safe; pure arithmetic.
#ifndef LAMINA_ENGINE_STORE_SPACE_BUDGET_H_
#define LAMINA_ENGINE_STORE_SPACE_BUDGET_H_

#include <cstdint>
#include <mutex>

#include "tensorlog/segment.h"

namespace lamina {

inline constexpr uint64_t kBaseReserveBytes = uint64_t{16} << 20;
inline constexpr uint64_t kSlotReserveBytes = 400;

class SpaceBudget {
 public:
  // 0: only the disk bounds.
  explicit SpaceBudget(uint64_t capacity_bytes) noexcept : capacity_(capacity_bytes) {}

  void SetCapacity(uint64_t capacity_bytes) noexcept;
  [[nodiscard]] uint64_t capacity() const noexcept;
  // Free bytes that the store may use, as last looked up.
  void SetDiskBytes(uint64_t bytes) noexcept;
  // Bytes of memory that all segments may take. UINT64_MAX, as at first: no bound.
  void SetMemory(uint64_t bytes) noexcept;
  // Bytes that everything but segments takes.
  void SetMetadataBytes(uint64_t bytes) noexcept;

  // Bytes of files that no segment owns and that could not be removed.
  void AddOrphanBytes(uint64_t bytes) noexcept;

  // A segment that exists.
  void Add(const SegmentInfo& info) noexcept;
  // One whose file cannot be used, for as long as the store is open: its slots take memory and
  // metadata, and of the disk it takes only `file_bytes`, what is left of it.
  void AddAbsent(const SegmentInfo& info, uint64_t file_bytes) noexcept;
  void Remove(const SegmentInfo& info) noexcept;
  // Reserves a segment of up to `*slots` slots, a whole one; what is left may be less, and then
  // `*slots` is what it gets. `room`: bytes on the disk that it is to lie on. False when what is
  // left is not worth a segment.
  bool TryAdd(uint32_t slot_bytes, uint32_t* slots, uint64_t room = UINT64_MAX) noexcept;
  // Slots that segments of the class, of `whole` slots each, could have in all beyond those there
  // are.
  [[nodiscard]] uint64_t Growable(uint32_t slot_bytes, uint32_t whole) const noexcept;

  // The bytes that come free next are for this class alone, until it has taken them or another
  // Earmark. 0 bytes: for all.
  void Earmark(uint32_t slot_bytes, uint64_t bytes) noexcept;

  // Segments of so many bytes and slots are to go, and what replaces them may be added before they
  // do: it finds room as if they had gone. Remove takes from it. 0: none.
  void SetLeaving(uint64_t bytes, uint64_t slots) noexcept;

  // By how much the segments exceed what they may take: 0 unless capacity shrank or metadata grew.
  [[nodiscard]] uint64_t OverBytes() const noexcept;
  [[nodiscard]] uint64_t segment_bytes() const noexcept;
  [[nodiscard]] uint64_t slots() const noexcept;
  // What the slots of all segments take in memory.
  [[nodiscard]] uint64_t memory_bytes() const noexcept;

 private:
  // All under mutex_. What is left for a class; what everything but segments may take, beside so
  // many slots; what is used by all of it and the segments, but for what is leaving.
  [[nodiscard]] uint64_t LeftFor(uint32_t slot_bytes) const noexcept;
  [[nodiscard]] uint64_t Reserve(uint64_t slots) const noexcept;
  [[nodiscard]] uint64_t Used(uint64_t leaving_bytes, uint64_t leaving_slots) const noexcept;
  [[nodiscard]] uint32_t SlotsWithin(uint64_t left, uint64_t memory_left, uint32_t slot_bytes,
                                     uint32_t whole) const noexcept;
  [[nodiscard]] uint64_t MemoryLeft() const noexcept;

  mutable std::mutex mutex_;
  uint64_t capacity_;
  uint64_t disk_bytes_ = UINT64_MAX;
  uint64_t metadata_bytes_ = 0;
  uint64_t segment_bytes_ = 0;
  uint64_t orphan_bytes_ = 0;
  uint64_t slots_ = 0;
  uint64_t leaving_bytes_ = 0;
  uint64_t leaving_slots_ = 0;
  uint64_t memory_bytes_ = 0;
  uint64_t memory_bound_ = UINT64_MAX;
  uint32_t earmark_class_ = 0;
  uint64_t earmark_bytes_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_SPACE_BUDGET_H_
