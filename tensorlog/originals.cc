#include "tensorlog/originals.h"

namespace lamina {

void Originals::Add(SlotRef slot, uint64_t tag) noexcept {
  const std::lock_guard lock(mutex_);
  pages_.emplace(slot, tag);
  any_.store(true, std::memory_order_release);
}

// Nobody writes to a segment whose file is not there, nor erases anything in it.
void Originals::Hold(const SegmentTable& table) noexcept {
  const std::lock_guard lock(mutex_);
  const SegmentTable::ReadSection section(table);
  for (const auto& [slot, tag] : pages_) {
    Segment* const segment = section.Find(slot.segment);
    if (segment->absent() || segment->slot(slot.slot).state() != SlotState::kFree) continue;
    if (segment->Take(slot.slot)) held_.push_back(slot);
  }
}

bool Originals::Has(SlotRef slot, uint64_t tag) const noexcept {
  if (!any()) return false;
  const std::lock_guard lock(mutex_);
  return pages_.contains({slot, tag});
}

// What is taken keeps its segment.
void Originals::Release(const SegmentTable& table) noexcept {
  if (!any()) return;
  const std::lock_guard lock(mutex_);
  const SegmentTable::ReadSection section(table);
  for (const SlotRef slot : held_) section.Find(slot.segment)->Release(slot.slot);
  held_.clear();
  pages_.clear();
  any_.store(false, std::memory_order_release);
}

}  // namespace lamina
