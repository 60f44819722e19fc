// The cache of table blocks: fixed 4 KiB frames, page-aligned so that direct reads land in them.
//
// Sharded; each shard has a mutex, a hash map and a clock hand. Frames are cut from mappings of 64,
// so a block costs 4 KiB and no allocator slack. A pinned block is never evicted or overwritten.
// When every frame is pinned (or the capacity is zero) blocks still get frames, which are findable,
// counted, and freed when unpinned: readers never fail or wait for the cache.
#ifndef LAMINA_ENGINE_INDEX_BLOCK_CACHE_H_
#define LAMINA_ENGINE_INDEX_BLOCK_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace lamina {

inline constexpr size_t kTableBlockBytes = 4096;

// A block of a table, by the table's number and the block's offset in its file.
struct BlockId {
  uint64_t table = 0;
  uint64_t offset = 0;
  friend bool operator==(const BlockId&, const BlockId&) = default;
};

class BlockCache;
struct BlockFrame;

// A pin on the bytes of a block. Movable, and may be released by any thread; must not outlive its
// cache. Empty when default-constructed.
class PinnedBlock {
 public:
  PinnedBlock() noexcept = default;
  PinnedBlock(PinnedBlock&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  PinnedBlock& operator=(PinnedBlock&& other) noexcept {
    if (this != &other) {
      Release();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~PinnedBlock() { Release(); }

  explicit operator bool() const noexcept { return frame_ != nullptr; }
  [[nodiscard]] std::span<const std::byte, kTableBlockBytes> bytes() const noexcept;
  // To read into, before Publish; aligned to kTableBlockBytes.
  [[nodiscard]] std::span<std::byte, kTableBlockBytes> writable() const noexcept;
  void Release() noexcept;

  // A frame of its own that belongs to no cache.
  static PinnedBlock Private() noexcept;

 private:
  friend class BlockCache;
  explicit PinnedBlock(BlockFrame* frame) noexcept : frame_(frame) {}
  BlockFrame* frame_ = nullptr;
};

// Thread-safe.
class BlockCache {
 public:
  explicit BlockCache(size_t capacity_bytes) noexcept;
  ~BlockCache();  // no block may be pinned
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // The block, pinned, or empty.
  [[nodiscard]] PinnedBlock Lookup(BlockId id) noexcept;
  // Whether it is here; leaves its recency alone.
  [[nodiscard]] bool Contains(BlockId id) const noexcept;

  // A pinned frame to read block `id` into; nobody else sees it until Publish. May evict.
  [[nodiscard]] PinnedBlock Reserve(BlockId id) noexcept;
  // Makes a reserved and filled frame findable, if its content was verified and no other thread was
  // faster. Returns a pin on the cached copy. Dropping a reserved frame instead abandons it.
  [[nodiscard]] PinnedBlock Publish(PinnedBlock reserved) noexcept;

  // Forgets all blocks of a table (its file is going away). Pinned ones stay readable.
  void EraseTable(uint64_t table) noexcept;
  // Evicts down to a smaller capacity at once (pinned blocks as they are released).
  void SetCapacity(size_t capacity_bytes) noexcept;

  [[nodiscard]] size_t capacity_bytes() const noexcept;
  // Memory held: frames, used or kept for use, and the bookkeeping of all frames ever made. At most
  // capacity_bytes() unless pins hold more (or it is too small for one frame).
  [[nodiscard]] size_t bytes() const noexcept;
  // Blocks in frames, findable or not.
  [[nodiscard]] size_t block_count() const noexcept;

 private:
  friend class PinnedBlock;
  friend struct BlockFrame;
  struct Shard;
  [[nodiscard]] Shard& ShardOf(BlockId id) const noexcept;

  size_t shard_count_;
  std::unique_ptr<Shard[]> shards_;
  std::atomic<size_t> capacity_bytes_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_BLOCK_CACHE_H_
