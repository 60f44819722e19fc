// Records of pages seen recently, whether or not they are resident: a hash table whose records also
// stand in queues, one per age bucket, each in order of last use.
//
// Bounded: the owner drops the oldest record before it adds one beyond limit(). 36 bytes a record,
// of which 32 are allocated as it fills, in chunks, so that it changes its size in place.
#ifndef LAMINA_TENSORLOG_EVICTION_RECORD_TABLE_H_
#define LAMINA_TENSORLOG_EVICTION_RECORD_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tensorlog/eviction/age_buckets.h"
#include "tensorlog/eviction/policy.h"

namespace lamina {

using RecordId = uint32_t;
inline constexpr RecordId kNoRecord = UINT32_MAX;

struct Record {
  uint64_t key = 0;
  Heat heat;
  uint32_t features = 0;  // the model's, 4 bits each
 private:
  friend class RecordTable;
  RecordId older_ = kNoRecord;
  RecordId newer_ = kNoRecord;
  // The next of the same hash; of a free record, the next free one. The bucket is kept in its top
  // bits, which an id never reaches.
  uint32_t chain_and_bucket_ = 0;
};
static_assert(sizeof(Record) == 32);

class RecordTable {
 public:
  static constexpr uint64_t kBytesPerRecord = sizeof(Record) + sizeof(RecordId);

  explicit RecordTable(uint64_t limit) noexcept;

  // The most records it may hold, at least 1.
  [[nodiscard]] size_t limit() const noexcept { return limit_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] uint64_t memory_bytes() const noexcept;
  // Changes the limit, to size() at least. Ids of records may change.
  void Resize(uint64_t limit) noexcept;
  // What Resize makes of a limit.
  static size_t LimitOf(uint64_t limit) noexcept;

  // kNoRecord if there is none.
  [[nodiscard]] RecordId Find(uint64_t key) const noexcept;
  [[nodiscard]] Record& operator[](RecordId id) noexcept {
    return chunks_[id / kChunkRecords][id % kChunkRecords];
  }
  [[nodiscard]] const Record& operator[](RecordId id) const noexcept {
    return chunks_[id / kChunkRecords][id % kChunkRecords];
  }

  // Adds a record as the newest of `bucket`. The key must be new, and size() below limit().
  RecordId Insert(uint64_t key, uint32_t bucket) noexcept;
  void Remove(RecordId id) noexcept;
  // Takes a record out of its queue and makes it the newest of `bucket`.
  void Move(RecordId id, uint32_t bucket) noexcept;

  [[nodiscard]] uint32_t bucket_of(RecordId id) const noexcept;
  // The oldest record of a bucket, or of all; kNoRecord if there is none.
  [[nodiscard]] RecordId oldest(uint32_t bucket) const noexcept { return queues_[bucket].oldest; }
  [[nodiscard]] RecordId oldest() const noexcept;
  // The next newer record in the same bucket.
  [[nodiscard]] RecordId newer(RecordId id) const noexcept { return (*this)[id].newer_; }

 private:
  struct Queue {
    RecordId oldest = kNoRecord;
    RecordId newest = kNoRecord;
  };
  static constexpr uint32_t kBucketShift = 26;
  static constexpr uint32_t kChainMask = (1u << kBucketShift) - 1;  // also: no next record
  static constexpr RecordId kChunkRecords = 1u << 10;

  [[nodiscard]] size_t SlotOf(uint64_t key) const noexcept;
  void Unlink(RecordId id) noexcept;
  void Append(RecordId id, uint32_t bucket) noexcept;
  void Link(RecordId id) noexcept;
  void PushFree(RecordId id) noexcept;
  void MoveBelow(RecordId end) noexcept;
  [[nodiscard]] RecordId NextOf(RecordId id) const noexcept;

  size_t limit_;
  size_t size_ = 0;
  RecordId end_ = 0;  // ids below it have been used
  std::vector<std::unique_ptr<Record[]>> chunks_;
  std::vector<RecordId> heads_;  // by hash, as many as limit_
  RecordId free_ = kNoRecord;
  std::array<Queue, kAgeBuckets> queues_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_RECORD_TABLE_H_
