// How memory_bytes is divided, and what keeps to its part:
//
//   work in progress        a sixteenth, at most 32 MiB: what flushes, merges, moves and
//                           checkpoints hold while they run, and what the allocator cannot give
//                           back
//   memtables and buffers   fixed at open
//   eviction policy         a quarter of what slots left at open, at most, its state included
//                           while that is saved or loaded
//   slots                   what the rest leaves, but for a sixteenth kept for tables: segments are
//                           not added beyond that, and the store is full
//   tables                  filters, as many bits as slots and the rest leave; their top indexes
//   block cache             what all of these leave now
//
// So what is open never takes more than the next open would allow. While a job installs its run,
// the tables that it replaces are in memory beside the new ones.
#include <algorithm>

#include "engine/store/store_impl.h"
#include "tensorlog/eviction/state_format.h"
#include "tensorlog/segment_table.h"

namespace lamina {
namespace {

// Filters get so many bits per entry on average, and at most this share of the memory.
constexpr double kFilterBitsPerEntry = 10;
constexpr uint64_t kFilterMemoryShare = 4;
// Tables have this share of what slots and tables have together, used or not: a filter of 10 bits
// and a top index for each slot, of 32 bytes, and half as many more entries that are dead.
constexpr uint64_t kTableMemoryShare = 16;
constexpr uint64_t kWorkMemoryShare = 16;
constexpr uint64_t kMostWorkMemory = uint64_t{32} << 20;

uint64_t Without(uint64_t bytes, uint64_t taken) noexcept {
  return bytes > taken ? bytes - taken : 0;
}

}  // namespace

// Memtables (one active, the frozen ones), the bounce pool, and work in progress.
uint64_t Store::Impl::FixedMemoryBytes() const noexcept {
  return kMemtables * memtable_bytes_ + bounce_->stats().capacity_bytes + WorkMemoryBytes();
}

uint64_t Store::Impl::WorkMemoryBytes() const noexcept {
  return std::min(kMostWorkMemory, options_.memory_bytes / kWorkMemoryShare);
}

// With the state that is made of it when it is saved.
uint64_t Store::Impl::PolicyUseBytes() const noexcept {
  const uint64_t bytes = evictor_->memory_bytes();
  return bytes + bytes * kSavedRecordBytes / RecordTable::kBytesPerRecord;
}

// What filters may take. What smaller memtables than the options allow leave is theirs: slots,
// which would keep it when memtables grow again, do not see it.
uint64_t Store::Impl::FilterMemoryBytes() const noexcept {
  const uint64_t saved = kMemtables * (most_memtable_bytes_ - memtable_bytes_);
  uint64_t memory = Without(ElasticMemoryBytes(), budget_.memory_bytes() + tables_->index_bytes());
  if (options_.filter_bits < 0)
    memory = std::min(memory, options_.memory_bytes / kFilterMemoryShare);
  return memory + saved;
}

// For slots and tables, beside memtables of full size.
uint64_t Store::Impl::ElasticMemoryBytes() const noexcept {
  const uint64_t memtables = kMemtables * most_memtable_bytes_;
  return Without(options_.memory_bytes, memtables + bounce_->stats().capacity_bytes +
                                            WorkMemoryBytes() + policy_memory_bytes_ +
                                            SegmentTable::kIndexBytes);
}

// The block cache has what the rest leaves. Called again whenever tables have changed or a segment
// is about to be added, so that a store that grows stays within its memory.
void Store::Impl::SizeCache() noexcept {
  const uint64_t others = SegmentTable::kIndexBytes + budget_.memory_bytes() +
                          tables_->memory_bytes() + PolicyUseBytes();
  if (tuner_ != nullptr) FitMemtable(Without(options_.memory_bytes, others));
  const uint64_t used = others + FixedMemoryBytes();
  cache_->SetCapacity(static_cast<size_t>(Without(options_.memory_bytes, used)));
  std::lock_guard lock(memory_mutex_);
  BoundSlots();
}

// Under memory_mutex_.
void Store::Impl::BoundSlots() noexcept {
  const uint64_t elastic = ElasticMemoryBytes();
  const uint64_t tables = tables_->memory_bytes() + filters_being_written_.pending_bits() / 8;
  budget_.SetMemory(Without(elastic, std::max(tables, elastic / kTableMemoryShare)));
}

bool Store::Impl::TryAddSegment(uint32_t slot_bytes, uint64_t room, uint32_t* slots) noexcept {
  {
    std::lock_guard lock(memory_mutex_);
    BoundSlots();
    if (!budget_.TryAdd(slot_bytes, slots, room)) return false;
  }
  SizeCache();
  return true;
}

double Store::Impl::FilterBitsPerEntry() const noexcept {
  return environment_.filter_bits_per_entry > 0 ? environment_.filter_bits_per_entry
                                                : kFilterBitsPerEntry;
}

double Store::Impl::FilterBitsFor(uint64_t writer, uint32_t level, uint64_t entries,
                                  std::span<const RunPtr> leaving) noexcept {
  const Shape shape = TargetShape();
  std::lock_guard lock(memory_mutex_);
  FilterBudget budget;
  budget.fixed_bits_per_key = options_.filter_bits;
  budget.bits_per_entry = FilterBitsPerEntry();
  budget.memory_bits = FilterMemoryBytes() * 8;
  return filters_being_written_.Allot(writer, budget, *CurrentView()->tree, shape,
                                      PickOptions().batch_entries, level, entries, leaving);
}

void Store::Impl::ForgetFilters(uint64_t writer) noexcept {
  std::lock_guard lock(memory_mutex_);
  filters_being_written_.Forget(writer);
}

}  // namespace lamina
