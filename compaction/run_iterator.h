// A walk over one run: its tables one after the other, each opened when its turn comes.
#ifndef LAMINA_COMPACTION_RUN_ITERATOR_H_
#define LAMINA_COMPACTION_RUN_ITERATOR_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/status.h"
#include "engine/index/iterator.h"
#include "engine/index/table.h"
#include "engine/index/table_builder.h"

namespace lamina {

// Gives the open table of a meta: from the store's set of open tables, or by opening the file.
using TableOpener = std::function<Result<std::shared_ptr<Table>>(const TableMeta&)>;

class RunIterator final : public EntryIterator {
 public:
  struct Options {
    TableOpener open;
    TableIterateOptions table;
    // Called when the walk comes to a table, before it is opened. May be empty.
    std::function<void(const TableMeta&)> on_table;
    // Called for a table that cannot be opened because it is damaged; the walk goes on behind it.
    // If empty, such a table ends the walk. (Damaged blocks: table.on_damage.)
    std::function<void(const TableMeta&, const Status&)> on_lost_table;
    // Asked for a table that cannot be opened for another reason: true makes it a damaged one. If
    // empty or false, it ends the walk. (Blocks that cannot be read: table.give_up.)
    std::function<bool(const TableMeta&, const Status&)> give_up;
  };
  // `tables` must be ascending without overlap, and outlive the iterator.
  RunIterator(std::span<const TableMeta> tables, Options options) noexcept;

  [[nodiscard]] bool Valid() const noexcept override { return current_ && current_->Valid(); }
  void SeekToFirst() noexcept override;
  void Seek(const StemKey& target) noexcept override;
  void Next() noexcept override;
  [[nodiscard]] StemKey key() const noexcept override { return current_->key(); }
  [[nodiscard]] const Entry& entry() const noexcept override { return current_->entry(); }
  [[nodiscard]] Status status() const noexcept override;

 private:
  void OpenTable() noexcept;
  void SkipToEntry() noexcept;

  std::span<const TableMeta> tables_;
  Options options_;
  size_t at_ = 0;  // the table that current_ walks, or tables_.size()
  std::unique_ptr<EntryIterator> current_;
  Status status_;
};

}  // namespace lamina

#endif  // LAMINA_COMPACTION_RUN_ITERATOR_H_
