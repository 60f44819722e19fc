#include "tensorlog/geometry.h"

#include <algorithm>
#include <bit>
#include <string>

#include "tensorlog/segment.h"

namespace lamina {
namespace {

constexpr uint64_t kMaxSegmentBytes = uint64_t{1} << 30;
constexpr uint64_t kLeastUnboundedBytes = uint64_t{256} << 20;

}  // namespace

uint32_t SlotBytesFor(uint64_t page_bytes) noexcept {
  LAMINA_CHECK(page_bytes > 0 && page_bytes <= (uint64_t{1} << 30));
  const auto units = static_cast<uint32_t>((page_bytes + kSlotUnitBytes - 1) / kSlotUnitBytes);
  const int exponent = static_cast<int>(std::bit_width(units)) - 1;
  const uint32_t step = exponent > 3 ? 1u << (exponent - 3) : 1u;
  return (units + step - 1) / step * step * kSlotUnitBytes;
}

Result<uint32_t> SegmentSlotsFor(uint32_t slot_bytes, uint64_t capacity_bytes) noexcept {
  const uint64_t target =
      capacity_bytes == 0 ? kMaxSegmentBytes : std::min(kMaxSegmentBytes, capacity_bytes / 64);
  const uint64_t slots = std::max<uint64_t>(kMinSegmentSlots, target / slot_bytes);
  if (capacity_bytes != 0 && slots * slot_bytes > capacity_bytes / 8) {
    return Status::NoSpace(
        "pages of slot size " + std::to_string(slot_bytes) +
        " bytes are too large for capacity_bytes=" + std::to_string(capacity_bytes) +
        ": a segment of " + std::to_string(slots) +
        " would take more than an eighth of it; raise the capacity or use "
        "smaller pages");
  }
  return static_cast<uint32_t>(slots);
}

uint32_t SlotsWithinDisk(uint32_t segment_slots, uint32_t slot_bytes, uint64_t room) noexcept {
  const uint64_t slots = std::max(kLeastUnboundedBytes, room / 64) / slot_bytes;
  return static_cast<uint32_t>(std::clamp<uint64_t>(slots, kMinSegmentSlots, segment_slots));
}

uint32_t MinRunSlots(uint32_t slot_bytes) noexcept {
  return static_cast<uint32_t>((kRunBytes + slot_bytes - 1) / slot_bytes);
}

}  // namespace lamina
