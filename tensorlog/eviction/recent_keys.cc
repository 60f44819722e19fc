#include "tensorlog/eviction/recent_keys.h"

#include <string>
#include <utility>

namespace lamina {

bool RecentKeys::Touch(uint64_t key) noexcept {
  const RecordId id = table_.Find(key);
  if (id != kNoRecord) {
    table_.Move(id, 0);
    return true;
  }
  if (table_.size() == table_.limit()) table_.Remove(table_.oldest());
  table_.Insert(key, 0);
  return false;
}

void RecentKeys::SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept {
  const uint64_t limit = RecordTable::LimitOf(Limit(capacity_pages, record_bytes));
  while (table_.size() > limit) table_.Remove(table_.oldest());
  if (limit != table_.limit()) table_.Resize(limit);
}

Status RecentKeys::Load(const SavedState& state) noexcept {
  const uint64_t count = state.header.record_count;
  RecordTable table(table_.limit());
  for (uint64_t i = count - std::min<uint64_t>(count, table.limit()); i < count; ++i) {
    const uint64_t key = SavedRecordAt(state, i).key;
    if (table.Find(key) != kNoRecord)
      return Status::Corruption("eviction state: record " + std::to_string(i) + " is there twice");
    table.Insert(key, 0);
  }
  table_ = std::move(table);
  return Status::Ok();
}

}  // namespace lamina
