#include "engine/index/verify.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/index/aligned_bytes.h"
#include "engine/index/data_block.h"
#include "engine/index/filter.h"
#include "engine/index/index_block.h"
#include "engine/index/table_format.h"

namespace lamina {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;
using BlockBytes = std::span<const std::byte, kTableBlockBytes>;
using Report = std::function<void(const TableDamage&)>;

class Verifier {
 public:
  Verifier(File* file, const Report& report) noexcept : file_(file), report_(report) {}

  Result<TableVerifySummary> Run() noexcept {
    LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
    summary_.file_bytes = size;
    const uint64_t whole = size / kTableBlockBytes * kTableBlockBytes;
    if (whole != size || whole == 0)
      Damage("file", whole, size - whole,
             {"size", "whole blocks of 4096, at least one", std::to_string(size)});
    if (whole == 0) return summary_;
    LAMINA_ASSIGN_OR_RETURN(const bool footer_whole, LoadFooter(whole));
    LAMINA_RETURN_IF_ERROR(footer_whole ? WalkByFooter() : WalkByIdentity(whole));
    return summary_;
  }

 private:
  void Damage(const char* region, uint64_t offset, uint64_t length, Mismatch mismatch) noexcept {
    ++summary_.damages;
    summary_.damaged_bytes += length;
    report_({file_->path(), region, offset / kTableBlockBytes, offset, length,
             std::move(mismatch.what), std::move(mismatch.expected), std::move(mismatch.found)});
  }
  void Damage(BlockKind kind, uint64_t offset, uint64_t length, Mismatch mismatch) noexcept {
    Damage(BlockKindName(kind), offset, length, std::move(mismatch));
  }
  void BlockDamage(BlockKind kind, uint64_t offset, const char* what, std::string expected,
                   std::string found) noexcept {
    Damage(kind, offset, kTableBlockBytes, {what, std::move(expected), std::move(found)});
  }

  // Whether the footer can be relied on; an error for a later version.
  Result<bool> LoadFooter(uint64_t whole) noexcept {
    const AlignedBytes storage = NewAlignedBytes(kTableBlockBytes);
    const std::span<std::byte> block(storage.get(), kTableBlockBytes);
    LAMINA_RETURN_IF_ERROR(file_->Read(whole - kTableBlockBytes, block));
    Mismatch mismatch;
    switch (ReadFooter(block, whole, 0, &footer_, &mismatch)) {
      case FooterState::kWhole:
        return true;
      case FooterState::kLaterVersion:
        return Status::NotSupported(file_->path() + ": table format version " + mismatch.found +
                                    "; this build reads version " + mismatch.expected);
      case FooterState::kDamaged:
        break;
    }
    BlockDamage(BlockKind::kFooter, whole - kTableBlockBytes, mismatch.what.c_str(),
                mismatch.expected, mismatch.found);
    return false;
  }

  // ---- With a footer: every region is where it says.

  Status WalkByFooter() noexcept {
    LAMINA_RETURN_IF_ERROR(LoadTopIndex());
    LAMINA_RETURN_IF_ERROR(LoadFilter());
    LAMINA_RETURN_IF_ERROR(LoadProperties());
    if (properties_ && filter_bytes_ && properties_->meta.filter_bytes != *filter_bytes_)
      PropertyDamage({"filter bytes", std::to_string(*filter_bytes_),
                      std::to_string(properties_->meta.filter_bytes)});
    LAMINA_RETURN_IF_ERROR(LoadIndexBlocks());
    LAMINA_RETURN_IF_ERROR(
        ForEachBlock(0, footer_.data_blocks, [this](uint64_t offset, BlockBytes block) {
          Mismatch mismatch;
          if (CheckIdentity(block, footer_.table, offset, BlockKind::kData, &mismatch)) {
            WalkDataBlock(offset, block);
          } else {
            Damage(BlockKind::kData, offset, kTableBlockBytes, mismatch);
            all_data_walked_ = false;
          }
        }));
    if (properties_ && all_data_walked_) CheckProperties();
    return Status::Ok();
  }

  // The payload, or nothing (reported). `storage` holds it.
  Result<std::optional<std::string_view>> LoadSection(SectionRange range, BlockKind kind,
                                                      AlignedBytes* storage) noexcept {
    *storage = NewAlignedBytes(range.bytes);
    const std::span<std::byte> bytes(storage->get(), range.bytes);
    LAMINA_RETURN_IF_ERROR(file_->Read(range.offset, bytes));
    Mismatch mismatch;
    if (!CheckIdentity(bytes, footer_.table, range.offset, kind, &mismatch)) {
      Damage(kind, range.offset, range.bytes, mismatch);
      return std::optional<std::string_view>();
    }
    SectionHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.payload_bytes > range.bytes || SectionBytes(header.payload_bytes) != range.bytes) {
      Damage(kind, range.offset, range.bytes,
             {"section bytes", std::to_string(range.bytes),
              std::to_string(header.payload_bytes) + " of payload"});
      return std::optional<std::string_view>();
    }
    return std::optional(std::string_view(
        reinterpret_cast<const char*>(bytes.data()) + sizeof header, header.payload_bytes));
  }

  Status LoadTopIndex() noexcept {
    AlignedBytes storage;
    LAMINA_ASSIGN_OR_RETURN(const auto payload,
                            LoadSection(footer_.top_index, BlockKind::kTopIndex, &storage));
    if (!payload) return Status::Ok();
    auto parsed = TopIndex::Parse(*payload, footer_.data_blocks, footer_.index_blocks);
    if (parsed.ok())
      top_index_ = *std::move(parsed);
    else
      Damage(BlockKind::kTopIndex, footer_.top_index.offset, footer_.top_index.bytes,
             {"structure", "ordered separators for all blocks",
              std::string(parsed.status().message())});
    return Status::Ok();
  }

  Status LoadFilter() noexcept {
    if (footer_.filter.bytes == 0) {
      filter_bytes_ = 0;
      return Status::Ok();
    }
    AlignedBytes storage;
    LAMINA_ASSIGN_OR_RETURN(const auto lines,
                            LoadSection(footer_.filter, BlockKind::kFilter, &storage));
    if (!lines) return Status::Ok();
    filter_bytes_ = lines->size();
    if (lines->empty() || lines->size() % kFilterLineBytes != 0)
      Damage(BlockKind::kFilter, footer_.filter.offset, footer_.filter.bytes,
             {"filter bytes", "whole lines of 64", std::to_string(lines->size())});
    else
      filter_ = Filter(std::as_bytes(std::span(*lines)), footer_.filter_probes);
    return Status::Ok();
  }

  Status LoadProperties() noexcept {
    AlignedBytes storage;
    LAMINA_ASSIGN_OR_RETURN(const auto payload,
                            LoadSection(footer_.properties, BlockKind::kProperties, &storage));
    if (!payload) return Status::Ok();
    auto parsed = ParseProperties(*payload);
    if (parsed.ok())
      properties_ = *std::move(parsed);
    else
      PropertyDamage({"property", "values in range", std::string(parsed.status().message())});
    return Status::Ok();
  }

  void PropertyDamage(Mismatch mismatch) noexcept {
    Damage(BlockKind::kProperties, footer_.properties.offset, footer_.properties.bytes,
           std::move(mismatch));
  }

  // Leaves separators_ with one per data block, if all of them could be had.
  Status LoadIndexBlocks() noexcept {
    if (footer_.index_blocks == 0) {
      for (size_t i = 0; top_index_ && i < top_index_->size(); ++i)
        separators_.emplace_back(top_index_->separator(i));
      return Status::Ok();
    }
    bool all = top_index_.has_value();
    uint64_t number = 0;
    LAMINA_RETURN_IF_ERROR(ForEachBlock(footer_.data_blocks, footer_.index_blocks,
                                        [&](uint64_t offset, BlockBytes block) {
                                          all &= WalkIndexBlock(offset, block, number);
                                          ++number;
                                        }));
    if (!all) separators_.clear();
    return Status::Ok();
  }

  bool WalkIndexBlock(uint64_t offset, BlockBytes block, uint64_t number) noexcept {
    Mismatch mismatch;
    if (!CheckIdentity(block, footer_.table, offset, BlockKind::kIndex, &mismatch)) {
      Damage(BlockKind::kIndex, offset, kTableBlockBytes, mismatch);
      return false;
    }
    if (!top_index_) return false;
    const auto parsed = IndexBlock::Parse(block, top_index_->FirstDataBlock(number),
                                          top_index_->EndDataBlock(number));
    if (!parsed.ok()) {
      BlockDamage(BlockKind::kIndex, offset, "structure", "separators as the top index says",
                  std::string(parsed.status().message()));
      return false;
    }
    if (parsed->separator(0) != top_index_->separator(number)) {
      BlockDamage(BlockKind::kIndex, offset, "first separator", "that of the top index",
                  std::to_string(parsed->separator(0).size()) + " other bytes");
      return false;
    }
    for (size_t i = 0; i < parsed->size(); ++i) separators_.emplace_back(parsed->separator(i));
    return true;
  }

  // The separator must be above the last key before the block (or equal to it, between candidates
  // of one page) and not above the block's first key.
  void CheckSeparator(uint64_t offset, const StemKey& first) noexcept {
    if (separators_.empty()) return;
    const std::string_view separator = separators_[offset / kTableBlockBytes];
    const KeyBytes first_bytes(first);
    bool right = separator <= first_bytes.view();
    if (has_last_ && last_block_offset_ + kTableBlockBytes == offset) {
      const KeyBytes last_bytes(last_.view());
      right = right && (separator > last_bytes.view() ||
                        (separator == last_bytes.view() && separator == first_bytes.view()));
    }
    if (!right)
      BlockDamage(BlockKind::kData, offset, "separator in the index",
                  "between the keys on its sides",
                  std::to_string(separator.size()) + " bytes that are not");
  }

  void CheckProperties() noexcept {
    const TableMeta& meta = properties_->meta;
    const struct {
      const char* name;
      uint64_t property;
      uint64_t found;
    } values[] = {{"number", meta.number, footer_.table},
                  {"file bytes", meta.file_bytes, footer_.file_bytes},
                  {"data blocks", meta.data_blocks, footer_.data_blocks},
                  {"entry count", meta.entry_count, summary_.entries},
                  {"page count", meta.page_count, page_count_},
                  {"stem count", meta.stem_count, stem_count_}};
    for (const auto& value : values) {
      if (value.property != value.found)
        PropertyDamage({value.name, std::to_string(value.found), std::to_string(value.property)});
    }
    if (meta.smallest != smallest_)
      PropertyDamage(
          {"smallest key", KeyToString(smallest_.view()), KeyToString(meta.smallest.view())});
    if (meta.largest != last_)
      PropertyDamage({"largest key", KeyToString(last_.view()), KeyToString(meta.largest.view())});
  }

  // ---- Data blocks, either way

  template <class Visit>
  Status ForEachBlock(uint64_t first, uint64_t count, Visit visit) noexcept {
    if (chunk_ == nullptr) chunk_ = NewAlignedBytes(kChunkBytes);
    uint64_t offset = first * kTableBlockBytes;
    const uint64_t end = offset + count * kTableBlockBytes;
    while (offset < end) {
      const size_t piece = std::min<uint64_t>(end - offset, kChunkBytes);
      LAMINA_RETURN_IF_ERROR(file_->Read(offset, std::span(chunk_.get(), piece)));
      for (size_t at = 0; at < piece; at += kTableBlockBytes)
        visit(offset + at, BlockBytes(chunk_.get() + at, kTableBlockBytes));
      offset += piece;
    }
    return Status::Ok();
  }

  // Of a block whose identity is right.
  void WalkDataBlock(uint64_t offset, BlockBytes block) noexcept {
    const uint64_t damages_before = summary_.damages;
    DataBlockCursor cursor;
    uint32_t entries = 0;
    uint32_t restarts = 0;
    if (cursor.Open(block)) {
      for (uint32_t at = cursor.position(); cursor.Next(); at = cursor.position()) {
        if (restarts < cursor.restart_count() && cursor.restart(restarts) == at) ++restarts;
        if (entries == 0) CheckSeparator(offset, cursor.key());
        ++entries;
        WalkEntry(offset, cursor);
      }
    }
    last_block_offset_ = offset;
    if (*cursor.error() != '\0')
      BlockDamage(BlockKind::kData, offset, "structure", "well-formed entries", cursor.error());
    else if (entries != cursor.entry_count())
      BlockDamage(BlockKind::kData, offset, "entry count", std::to_string(entries),
                  std::to_string(cursor.entry_count()));
    else if (restarts != cursor.restart_count())
      BlockDamage(BlockKind::kData, offset, "restart offsets", "those of the restarts",
                  "others, from the " + std::to_string(restarts + 1) + "th on");
    summary_.entries += entries;
    if (summary_.damages == damages_before)
      ++summary_.data_blocks;
    else
      all_data_walked_ = false;
  }

  void WalkEntry(uint64_t offset, const DataBlockCursor& cursor) noexcept {
    const StemKey key = cursor.key();
    const auto order = has_last_ ? Compare(last_.view(), key) : std::strong_ordering::less;
    if (order > 0)
      BlockDamage(BlockKind::kData, offset, "key order", "not below " + KeyToString(last_.view()),
                  KeyToString(key));
    if (order == 0) return;
    if (std::find(key.fingerprints.begin(), key.fingerprints.end(), Fingerprint{0}) !=
        key.fingerprints.end())
      BlockDamage(BlockKind::kData, offset, "fingerprint", "not 0", KeyToString(key));
    if (!filter_.MayContain(HashOf(key.page_key())))
      BlockDamage(BlockKind::kData, offset, "filter", "a yes for " + KeyToString(key), "a no");
    ++page_count_;
    if (!has_last_) smallest_ = OwnedStemKey(key);
    if (!has_last_ || last_.anchor != key.anchor) ++stem_count_;
    last_.anchor = key.anchor;
    last_.fingerprints.assign(key.fingerprints.begin(), key.fingerprints.end());
    has_last_ = true;
  }

  // ---- Without a footer: blocks and sections say themselves what they are.

  Status WalkByIdentity(uint64_t whole) noexcept {
    // The last block was reported as the footer. What is before it belongs to the table that the
    // first block with a right checksum names.
    const uint64_t end = whole - kTableBlockBytes;
    // The sections of a table are together smaller than its file. As much again may be read in vain
    // for what only looks like one: a file made for it would have each block claim all the rest.
    section_bytes_left_ = 2 * whole;
    const AlignedBytes storage = NewAlignedBytes(kTableBlockBytes);
    const std::span<std::byte, kTableBlockBytes> block(storage.get(), kTableBlockBytes);
    for (uint64_t offset = 0; offset < end;) {
      LAMINA_RETURN_IF_ERROR(file_->Read(offset, block));
      LAMINA_ASSIGN_OR_RETURN(const uint64_t bytes, WalkUnknown(offset, block, end));
      offset += bytes;
    }
    return Status::Ok();
  }

  // Returns how many bytes it accounted for.
  Result<uint64_t> WalkUnknown(uint64_t offset, BlockBytes block, uint64_t end) noexcept {
    SectionHeader header;
    std::memcpy(&header, block.data(), sizeof header);
    const auto kind = static_cast<BlockKind>(header.kind);
    const bool single = kind == BlockKind::kData || kind == BlockKind::kIndex;
    const bool section = kind == BlockKind::kTopIndex || kind == BlockKind::kFilter ||
                         kind == BlockKind::kProperties;
    const uint64_t bytes = !section ? kTableBlockBytes
                           : header.payload_bytes > end - offset
                               ? UINT64_MAX
                               : SectionBytes(header.payload_bytes);
    if ((!single && !section) || bytes > end - offset) {
      BlockDamage(single || section ? kind : BlockKind::kData, offset, "kind or size",
                  "a block or section of a table", BlockKindName(kind));
      return kTableBlockBytes;
    }
    AlignedBytes storage;
    std::span<const std::byte> all(block);
    if (bytes > kTableBlockBytes) {
      if (bytes > section_bytes_left_) {
        BlockDamage(kind, offset, "section bytes", "at most " + std::to_string(section_bytes_left_),
                    std::to_string(bytes));
        return kTableBlockBytes;
      }
      section_bytes_left_ -= bytes;
      storage = NewAlignedBytes(bytes);
      LAMINA_RETURN_IF_ERROR(file_->Read(offset, std::span(storage.get(), bytes)));
      all = std::span<const std::byte>(storage.get(), bytes);
    }
    if (footer_table_ == 0 && BlockChecksum(all) == header.checksum) footer_table_ = header.table;
    Mismatch mismatch;
    if (!CheckIdentity(all, footer_table_, offset, kind, &mismatch)) {
      // If its size is not to be trusted, what follows must speak for itself.
      Damage(kind, offset, kTableBlockBytes, mismatch);
      return kTableBlockBytes;
    }
    if (kind == BlockKind::kData) WalkDataBlock(offset, block);
    return bytes;
  }

  File* file_;
  const Report& report_;
  TableVerifySummary summary_;
  TableFooter footer_{};
  uint64_t footer_table_ = 0;  // without a footer: the table's number, once known
  uint64_t section_bytes_left_ = 0;
  std::optional<TopIndex> top_index_;
  std::optional<TableProperties> properties_;
  Filter filter_;
  std::optional<uint64_t> filter_bytes_;  // as the section says; nothing if it is damaged
  std::vector<std::string> separators_;   // of data blocks; empty if not all are known
  AlignedBytes chunk_;
  bool all_data_walked_ = true;
  bool has_last_ = false;
  OwnedStemKey smallest_;
  OwnedStemKey last_;
  uint64_t last_block_offset_ = 0;
  uint64_t page_count_ = 0;
  uint64_t stem_count_ = 0;
};

}  // namespace

std::string TableDamage::ToString() const noexcept {
  return file + ": " + region + " " + std::to_string(block) + " at offset " +
         std::to_string(offset) + ", " + std::to_string(length) + " bytes: " + what +
         ": expected " + expected + ", found " + found;
}

Result<TableVerifySummary> VerifyTable(FileSystem* file_system, const std::string& path,
                                       const Report& report) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          file_system->Open(path, FileOpen{.direct = true}));
  return Verifier(file.get(), report).Run();
}

}  // namespace lamina
