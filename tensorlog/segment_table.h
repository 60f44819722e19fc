// From a segment id to its segment, without a lock.
//
// Readers look segments up for every page they locate, and segments go away rarely (when one is cut
// anew or the store shrinks). So a reader only marks that it is reading, in a counter on a cache
// line that it shares with few threads; whoever removes a segment unlinks it and then waits until
// all who were reading at that time have finished. Counters come in two sets: readers use the
// current one, and a remover switches sets and waits for the old one to empty, so that a stream of
// new readers does not hold it up.
#ifndef LAMINA_TENSORLOG_SEGMENT_TABLE_H_
#define LAMINA_TENSORLOG_SEGMENT_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "tensorlog/segment.h"

namespace lamina {

// Thread-safe.
class SegmentTable {
 public:
  // While one exists, no segment found through it goes away. Short-lived, never across I/O: what is
  // to stay longer is held by a pin (a segment with a pinned slot is not removed). Does not block,
  // and may be nested.
  class ReadSection {
   public:
    explicit ReadSection(const SegmentTable& table) noexcept;
    ~ReadSection();
    ReadSection(const ReadSection&) = delete;
    ReadSection& operator=(const ReadSection&) = delete;
    // Null for an id that is not in the table.
    [[nodiscard]] Segment* Find(uint32_t id) const noexcept { return table_.Find(id); }

   private:
    const SegmentTable& table_;
    std::atomic<uint64_t>* counter_;
  };

  SegmentTable() noexcept;
  ~SegmentTable();
  SegmentTable(const SegmentTable&) = delete;
  SegmentTable& operator=(const SegmentTable&) = delete;

  // Ids are used once; kMaxSegmentId bounds them.
  static constexpr uint32_t kMaxSegmentId = (1u << 24) - 1;
  // Memory of an empty table, bytes.
  static constexpr uint64_t kIndexBytes = uint64_t{kMaxSegmentId + 1} / 1024 * sizeof(void*);
  Segment* Add(std::unique_ptr<Segment> segment) noexcept;
  // Unlinks it and waits for the read sections that may know it. Not within a read section.
  std::unique_ptr<Segment> Remove(uint32_t id) noexcept;
  // All of them, by id. Valid until one of them is removed.
  [[nodiscard]] std::vector<Segment*> All() const noexcept;
  // Changes whenever All() does, and with NoteChange. Who reads the same version in two read
  // sections may use in the second what All() gave in the first.
  [[nodiscard]] uint64_t version() const noexcept {
    return version_.load(std::memory_order_seq_cst);
  }
  // A property of a segment changed that users of All() care about.
  void NoteChange() noexcept { version_.fetch_add(1, std::memory_order_seq_cst); }

 private:
  static constexpr size_t kBlockIds = 1024;
  static constexpr size_t kBlocks = (size_t{kMaxSegmentId} + 1) / kBlockIds;
  static constexpr size_t kShards = 64;
  using Block = std::array<std::atomic<Segment*>, kBlockIds>;
  struct alignas(64) Shard {
    std::array<std::atomic<uint64_t>, 2> readers{};
  };

  [[nodiscard]] Segment* Find(uint32_t id) const noexcept;
  void WaitForReaders() noexcept;

  std::unique_ptr<std::array<std::atomic<Block*>, kBlocks>> blocks_;
  std::atomic<uint32_t> ids_end_{0};  // behind the largest id that was ever added
  mutable std::array<Shard, kShards> shards_;
  std::atomic<uint32_t> current_set_{0};
  std::atomic<uint64_t> version_{1};
  mutable std::mutex mutex_;  // writers
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SEGMENT_TABLE_H_
