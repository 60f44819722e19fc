#include "tensorlog/eviction/record_table.h"

#include <algorithm>

namespace lamina {

RecordTable::RecordTable(uint64_t limit) noexcept
    : limit_(static_cast<size_t>(std::clamp<uint64_t>(limit, 1, kChainMask - 1))) {
  records_.reserve(limit_);
  heads_.assign(limit_, kNoRecord);
}

uint64_t RecordTable::memory_bytes() const noexcept {
  return records_.size() * sizeof(Record) + heads_.size() * sizeof(RecordId);
}

// Fingerprints are hashes, flat test keys may not be: mix.
size_t RecordTable::SlotOf(uint64_t key) const noexcept {
  const uint64_t h = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(((h >> 32) * heads_.size()) >> 32);
}

RecordId RecordTable::Find(uint64_t key) const noexcept {
  RecordId id = heads_[SlotOf(key)];
  while (id != kNoRecord && records_[id].key != key) {
    const uint32_t next = records_[id].chain_and_bucket_ & kChainMask;
    id = next == kChainMask ? kNoRecord : next;
  }
  return id;
}

RecordId RecordTable::Insert(uint64_t key, uint32_t bucket) noexcept {
  LAMINA_CHECK(size_ < limit_);
  RecordId id = free_;
  if (id == kNoRecord) {
    id = static_cast<RecordId>(records_.size());
    records_.emplace_back();
  } else {
    const uint32_t next = records_[id].chain_and_bucket_ & kChainMask;
    free_ = next == kChainMask ? kNoRecord : next;
    records_[id] = Record();
  }
  RecordId& head = heads_[SlotOf(key)];
  records_[id].key = key;
  records_[id].chain_and_bucket_ = head == kNoRecord ? kChainMask : head;
  head = id;
  Append(id, bucket);
  ++size_;
  return id;
}

void RecordTable::Remove(RecordId id) noexcept {
  Unlink(id);
  const uint32_t next = records_[id].chain_and_bucket_ & kChainMask;
  RecordId& head = heads_[SlotOf(records_[id].key)];
  if (head == id) {
    head = next == kChainMask ? kNoRecord : next;
  } else {
    RecordId before = head;
    while ((records_[before].chain_and_bucket_ & kChainMask) != id)
      before = records_[before].chain_and_bucket_ & kChainMask;
    uint32_t& link = records_[before].chain_and_bucket_;
    link = (link & ~kChainMask) | next;
  }
  records_[id].chain_and_bucket_ = free_ == kNoRecord ? kChainMask : free_;
  free_ = id;
  --size_;
}

void RecordTable::Move(RecordId id, uint32_t bucket) noexcept {
  Unlink(id);
  Append(id, bucket);
}

uint32_t RecordTable::bucket_of(RecordId id) const noexcept {
  return records_[id].chain_and_bucket_ >> kBucketShift;
}

RecordId RecordTable::oldest() const noexcept {
  for (size_t bucket = kAgeBuckets; bucket-- > 0;)
    if (queues_[bucket].oldest != kNoRecord) return queues_[bucket].oldest;
  return kNoRecord;
}

void RecordTable::Unlink(RecordId id) noexcept {
  const Record& record = records_[id];
  Queue& queue = queues_[bucket_of(id)];
  (record.older_ == kNoRecord ? queue.oldest : records_[record.older_].newer_) = record.newer_;
  (record.newer_ == kNoRecord ? queue.newest : records_[record.newer_].older_) = record.older_;
}

void RecordTable::Append(RecordId id, uint32_t bucket) noexcept {
  Record& record = records_[id];
  Queue& queue = queues_[bucket];
  record.chain_and_bucket_ = (record.chain_and_bucket_ & kChainMask) | bucket << kBucketShift;
  record.older_ = queue.newest;
  record.newer_ = kNoRecord;
  (queue.newest == kNoRecord ? queue.oldest : records_[queue.newest].newer_) = id;
  queue.newest = id;
}

}  // namespace lamina
