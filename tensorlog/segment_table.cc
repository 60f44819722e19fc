#include "tensorlog/segment_table.h"

#include <algorithm>
#include <thread>

namespace lamina {
namespace {

// Each thread keeps to one shard; threads are spread evenly.
size_t ShardOfThread(size_t shards) noexcept {
  static std::atomic<size_t> next{0};
  thread_local const size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine % shards;
}

}  // namespace

SegmentTable::ReadSection::ReadSection(const SegmentTable& table) noexcept : table_(table) {
  Shard& shard = table.shards_[ShardOfThread(kShards)];
  // Sequentially consistent, as are the remover's unlinking store and its load of the counter:
  // either the remover sees this increment, or this reader sees the segment unlinked.
  const uint32_t set = table.current_set_.load(std::memory_order_seq_cst);
  counter_ = &shard.readers[set];
  counter_->fetch_add(1, std::memory_order_seq_cst);
}

SegmentTable::ReadSection::~ReadSection() { counter_->fetch_sub(1, std::memory_order_release); }

SegmentTable::SegmentTable() noexcept
    : blocks_(std::make_unique<std::array<std::atomic<Block*>, kBlocks>>()) {}

SegmentTable::~SegmentTable() {
  for (std::atomic<Block*>& block : *blocks_) {
    Block* const ids = block.load(std::memory_order_relaxed);
    if (ids == nullptr) continue;
    for (std::atomic<Segment*>& id : *ids) delete id.load(std::memory_order_relaxed);
    delete ids;
  }
}

Segment* SegmentTable::Find(uint32_t id) const noexcept {
  if (id > kMaxSegmentId) return nullptr;
  const Block* const block = (*blocks_)[id / kBlockIds].load(std::memory_order_acquire);
  if (block == nullptr) return nullptr;
  return (*block)[id % kBlockIds].load(std::memory_order_seq_cst);
}

Segment* SegmentTable::Add(std::unique_ptr<Segment> segment) noexcept {
  const uint32_t id = segment->id();
  LAMINA_CHECK(id <= kMaxSegmentId);
  const std::lock_guard lock(mutex_);
  std::atomic<Block*>& block = (*blocks_)[id / kBlockIds];
  if (block.load(std::memory_order_relaxed) == nullptr) {
    block.store(new Block{}, std::memory_order_release);
  }
  std::atomic<Segment*>& place = (*block.load(std::memory_order_relaxed))[id % kBlockIds];
  LAMINA_CHECK(place.load(std::memory_order_relaxed) == nullptr);
  ids_end_.store(std::max(ids_end_.load(std::memory_order_relaxed), id + 1),
                 std::memory_order_release);
  Segment* const added = segment.release();
  place.store(added, std::memory_order_seq_cst);
  NoteChange();
  return added;
}

std::unique_ptr<Segment> SegmentTable::Remove(uint32_t id) noexcept {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Segment> removed(Find(id));
  if (removed == nullptr) return removed;
  Block* const block = (*blocks_)[id / kBlockIds].load(std::memory_order_relaxed);
  (*block)[id % kBlockIds].store(nullptr, std::memory_order_seq_cst);
  // Before the wait: who enters after it finds another version, and looks again.
  NoteChange();
  // Twice: a reader may have chosen its set before the first switch and counted itself after the
  // first wait; the second wait is for the set that it chose.
  WaitForReaders();
  WaitForReaders();
  return removed;
}

void SegmentTable::WaitForReaders() noexcept {
  const uint32_t old_set = current_set_.load(std::memory_order_relaxed);
  current_set_.store(1 - old_set, std::memory_order_seq_cst);
  for (Shard& shard : shards_) {
    // Read sections last for microseconds, and segments are removed rarely.
    while (shard.readers[old_set].load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  }
}

std::vector<Segment*> SegmentTable::All() const noexcept {
  std::vector<Segment*> all;
  const size_t end = (ids_end_.load(std::memory_order_acquire) + kBlockIds - 1) / kBlockIds;
  for (size_t i = 0; i < end; ++i) {
    const Block* const ids = (*blocks_)[i].load(std::memory_order_acquire);
    if (ids == nullptr) continue;
    for (const std::atomic<Segment*>& id : *ids) {
      if (Segment* segment = id.load(std::memory_order_seq_cst)) all.push_back(segment);
    }
  }
  return all;
}

}  // namespace lamina
