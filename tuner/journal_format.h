// The tuner's journal on disk: a file of equal blocks, one decision each.
//
//  block, 8192 bytes, written whole
//  +----------------+------------------------------+-----------+-------------+
//  | BlockHeader 24 | fields of one DecisionRecord | zero fill | checksum  8 |
//  +----------------+------------------------------+-----------+-------------+
//
// A file of n blocks keeps the last n decisions: number s (1 is the first) lies in block (s - 1)
// mod n. Integers are little-endian. The fields follow in the order of decision_fields.h: numbers
// of 64 and 32 bits and doubles (IEEE 754) as they are; bytes, bools and enums as one byte; levels
// and candidates after their count in one byte. The checksum is XXH3-64 of the 8184 bytes before
// it.
//
// What a reader does with damage: a block whose magic number or checksum is wrong, or whose fields
// do not decode (counts or enums out of range, bytes left over), is left out and counted; the
// others stand. A block of zeros was never written. A block of a later format version is left out
// as well. Losing the journal costs the tuner its memory and nothing else.
//
// Drawbacks: 8 KiB for what is usually 2 KiB, so that the largest record fits; a change of the
// fields makes older journals unreadable.
//
// Example, the head of decision 7 with 1,234 bytes of fields:
//   4c 54 4a 42  02 00 00 00  07 00 00 00 00 00 00 00  d2 04 00 00  00 00 00 00
#ifndef LAMINA_TUNER_JOURNAL_FORMAT_H_
#define LAMINA_TUNER_JOURNAL_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace lamina::tuner {

inline constexpr size_t kJournalBlockBytes = 8192;
inline constexpr uint32_t kJournalMagic = 0x424A544C;  // "LTJB"
inline constexpr uint32_t kJournalVersion = 2;

struct BlockHeader {
  uint32_t magic;
  uint32_t version;
  uint64_t sequence;
  uint32_t payload_bytes;
  uint32_t zero;
};
static_assert(sizeof(BlockHeader) == 24);
static_assert(offsetof(BlockHeader, magic) == 0);
static_assert(offsetof(BlockHeader, version) == 4);
static_assert(offsetof(BlockHeader, sequence) == 8);
static_assert(offsetof(BlockHeader, payload_bytes) == 16);
static_assert(offsetof(BlockHeader, zero) == 20);

inline constexpr size_t kJournalChecksumOffset = kJournalBlockBytes - sizeof(uint64_t);
inline constexpr size_t kJournalPayloadMax = kJournalChecksumOffset - sizeof(BlockHeader);

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_JOURNAL_FORMAT_H_
