// Data blocks: front-coding entries into them, and walking them again. Format: table_format.h.
#ifndef LAMINA_ENGINE_INDEX_DATA_BLOCK_H_
#define LAMINA_ENGINE_INDEX_DATA_BLOCK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/index/block_cache.h"
#include "engine/index/entry.h"
#include "engine/index/stem_key.h"
#include "engine/index/table_format.h"

namespace lamina {

// Cuts a stream of entries into blocks, keeping stems whole where that is cheap. Keys must come in
// order; the caller has checked. Used by one thread.
class DataBlockBuilder {
 public:
  // Takes a finished block (identity and checksum still to be written) and its separator. Both
  // views end with the call.
  using Sink = std::function<Status(std::span<std::byte, kTableBlockBytes> block,
                                    std::string_view separator)>;
  explicit DataBlockBuilder(Sink sink) noexcept;

  Status Add(const StemKey& key, const Entry& entry) noexcept;
  // Hands out what is still buffered.
  Status Finish() noexcept;

 private:
  // Of the stem that is being collected.
  struct Pending {
    size_t fingerprints_begin;  // in fingerprints_
    uint32_t depth;
    uint32_t shared;  // fingerprints in common with the entry before, of the same stem
    Entry entry;
  };
  // What an append changes, so that one that overflows can be undone.
  struct State {
    size_t size = 0;        // of bytes_
    size_t control_at = 0;  // of the last head entry
    size_t run_at = 0;      // of its run count; 0: it has no run
    uint8_t control = 0;    // at control_at
    uint8_t run = 0;        // at run_at
    uint32_t depth = 0;     // of the last key
    SlotRef slot;           // of the last entry
    uint32_t length = 0;
    uint16_t entry_count = 0;
    size_t restart_count = 0;
  };

  [[nodiscard]] StemKey KeyOf(const Pending& pending) const noexcept;
  [[nodiscard]] size_t Used() const noexcept;
  Status PlaceStem(bool stem_ends) noexcept;
  bool AppendAll() noexcept;
  Status AppendCutting() noexcept;
  bool Append(const Pending& pending, bool stem_starts) noexcept;
  bool TryExtendRun(const Pending& pending) noexcept;
  void AppendHead(const Pending& pending, EntryKey kind) noexcept;
  void Undo(const State& before) noexcept;
  void StartBlock(const StemKey& first, const Entry& entry) noexcept;
  Status CloseBlock(const StemKey& last) noexcept;

  Sink sink_;
  std::vector<Pending> pending_;
  std::vector<Fingerprint> fingerprints_;
  Digest anchor_;
  bool stem_continues_ = false;  // part of the pending stem was placed already
  std::string bytes_;            // entries of the open block
  std::vector<uint16_t> restarts_;
  State state_;
  SlotRef base_slot_;
  uint32_t base_length_ = 0;
  std::string separator_;     // of the open block
  OwnedStemKey last_placed_;  // the last key placed before those pending
  std::string last_closed_;   // bytes of the last key of the block before
  bool any_closed_ = false;
};

// Walks the entries of a block whose identity and checksum are right. Checks structure and order of
// what it decodes, so that no content makes it read outside the block. Used by one thread.
class DataBlockCursor {
 public:
  // Both checks the header and puts the cursor before the first entry. False if it makes no sense
  // (see error()).
  bool Open(std::span<const std::byte, kTableBlockBytes> block) noexcept;

  // Puts the cursor before the first entry whose anchor is not below `anchor`. False if there is
  // none, or on damage.
  bool SeekStem(Digest anchor) noexcept;
  // To the next entry. False at the end of the block, or on damage.
  bool Next() noexcept;

  // Of the current entry; views end with the next move.
  [[nodiscard]] StemKey key() const noexcept {
    return {anchor_, std::span<const Fingerprint>(path_.data(), depth_)};
  }
  [[nodiscard]] Digest anchor() const noexcept { return anchor_; }
  [[nodiscard]] const Entry& entry() const noexcept { return entry_; }
  // Fingerprints that the current key has in common with the one before (0 at a restart).
  [[nodiscard]] uint32_t shared() const noexcept { return shared_; }
  // Empty unless the block's content is impossible.
  [[nodiscard]] const char* error() const noexcept { return error_; }

  [[nodiscard]] uint32_t entry_count() const noexcept { return entry_count_; }
  [[nodiscard]] uint32_t restart_count() const noexcept { return restart_count_; }
  [[nodiscard]] uint32_t entries_end() const noexcept { return entries_end_; }
  // Where the next entry begins, in the block.
  [[nodiscard]] uint32_t position() const noexcept { return at_; }
  // Offset of the i-th restart as the block has it.
  [[nodiscard]] uint32_t restart(uint32_t i) const noexcept;

 private:
  bool Fail(const char* what) noexcept;
  bool Need(size_t bytes) noexcept;
  bool Varint(uint64_t* value) noexcept;
  bool DecodeRunEntry() noexcept;
  bool DecodeHead() noexcept;
  bool DecodeRestart(uint8_t control) noexcept;
  bool DecodeBranch() noexcept;
  bool DecodeChild() noexcept;
  bool DecodeSlotAndLength(uint8_t control) noexcept;

  const std::byte* block_ = nullptr;
  const char* error_ = "";
  uint32_t entry_count_ = 0;
  uint32_t restart_count_ = 0;
  uint32_t entries_end_ = 0;
  uint32_t at_ = 0;
  uint32_t run_left_ = 0;
  uint32_t shared_ = 0;
  uint32_t depth_ = 0;
  bool at_stem_ = false;  // nothing decoded since Open or SeekStem
  Digest anchor_;
  Entry entry_;
  SlotRef base_slot_;
  uint32_t base_length_ = 0;
  std::array<Fingerprint, kMaxStemPages> path_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_DATA_BLOCK_H_
