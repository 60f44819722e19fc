#include "engine/store/class_residents.h"

#include <algorithm>
#include <cmath>

namespace lamina {

double LogicalShare(uint32_t slot_bytes) noexcept {
  return slot_bytes >= kRunBytes ? 63.0 / 64 : 0.96;
}

void ClassResidents::Refresh(uint64_t growable) noexcept {
  if (const uint64_t version = log_.table().version(); version != version_) {
    version_ = version;
    parts_.clear();
    slots_ = 0;
    usable_slots_ = 0;
    for (Segment* segment : log_.table().All()) {
      if (segment->slot_bytes() != slot_bytes_ || segment->absent()) continue;
      parts_.push_back({segment, slots_});
      slots_ += segment->slot_count();
      if (!segment->draining()) usable_slots_ += segment->slot_count();
    }
    even_slots_ = parts_.empty() ? 0 : parts_.front().segment->slot_count();
    for (size_t i = 0; i + 1 < parts_.size(); ++i)
      if (parts_[i].segment->slot_count() != even_slots_) even_slots_ = 0;
  }
  live_ = reserved_;
  for (const Part& part : parts_) live_ += part.segment->counts().live;
  const double slots = static_cast<double>(usable_slots_) + static_cast<double>(growable);
  capacity_ = static_cast<uint64_t>(std::floor(LogicalShare(slot_bytes_) * slots + 1e-9));
}

Slot* ClassResidents::SlotOf(PageHandle handle, Segment** segment,
                             uint32_t* number) const noexcept {
  if (handle >= slots_) return nullptr;
  size_t part = 0;
  if (even_slots_ != 0) {
    part = std::min<size_t>(handle / even_slots_, parts_.size() - 1);
  } else {
    const auto behind =
        std::upper_bound(parts_.begin(), parts_.end(), handle,
                         [](PageHandle at, const Part& one) { return at < one.first; });
    part = static_cast<size_t>(behind - parts_.begin()) - 1;
  }
  *segment = parts_[part].segment;
  *number = handle - parts_[part].first;
  return &(*segment)->slot(*number);
}

PageHandle ClassResidents::HandleOf(SlotRef slot) const noexcept {
  const auto found =
      std::lower_bound(parts_.begin(), parts_.end(), slot.segment,
                       [](const Part& one, uint32_t id) { return one.segment->id() < id; });
  if (found == parts_.end() || found->segment->id() != slot.segment ||
      slot.slot >= found->segment->slot_count())
    return kNoPage;
  return found->first + slot.slot;
}

bool ClassResidents::Live(PageHandle handle, Heat* heat) const noexcept {
  Segment* segment = nullptr;
  uint32_t number = 0;
  const Slot* const slot = SlotOf(handle, &segment, &number);
  if (slot == nullptr || slot->state() != SlotState::kLive) return false;
  *heat = HeatOf(slot->heat(0));
  return true;
}

PageHandle ClassResidents::LastChild(PageHandle handle) const noexcept {
  Segment* segment = nullptr;
  uint32_t number = 0;
  const Slot* const slot = SlotOf(handle, &segment, &number);
  return slot == nullptr ? kNoPage : HandleOf(ChildOf(slot->heat(1)));
}

void ClassResidents::SetHeat(PageHandle handle, const Heat& heat) noexcept {
  Segment* segment = nullptr;
  uint32_t number = 0;
  if (Slot* const slot = SlotOf(handle, &segment, &number)) slot->set_heat(0, HeatWord(heat));
}

void ClassResidents::Condemn(PageHandle handle) noexcept {
  Segment* segment = nullptr;
  uint32_t number = 0;
  const Slot* const slot = SlotOf(handle, &segment, &number);
  if (slot == nullptr) return;
  // The tag may change until it is condemned: then there is another page, or none, and no victim.
  const uint64_t tag = slot->tag();
  Heat heat;
  const PageHandle child = LastChild(handle);
  const bool strands =
      child != kNoPage && Live(child, &heat) && heat.tick == HeatOf(slot->heat(0)).tick;
  if (tag != 0 && segment->Condemn(number, tag)) {
    victims_.push_back(HeatOf(slot->heat(0)));
    StoreCounters::Add(counters_.pages_evicted, 1);
    if (strands) StoreCounters::Add(counters_.pages_stranded, 1);
  }
  // Gone from the count in any case, so that a trim ends.
  if (live_ > 0) --live_;
}

}  // namespace lamina
