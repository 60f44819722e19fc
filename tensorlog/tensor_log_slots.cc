// What the tensor log does with slots: taking, writing, publishing, reading, evicting.
#include <algorithm>
#include <utility>

#include "tensorlog/page_reader.h"
#include "tensorlog/page_writer.h"
#include "tensorlog/tensor_log.h"

namespace lamina {
namespace {

// The tag is read last: if it is the right one then, the state was that page's.
bool CondemnedIn(const Slot& slot, uint64_t tag) noexcept {
  return slot.state() == SlotState::kCondemned && slot.tag() == tag;
}

}  // namespace

// Calls fn(segment, slot number) if there is such a slot; false if not.
template <class Fn>
bool TensorLog::WithSlot(SlotRef slot, Fn&& fn) const noexcept {
  const SegmentTable::ReadSection section(table_);
  Segment* const segment = section.Find(slot.segment);
  return segment != nullptr && slot.slot < segment->slot_count() && fn(*segment, slot.slot);
}

// ---- Writing -----------------------------------------------------------------------------------

Result<std::vector<SlotRun>> TensorLog::Take(uint64_t page_bytes, size_t count) noexcept {
  return TakeFrom(page_bytes, count, /*may_grow=*/true);
}

Result<std::vector<SlotRun>> TensorLog::TakeExisting(uint64_t page_bytes, size_t count) noexcept {
  return TakeFrom(page_bytes, count, /*may_grow=*/false);
}

Result<std::vector<SlotRun>> TensorLog::TakeFrom(uint64_t page_bytes, size_t count,
                                                 bool may_grow) noexcept {
  LAMINA_CHECK(replayed_.load(std::memory_order_acquire) && !options_.read_only);
  if (page_bytes == 0 || page_bytes > (uint64_t{1} << 30)) {
    return Status::InvalidArgument("a page has 1 byte to 1 GiB, not " + std::to_string(page_bytes));
  }
  LAMINA_RETURN_IF_ERROR(WritableStatus());
  const uint32_t slot_bytes = SlotBytesFor(page_bytes);
  // Slots that there are take what moves although a capacity that shrank has no room for another
  // segment of them: or it could never be kept to.
  if (const auto slots = SegmentSlotsFor(slot_bytes, capacity_bytes_.load());
      may_grow && !slots.ok()) {
    return slots.status();
  }
  SlotClass& slot_class = ClassOf(slot_bytes);
  std::vector<SlotRun> runs;
  const auto start = [&](uint32_t dir) {
    return may_grow ? StartSegment(slot_class, dir) : Status::NoSpace("not to be added to");
  };
  LAMINA_ASSIGN_OR_RETURN(const size_t taken, slot_class.Take(count, start, &runs));
  if (taken == 0) {
    return Status::NoSpace("no slot of " + std::to_string(slot_bytes) +
                           " bytes can be overwritten: all are live, pinned or being written, and "
                           "no segment may be added");
  }
  return runs;
}

std::vector<SlotRun> TensorLog::TakeIn(uint32_t id, size_t count) noexcept {
  std::vector<SlotRun> runs;
  const SegmentTable::ReadSection section(table_);
  Segment* const segment = section.Find(id);
  if (segment == nullptr || segment->absent() || segment->closed()) return runs;
  for (uint32_t i = 0; i < segment->slot_count() && count > 0; ++i) {
    if (!segment->Take(i)) continue;
    --count;
    if (runs.empty() || runs.back().first + runs.back().count != i) {
      runs.push_back({id, i, 1});
    } else {
      ++runs.back().count;
    }
  }
  return runs;
}

Status TensorLog::WritePages(IoQueue& queue, std::span<PageWrite> pages, const IoLimits& limits,
                             bool sync, IoTally* tally, WriteObserver* observer) noexcept {
  PageWriter writer(table_, queue, bounce_, limits, tally);
  Status status = writer.Run(pages, observer);
  if (options_.physical_erase) {
    Status tails = ScrubTails(pages);
    if (status.ok()) status = std::move(tails);
  }
  if (!sync) return status;
  for (Segment* segment : writer.segments()) {
    Status synced = segment->Sync();
    if (synced.ok()) continue;
    for (PageWrite& page : pages) {
      if (page.slot.segment == segment->id()) page.ok = false;
    }
    if (status.ok()) status = std::move(synced);
  }
  return status;
}

void TensorLog::Publish(SlotRef slot, uint64_t tag, uint32_t root, JournalPosition position,
                        bool synced) noexcept {
  const bool known = WithSlot(slot, [&](Segment& segment, uint32_t i) {
    segment.Publish(i, tag, root, position, synced);
    return true;
  });
  LAMINA_CHECK(known);
}

void TensorLog::Release(SlotRef slot) noexcept {
  const bool known = WithSlot(slot, [](Segment& segment, uint32_t i) {
    segment.Release(i);
    return true;
  });
  LAMINA_CHECK(known);
}

void TensorLog::Release(const SlotRun& run) noexcept {
  for (uint32_t i = 0; i < run.count; ++i) Release(run.slot(i));
}

// ---- Reading -----------------------------------------------------------------------------------

bool TensorLog::Bears(SlotRef slot, uint64_t tag) const noexcept {
  return WithSlot(slot, [&](const Segment& segment, uint32_t i) {
    return segment.slot(i).tag() == tag && !segment.absent() && !segment.closed();
  });
}

bool TensorLog::Keeps(SlotRef slot, uint64_t tag) const noexcept {
  if (!replayed_.load(std::memory_order_acquire)) return true;
  const auto bears = [&](const Segment& segment, uint32_t i) {
    return segment.slot(i).tag() == tag;
  };
  return WithSlot(slot, bears) || originals_.Has(slot, tag);
}

bool TensorLog::Unproven(SlotRef slot, uint64_t tag) const noexcept {
  return WithSlot(slot, [&](const Segment& segment, uint32_t i) {
    // The tag last: if it is the right one now, it was when the bit was read.
    const bool unproven = segment.slot(i).unproven();
    return unproven && segment.slot(i).tag() == tag && !segment.absent();
  });
}

void TensorLog::MarkProven(SlotRef slot, uint64_t tag) noexcept {
  (void)WithSlot(slot, [&](Segment& segment, uint32_t i) { return segment.MarkProven(i, tag); });
}

std::optional<uint32_t> TensorLog::LiveRoot(SlotRef slot, uint64_t tag) const noexcept {
  std::optional<uint32_t> root;
  (void)WithSlot(slot, [&](const Segment& segment, uint32_t i) {
    const Slot& at = segment.slot(i);
    const uint32_t number = at.root();
    // The tag last: if it is the right one now, the rest was that page's.
    if (at.state() == SlotState::kLive && at.tag() == tag && !segment.absent()) root = number;
    return root.has_value();
  });
  return root;
}

bool TensorLog::Condemned(SlotRef slot, uint64_t tag) const noexcept {
  return WithSlot(
      slot, [&](const Segment& segment, uint32_t i) { return CondemnedIn(segment.slot(i), tag); });
}

bool TensorLog::Leaving(SlotRef slot, uint64_t tag) const noexcept {
  return WithSlot(slot, [&](const Segment& segment, uint32_t i) {
    return segment.draining() && CondemnedIn(segment.slot(i), tag);
  });
}

void TensorLog::ReadPages(IoQueue& queue, std::span<PageRead> pages, const IoLimits& limits,
                          ReadObserver* observer, IoTally* tally) noexcept {
  PageReader(table_, queue, bounce_, limits, observer, tally).Run(pages);
}

bool TensorLog::Pin(SlotRef slot, uint64_t tag) noexcept {
  return WithSlot(slot, [&](Segment& segment, uint32_t i) { return segment.Pin(i, tag); });
}

void TensorLog::Unpin(SlotRef slot) noexcept {
  const bool known = WithSlot(slot, [](Segment& segment, uint32_t i) {
    segment.Unpin(i);
    return true;
  });
  LAMINA_CHECK(known);
}

// ---- Eviction and erasure ----------------------------------------------------------------------

bool TensorLog::Condemn(SlotRef slot, uint64_t tag) noexcept {
  return WithSlot(slot, [&](Segment& segment, uint32_t i) { return segment.Condemn(i, tag); });
}

bool TensorLog::Revive(SlotRef slot, uint64_t tag) noexcept {
  return WithSlot(slot, [&](Segment& segment, uint32_t i) { return segment.Revive(i, tag); });
}

bool TensorLog::Free(SlotRef slot, uint64_t tag) noexcept {
  return WithSlot(slot, [&](Segment& segment, uint32_t i) { return segment.Free(i, tag); });
}

uint64_t TensorLog::FreeRoot(uint32_t root) noexcept {
  uint64_t freed = 0;
  ForEachSlot([&](Segment& segment, uint32_t i, const Slot& slot) {
    // The tag first: a slot is given its root before its tag, and if it is given another page after
    // this, freeing by the old tag does nothing.
    const uint64_t tag = slot.tag();
    if (tag != 0 && slot.root() == root && segment.Free(i, tag)) ++freed;
  });
  return freed;
}

bool TensorLog::LoadHeat(SlotRef slot, uint64_t tag, HeatValue* heat) const noexcept {
  return WithSlot(slot, [&](const Segment& segment, uint32_t i) {
    for (size_t word = 0; word < kHeatWords; ++word) (*heat)[word] = segment.slot(i).heat(word);
    return segment.slot(i).tag() == tag;
  });
}

bool TensorLog::StoreHeat(SlotRef slot, uint64_t tag, const HeatValue& heat) noexcept {
  return WithSlot(slot, [&](Segment& segment, uint32_t i) {
    if (segment.slot(i).tag() != tag) return false;
    for (size_t word = 0; word < kHeatWords; ++word) segment.slot(i).set_heat(word, heat[word]);
    return true;
  });
}

bool TensorLog::SetHeatWord(SlotRef slot, uint64_t tag, size_t word, uint64_t value) noexcept {
  return WithSlot(slot, [&](Segment& segment, uint32_t i) {
    if (segment.slot(i).tag() != tag) return false;
    segment.slot(i).set_heat(word, value);
    return true;
  });
}

}  // namespace lamina
