// A walk over index entries in key order: by anchor, then depth-first through each stem's tree.
//
// Memtables, tables and merges of them look the same to flush, compaction and tools through this.
#ifndef LAMINA_ENGINE_INDEX_ITERATOR_H_
#define LAMINA_ENGINE_INDEX_ITERATOR_H_

#include "engine/base/keys.h"
#include "engine/base/status.h"
#include "engine/index/entry.h"

namespace lamina {

// Used by one thread at a time. Starts before the first entry: not Valid until a Seek. A page may
// have several candidate entries; they follow each other under equal keys, newest first.
class EntryIterator {
 public:
  virtual ~EntryIterator() = default;
  EntryIterator() = default;
  EntryIterator(const EntryIterator&) = delete;
  EntryIterator& operator=(const EntryIterator&) = delete;

  // False at the end and after an error: ask status() which it was.
  [[nodiscard]] virtual bool Valid() const noexcept = 0;
  virtual void SeekToFirst() noexcept = 0;
  // To the first entry whose key is not below `target`, which needs at least one fingerprint and
  // need not outlive the call.
  virtual void Seek(const StemKey& target) noexcept = 0;
  // Requires Valid(), as do key() and entry().
  virtual void Next() noexcept = 0;
  // A view that the next move ends.
  [[nodiscard]] virtual StemKey key() const noexcept = 0;
  [[nodiscard]] virtual const Entry& entry() const noexcept = 0;
  // Ok unless the walk was cut short. An error stays until the next Seek.
  [[nodiscard]] virtual Status status() const noexcept = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_ITERATOR_H_
