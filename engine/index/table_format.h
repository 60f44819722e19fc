// The table file format, version 1.
//
//  A table is a file of 4096-byte blocks. Everything begins on a block boundary, so that a block is
//  one aligned direct read, and every byte is under a checksum (zero fill included).
//
//  +--------------+---------------+-----------+----------+--------------+-----------+
//  | data blocks  | index blocks  | top index | filter   | properties   | footer    |
//  | 4096 each    | 4096 each     | section   | section  | section      | 4096      |
//  +--------------+---------------+-----------+----------+--------------+-----------+
//                  two levels only             if it has bits            last block
//
//  All five kinds begin with the same 22 bytes, BlockIdentity: a checksum (XXH3-64, no seed) of all
//  that follows to the block's or section's end; the table's number; the block's number (offset /
//  4096); the kind. A misdirected or stale block therefore fails as surely as a flipped bit, and
//  verify finds its way without a footer. Integers are little-endian; anchors are big-endian.
//
//  DATA BLOCK
//  +----------------+-----------------------------+-----------+-----------------------------------+
//  | header 40      | entries, front-coded        | zero fill | restart offsets, u16 each         |
//  +----------------+-----------------------------+-----------+-----------------------------------+
//  Restarts are where a key is written whole: at the block's start and where a stem (an anchor)
//  starts. Their offsets, in the block, ascend. A reader searches anchors among them, then walks.
//
//  entry    := control u8, key, guard u32 (kDerived: absent), checksum u64, slot, length, [run]
//  control  := bits 0-1 EntryKey, kNextSlot 4, kSameSegment 8, kSameLength 16, kDerived 32,
//              kEntryRun 64; bit 7 is zero
//  key      := kRestart: anchor 16, count varint, count fingerprints u64
//                        (kDerived: anchor only; one fingerprint, FingerprintOf(anchor), and the
//                        guard is GuardOf(anchor): a flat key)
//            | kChild:   fingerprint u64; the previous key plus one
//            | kBranch:  shared varint, count varint, count fingerprints u64
//            | kSame:    nothing; another, older candidate of the previous key
//  slot     := kNextSlot: nothing; the previous entry's segment, its slot + 1
//            | kSameSegment: slot - previous slot, zigzag varint
//            | segment - previous segment, zigzag varint; slot varint
//  length   := kSameLength: nothing | varint
//  run      := n u8 (1 to 255), then n times: fingerprint u64, guard u32, checksum u64. Entries
//  each
//              of which is the child of the one before, in the next slot, with the same length:
//              what one put leaves. 20 bytes a page.
//  "Previous" at a restart is {base_segment, slot 0, base_length} of the header (the block's first
//  entry's), so that a reader may start at any restart.
//
//  Stems are kept whole where that wastes at most a third of a block: then a stem is located with
//  one read, and separators are short. A stem that is cut costs its path again in the next block.
//
//  INDEX. A separator of a block is the shortest prefix of its first key's bytes (KeyBytes) that is
//  above the last key of the block before; of block 0 it is empty; if the two keys are equal it is
//  that key. The first key >= K lies in the last block whose separator is < K, or after it.
//  One level: the top index has a separator per data block. Two levels, when these exceed
//  single_level_index_bytes: they fill index blocks, and the top index has one per index block.
//
//  index block := header 32 (count, first data block), separators, zero fill, `count` u16 offsets
//  at
//                 which each separator begins (the last ends at separators_end)
//  top index   := count times: data block count varint (two levels only), length varint, separator
//
//  SECTION := header 32 (payload bytes), payload, zero fill to the block boundary.
//  filter     := lines of 64 bytes (filter.h), probes in the footer
//  properties := PutProperties() below: TableMeta and who wrote the table
//
//  EXAMPLE. A block of table 7 at offset 0 with a stem of anchor 00..0A and three pages,
//  fingerprints 11, 12, 13, in slots 5, 6, 7 of segment 2, of 65536 bytes:
//     0  checksum 8 | 07 00.. (8) | block 00000000 | kind 0001 | entries 0300 | restarts 0100
//    26  entries_end 7800 | base_segment 02000000 | base_length 00000100 | zero 4
//    40  5B (kRestart|kSameSegment|kSameLength|kEntryRun)  00..0A (16)  01  11 00.. (8)  guard 4
//        checksum 8  0A (slot +5 zigzag)  02 (run of two)  12.. guard checksum  13.. guard checksum
//        120 = entries_end, zeros to 4094, restart offset 2800.
//
//  DAMAGE, and what a reader does:
//    file empty, not a multiple of 4096, shorter or longer than the footer says   kCorruption at
//    open no magic at the footer                                                        kCorruption
//    at open footer checksum right, version later than kTableVersion kNotSupported at open footer,
//    properties, top index or filter: checksum, sizes, counts, order       kCorruption at open
//    another table's number                                                        kCorruption at
//    open data or index block: checksum, identity, structure, order     kCorruption for lookups
//    that need
//                                                      it; iterators stop, or skip it and report it
//  Sizes and counts are checked against the file's real size before anything is allocated by them.
//
//  DRAWBACKS. A block wastes up to a third for stems of a third to a half of a block. Lengths and
//  segments that alternate cost up to 10 bytes an entry. There is no compression: 20 of an entry's
//  21 bytes are hashes.
#ifndef LAMINA_ENGINE_INDEX_TABLE_FORMAT_H_
#define LAMINA_ENGINE_INDEX_TABLE_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/index/block_cache.h"
#include "engine/index/stem_key.h"

namespace lamina {

inline constexpr uint64_t kTableMagic = 0x4C42546E696D614Cu;  // "LaminTBL" as bytes
inline constexpr uint16_t kTableVersion = 1;

enum class BlockKind : uint16_t {
  kData = 1,
  kIndex = 2,
  kTopIndex = 3,
  kFilter = 4,
  kProperties = 5,
  kFooter = 6,
};
// "data block", ...; "unknown kind" otherwise.
const char* BlockKindName(BlockKind kind) noexcept;

struct DataBlockHeader {
  uint64_t checksum;
  uint64_t table;
  uint32_t block;
  uint16_t kind;
  uint16_t entry_count;
  uint16_t restart_count;
  uint16_t entries_end;
  uint32_t base_segment;
  uint32_t base_length;
  uint32_t zero;
};
static_assert(sizeof(DataBlockHeader) == 40);
static_assert(offsetof(DataBlockHeader, table) == 8);
static_assert(offsetof(DataBlockHeader, block) == 16);
static_assert(offsetof(DataBlockHeader, kind) == 20);
static_assert(offsetof(DataBlockHeader, entry_count) == 22);
static_assert(offsetof(DataBlockHeader, restart_count) == 24);
static_assert(offsetof(DataBlockHeader, entries_end) == 26);
static_assert(offsetof(DataBlockHeader, base_segment) == 28);
static_assert(offsetof(DataBlockHeader, base_length) == 32);

struct IndexBlockHeader {
  uint64_t checksum;
  uint64_t table;
  uint32_t block;
  uint16_t kind;
  uint16_t count;
  uint32_t first_data_block;
  uint16_t separators_end;
  uint16_t zero;
};
static_assert(sizeof(IndexBlockHeader) == 32);
static_assert(offsetof(IndexBlockHeader, kind) == 20);
static_assert(offsetof(IndexBlockHeader, count) == 22);
static_assert(offsetof(IndexBlockHeader, first_data_block) == 24);
static_assert(offsetof(IndexBlockHeader, separators_end) == 28);

struct SectionHeader {
  uint64_t checksum;
  uint64_t table;
  uint32_t block;
  uint16_t kind;
  uint16_t zero;
  uint64_t payload_bytes;
};
static_assert(sizeof(SectionHeader) == 32);
static_assert(offsetof(SectionHeader, kind) == 20);
static_assert(offsetof(SectionHeader, payload_bytes) == 24);

// Where a section lies: whole blocks.
struct SectionRange {
  uint64_t offset;
  uint64_t bytes;  // header and fill included
  [[nodiscard]] uint64_t end() const noexcept { return offset + bytes; }
  friend bool operator==(const SectionRange&, const SectionRange&) = default;
};

// The last block of the file; what follows this struct in it is zero. The first 32 bytes, and the
// checksum over the whole block, stay as they are in every later version.
struct TableFooter {
  uint64_t checksum;
  uint64_t table;
  uint32_t block;
  uint16_t kind;
  uint16_t version;
  uint64_t magic;
  uint64_t file_bytes;
  uint64_t data_blocks;
  uint64_t index_blocks;  // 0: one level
  SectionRange top_index;
  SectionRange filter;  // empty, at properties.offset, without a filter
  SectionRange properties;
  uint32_t filter_probes;
  uint32_t zero;
};
static_assert(sizeof(TableFooter) == 112);
static_assert(offsetof(TableFooter, kind) == 20);
static_assert(offsetof(TableFooter, version) == 22);
static_assert(offsetof(TableFooter, magic) == 24);
static_assert(offsetof(TableFooter, file_bytes) == 32);
static_assert(offsetof(TableFooter, top_index) == 56);
static_assert(offsetof(TableFooter, filter_probes) == 104);

inline constexpr size_t kDataPayloadBytes = kTableBlockBytes - sizeof(DataBlockHeader);

// Entry control byte.
enum class EntryKey : uint8_t { kChild = 0, kBranch = 1, kSame = 2, kRestart = 3 };
inline constexpr uint8_t kEntryKeyMask = 3;
inline constexpr uint8_t kNextSlot = 4;
inline constexpr uint8_t kSameSegment = 8;
inline constexpr uint8_t kSameLength = 16;
inline constexpr uint8_t kDerived = 32;
inline constexpr uint8_t kEntryRun = 64;
inline constexpr size_t kRunEntryBytes = kFingerprintBytes + 4 + 8;
inline constexpr uint8_t kMaxRun = 255;

// What the manifest keeps of a table. All of it is in the table's own properties too.
struct TableMeta {
  uint64_t number = 0;
  uint64_t file_bytes = 0;
  uint64_t entry_count = 0;
  uint64_t page_count = 0;  // distinct keys
  uint64_t stem_count = 0;  // distinct anchors
  uint64_t data_blocks = 0;
  double filter_bits_per_key = 0;  // as asked for; 0: no filter
  uint64_t filter_bytes = 0;
  uint64_t top_index_bytes = 0;  // as kept in memory once open
  // Entries that the job which wrote this table dropped because their slots had lost their tags:
  // dropped / (dropped + entry_count) is the dead share at creation.
  uint64_t dropped_entries = 0;
  OwnedStemKey smallest;
  OwnedStemKey largest;

  // What an open table holds on to, beside the object itself, for the memory floor.
  [[nodiscard]] uint64_t memory_bytes() const noexcept { return filter_bytes + top_index_bytes; }
  friend bool operator==(const TableMeta&, const TableMeta&) = default;
};

struct TableProperties {
  TableMeta meta;
  uint64_t store_id = 0;
  uint64_t job_id = 0;
  std::string shape;  // of the tree when the table was written
  friend bool operator==(const TableProperties&, const TableProperties&) = default;
};
inline constexpr size_t kMaxShapeBytes = 255;

// Bytes of properties and back. Parse checks every field's range; the message names the field.
std::string PutProperties(const TableProperties& properties) noexcept;
Result<TableProperties> ParseProperties(std::string_view bytes) noexcept;

// Bytes that a section with so much payload occupies.
inline uint64_t SectionBytes(uint64_t payload_bytes) noexcept {
  const uint64_t bytes = sizeof(SectionHeader) + payload_bytes;
  return (bytes + kTableBlockBytes - 1) / kTableBlockBytes * kTableBlockBytes;
}

// The checksum that belongs at the front of a block, section or footer.
uint64_t BlockChecksum(std::span<const std::byte> whole) noexcept;

// Writes identity and checksum into a finished block or section that begins at `offset`.
void SealBlock(std::span<std::byte> whole, uint64_t table, uint64_t offset,
               BlockKind kind) noexcept;

// What is wrong with some bytes of a table: what was checked, and both values.
struct Mismatch {
  std::string what;
  std::string expected;
  std::string found;
};
// Compares checksum, table, block number and kind. True if all are right; else fills `mismatch`.
bool CheckIdentity(std::span<const std::byte> whole, uint64_t table, uint64_t offset,
                   BlockKind kind, Mismatch* mismatch) noexcept;

// kCorruption: "FILE: REGION N at offset O, L bytes: WHAT: expected E, found F".
Status TableCorruption(const std::string& file, BlockKind region, uint64_t offset, uint64_t length,
                       const Mismatch& mismatch) noexcept;

enum class FooterState : uint8_t { kWhole, kDamaged, kLaterVersion };
// Checks the last block of a file of `file_bytes` bytes: magic, checksum, version, number (0: any),
// and that the regions lie gapless in their order. Fills `footer` if whole, else `mismatch`.
FooterState ReadFooter(std::span<const std::byte> block, uint64_t file_bytes, uint64_t table,
                       TableFooter* footer, Mismatch* mismatch) noexcept;
// The same as a Result: kCorruption or kNotSupported, naming `file`.
Result<TableFooter> ParseFooter(const std::string& file, std::span<const std::byte> block,
                                uint64_t file_bytes, uint64_t table) noexcept;

std::string Hex(uint64_t value) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_TABLE_FORMAT_H_
