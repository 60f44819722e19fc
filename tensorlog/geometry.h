// Slot sizes and segment sizes. Pure.
#ifndef LAMINA_TENSORLOG_GEOMETRY_H_
#define LAMINA_TENSORLOG_GEOMETRY_H_

#include <cstdint>

#include "engine/base/status.h"

namespace lamina {

// A run of slots that is as good as sequential on an SSD: what the sweep looks for.
inline constexpr uint64_t kRunBytes = uint64_t{256} << 10;
inline constexpr uint32_t kMinSegmentSlots = 8;

// The class of a page: a multiple of 4 KiB, with at most three significant bits behind the leading
// one, so that there are eight classes from one power of two to the next and at most 1/8 of a slot
// is lost to rounding (beyond the 4 KiB themselves). `page_bytes` is 1 to 1 GiB.
uint32_t SlotBytesFor(uint64_t page_bytes) noexcept;

// How many slots a new segment of the class has: those of min(1 GiB, capacity/64), at least 8; of
// 1 GiB when the capacity is 0 (not bounded). kNoSpace when that exceeds capacity/8.
//
// Large ones are made less often, and ext4 writes to them faster: the extents of a file of up to
// 512 MiB go into its inode, but for those that writes in flight split off, so that each put there
// adds a block to the extent tree and frees it again, which a file system with online discard tells
// the device (0.17 of 4.3 ms of a put of 8 MiB on a virtual disk).
Result<uint32_t> SegmentSlotsFor(uint32_t slot_bytes, uint64_t capacity_bytes) noexcept;

// What remains of that where nothing but the disk bounds the store: a 64th of the room on it, as if
// that were the capacity, but 256 MiB. So page sizes share a small disk.
uint32_t SlotsWithinDisk(uint32_t segment_slots, uint32_t slot_bytes, uint64_t room) noexcept;

// Slots in a row that the sweep asks for: ceil(256 KiB / slot), at least 1.
uint32_t MinRunSlots(uint32_t slot_bytes) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_GEOMETRY_H_
