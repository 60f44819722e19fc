#include "compaction/run_iterator.h"

#include <algorithm>
#include <utility>

namespace lamina {

RunIterator::RunIterator(std::span<const TableMeta> tables, Options options) noexcept
    : tables_(tables), options_(std::move(options)), at_(tables.size()) {}

void RunIterator::SeekToFirst() noexcept {
  at_ = 0;
  status_ = Status::Ok();
  OpenTable();
  if (current_) current_->SeekToFirst();
  SkipToEntry();
}

void RunIterator::Seek(const StemKey& target) noexcept {
  const auto table = std::partition_point(tables_.begin(), tables_.end(), [&](const TableMeta& t) {
    return Compare(t.largest.view(), target) < 0;
  });
  at_ = static_cast<size_t>(table - tables_.begin());
  status_ = Status::Ok();
  OpenTable();
  if (current_) current_->Seek(target);
  SkipToEntry();
}

void RunIterator::Next() noexcept {
  current_->Next();
  if (!current_->Valid()) [[unlikely]] {
    SkipToEntry();
  }
}

Status RunIterator::status() const noexcept {
  if (!status_.ok()) return status_;
  return current_ ? current_->status() : Status::Ok();
}

// Opens tables_[at_], or the next one behind it that can be opened.
void RunIterator::OpenTable() noexcept {
  current_.reset();
  for (; at_ < tables_.size(); ++at_) {
    if (options_.on_table) options_.on_table(tables_[at_]);
    Result<std::shared_ptr<Table>> table = options_.open(tables_[at_]);
    if (table.ok()) {
      current_ = (*table)->NewIterator(options_.table);
      return;
    }
    const bool damaged = table.status().code() == StatusCode::kCorruption ||
                         (options_.give_up && options_.give_up(tables_[at_], table.status()));
    if (!damaged || !options_.on_lost_table) {
      status_ = table.status();
      at_ = tables_.size();
      return;
    }
    options_.on_lost_table(tables_[at_], table.status());
  }
}

void RunIterator::SkipToEntry() noexcept {
  while (current_ && !current_->Valid() && current_->status().ok()) {
    ++at_;
    OpenTable();
    if (current_) current_->SeekToFirst();
  }
}

}  // namespace lamina
