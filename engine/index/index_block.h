// The index of a table: separators of its blocks, written, kept in memory, and searched.
#ifndef LAMINA_ENGINE_INDEX_INDEX_BLOCK_H_
#define LAMINA_ENGINE_INDEX_INDEX_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/index/block_cache.h"
#include "engine/index/table_format.h"

namespace lamina {

// Where a search ended: the first child in which the key may lie, and the last one. They differ
// only if candidates of that very key were cut apart (or the key begins a block).
struct IndexPosition {
  uint64_t child = 0;  // the last one whose separator is below the key; the first child if none is
  uint64_t last = 0;   // the last one whose separator is not above the key
};

// The shortest prefix of `first` above `last` (as bytes); all of `first` if they are equal.
std::string_view SeparatorBetween(std::string_view last, std::string_view first) noexcept;

// Collects the separators while data blocks are written.
class IndexBuilder {
 public:
  // For the next data block.
  void Add(std::string_view separator) noexcept;
  [[nodiscard]] size_t count() const noexcept { return ends_.size(); }

  struct Output {
    std::string index_blocks;  // whole blocks, not yet sealed; empty with one level
    std::string top_index;     // payload of the section
  };
  // Two levels if the separators exceed `single_level_bytes`.
  [[nodiscard]] Output Finish(size_t single_level_bytes) const noexcept;

 private:
  [[nodiscard]] std::string_view Separator(size_t i) const noexcept;
  [[nodiscard]] Output FinishTwoLevels() const noexcept;

  std::string bytes_;
  std::vector<size_t> ends_;
};

// The level of the index that stays in memory. Immutable once parsed.
class TopIndex {
 public:
  // Checks order and counts against the footer's. kCorruption without file or offset: the caller
  // adds them.
  static Result<TopIndex> Parse(std::string_view payload, uint64_t data_blocks,
                                uint64_t index_blocks) noexcept;

  // Children are data blocks (one level) or index blocks.
  [[nodiscard]] IndexPosition Find(std::string_view key) const noexcept;
  [[nodiscard]] bool two_levels() const noexcept { return !first_data_blocks_.empty(); }
  // Of an index block: the data blocks [first, end) under it.
  [[nodiscard]] uint64_t FirstDataBlock(uint64_t index_block) const noexcept {
    return first_data_blocks_[index_block];
  }
  [[nodiscard]] uint64_t EndDataBlock(uint64_t index_block) const noexcept {
    return first_data_blocks_[index_block + 1];
  }
  [[nodiscard]] size_t size() const noexcept { return prefixes_.size(); }
  [[nodiscard]] std::string_view separator(size_t i) const noexcept {
    return std::string_view(bytes_).substr(ends_[i], ends_[i + 1] - ends_[i]);
  }
  [[nodiscard]] size_t memory_bytes() const noexcept;

 private:
  std::vector<uint64_t> prefixes_;  // first 8 bytes of each separator, big-endian, zero-filled
  std::vector<uint32_t> ends_;      // size() + 1 offsets into bytes_
  std::string bytes_;
  std::vector<uint64_t> first_data_blocks_;  // two levels: size() + 1 of them
};

// One block of the lower level, read from the file. A view.
class IndexBlock {
 public:
  // Checks the structure (not the checksum): offsets ascend and lie inside, counts are as expected.
  static Result<IndexBlock> Parse(std::span<const std::byte, kTableBlockBytes> block,
                                  uint64_t first_data_block, uint64_t end_data_block) noexcept;

  // Children are data blocks, numbered in the table.
  [[nodiscard]] IndexPosition Find(std::string_view key) const noexcept;
  [[nodiscard]] size_t size() const noexcept { return count_; }
  [[nodiscard]] std::string_view separator(size_t i) const noexcept;

 private:
  [[nodiscard]] size_t OffsetOf(size_t i) const noexcept;

  const std::byte* block_ = nullptr;
  size_t count_ = 0;
  size_t end_ = 0;
  uint64_t first_data_block_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_INDEX_BLOCK_H_
