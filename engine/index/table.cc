#include "engine/index/table.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/index/data_block.h"

namespace lamina {
namespace {

constexpr size_t kLoadRequestBytes = size_t{1} << 20;

// In requests of bounded size.
Status ReadAll(File* file, uint64_t offset, std::span<std::byte> out) noexcept {
  while (!out.empty()) {
    const size_t piece = std::min(out.size(), kLoadRequestBytes);
    LAMINA_RETURN_IF_ERROR(file->Read(offset, out.first(piece)));
    offset += piece;
    out = out.subspan(piece);
  }
  return Status::Ok();
}

// How far keys that come in order have followed a lookup's path, and whether more can.
class PathMatch {
 public:
  explicit PathMatch(const StemLookup& lookup) noexcept
      : path_(lookup.fingerprints.first(lookup.end)) {}

  enum Outcome { kBefore, kOnPath, kPast };

  // `shared`: fingerprints that `key` has in common with the key of the call before.
  Outcome Step(std::span<const Fingerprint> key, uint32_t shared) noexcept {
    matched_ = std::min(matched_, shared);
    while (matched_ < key.size() && matched_ < path_.size() && key[matched_] == path_[matched_])
      ++matched_;
    if (matched_ == key.size()) return kOnPath;
    if (matched_ == path_.size()) return kPast;
    return key[matched_] < path_[matched_] ? kBefore : kPast;
  }

  // Fingerprints that the last key has in common with the path: the first page that a later key
  // can be.
  [[nodiscard]] uint32_t matched() const noexcept { return matched_; }

 private:
  std::span<const Fingerprint> path_;
  uint32_t matched_ = 0;
};

}  // namespace

Result<std::shared_ptr<Table>> Table::Open(FileSystem* file_system, const std::string& path,
                                           uint64_t number, BlockCache* cache,
                                           IndexCounters* counters) noexcept {
  LAMINA_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                          file_system->Open(path, FileOpen{.direct = true}));
  std::shared_ptr<Table> table(new Table);
  table->file_ = std::move(file);
  table->cache_ = cache;
  table->counters_ = counters;
  LAMINA_RETURN_IF_ERROR(table->Load(number));
  return table;
}

Status Table::Load(uint64_t number) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const uint64_t file_bytes, file_->Size());
  if (file_bytes < kTableBlockBytes || file_bytes % kTableBlockBytes != 0)
    return Status::Corruption(path() + ": " + std::to_string(file_bytes) +
                              " bytes long: empty or truncated, tables are whole blocks of 4096");
  const AlignedBytes block = NewAlignedBytes(kTableBlockBytes);
  const std::span<std::byte> bytes(block.get(), kTableBlockBytes);
  LAMINA_RETURN_IF_ERROR(file_->Read(file_bytes - kTableBlockBytes, bytes));
  LAMINA_ASSIGN_OR_RETURN(footer_, ParseFooter(path(), bytes, file_bytes, number));
  LAMINA_RETURN_IF_ERROR(LoadProperties());

  AlignedBytes storage;
  LAMINA_ASSIGN_OR_RETURN(const std::string_view top,
                          ReadSection(footer_.top_index, BlockKind::kTopIndex, &storage));
  auto parsed = TopIndex::Parse(top, footer_.data_blocks, footer_.index_blocks);
  if (!parsed.ok())
    return Status::Corruption(path() + ": " + std::string(parsed.status().message()));
  top_index_ = *std::move(parsed);
  return LoadFilter();
}

Status Table::LoadProperties() noexcept {
  AlignedBytes storage;
  LAMINA_ASSIGN_OR_RETURN(const std::string_view payload,
                          ReadSection(footer_.properties, BlockKind::kProperties, &storage));
  auto parsed = ParseProperties(payload);
  if (!parsed.ok())
    return Status::Corruption(path() + ": " + std::string(parsed.status().message()));
  properties_ = *std::move(parsed);
  const struct {
    const char* name;
    uint64_t property;
    uint64_t footer;
  } twice[] = {{"number", properties_.meta.number, footer_.table},
               {"file bytes", properties_.meta.file_bytes, footer_.file_bytes},
               {"data blocks", properties_.meta.data_blocks, footer_.data_blocks}};
  for (const auto& value : twice) {
    if (value.property != value.footer)
      return TableCorruption(
          path(), BlockKind::kProperties, footer_.properties.offset, footer_.properties.bytes,
          {value.name, std::to_string(value.footer), std::to_string(value.property)});
  }
  return Status::Ok();
}

Status Table::LoadFilter() noexcept {
  if (footer_.filter.bytes == 0) return Status::Ok();
  AlignedBytes storage;
  LAMINA_ASSIGN_OR_RETURN(const std::string_view lines,
                          ReadSection(footer_.filter, BlockKind::kFilter, &storage));
  if (lines.empty() || lines.size() % kFilterLineBytes != 0 ||
      lines.size() != properties_.meta.filter_bytes)
    return TableCorruption(path(), BlockKind::kFilter, footer_.filter.offset, footer_.filter.bytes,
                           {"filter bytes", std::to_string(properties_.meta.filter_bytes),
                            std::to_string(lines.size())});
  filter_ = Filter(std::as_bytes(std::span(lines)), footer_.filter_probes);
  return Status::Ok();
}

// ParseFooter has checked that the range lies in the file.
Result<std::string_view> Table::ReadSection(SectionRange range, BlockKind kind,
                                            AlignedBytes* storage) const noexcept {
  *storage = NewAlignedBytes(range.bytes);
  const std::span<std::byte> bytes(storage->get(), range.bytes);
  LAMINA_RETURN_IF_ERROR(ReadAll(file_.get(), range.offset, bytes));
  Mismatch mismatch;
  if (!CheckIdentity(bytes, footer_.table, range.offset, kind, &mismatch))
    return TableCorruption(path(), kind, range.offset, range.bytes, mismatch);
  SectionHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.payload_bytes > range.bytes || SectionBytes(header.payload_bytes) != range.bytes)
    return TableCorruption(path(), kind, range.offset, range.bytes,
                           {"section bytes", std::to_string(range.bytes),
                            std::to_string(header.payload_bytes) + " of payload"});
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + sizeof header,
                          header.payload_bytes);
}

size_t Table::memory_bytes() const noexcept {
  return sizeof(*this) + filter_.bytes() + top_index_.memory_bytes();
}

bool Table::MayContain(const PageKey& key) const noexcept {
  const TableMeta& meta = properties_.meta;
  if (key.anchor < meta.smallest.anchor || key.anchor > meta.largest.anchor) return false;
  if (filter_.empty()) return true;
  const bool may = filter_.MayContain(HashOf(key));
  if (counters_ != nullptr) {
    IndexCounters::Add(counters_->filter_checks, 1);
    if (!may) IndexCounters::Add(counters_->filter_negatives, 1);
  }
  return may;
}

void Table::PrefetchFilter(const PageKey& key) const noexcept { filter_.Prefetch(HashOf(key)); }

Status Table::BlockCorruption(BlockKind kind, uint64_t offset, const Status& why) const noexcept {
  if (counters_ != nullptr) IndexCounters::Add(counters_->corrupt_blocks, 1);
  return TableCorruption(path(), kind, offset, kTableBlockBytes,
                         {"structure", "well-formed entries", std::string(why.message())});
}

Status Table::UnreadableBlock(uint64_t offset, const Status& why) const noexcept {
  if (counters_ != nullptr) IndexCounters::Add(counters_->corrupt_blocks, 1);
  return TableCorruption(path(), BlockKind::kData, offset, kTableBlockBytes,
                         {"sectors", "to be readable", std::string(why.message())});
}

Status Table::VerifyBlock(uint64_t offset,
                          std::span<const std::byte, kTableBlockBytes> block) const noexcept {
  const bool data = offset < footer_.data_blocks * kTableBlockBytes;
  const BlockKind kind = data ? BlockKind::kData : BlockKind::kIndex;
  Mismatch mismatch;
  if (CheckIdentity(block, footer_.table, offset, kind, &mismatch)) return Status::Ok();
  if (counters_ != nullptr) IndexCounters::Add(counters_->corrupt_blocks, 1);
  return TableCorruption(path(), kind, offset, kTableBlockBytes, mismatch);
}

Result<PinnedBlock> Table::GetBlock(uint64_t offset, uint32_t* reads) const noexcept {
  const BlockId id{footer_.table, offset};
  if (cache_ != nullptr) {
    if (PinnedBlock cached = cache_->Lookup(id)) {
      if (counters_ != nullptr) IndexCounters::Add(counters_->cache_hits, 1);
      return cached;
    }
  }
  PinnedBlock block = cache_ != nullptr ? cache_->Reserve(id) : PinnedBlock::Private();
  LAMINA_RETURN_IF_ERROR(file_->Read(offset, block.writable()));
  ++*reads;
  LAMINA_RETURN_IF_ERROR(VerifyBlock(offset, block.bytes()));
  return cache_ != nullptr ? cache_->Publish(std::move(block)) : std::move(block);
}

Result<IndexPosition> Table::FindInIndexBlock(uint64_t index_block, std::string_view key,
                                              uint32_t* reads) const noexcept {
  const uint64_t offset = IndexBlockOffset(index_block);
  LAMINA_ASSIGN_OR_RETURN(const PinnedBlock block, GetBlock(offset, reads));
  const auto parsed = IndexBlock::Parse(block.bytes(), top_index_.FirstDataBlock(index_block),
                                        top_index_.EndDataBlock(index_block));
  if (!parsed.ok()) return BlockCorruption(BlockKind::kIndex, offset, parsed.status());
  return parsed->Find(key);
}

Result<IndexPosition> Table::FindBlock(std::string_view key, uint32_t* reads) const noexcept {
  const IndexPosition top = top_index_.Find(key);
  if (!top_index_.two_levels()) return top;
  LAMINA_ASSIGN_OR_RETURN(IndexPosition position, FindInIndexBlock(top.child, key, reads));
  if (top.last != top.child) {
    LAMINA_ASSIGN_OR_RETURN(const IndexPosition last, FindInIndexBlock(top.last, key, reads));
    position.last = last.last;
  }
  return position;
}

Result<uint64_t> Table::NextBlock(const StemLookup& lookup, uint32_t page, uint64_t block,
                                  uint32_t* reads) const noexcept {
  for (; page < lookup.end; ++page) {
    const KeyBytes key(lookup.key(page));
    LAMINA_ASSIGN_OR_RETURN(const IndexPosition position, FindBlock(key.view(), reads));
    if (position.child > block) return position.child;
    if (position.last > block) return block + 1;
  }
  return footer_.data_blocks;
}

Status Table::Find(StemLookup* lookup, std::vector<FoundEntry>* found) const noexcept {
  uint32_t reads = 0;
  const size_t found_before = found->size();
  Status status = FindCounted(*lookup, found, &reads);
  if (counters_ != nullptr) {
    const bool any = found->size() > found_before;
    reads += std::exchange(lookup->reads_to_attribute, 0);
    IndexCounters::Add(any ? counters_->block_reads_true : counters_->block_reads_false_positive,
                       reads);
    IndexCounters::Add(counters_->table_lookups, 1);
    if (!any) IndexCounters::Add(counters_->table_lookups_empty, 1);
  }
  return status;
}

void Table::CountUnused(const StemLookup& lookup) const noexcept {
  if (counters_ != nullptr)
    IndexCounters::Add(counters_->block_reads_unused, lookup.reads_to_attribute);
}

Status Table::FindCounted(const StemLookup& lookup, std::vector<FoundEntry>* found,
                          uint32_t* reads) const noexcept {
  LAMINA_CHECK(lookup.first < lookup.end && lookup.end <= lookup.fingerprints.size());
  const KeyBytes first(lookup.key(lookup.first));
  LAMINA_ASSIGN_OR_RETURN(const IndexPosition position, FindBlock(first.view(), reads));
  uint32_t page = lookup.first;
  for (uint64_t block = position.child; block < footer_.data_blocks;) {
    const uint64_t offset = block * kTableBlockBytes;
    LAMINA_ASSIGN_OR_RETURN(const PinnedBlock pinned, GetBlock(offset, reads));
    bool past = false;
    LAMINA_RETURN_IF_ERROR(FindInBlock(lookup, offset, pinned, found, &page, &past));
    if (past) break;
    // More candidates of the page found last may begin the next block.
    const uint32_t from = page > lookup.first ? page - 1 : page;
    LAMINA_ASSIGN_OR_RETURN(block, NextBlock(lookup, from, block, reads));
  }
  return Status::Ok();
}

Status Table::FindInBlock(const StemLookup& lookup, uint64_t offset, const PinnedBlock& block,
                          std::vector<FoundEntry>* found, uint32_t* page,
                          bool* past) const noexcept {
  DataBlockCursor cursor;
  if (cursor.Open(block.bytes()) && cursor.SeekStem(lookup.anchor)) {
    PathMatch match(lookup);
    while (cursor.Next()) {
      const auto path = cursor.key().fingerprints;
      const auto outcome =
          cursor.anchor() != lookup.anchor ? PathMatch::kPast : match.Step(path, cursor.shared());
      if (outcome == PathMatch::kPast) {
        *past = true;
        break;
      }
      if (outcome == PathMatch::kOnPath && path.size() > lookup.first)
        found->push_back({static_cast<uint32_t>(path.size()) - 1, cursor.entry()});
      *page = std::max(*page, match.matched());
    }
  }
  if (*cursor.error() == '\0') return Status::Ok();
  return BlockCorruption(BlockKind::kData, offset, Status::Corruption(cursor.error()));
}

bool Table::BlocksFor(const StemLookup& lookup, std::vector<uint64_t>* offsets,
                      size_t* cached) const noexcept {
  const auto appended = static_cast<ptrdiff_t>(offsets->size());
  const auto missing = [&](uint64_t offset) {
    return cache_ == nullptr || !cache_->Contains({footer_.table, offset});
  };
  bool complete = true;
  // Where a page may lie; nothing if its index block is missing (it is asked for) or damaged (Find
  // meets the same damage, and reports it).
  const auto locate = [&](uint32_t page) -> std::optional<IndexPosition> {
    const KeyBytes key(lookup.key(page));
    if (top_index_.two_levels()) {
      const uint64_t offset = IndexBlockOffset(top_index_.Find(key.view()).child);
      if (missing(offset)) {
        complete = false;
        offsets->push_back(offset);
        return std::nullopt;
      }
    }
    uint32_t reads = 0;
    const auto position = FindBlock(key.view(), &reads);
    return position.ok() ? std::optional(*position) : std::nullopt;
  };
  uint64_t counted_end = 0;  // cached blocks before it are counted
  const auto want = [&](const IndexPosition& position) {
    for (uint64_t block = position.child; block <= position.last; ++block) {
      if (missing(block * kTableBlockBytes)) {
        offsets->push_back(block * kTableBlockBytes);
      } else if (cached != nullptr && block >= counted_end) {
        ++*cached;
        counted_end = block + 1;
      }
    }
  };
  // Usually the last page lies where the first does, and so do all between.
  const auto first = locate(lookup.first);
  const auto last = locate(lookup.end - 1);
  if (first) want(*first);
  if (last) want(*last);
  if (!first || !last || first->child != last->last) {
    for (uint32_t page = lookup.first + 1; page + 1 < lookup.end; ++page) {
      if (const auto position = locate(page)) want(*position);
    }
  }
  std::sort(offsets->begin() + appended, offsets->end());
  offsets->erase(std::unique(offsets->begin() + appended, offsets->end()), offsets->end());
  return complete;
}

}  // namespace lamina
