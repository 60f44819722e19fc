// The manifest: what the store consists of, as a log of edits.
//
//  MANIFEST-NNNNNN                                 CURRENT (text, one line)
//  +------------------+                            +---------------------------------------+
//  | header        64 |                            | MANIFEST-000007 9f86d081884c7d65 \n   |
//  +------------------+                            +---------------------------------------+
//  | record 1: the    |                             the name, and XXH3-64 of the name in hex
//  |   whole state    |
//  +------------------+   each record:
//  | record 2: edit   |   +-----------+-----------+----------------+------------------------+
//  +------------------+   | magic   4 | length  4 | checksum     8 | payload, zero-padded   |
//  | ...              |   +-----------+-----------+----------------+ to a multiple of 8     |
//  +------------------+                                            +------------------------+
//
// The checksum is XXH3-64 of the payload with the record's number (1, 2, ...) as its seed, so a
// record of another place or another file does not pass. A payload is a sequence of fields: tag
// (varint), then what the tag says (manifest.cc). A record is synced before what it says is relied
// upon.
//
// Every open writes a new manifest, whose first record is the whole state, and switches CURRENT to
// it by rename; so a file is only ever appended to by the process that created it. It is rewritten
// at 64 MiB.
//
// Damage: what follows the last valid record is ignored when no valid record comes after it (an
// append that was cut off). A valid record behind an invalid one, a header that does not match, or
// a CURRENT that does not match its checksum is kCorruption, naming file and offset. A later format
// version is refused by its number. An unknown field is corruption: a new field raises the version.
//
// Example, a record with one field "next file number = 5" as record 2:
//   52 4d 41 4c  02 00 00 00  <8 bytes checksum>  03 05 00 00 00 00 00 00
#ifndef LAMINA_ENGINE_STORE_MANIFEST_FORMAT_H_
#define LAMINA_ENGINE_STORE_MANIFEST_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace lamina {

inline constexpr uint64_t kManifestMagic = 0x314E414D4D414C00u;  // "\0LAMMAN1"
inline constexpr uint32_t kManifestRecordMagic = 0x4C414D52u;    // "RMAL"
// 2 added kWriteLevel and kErasePhysical; what 1 has means the same.
inline constexpr uint32_t kManifestVersion = 2;
inline constexpr uint32_t kOldestManifestVersion = 1;
inline constexpr uint64_t kManifestRewriteBytes = uint64_t{64} << 20;

struct ManifestHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t reserved;       // 0
  uint64_t store_id_high;  // random, the same in every file of a store
  uint64_t store_id_low;
  uint64_t file_number;   // that of its name
  uint64_t reserved2[2];  // 0
  uint64_t checksum;      // XXH3-64 of the 56 bytes before
};
static_assert(sizeof(ManifestHeader) == 64);
static_assert(offsetof(ManifestHeader, version) == 8);
static_assert(offsetof(ManifestHeader, store_id_high) == 16);
static_assert(offsetof(ManifestHeader, file_number) == 32);
static_assert(offsetof(ManifestHeader, checksum) == 56);

struct ManifestRecordHeader {
  uint32_t magic;
  uint32_t length;  // of the payload, without padding
  uint64_t checksum;
};
static_assert(sizeof(ManifestRecordHeader) == 16);

// Field tags. On disk: do not change values. "v" is a varint, "bytes" a varint length and so many
// bytes, a digest 16 bytes big-endian.
enum class ManifestField : uint8_t {
  kCreation = 1,        // stem_pages v, secret 256 bytes
  kOpenEpoch = 2,       // v: of the writer of this file; journal blocks carry it
  kNextFileNumber = 3,  // v: of tables, slot table generations and manifests
  kNextSegmentId = 4,   // v
  kNextRunId = 5,       // v
  kNextFlush = 6,       // v
  kEpochCounter = 7,    // v: the store-wide counter of root epochs
  kRoot = 8,            // name digest, number v, epoch v, text bytes: adds or replaces
  kLogDir = 9,  // index v, path bytes: adds or replaces (the marker file decides, see log_dir.h)
  kSegmentAdd = 10,     // id v, log dir v, slot bytes v, slot count v
  kSegmentDrop = 11,    // id v
  kSlotTable = 12,      // segment id v, generation v: the table to load; replaces
  kRunRemove = 13,      // run id v
  kRunAdd = 14,         // run id v, level v, oldest flush v, newest flush v, tables v, table each
  kRunChange = 15,      // run id v, removed v, table number v each, added v, table each
  kCheckpoint = 16,     // journal epoch v, sequence v: replay starts here
  kShape = 17,          // text bytes: the index's shape
  kCleanClose = 18,     // v, 0 or 1: the last writer closed after a checkpoint
  kDeviceModel = 19,    // bytes, the tuner's
  kPolicyState = 20,    // bytes, the eviction policy's: the name of its file, or empty
  kWriteLevel = 21,     // what write_bytes_per_day allows: bytes, zigzag v; Unix time in seconds, v
  kErasePhysical = 22,  // v, 0 or 1: freed slots bear no bytes of what was erased
};
// A table: number v, file bytes v, entries v, pages v, stems v, data blocks v, filter bits per key
// 8 (IEEE double), filter bytes v, top index bytes v, dropped entries v, smallest key bytes,
// largest key bytes (stem_key.h).

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_MANIFEST_FORMAT_H_
