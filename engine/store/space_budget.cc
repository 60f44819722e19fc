#include "engine/store/space_budget.h"

#include <algorithm>

#include "engine/lamina.h"
#include "tensorlog/geometry.h"

namespace lamina {

uint64_t CapacityFor(uint64_t pages, uint64_t page_bytes) noexcept {
  constexpr uint64_t kLeast = uint64_t{64} << 20;
  const uint64_t slot_bytes = SlotBytesFor(std::clamp<uint64_t>(page_bytes, 1, uint64_t{1} << 30));
  return std::max(kLeast, kBaseReserveBytes + pages * (slot_bytes + kSlotReserveBytes));
}

void SpaceBudget::SetCapacity(uint64_t capacity_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  capacity_ = capacity_bytes;
}

uint64_t SpaceBudget::capacity() const noexcept {
  const std::lock_guard lock(mutex_);
  return capacity_;
}

void SpaceBudget::SetDiskBytes(uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  disk_bytes_ = bytes;
}

void SpaceBudget::SetMetadataBytes(uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  metadata_bytes_ = bytes;
}

void SpaceBudget::SetMemory(uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  memory_bound_ = bytes;
}

void SpaceBudget::AddOrphanBytes(uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  orphan_bytes_ += bytes;
}

void SpaceBudget::Add(const SegmentInfo& info) noexcept {
  const std::lock_guard lock(mutex_);
  segment_bytes_ += info.bytes();
  slots_ += info.slot_count;
  memory_bytes_ += SegmentMemory(info.slot_count);
}

void SpaceBudget::AddAbsent(const SegmentInfo& info, uint64_t file_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  segment_bytes_ += file_bytes;
  slots_ += info.slot_count;
  memory_bytes_ += SegmentMemory(info.slot_count);
}

void SpaceBudget::Remove(const SegmentInfo& info) noexcept {
  const std::lock_guard lock(mutex_);
  segment_bytes_ -= info.bytes();
  slots_ -= info.slot_count;
  memory_bytes_ -= SegmentMemory(info.slot_count);
  leaving_bytes_ -= std::min(leaving_bytes_, info.bytes());
  leaving_slots_ -= std::min<uint64_t>(leaving_slots_, info.slot_count);
}

void SpaceBudget::SetLeaving(uint64_t bytes, uint64_t slots) noexcept {
  const std::lock_guard lock(mutex_);
  leaving_bytes_ = bytes;
  leaving_slots_ = slots;
}

uint64_t SpaceBudget::Reserve(uint64_t slots) const noexcept {
  // A quarter at most: tests have stores that are smaller than options allow.
  const uint64_t base = std::min(kBaseReserveBytes, capacity_ / 4);
  return std::max(base + kSlotReserveBytes * slots, metadata_bytes_);
}

uint64_t SpaceBudget::Used(uint64_t leaving_bytes, uint64_t leaving_slots) const noexcept {
  return segment_bytes_ - std::min(segment_bytes_, leaving_bytes) + orphan_bytes_ +
         Reserve(slots_ - std::min(slots_, leaving_slots));
}

uint64_t SpaceBudget::LeftFor(uint32_t slot_bytes) const noexcept {
  uint64_t left = disk_bytes_;
  if (capacity_ != 0) {
    const uint64_t used = Used(leaving_bytes_, leaving_slots_);
    left = std::min(left, capacity_ > used ? capacity_ - used : 0);
  }
  if (earmark_bytes_ > 0 && slot_bytes != earmark_class_)
    left = left > earmark_bytes_ ? left - earmark_bytes_ : 0;
  return left;
}

// Of one segment. A rest is worth one while it has an eighth of a whole one's slots.
uint32_t SpaceBudget::SlotsWithin(uint64_t left, uint64_t memory_left, uint32_t slot_bytes,
                                  uint32_t whole) const noexcept {
  const uint64_t each = slot_bytes + (capacity_ == 0 ? 0 : kSlotReserveBytes);
  if (capacity_ == 0) whole = SlotsWithinDisk(whole, slot_bytes, left);
  uint64_t slots = std::min<uint64_t>(whole, left / each);
  if (SegmentMemory(slots) > memory_left) {
    const uint64_t fixed = SegmentMemory(0);
    slots = memory_left > fixed ? (memory_left - fixed) / (SegmentMemory(1) - fixed) : 0;
  }
  return slots < std::max(kMinSegmentSlots, whole / 8) ? 0 : static_cast<uint32_t>(slots);
}

uint64_t SpaceBudget::MemoryLeft() const noexcept {
  return memory_bound_ > memory_bytes_ ? memory_bound_ - memory_bytes_ : 0;
}

bool SpaceBudget::TryAdd(uint32_t slot_bytes, uint32_t* slots, uint64_t room) noexcept {
  const std::lock_guard lock(mutex_);
  const uint64_t left = std::min(LeftFor(slot_bytes), room);
  const uint32_t fit = SlotsWithin(left, MemoryLeft(), slot_bytes, *slots);
  if (fit == 0) return false;
  *slots = fit;
  const uint64_t bytes = uint64_t{slot_bytes} * fit;
  segment_bytes_ += bytes;
  slots_ += fit;
  memory_bytes_ += SegmentMemory(fit);
  disk_bytes_ -= std::min(disk_bytes_, bytes);
  if (slot_bytes == earmark_class_) earmark_bytes_ -= std::min(earmark_bytes_, bytes);
  return true;
}

uint64_t SpaceBudget::Growable(uint32_t slot_bytes, uint32_t whole) const noexcept {
  const std::lock_guard lock(mutex_);
  const uint64_t each = slot_bytes + (capacity_ == 0 ? 0 : kSlotReserveBytes);
  const uint64_t left = LeftFor(slot_bytes);
  const uint64_t memory_left = MemoryLeft();
  const uint64_t segments = std::min(left / (each * whole), memory_left / SegmentMemory(whole));
  return segments * whole + SlotsWithin(left - segments * each * whole,
                                        memory_left - segments * SegmentMemory(whole), slot_bytes,
                                        whole);
}

void SpaceBudget::Earmark(uint32_t slot_bytes, uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  earmark_class_ = slot_bytes;
  earmark_bytes_ = bytes;
}

uint64_t SpaceBudget::OverBytes() const noexcept {
  const std::lock_guard lock(mutex_);
  if (capacity_ == 0) return 0;
  const uint64_t used = Used(0, 0);
  return used > capacity_ ? used - capacity_ : 0;
}

uint64_t SpaceBudget::segment_bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return segment_bytes_;
}

uint64_t SpaceBudget::slots() const noexcept {
  const std::lock_guard lock(mutex_);
  return slots_;
}

uint64_t SpaceBudget::memory_bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return memory_bytes_;
}

}  // namespace lamina
