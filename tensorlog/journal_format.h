// The format of the journal: which page went to which slot. Tensors are never in it.
//
//  NNNNNNNNNN.journal: blocks of 4096 bytes, the file's blocks reserved up front (zeros)
//  block k of a file, written once, little-endian
//  +-----------+---------------------+-----------+------------+
//  | header 64 | records             | zero fill | checksum 8 |
//  +-----------+---------------------+-----------+------------+
//  header
//  +---------+-----------+----------------+-------------+---------+------------+--------+---------+---------+
//  | magic 8 | version 4 | record bytes 4 | store id 16 | epoch 8 | sequence 8 | file 8 | index 4 |
//  zero  4 |
//  +---------+-----------+----------------+-------------+---------+------------+--------+---------+---------+
//  file and index: the file's number and k, so that a block read from the wrong place does not
//  pass. checksum: XXH3-64 of the 4088 bytes before it. A block stands alone: it is valid or not,
//  whatever its neighbours are. All blocks of a file have one epoch, and sequence - index is the
//  same in all.
//
//  record
//  +--------+--------------+------+
//  | type 1 | body bytes 2 | body |
//  +--------+--------------+------+
//  put (1) and move (2), in one block always:
//    root name 16 (digest, big-endian) | root epoch 8 | anchor 16 (big-endian)
//    | stem pages n, varint: the fingerprints that follow, from the stem's first page to the last
//    page
//      of this record | first page i, varint: the first of them that is a page of this record
//    | fingerprint 8 x n
//    | per page i..n-1: guard 4, checksum 8, length varint, segment varint, slot varint,
//      and in a move: from-segment varint, from-slot varint
//  segment started (3): segment varint, log dir varint, slot bytes varint, slot count varint
//  A record of an unknown type is skipped and counted; a body that does not parse to its end is
//  counted as damaged, and the block's other records stand.
//
//  Reading stops in each file after 256 invalid blocks in a row. At most 128 consecutive blocks are
//  in flight at a time, so an acknowledged block never lies behind such a gap.
//
//  Example. The first record of a put of one page, 65,536 bytes, to slot 9 of segment 3, the second
//  page of its stem: 01 | 4b 00 | 16 name | 8 epoch | 16 anchor | 02 | 01 | 8 f_1 | 8 f_2 | 4 guard
//  | 8 checksum | 80 80 04 | 03 | 09: 78 bytes with its header of 3... see journal_test for the
//  bytes.
//
// Drawback: a put that is alone in time fills a block by itself, 4 KiB for as little as 80 bytes.
#ifndef LAMINA_TENSORLOG_JOURNAL_FORMAT_H_
#define LAMINA_TENSORLOG_JOURNAL_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/base/keys.h"
#include "engine/base/slot_ref.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/segment.h"

namespace lamina {

inline constexpr size_t kJournalBlockBytes = 4096;
inline constexpr std::array<char, 8> kJournalMagic = {'L', 'A', 'M', 'J', 'R', 'N', 'L', '\n'};
inline constexpr uint32_t kJournalVersion = 1;
inline constexpr uint64_t kJournalFileBytes = uint64_t{64} << 20;
inline constexpr size_t kMaxJournalBlocksInFlight = 128;
inline constexpr size_t kMaxInvalidJournalBlocks = 256;

struct JournalBlockHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t record_bytes;
  StoreId store_id;
  uint64_t epoch;
  uint64_t sequence;
  uint64_t file;
  uint32_t index;
  uint32_t zero;
};
static_assert(sizeof(JournalBlockHeader) == 64);
static_assert(offsetof(JournalBlockHeader, record_bytes) == 12);
static_assert(offsetof(JournalBlockHeader, store_id) == 16);
static_assert(offsetof(JournalBlockHeader, epoch) == 32);
static_assert(offsetof(JournalBlockHeader, sequence) == 40);
static_assert(offsetof(JournalBlockHeader, file) == 48);
static_assert(offsetof(JournalBlockHeader, index) == 56);
static_assert(std::is_trivially_copyable_v<JournalBlockHeader>);

inline constexpr size_t kJournalRecordSpace =
    kJournalBlockBytes - sizeof(JournalBlockHeader) - sizeof(uint64_t);

enum class JournalRecordType : uint8_t { kPut = 1, kMove = 2, kSegmentStarted = 3 };

// Where one page of a record lies.
struct JournalPage {
  SlotRef slot;
  uint32_t length = 0;  // payload bytes
  uint32_t guard = 0;
  uint64_t checksum = 0;
  friend bool operator==(const JournalPage&, const JournalPage&) = default;
};

// Consecutive pages of one stem. Page j of the record has the fingerprint
// fingerprints[first_page + j], and fingerprints.size() == first_page + pages.size(); 1 to
// kMaxStemPages fingerprints. A put with holes is several records. The spans are views.
struct PutRecord {
  Digest root_name;
  uint64_t root_epoch = 0;
  Digest anchor;
  std::span<const Fingerprint> fingerprints;
  uint32_t first_page = 0;
  std::span<const JournalPage> pages;
};

// The same pages now lie at put.pages; they were copied from `from` (one for each). Carries the
// whole key and entry, so that it wins over the original at replay without it.
struct MoveRecord {
  PutRecord put;
  std::span<const SlotRef> from;
};

// Encoded records, in order, as JournalWriter::Append takes them. Reusable after Clear.
class JournalRecords {
 public:
  void AddPut(const PutRecord& put) noexcept;
  void AddMove(const MoveRecord& move) noexcept;
  void AddSegmentStarted(const SegmentInfo& segment) noexcept;
  void Clear() noexcept;
  [[nodiscard]] bool empty() const noexcept { return ends_.empty(); }
  [[nodiscard]] size_t count() const noexcept { return ends_.size(); }
  // One encoded record with its header; at most kJournalRecordSpace bytes.
  [[nodiscard]] std::string_view record(size_t i) const noexcept;

 private:
  void AddPages(JournalRecordType type, const PutRecord& put,
                std::span<const SlotRef> from) noexcept;
  void EndRecord(size_t start) noexcept;

  std::string bytes_;
  std::vector<size_t> ends_;
};

// `<directory>/NNNNNNNNNN.journal`
std::string JournalPath(const std::string& directory, uint64_t file) noexcept;
bool ParseJournalFileName(std::string_view name, uint64_t* file) noexcept;

// Fills in header and checksum of a block whose records lie at block + sizeof(JournalBlockHeader);
// the rest of it must be zero.
void SealJournalBlock(std::byte* block, const StoreId& store_id, uint64_t epoch, uint64_t sequence,
                      uint64_t file, uint32_t index, uint32_t record_bytes) noexcept;
// Whether these 4096 bytes are a block of that store, file and index, whole and unchanged. The
// version is not looked at.
bool IsJournalBlock(const std::byte* block, const StoreId& store_id, uint64_t file,
                    uint32_t index) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_JOURNAL_FORMAT_H_
