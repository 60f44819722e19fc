// Walking a table block by block.
#include <algorithm>
#include <utility>

#include "engine/index/data_block.h"
#include "engine/index/table.h"

namespace lamina {

class TableIterator final : public EntryIterator {
 public:
  TableIterator(std::shared_ptr<const Table> table, TableIterateOptions options) noexcept
      : table_(std::move(table)),
        options_(std::move(options)),
        readahead_blocks_(options_.readahead_bytes / kTableBlockBytes) {}

  [[nodiscard]] bool Valid() const noexcept override { return valid_; }
  [[nodiscard]] StemKey key() const noexcept override { return cursor_.key(); }
  [[nodiscard]] const Entry& entry() const noexcept override { return cursor_.entry(); }
  [[nodiscard]] Status status() const noexcept override { return status_; }

  void SeekToFirst() noexcept override {
    Reset();
    if (LoadFrom(0)) Advance();
  }

  void Seek(const StemKey& target) noexcept override {
    Reset();
    uint32_t reads = 0;
    const auto position = table_->FindBlock(KeyBytes(target).view(), &reads);
    CountReads(reads);
    if (!position.ok()) {
      status_ = position.status();
      return;
    }
    if (!LoadFrom(position->child)) return;
    // In the block that was looked for, stems before the target's are skipped. If damage put us in
    // a later block, all of it is behind the target.
    if (block_ == position->child && !cursor_.SeekStem(target.anchor)) {
      if (!EndBlock()) return;
    }
    do {
      Advance();
    } while (valid_ && Compare(cursor_.key(), target) < 0);
  }

  void Next() noexcept override { Advance(); }

 private:
  void Reset() noexcept {
    valid_ = false;
    status_ = Status::Ok();
    has_last_ = false;
  }

  // To the next entry, over block ends.
  void Advance() noexcept {
    valid_ = false;
    for (;;) {
      while (!cursor_.Next()) {
        if (!EndBlock()) return;
      }
      if (!at_block_start_ || InOrder()) break;
      if (!Damaged(OrderCorruption()) || !LoadFrom(block_ + 1)) return;
    }
    at_block_start_ = false;
    handed_out_end_ = cursor_.position();
    valid_ = true;
  }

  // After the last entry of a block, or damage in it: the next block. False at the end.
  bool EndBlock() noexcept {
    if (*cursor_.error() != '\0') {
      if (!Damaged(table_->BlockCorruption(BlockKind::kData, block_ * kTableBlockBytes,
                                           Status::Corruption(cursor_.error()))))
        return false;
      RecoverLast();
    } else if (!at_block_start_) {
      last_ = OwnedStemKey(cursor_.key());
      has_last_ = true;
    }
    return LoadFrom(block_ + 1);
  }

  // Where a block is damaged the cursor has lost the key of the last entry that was handed out,
  // which what follows must not lie below.
  void RecoverLast() noexcept {
    const std::span<const std::byte, kTableBlockBytes> block(block_bytes_, kTableBlockBytes);
    if (handed_out_end_ == 0 || !cursor_.Open(block)) return;
    while (cursor_.Next() && cursor_.position() <= handed_out_end_) {
      last_ = OwnedStemKey(cursor_.key());
      has_last_ = true;
    }
  }

  [[nodiscard]] bool InOrder() const noexcept {
    return !has_last_ || Compare(last_.view(), cursor_.key()) <= 0;
  }

  [[nodiscard]] Status OrderCorruption() const noexcept {
    return TableCorruption(
        table_->path(), BlockKind::kData, block_ * kTableBlockBytes, kTableBlockBytes,
        {"key order", "not below " + KeyToString(last_.view()), KeyToString(cursor_.key())});
  }

  // Puts the cursor before the first entry of `block`, or of the next one that is whole.
  bool LoadFrom(uint64_t block) noexcept {
    for (; block < table_->footer_.data_blocks; ++block) {
      block_ = block;
      at_block_start_ = true;
      handed_out_end_ = 0;
      Status read;
      const std::byte* bytes = Fetch(block, &read);
      block_bytes_ = bytes;
      if (read.ok()) {
        const auto span = std::span<const std::byte, kTableBlockBytes>(bytes, kTableBlockBytes);
        if (cursor_.Open(span)) return true;
        read = table_->BlockCorruption(BlockKind::kData, block * kTableBlockBytes,
                                       Status::Corruption(cursor_.error()));
      } else if (read.code() != StatusCode::kCorruption) {
        // What cannot be read now may be whole: it is not skipped unasked.
        if (!options_.give_up || !options_.give_up(*table_, read)) {
          status_ = read;
          return false;
        }
        read = table_->UnreadableBlock(block * kTableBlockBytes, read);
      }
      if (!Damaged(read)) return false;
    }
    return false;
  }

  // True if the walk goes on.
  bool Damaged(const Status& damage) noexcept {
    if (options_.on_damage) {
      options_.on_damage(damage);
      return true;
    }
    status_ = damage;
    return false;
  }

  // A verified block, from the cache or the read-ahead buffer.
  const std::byte* Fetch(uint64_t block, Status* status) noexcept {
    const uint64_t offset = block * kTableBlockBytes;
    if (readahead_blocks_ == 0) {
      uint32_t reads = 0;
      auto pinned = table_->GetBlock(offset, &reads);
      CountReads(reads);
      *status = pinned.status();
      if (!pinned.ok()) return nullptr;
      pinned_ = *std::move(pinned);
      return pinned_.bytes().data();
    }
    if (block < buffered_begin_ || block >= buffered_end_) {
      *status = FillBuffer(block);
      if (!status->ok()) return nullptr;
    }
    const std::byte* bytes = buffer_.get() + (block - buffered_begin_) * kTableBlockBytes;
    *status = table_->VerifyBlock(
        offset, std::span<const std::byte, kTableBlockBytes>(bytes, kTableBlockBytes));
    return bytes;
  }

  // Where a request of several blocks fails, each of them is read by itself: a bad sector costs no
  // more than its own block.
  Status FillBuffer(uint64_t block) noexcept {
    if (buffer_ == nullptr) buffer_ = NewAlignedBytes(readahead_blocks_ * kTableBlockBytes);
    const uint64_t ahead = block < singly_end_ ? 1 : readahead_blocks_;
    uint64_t count = std::min(ahead, table_->footer_.data_blocks - block);
    buffered_begin_ = buffered_end_ = 0;
    const auto read = [&] {
      return table_->file_->Read(block * kTableBlockBytes,
                                 std::span(buffer_.get(), count * kTableBlockBytes));
    };
    Status status = read();
    if (!status.ok() && count > 1) {
      singly_end_ = block + count;
      count = 1;
      status = read();
    }
    LAMINA_RETURN_IF_ERROR(status);
    CountReads(count);
    buffered_begin_ = block;
    buffered_end_ = block + count;
    return Status::Ok();
  }

  void CountReads(uint64_t blocks) noexcept {
    if (table_->counters_ != nullptr)
      IndexCounters::Add(table_->counters_->block_reads_seek, blocks);
  }

  std::shared_ptr<const Table> table_;
  TableIterateOptions options_;
  uint64_t readahead_blocks_;
  PinnedBlock pinned_;
  AlignedBytes buffer_;
  uint64_t buffered_begin_ = 0;
  uint64_t buffered_end_ = 0;
  uint64_t singly_end_ = 0;  // blocks below are read one by one
  uint64_t block_ = 0;
  DataBlockCursor cursor_;
  const std::byte* block_bytes_ = nullptr;  // the cursor's
  bool at_block_start_ = true;
  uint32_t handed_out_end_ = 0;  // of the last entry that was handed out, in the block; 0: none was
  bool valid_ = false;
  OwnedStemKey last_;  // the last key of the block before
  bool has_last_ = false;
  Status status_;
};

std::unique_ptr<EntryIterator> Table::NewIterator(TableIterateOptions options) const noexcept {
  return std::make_unique<TableIterator>(shared_from_this(), std::move(options));
}

}  // namespace lamina
