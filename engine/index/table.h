// An open table: filter and top index in memory, blocks read on demand through the cache.
#ifndef LAMINA_ENGINE_INDEX_TABLE_H_
#define LAMINA_ENGINE_INDEX_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/index/aligned_bytes.h"
#include "engine/index/block_cache.h"
#include "engine/index/counters.h"
#include "engine/index/filter.h"
#include "engine/index/index_block.h"
#include "engine/index/iterator.h"
#include "engine/index/stem_key.h"
#include "engine/index/table_format.h"
#include "engine/io/file_system.h"

namespace lamina {

class Table;

struct TableIterateOptions {
  // Bytes read per request; whole blocks. 0 reads single blocks through the cache (scans of a few
  // entries); larger values read past the cache (flush, compaction, whole-table walks).
  size_t readahead_bytes = size_t{256} << 10;
  // Called for each damaged block, which is then skipped. If empty, damage ends the walk.
  std::function<void(const Status& damage)> on_damage = {};
  // Asked when a block cannot be read, not even by itself: true makes it a damaged block. If empty
  // or false the error ends the walk, since a later one may get the block.
  std::function<bool(const Table& table, const Status& why)> give_up = {};
};

// Immutable and thread-safe. Every block is verified against its checksum when it is read.
class Table : public std::enable_shared_from_this<Table> {
 public:
  // Loads footer, properties, top index and filter, all verified. `cache` and `counters` may be
  // nullptr (blocks are then read each time, and nothing is counted) and must outlive the table.
  // Errors: kCorruption naming region, offset, expected and found; kNotSupported for a later format
  // version; kCorruption if the file is another table than `number` (0: any).
  static Result<std::shared_ptr<Table>> Open(FileSystem* file_system, const std::string& path,
                                             uint64_t number, BlockCache* cache,
                                             IndexCounters* counters) noexcept;

  // False: the page is not here. No I/O. Pages outside the key range do not ask the filter.
  [[nodiscard]] bool MayContain(const PageKey& key) const noexcept;
  // For callers that ask about several keys or tables: starts loading what MayContain will touch.
  void PrefetchFilter(const PageKey& key) const noexcept;

  // Appends what is here of the lookup's pages [first, end), of which there is at least one: seeks
  // to the first and walks while keys follow the path. In order of pages, a page's candidates
  // newest first. Reads only the blocks that hold these keys. Does not ask the filter: the caller
  // has. On an error what was found before it stays in `found`.
  Status Find(StemLookup* lookup, std::vector<FoundEntry>* found) const noexcept;
  // Counts the blocks that were fetched for a lookup that was not made after all, if any.
  void CountUnused(const StemLookup& lookup) const noexcept;

  // The blocks that Find(lookup) would read and that are not in the cache, appended to `offsets`
  // (in the file; each kTableBlockBytes long). Returns false if more may follow once these are
  // cached (a second index level comes first). `*cached` (may be null) grows by the data blocks
  // that Find would read and that are cached. Most callers want BlockFetcher (block_fetch.h).
  bool BlocksFor(const StemLookup& lookup, std::vector<uint64_t>* offsets,
                 size_t* cached = nullptr) const noexcept;

  // The iterator keeps the table alive.
  [[nodiscard]] std::unique_ptr<EntryIterator> NewIterator(
      TableIterateOptions options = {}) const noexcept;

  [[nodiscard]] uint64_t number() const noexcept { return footer_.table; }
  [[nodiscard]] const TableProperties& properties() const noexcept { return properties_; }
  [[nodiscard]] const TableFooter& footer() const noexcept { return footer_; }
  [[nodiscard]] const TableMeta& meta() const noexcept { return properties_.meta; }
  [[nodiscard]] const std::string& path() const noexcept { return file_->path(); }
  [[nodiscard]] File* file() const noexcept { return file_.get(); }
  [[nodiscard]] BlockCache* cache() const noexcept { return cache_; }
  // Memory held for as long as it is open: filter, top index and the object.
  [[nodiscard]] size_t memory_bytes() const noexcept;

  // Checks a block that was read from `offset` (of either kind) against its checksum and place.
  [[nodiscard]] Status VerifyBlock(
      uint64_t offset, std::span<const std::byte, kTableBlockBytes> block) const noexcept;

 private:
  friend class TableIterator;
  Table() noexcept = default;
  Status Load(uint64_t number) noexcept;
  Status LoadProperties() noexcept;
  Status LoadFilter() noexcept;
  // The payload of a section, verified. `storage` holds it.
  Result<std::string_view> ReadSection(SectionRange range, BlockKind kind,
                                       AlignedBytes* storage) const noexcept;
  // Through the cache. `reads` grows by one if the file was read.
  Result<PinnedBlock> GetBlock(uint64_t offset, uint32_t* reads) const noexcept;
  // The data blocks in which a key (as KeyBytes) may lie. May read an index block, at worst two.
  Result<IndexPosition> FindBlock(std::string_view key, uint32_t* reads) const noexcept;
  Result<IndexPosition> FindInIndexBlock(uint64_t index_block, std::string_view key,
                                         uint32_t* reads) const noexcept;
  // The first data block behind `block` that may hold one of the lookup's pages from `page` on;
  // their number if none may.
  Result<uint64_t> NextBlock(const StemLookup& lookup, uint32_t page, uint64_t block,
                             uint32_t* reads) const noexcept;
  Status FindCounted(const StemLookup& lookup, std::vector<FoundEntry>* found,
                     uint32_t* reads) const noexcept;
  // Appends what one block has of the lookup. Advances *page to the first page that a later block
  // may have; sets *past if none may.
  Status FindInBlock(const StemLookup& lookup, uint64_t offset, const PinnedBlock& block,
                     std::vector<FoundEntry>* found, uint32_t* page, bool* past) const noexcept;
  [[nodiscard]] Status BlockCorruption(BlockKind kind, uint64_t offset,
                                       const Status& why) const noexcept;
  [[nodiscard]] Status UnreadableBlock(uint64_t offset, const Status& why) const noexcept;
  [[nodiscard]] uint64_t IndexBlockOffset(uint64_t index_block) const noexcept {
    return (footer_.data_blocks + index_block) * kTableBlockBytes;
  }

  std::unique_ptr<File> file_;
  BlockCache* cache_ = nullptr;
  IndexCounters* counters_ = nullptr;
  TableFooter footer_;
  TableProperties properties_;
  TopIndex top_index_;
  Filter filter_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_TABLE_H_
