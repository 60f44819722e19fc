#include "engine/index/block_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>

#include "engine/base/status.h"

namespace lamina {

// Lives until its cache goes (a private one: until its pin does). Fields without a comment are
// guarded by the shard's mutex.
struct BlockFrame {
  std::byte* data = nullptr;           // constant
  BlockCache::Shard* shard = nullptr;  // constant; nullptr: private
  std::atomic<uint32_t> pins{0};       // rises under the mutex only
  std::atomic<bool> findable{false};   // in the hash map; changes under the mutex only
  bool used = false;                   // not in a free list
  bool resident = false;               // has memory behind it
  bool referenced = false;             // since the clock hand last passed
  BlockId id;
  BlockFrame* next = nullptr;  // in its hash bucket, or free list
};

namespace {

constexpr size_t kSlabFrames = 64;
constexpr size_t kMaxShards = 16;
constexpr size_t kShardBytes = size_t{1} << 20;  // smaller caches have fewer shards
constexpr size_t kBytesPerFrame = kTableBlockBytes + sizeof(BlockFrame) + 2 * sizeof(BlockFrame*);

size_t FramesFor(size_t bytes) noexcept {
  constexpr size_t kRounding = kSlabFrames * (sizeof(BlockFrame) + sizeof(BlockFrame*));
  return bytes <= kRounding ? 0 : (bytes - kRounding) / kBytesPerFrame;
}

uint64_t HashOfId(BlockId id) noexcept {
  uint64_t h = (id.table * 0x9E3779B97F4A7C15u) ^ (id.offset / kTableBlockBytes);
  h *= 0xD6E8FEB86659FD93u;
  h ^= h >> 32;
  h *= 0x9FB21C651E98DF25u;
  return h ^ (h >> 29);
}

std::byte* MapSlab() noexcept {
  void* memory = mmap(nullptr, kSlabFrames * kTableBlockBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  LAMINA_CHECK(memory != MAP_FAILED);
  return static_cast<std::byte*>(memory);
}

}  // namespace

struct BlockCache::Shard {
  mutable std::mutex mutex;
  std::vector<std::unique_ptr<BlockFrame[]>> slabs;
  std::vector<BlockFrame*> buckets = std::vector<BlockFrame*>(kSlabFrames);
  BlockFrame* free_resident = nullptr;
  BlockFrame* free_empty = nullptr;
  size_t resident_count = 0;
  size_t hand = 0;                     // of the clock, over all frames
  std::atomic<size_t> used_count{0};   // changes under the mutex only
  std::atomic<size_t> frame_limit{0};  // likewise

  ~Shard() {
    for (const auto& slab : slabs) {
      for (size_t i = 0; i < kSlabFrames; ++i) LAMINA_CHECK(slab[i].pins.load() == 0);
      munmap(slab[0].data, kSlabFrames * kTableBlockBytes);
    }
  }

  [[nodiscard]] bool OverLimit() const noexcept { return used_count.load() > frame_limit.load(); }
  [[nodiscard]] size_t frame_count() const noexcept { return slabs.size() * kSlabFrames; }
  [[nodiscard]] BlockFrame& frame(size_t i) noexcept {
    return slabs[i / kSlabFrames][i % kSlabFrames];
  }
  [[nodiscard]] BlockFrame*& bucket(BlockId id) noexcept {
    return buckets[(HashOfId(id) >> 8) & (buckets.size() - 1)];
  }

  [[nodiscard]] BlockFrame* Find(BlockId id) noexcept {
    BlockFrame* frame = bucket(id);
    while (frame != nullptr && frame->id != id) frame = frame->next;
    return frame;
  }

  void Link(BlockFrame* frame) noexcept {
    BlockFrame*& head = bucket(frame->id);
    frame->next = head;
    head = frame;
    frame->findable.store(true);
  }

  void Unlink(BlockFrame* frame) noexcept {
    BlockFrame** link = &bucket(frame->id);
    while (*link != frame) link = &(*link)->next;
    *link = frame->next;
    frame->findable.store(false);
  }

  void AddSlab() noexcept {
    std::byte* memory = MapSlab();
    slabs.push_back(std::make_unique<BlockFrame[]>(kSlabFrames));
    for (size_t i = kSlabFrames; i-- > 0;) {
      BlockFrame& frame = slabs.back()[i];
      frame.data = memory + i * kTableBlockBytes;
      frame.shard = this;
      frame.next = free_empty;
      free_empty = &frame;
    }
    if (frame_count() > buckets.size()) Rehash();
  }

  void Rehash() noexcept {
    std::vector<BlockFrame*> old(std::bit_ceil(frame_count()));
    old.swap(buckets);
    for (BlockFrame* frame : old) {
      while (frame != nullptr) {
        BlockFrame* next = frame->next;
        Link(frame);
        frame = next;
      }
    }
  }

  // A frame that is neither pinned nor used lately, unlinked; nullptr after two rounds.
  BlockFrame* Evict() noexcept {
    for (size_t step = 0; step < 2 * frame_count(); ++step) {
      BlockFrame& candidate = frame(hand);
      hand = (hand + 1) % frame_count();
      if (!candidate.used || candidate.pins.load() != 0) continue;
      if (candidate.findable.load()) {
        if (candidate.referenced) {
          candidate.referenced = false;
          continue;
        }
        Unlink(&candidate);
      }
      return &candidate;
    }
    return nullptr;
  }

  // Back to a free list; its memory goes back to the system when there is more than the limit.
  void Free(BlockFrame* frame) noexcept {
    if (frame->findable.load()) Unlink(frame);
    frame->used = false;
    used_count.fetch_sub(1);
    if (resident_count > frame_limit.load()) {
      madvise(frame->data, kTableBlockBytes, MADV_DONTNEED);
      frame->resident = false;
      --resident_count;
    }
    BlockFrame*& list = frame->resident ? free_resident : free_empty;
    frame->next = list;
    list = frame;
  }

  BlockFrame* TakeFree() noexcept {
    if (free_resident == nullptr && free_empty == nullptr) AddSlab();
    BlockFrame*& list = free_resident != nullptr ? free_resident : free_empty;
    BlockFrame* frame = list;
    list = frame->next;
    frame->used = true;
    used_count.fetch_add(1);
    if (!frame->resident) {
      frame->resident = true;
      ++resident_count;
    }
    return frame;
  }

  // Evicts what can be until the limit holds with `extra` more frames in use.
  void MakeRoom(size_t extra) noexcept {
    while (used_count.load() + extra > frame_limit.load() && used_count.load() > 0) {
      BlockFrame* victim = Evict();
      if (victim == nullptr) return;
      Free(victim);
    }
  }

  void SetLimit(size_t frames) noexcept {
    const std::lock_guard lock(mutex);
    frame_limit.store(frames);
    MakeRoom(0);
    while (resident_count > frames && free_resident != nullptr) {
      BlockFrame* frame = TakeFree();
      Free(frame);
    }
  }

  // After the last pin went. Others may have taken the frame since: everything is asked again.
  void FreeIfUnwanted(BlockFrame* frame) noexcept {
    const std::lock_guard lock(mutex);
    if (frame->used && frame->pins.load() == 0 && (!frame->findable.load() || OverLimit()))
      Free(frame);
  }
};

std::span<const std::byte, kTableBlockBytes> PinnedBlock::bytes() const noexcept {
  return std::span<const std::byte, kTableBlockBytes>(frame_->data, kTableBlockBytes);
}

std::span<std::byte, kTableBlockBytes> PinnedBlock::writable() const noexcept {
  return std::span<std::byte, kTableBlockBytes>(frame_->data, kTableBlockBytes);
}

PinnedBlock PinnedBlock::Private() noexcept {
  auto* frame = new BlockFrame;
  frame->data =
      static_cast<std::byte*>(::operator new(kTableBlockBytes, std::align_val_t(kTableBlockBytes)));
  frame->pins.store(1);
  return PinnedBlock(frame);
}

// Dropping the pin and asking whether the frame is still wanted are sequentially consistent, and so
// are EraseTable's and SetLimit's steps in the other order: at least one side sees the other.
void PinnedBlock::Release() noexcept {
  BlockFrame* frame = std::exchange(frame_, nullptr);
  if (frame == nullptr) return;
  if (frame->shard == nullptr) {
    ::operator delete(frame->data, std::align_val_t(kTableBlockBytes));
    delete frame;
    return;
  }
  BlockCache::Shard* shard = frame->shard;
  if (frame->pins.fetch_sub(1) == 1 && (!frame->findable.load() || shard->OverLimit()))
    shard->FreeIfUnwanted(frame);
}

BlockCache::BlockCache(size_t capacity_bytes) noexcept
    : shard_count_(std::bit_floor(std::clamp(capacity_bytes / kShardBytes, size_t{1}, kMaxShards))),
      shards_(std::make_unique<Shard[]>(shard_count_)),
      capacity_bytes_(0) {
  SetCapacity(capacity_bytes);
}

BlockCache::~BlockCache() = default;

BlockCache::Shard& BlockCache::ShardOf(BlockId id) const noexcept {
  return shards_[HashOfId(id) & (shard_count_ - 1)];
}

PinnedBlock BlockCache::Lookup(BlockId id) noexcept {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.mutex);
  BlockFrame* frame = shard.Find(id);
  if (frame == nullptr) return {};
  frame->referenced = true;
  frame->pins.fetch_add(1);
  return PinnedBlock(frame);
}

bool BlockCache::Contains(BlockId id) const noexcept {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.mutex);
  return shard.Find(id) != nullptr;
}

PinnedBlock BlockCache::Reserve(BlockId id) noexcept {
  Shard& shard = ShardOf(id);
  const std::lock_guard lock(shard.mutex);
  shard.MakeRoom(1);
  BlockFrame* frame = shard.TakeFree();
  frame->id = id;
  frame->referenced = false;
  frame->pins.store(1);
  return PinnedBlock(frame);
}

PinnedBlock BlockCache::Publish(PinnedBlock reserved) noexcept {
  BlockFrame* frame = reserved.frame_;
  Shard& shard = *frame->shard;
  const std::lock_guard lock(shard.mutex);
  LAMINA_CHECK(!frame->findable.load());
  BlockFrame* other = shard.Find(frame->id);
  if (other == nullptr) {
    shard.Link(frame);
    return reserved;
  }
  other->referenced = true;
  other->pins.fetch_add(1);
  // Freed here, since the pin's own release would lock the mutex again.
  reserved.frame_ = nullptr;
  frame->pins.store(0);
  shard.Free(frame);
  return PinnedBlock(other);
}

void BlockCache::EraseTable(uint64_t table) noexcept {
  for (size_t s = 0; s < shard_count_; ++s) {
    Shard& shard = shards_[s];
    const std::lock_guard lock(shard.mutex);
    for (size_t i = 0; i < shard.frame_count(); ++i) {
      BlockFrame& frame = shard.frame(i);
      if (!frame.used || !frame.findable.load() || frame.id.table != table) continue;
      shard.Unlink(&frame);
      if (frame.pins.load() == 0) shard.Free(&frame);
    }
  }
}

void BlockCache::SetCapacity(size_t capacity_bytes) noexcept {
  capacity_bytes_.store(capacity_bytes, std::memory_order_relaxed);
  for (size_t s = 0; s < shard_count_; ++s)
    shards_[s].SetLimit(FramesFor(capacity_bytes / shard_count_));
}

size_t BlockCache::capacity_bytes() const noexcept {
  return capacity_bytes_.load(std::memory_order_relaxed);
}

size_t BlockCache::bytes() const noexcept {
  size_t bytes = 0;
  for (size_t s = 0; s < shard_count_; ++s) {
    const Shard& shard = shards_[s];
    const std::lock_guard lock(shard.mutex);
    bytes += shard.resident_count * kTableBlockBytes + shard.frame_count() * sizeof(BlockFrame) +
             shard.buckets.capacity() * sizeof(BlockFrame*);
  }
  return bytes;
}

size_t BlockCache::block_count() const noexcept {
  size_t count = 0;
  for (size_t s = 0; s < shard_count_; ++s) count += shards_[s].used_count.load();
  return count;
}

}  // namespace lamina
