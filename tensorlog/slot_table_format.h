// The format of a saved slot table: what the slots of one segment held at a checkpoint.
//
//  NNNNNNNNNN-GGGGGGGGGG.slots (segment id, generation), little-endian, written once
//  +-----------+------------------------------------------+-----+--------------------------------+
//  | header 80 | part 0: 2048 records of 32, checksum 8    | ... | last part: the rest, checksum 8
//  |
//  +-----------+------------------------------------------+-----+--------------------------------+
//  record
//  +-------+--------+---------+---------+--------+-------------+
//  | tag 8 | root 4 | state 1 | flags 1 | zero 2 | heat 2 x 8  |
//  +-------+--------+---------+---------+--------+-------------+
//
// state is free (0), live (2) or condemned (3); flags bit 0 is unproven. A free slot is 32 zero
// bytes. Slots that were being written, and slots whose put lies at or above the checkpoint's
// journal position, are saved as free: replay brings them back if their journal block survived.
//
// Damage. A header of another magic, size, segment, geometry, store or checksum makes the whole
// table empty. A part that is cut short or whose checksum differs makes its slots empty, the others
// load; the checksum is seeded with generation and part number, so that a part of another table or
// place does not pass. A record that contradicts itself (a state that is not one, a tag without a
// page) makes one slot empty. Everything lost is counted and reported; empty slots are misses,
// never wrong pages. An unknown version is refused by name.
//
// Drawback: a table is rewritten whole when one of its slots changed; at 32 bytes a slot that is
// 1/2048 of a segment of 64 KiB pages, at most once a checkpoint.
#ifndef LAMINA_TENSORLOG_SLOT_TABLE_FORMAT_H_
#define LAMINA_TENSORLOG_SLOT_TABLE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tensorlog/log_dir.h"
#include "tensorlog/slot.h"

namespace lamina {

inline constexpr std::array<char, 8> kSlotTableMagic = {'L', 'A', 'M', 'S', 'L', 'O', 'T', 'S'};
inline constexpr uint32_t kSlotTableVersion = 1;
inline constexpr uint32_t kSlotsPerPart = 2048;
inline constexpr uint32_t kNoCursor = UINT32_MAX;

struct SlotTableHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t segment;
  StoreId store_id;
  uint64_t generation;
  uint64_t checkpoint_epoch;  // the journal position of the checkpoint
  uint64_t checkpoint_sequence;
  uint32_t slot_bytes;
  uint32_t slot_count;
  uint32_t cursor;  // where the class's cursor stood in this segment, or kNoCursor
  uint32_t zero;
  uint64_t checksum;  // XXH3-64 of the 72 bytes before it
};
static_assert(sizeof(SlotTableHeader) == 80);
static_assert(offsetof(SlotTableHeader, segment) == 12);
static_assert(offsetof(SlotTableHeader, store_id) == 16);
static_assert(offsetof(SlotTableHeader, generation) == 32);
static_assert(offsetof(SlotTableHeader, slot_bytes) == 56);
static_assert(offsetof(SlotTableHeader, cursor) == 64);
static_assert(offsetof(SlotTableHeader, checksum) == 72);
static_assert(std::is_trivially_copyable_v<SlotTableHeader>);

struct SlotRecord {
  uint64_t tag;
  uint32_t root;
  uint8_t state;
  uint8_t flags;
  uint16_t zero;
  HeatValue heat;
};
static_assert(sizeof(SlotRecord) == 32);
static_assert(offsetof(SlotRecord, root) == 8 && offsetof(SlotRecord, state) == 12 &&
              offsetof(SlotRecord, flags) == 13 && offsetof(SlotRecord, heat) == 16);
static_assert(std::is_trivially_copyable_v<SlotRecord>);

inline constexpr uint8_t kSlotRecordUnproven = 1;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SLOT_TABLE_FORMAT_H_
