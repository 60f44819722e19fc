#include "engine/index/table_format.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/base/coding.h"
#include "engine/base/mutation.h"
#include "engine/index/filter.h"

namespace lamina {
namespace {

// What all blocks and sections begin with.
struct BlockIdentity {
  uint64_t checksum;
  uint64_t table;
  uint32_t block;
  uint16_t kind;
  uint16_t rest;
};
static_assert(sizeof(BlockIdentity) == 24);
static_assert(offsetof(BlockIdentity, table) == offsetof(TableFooter, table));
static_assert(offsetof(BlockIdentity, block) == offsetof(TableFooter, block));
static_assert(offsetof(BlockIdentity, kind) == offsetof(TableFooter, kind));

template <class T>
T Load(std::span<const std::byte> bytes) noexcept {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

void PutKey(std::string* out, const OwnedStemKey& key) noexcept {
  PutBytes(out, KeyBytes(key.view()).view());
}

Status BadProperty(const char* field, std::string found) noexcept {
  return Status::Corruption(std::string("property ") + field + " is " + std::move(found));
}

// A section is held in memory as a whole. More than the filter of a table of 4 GiB takes; a sparse
// file may claim any size.
constexpr uint64_t kMaxSectionBytes = uint64_t{2} << 30;

// The regions follow each other without gaps and fill the file. Sums cannot overflow: each part is
// checked to be at most the file's size first.
bool CheckLayout(const TableFooter& footer, uint64_t file_bytes, Mismatch* mismatch) noexcept {
  const auto bad = [&](const char* what, uint64_t expected, uint64_t found) {
    *mismatch = {what, std::to_string(expected), std::to_string(found)};
    return false;
  };
  if (footer.file_bytes != file_bytes) return bad("file size", footer.file_bytes, file_bytes);
  const uint64_t blocks = file_bytes / kTableBlockBytes;
  if (footer.data_blocks == 0 || footer.data_blocks > blocks)
    return bad("data blocks, at most", blocks, footer.data_blocks);
  if (footer.index_blocks > blocks)
    return bad("index blocks, at most", blocks, footer.index_blocks);
  uint64_t at = (footer.data_blocks + footer.index_blocks) * kTableBlockBytes;
  const struct {
    const char* name;
    SectionRange range;
    bool required;
  } sections[] = {{"offset of the top index", footer.top_index, true},
                  {"offset of the filter", footer.filter, false},
                  {"offset of the properties", footer.properties, true}};
  for (const auto& section : sections) {
    if (section.range.offset != at) return bad(section.name, at, section.range.offset);
    if (section.range.bytes > std::min(file_bytes, kMaxSectionBytes) ||
        section.range.bytes % kTableBlockBytes != 0 ||
        (section.required && section.range.bytes == 0))
      return bad("section bytes, whole blocks up to", std::min(file_bytes, kMaxSectionBytes),
                 section.range.bytes);
    at = section.range.end();
  }
  if (at != file_bytes - kTableBlockBytes)
    return bad("end of the properties", file_bytes - kTableBlockBytes, at);
  const bool has_filter = footer.filter.bytes != 0;
  if (footer.filter_probes > kMaxFilterProbes || has_filter != (footer.filter_probes != 0))
    return bad("filter probes, at most", kMaxFilterProbes, footer.filter_probes);
  return true;
}

}  // namespace

const char* BlockKindName(BlockKind kind) noexcept {
  switch (kind) {
    case BlockKind::kData:
      return "data block";
    case BlockKind::kIndex:
      return "index block";
    case BlockKind::kTopIndex:
      return "top index";
    case BlockKind::kFilter:
      return "filter";
    case BlockKind::kProperties:
      return "properties";
    case BlockKind::kFooter:
      return "footer";
  }
  return "unknown kind";
}

std::string Hex(uint64_t value) noexcept {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 60; shift >= 0; shift -= 4) text.push_back(kDigits[(value >> shift) & 15]);
  return text;
}

std::string PutProperties(const TableProperties& properties) noexcept {
  const TableMeta& meta = properties.meta;
  std::string out;
  PutFixed(&out, meta.number);
  PutFixed(&out, meta.file_bytes);
  PutFixed(&out, meta.entry_count);
  PutFixed(&out, meta.page_count);
  PutFixed(&out, meta.stem_count);
  PutFixed(&out, meta.data_blocks);
  PutFixed(&out, std::bit_cast<uint64_t>(meta.filter_bits_per_key));
  PutFixed(&out, meta.filter_bytes);
  PutFixed(&out, meta.top_index_bytes);
  PutFixed(&out, meta.dropped_entries);
  PutFixed(&out, properties.store_id);
  PutFixed(&out, properties.job_id);
  PutKey(&out, meta.smallest);
  PutKey(&out, meta.largest);
  PutBytes(&out, properties.shape);
  return out;
}

Result<TableProperties> ParseProperties(std::string_view bytes) noexcept {
  TableProperties properties;
  TableMeta& meta = properties.meta;
  Decoder in(bytes);
  for (uint64_t* field : {&meta.number, &meta.file_bytes, &meta.entry_count, &meta.page_count,
                          &meta.stem_count, &meta.data_blocks})
    *field = in.Fixed<uint64_t>();
  meta.filter_bits_per_key = std::bit_cast<double>(in.Fixed<uint64_t>());
  for (uint64_t* field : {&meta.filter_bytes, &meta.top_index_bytes, &meta.dropped_entries,
                          &properties.store_id, &properties.job_id})
    *field = in.Fixed<uint64_t>();
  const std::string_view smallest = in.Bytes();
  const std::string_view largest = in.Bytes();
  const std::string_view shape = in.Bytes();
  if (!in.done()) return BadProperty("list", "cut short or too long");
  if (meta.number == 0) return BadProperty("number", "0");
  if (meta.entry_count == 0) return BadProperty("entry count", "0");
  if (meta.page_count == 0 || meta.page_count > meta.entry_count)
    return BadProperty("page count", std::to_string(meta.page_count));
  if (meta.stem_count == 0 || meta.stem_count > meta.page_count)
    return BadProperty("stem count", std::to_string(meta.stem_count));
  if (!(meta.filter_bits_per_key >= 0 && meta.filter_bits_per_key <= kMaxFilterBitsPerKey))
    return BadProperty("filter bits", std::to_string(meta.filter_bits_per_key));
  if (shape.size() > kMaxShapeBytes)
    return BadProperty("shape", std::to_string(shape.size()) + " bytes long");
  auto smallest_key = ParseKeyBytes(smallest);
  auto largest_key = ParseKeyBytes(largest);
  if (!smallest_key) return BadProperty("smallest key", "no key");
  if (!largest_key) return BadProperty("largest key", "no key");
  if (smallest > largest) return BadProperty("smallest key", "above the largest");
  meta.smallest = *std::move(smallest_key);
  meta.largest = *std::move(largest_key);
  properties.shape = shape;
  return properties;
}

uint64_t BlockChecksum(std::span<const std::byte> whole) noexcept {
  return XXH3_64bits(whole.data() + sizeof(uint64_t), whole.size() - sizeof(uint64_t));
}

void SealBlock(std::span<std::byte> whole, uint64_t table, uint64_t offset,
               BlockKind kind) noexcept {
  LAMINA_CHECK(whole.size() % kTableBlockBytes == 0 && offset % kTableBlockBytes == 0);
  auto identity = Load<BlockIdentity>(whole);
  identity.table = table;
  identity.block = static_cast<uint32_t>(offset / kTableBlockBytes);
  identity.kind = static_cast<uint16_t>(kind);
  std::memcpy(whole.data(), &identity, sizeof identity);
  identity.checksum = BlockChecksum(whole);
  std::memcpy(whole.data(), &identity.checksum, sizeof identity.checksum);
}

bool CheckIdentity(std::span<const std::byte> whole, uint64_t table, uint64_t offset,
                   BlockKind kind, Mismatch* mismatch) noexcept {
  const auto identity = Load<BlockIdentity>(whole);
  if (const uint64_t sum = BlockChecksum(whole);
      sum != identity.checksum && !Mutated(Mutation::kIgnoreTableChecksum)) {
    *mismatch = {"checksum", Hex(identity.checksum), Hex(sum)};
  } else if (identity.table != table) {
    *mismatch = {"table number", std::to_string(table), std::to_string(identity.table)};
  } else if (identity.block != offset / kTableBlockBytes) {
    *mismatch = {"block number", std::to_string(offset / kTableBlockBytes),
                 std::to_string(identity.block)};
  } else if (identity.kind != static_cast<uint16_t>(kind)) {
    *mismatch = {"kind", BlockKindName(kind), BlockKindName(static_cast<BlockKind>(identity.kind))};
  } else {
    return true;
  }
  return false;
}

Status TableCorruption(const std::string& file, BlockKind region, uint64_t offset, uint64_t length,
                       const Mismatch& mismatch) noexcept {
  return Status::Corruption(
      file + ": " + BlockKindName(region) + " " + std::to_string(offset / kTableBlockBytes) +
      " at offset " + std::to_string(offset) + ", " + std::to_string(length) +
      " bytes: " + mismatch.what + ": expected " + mismatch.expected + ", found " + mismatch.found);
}

FooterState ReadFooter(std::span<const std::byte> block, uint64_t file_bytes, uint64_t table,
                       TableFooter* footer, Mismatch* mismatch) noexcept {
  *footer = Load<TableFooter>(block);
  if (footer->magic != kTableMagic) {
    *mismatch = {"magic", Hex(kTableMagic), Hex(footer->magic)};
    return FooterState::kDamaged;
  }
  if (const uint64_t sum = BlockChecksum(block); sum != footer->checksum) {
    *mismatch = {"checksum", Hex(footer->checksum), Hex(sum)};
    return FooterState::kDamaged;
  }
  if (footer->version != kTableVersion) {
    *mismatch = {"format version", std::to_string(kTableVersion), std::to_string(footer->version)};
    return footer->version > kTableVersion ? FooterState::kLaterVersion : FooterState::kDamaged;
  }
  const bool whole = CheckIdentity(block, table == 0 ? footer->table : table,
                                   file_bytes - kTableBlockBytes, BlockKind::kFooter, mismatch) &&
                     CheckLayout(*footer, file_bytes, mismatch);
  return whole ? FooterState::kWhole : FooterState::kDamaged;
}

Result<TableFooter> ParseFooter(const std::string& file, std::span<const std::byte> block,
                                uint64_t file_bytes, uint64_t table) noexcept {
  TableFooter footer;
  Mismatch mismatch;
  switch (ReadFooter(block, file_bytes, table, &footer, &mismatch)) {
    case FooterState::kWhole:
      return footer;
    case FooterState::kLaterVersion:
      return Status::NotSupported(file + ": table format version " + mismatch.found +
                                  "; this build reads version " + mismatch.expected);
    case FooterState::kDamaged:
      break;
  }
  return TableCorruption(file, BlockKind::kFooter, file_bytes - kTableBlockBytes, kTableBlockBytes,
                         mismatch);
}

}  // namespace lamina
