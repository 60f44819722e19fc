#include "tensorlog/eviction/record_table.h"

#include <algorithm>

namespace lamina {

RecordTable::RecordTable(uint64_t limit) noexcept : limit_(LimitOf(limit)) {
  heads_.assign(limit_, kNoRecord);
}

size_t RecordTable::LimitOf(uint64_t limit) noexcept {
  return static_cast<size_t>(std::clamp<uint64_t>(limit, 1, kChainMask - 1));
}

uint64_t RecordTable::memory_bytes() const noexcept {
  return end_ * sizeof(Record) + heads_.size() * sizeof(RecordId);
}

// Fingerprints are hashes, flat test keys may not be: mix.
size_t RecordTable::SlotOf(uint64_t key) const noexcept {
  const uint64_t h = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(((h >> 32) * heads_.size()) >> 32);
}

// The next in its chain, or the next free one.
RecordId RecordTable::NextOf(RecordId id) const noexcept {
  const uint32_t next = (*this)[id].chain_and_bucket_ & kChainMask;
  return next == kChainMask ? kNoRecord : next;
}

RecordId RecordTable::Find(uint64_t key) const noexcept {
  RecordId id = heads_[SlotOf(key)];
  while (id != kNoRecord && (*this)[id].key != key) id = NextOf(id);
  return id;
}

RecordId RecordTable::Insert(uint64_t key, uint32_t bucket) noexcept {
  LAMINA_CHECK(size_ < limit_);
  RecordId id = free_;
  if (id == kNoRecord) {
    id = end_++;
    if (id % kChunkRecords == 0) chunks_.push_back(std::make_unique<Record[]>(kChunkRecords));
  } else {
    free_ = NextOf(id);
  }
  Record& record = (*this)[id];
  record = Record();
  record.key = key;
  Link(id);
  Append(id, bucket);
  ++size_;
  return id;
}

// Into its key's chain.
void RecordTable::Link(RecordId id) noexcept {
  RecordId& head = heads_[SlotOf((*this)[id].key)];
  uint32_t& link = (*this)[id].chain_and_bucket_;
  link = (link & ~kChainMask) | (head == kNoRecord ? kChainMask : head);
  head = id;
}

void RecordTable::Remove(RecordId id) noexcept {
  Unlink(id);
  const uint32_t next = (*this)[id].chain_and_bucket_ & kChainMask;
  RecordId& head = heads_[SlotOf((*this)[id].key)];
  if (head == id) {
    head = next == kChainMask ? kNoRecord : next;
  } else {
    RecordId before = head;
    while (NextOf(before) != id) before = NextOf(before);
    uint32_t& link = (*this)[before].chain_and_bucket_;
    link = (link & ~kChainMask) | next;
  }
  PushFree(id);
  --size_;
}

void RecordTable::PushFree(RecordId id) noexcept {
  (*this)[id].chain_and_bucket_ = free_ == kNoRecord ? kChainMask : free_;
  free_ = id;
}

// The chains are made anew, the old ones gone before there are new ones.
void RecordTable::Resize(uint64_t limit) noexcept {
  limit_ = LimitOf(limit);
  LAMINA_CHECK(size_ <= limit_);
  heads_ = std::vector<RecordId>();
  if (end_ > limit_) MoveBelow(static_cast<RecordId>(limit_));
  heads_.assign(limit_, kNoRecord);
  for (const Queue& queue : queues_)
    for (RecordId id = queue.oldest; id != kNoRecord; id = newer(id)) Link(id);
}

// Puts the records behind that id into free places before it, and gives up what is behind it.
void RecordTable::MoveBelow(RecordId end) noexcept {
  std::vector<RecordId> free;
  for (RecordId id = free_; id != kNoRecord; id = NextOf(id))
    if (id < end) free.push_back(id);
  for (Queue& queue : queues_) {
    RecordId id = queue.oldest;
    while (id != kNoRecord) {
      const RecordId next = newer(id);
      if (id >= end) {
        const RecordId to = free.back();
        free.pop_back();
        const Record& record = (*this)[to] = (*this)[id];
        (record.older_ == kNoRecord ? queue.oldest : (*this)[record.older_].newer_) = to;
        (record.newer_ == kNoRecord ? queue.newest : (*this)[record.newer_].older_) = to;
      }
      id = next;
    }
  }
  free_ = kNoRecord;
  for (const RecordId id : free) PushFree(id);
  end_ = end;
  chunks_.resize((end + kChunkRecords - 1) / kChunkRecords);
}

void RecordTable::Move(RecordId id, uint32_t bucket) noexcept {
  Unlink(id);
  Append(id, bucket);
}

uint32_t RecordTable::bucket_of(RecordId id) const noexcept {
  return (*this)[id].chain_and_bucket_ >> kBucketShift;
}

RecordId RecordTable::oldest() const noexcept {
  for (size_t bucket = kAgeBuckets; bucket-- > 0;)
    if (queues_[bucket].oldest != kNoRecord) return queues_[bucket].oldest;
  return kNoRecord;
}

void RecordTable::Unlink(RecordId id) noexcept {
  const Record& record = (*this)[id];
  Queue& queue = queues_[bucket_of(id)];
  (record.older_ == kNoRecord ? queue.oldest : (*this)[record.older_].newer_) = record.newer_;
  (record.newer_ == kNoRecord ? queue.newest : (*this)[record.newer_].older_) = record.older_;
}

void RecordTable::Append(RecordId id, uint32_t bucket) noexcept {
  Record& record = (*this)[id];
  Queue& queue = queues_[bucket];
  record.chain_and_bucket_ = (record.chain_and_bucket_ & kChainMask) | bucket << kBucketShift;
  record.older_ = queue.newest;
  record.newer_ = kNoRecord;
  (queue.newest == kNoRecord ? queue.oldest : (*this)[queue.newest].newer_) = id;
  queue.newest = id;
}

}  // namespace lamina
