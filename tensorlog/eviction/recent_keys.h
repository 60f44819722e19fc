// The keys of pages requested lately, for policies that need to know no more of them.
#ifndef LAMINA_TENSORLOG_EVICTION_RECENT_KEYS_H_
#define LAMINA_TENSORLOG_EVICTION_RECENT_KEYS_H_

#include <algorithm>
#include <cstdint>

#include "tensorlog/eviction/record_table.h"
#include "tensorlog/eviction/state_format.h"

namespace lamina {

class RecentKeys {
 public:
  // As many keys as pages may be live, and once more.
  RecentKeys(uint64_t capacity_pages, uint64_t record_bytes) noexcept
      : table_(Limit(capacity_pages, record_bytes)) {}

  // Makes the key the most recent one. Whether it was there.
  bool Touch(uint64_t key) noexcept;
  void SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept;
  // Replaces the keys by those of a saved state. kCorruption if they are not distinct; the keys
  // stay as they were then.
  Status Load(const SavedState& state) noexcept;

  [[nodiscard]] const RecordTable& table() const noexcept { return table_; }

 private:
  static uint64_t Limit(uint64_t capacity_pages, uint64_t record_bytes) noexcept {
    return std::min(std::max<uint64_t>(64, 2 * capacity_pages),
                    record_bytes / RecordTable::kBytesPerRecord);
  }

  RecordTable table_;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_RECENT_KEYS_H_
