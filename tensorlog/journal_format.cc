#include "tensorlog/journal_format.h"

#include <xxhash.h>

#include <cstring>

#include "engine/base/coding.h"
#include "engine/base/mutation.h"
#include "engine/base/status.h"
#include "tensorlog/numbered_file.h"

namespace lamina {
namespace {

constexpr std::string_view kSuffix = ".journal";
constexpr size_t kRecordHeaderBytes = 3;
constexpr size_t kMaxVarint32Bytes = 5;
// The largest put or move still fits in a block.
static_assert(kRecordHeaderBytes + 16 + 8 + 16 + 2 +
                  kMaxStemPages * (8 + 4 + 8 + 5 * kMaxVarint32Bytes) <=
              kJournalRecordSpace);

uint64_t BlockChecksum(const std::byte* block) noexcept {
  return XXH3_64bits(block, kJournalBlockBytes - sizeof(uint64_t));
}

JournalBlockHeader HeaderOf(const std::byte* block) noexcept {
  JournalBlockHeader header;
  std::memcpy(&header, block, sizeof header);
  return header;
}

}  // namespace

void JournalRecords::AddPut(const PutRecord& put) noexcept {
  AddPages(JournalRecordType::kPut, put, {});
}

void JournalRecords::AddMove(const MoveRecord& move) noexcept {
  LAMINA_CHECK(move.from.size() == move.put.pages.size());
  AddPages(JournalRecordType::kMove, move.put, move.from);
}

void JournalRecords::AddPages(JournalRecordType type, const PutRecord& put,
                              std::span<const SlotRef> from) noexcept {
  LAMINA_CHECK(!put.pages.empty() && put.fingerprints.size() <= kMaxStemPages &&
               put.fingerprints.size() == put.first_page + put.pages.size());
  const size_t start = bytes_.size();
  bytes_.push_back(static_cast<char>(type));
  PutFixed<uint16_t>(&bytes_, 0);  // the length, once it is known
  PutDigest(&bytes_, put.root_name);
  PutFixed(&bytes_, put.root_epoch);
  PutDigest(&bytes_, put.anchor);
  PutVarint(&bytes_, put.fingerprints.size());
  PutVarint(&bytes_, put.first_page);
  for (const Fingerprint f : put.fingerprints) PutFixed(&bytes_, f);
  for (size_t i = 0; i < put.pages.size(); ++i) {
    const JournalPage& page = put.pages[i];
    PutFixed(&bytes_, page.guard);
    PutFixed(&bytes_, page.checksum);
    PutVarint(&bytes_, page.length);
    PutVarint(&bytes_, page.slot.segment);
    PutVarint(&bytes_, page.slot.slot);
    if (type == JournalRecordType::kMove) {
      PutVarint(&bytes_, from[i].segment);
      PutVarint(&bytes_, from[i].slot);
    }
  }
  EndRecord(start);
}

void JournalRecords::AddSegmentStarted(const SegmentInfo& segment) noexcept {
  const size_t start = bytes_.size();
  bytes_.push_back(static_cast<char>(JournalRecordType::kSegmentStarted));
  PutFixed<uint16_t>(&bytes_, 0);
  PutVarint(&bytes_, segment.id);
  PutVarint(&bytes_, segment.log_dir);
  PutVarint(&bytes_, segment.slot_bytes);
  PutVarint(&bytes_, segment.slot_count);
  EndRecord(start);
}

void JournalRecords::EndRecord(size_t start) noexcept {
  const size_t body = bytes_.size() - start - kRecordHeaderBytes;
  LAMINA_CHECK(body + kRecordHeaderBytes <= kJournalRecordSpace);
  StoreFixed(bytes_.data() + start + 1, static_cast<uint16_t>(body));
  ends_.push_back(bytes_.size());
}

void JournalRecords::Clear() noexcept {
  bytes_.clear();
  ends_.clear();
}

std::string_view JournalRecords::record(size_t i) const noexcept {
  const size_t start = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(bytes_).substr(start, ends_[i] - start);
}

std::string JournalPath(const std::string& directory, uint64_t file) noexcept {
  return directory + "/" + TenDigits(file) + std::string(kSuffix);
}

bool ParseJournalFileName(std::string_view name, uint64_t* file) noexcept {
  return ParseNumberedFile(name, kSuffix, file);
}

void SealJournalBlock(std::byte* block, const StoreId& store_id, uint64_t epoch, uint64_t sequence,
                      uint64_t file, uint32_t index, uint32_t record_bytes) noexcept {
  JournalBlockHeader header{};
  header.magic = kJournalMagic;
  header.version = kJournalVersion;
  header.record_bytes = record_bytes;
  header.store_id = store_id;
  header.epoch = epoch;
  header.sequence = sequence;
  header.file = file;
  header.index = index;
  LAMINA_CHECK(record_bytes <= kJournalRecordSpace);
  std::memcpy(block, &header, sizeof header);
  StoreFixed(block + kJournalBlockBytes - sizeof(uint64_t), BlockChecksum(block));
}

bool IsJournalBlock(const std::byte* block, const StoreId& store_id, uint64_t file,
                    uint32_t index) noexcept {
  const JournalBlockHeader header = HeaderOf(block);
  return header.magic == kJournalMagic && header.store_id == store_id && header.file == file &&
         header.index == index && header.record_bytes <= kJournalRecordSpace &&
         header.sequence >= index &&
         (Mutated(Mutation::kIgnoreJournalChecksum) ||
          LoadFixed<uint64_t>(block + kJournalBlockBytes - sizeof(uint64_t)) ==
              BlockChecksum(block));
}

}  // namespace lamina
