// One walk over several sorted sources.
#ifndef LAMINA_ENGINE_INDEX_MERGING_ITERATOR_H_
#define LAMINA_ENGINE_INDEX_MERGING_ITERATOR_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/index/iterator.h"

namespace lamina {

// Merges sources given newest first. Drops nothing: all candidates of a key follow each other,
// those of the newest source first, so that the caller decides which of them counts (the first
// whose slot bears its tag). An error of any source ends the walk and is its status().
class MergingIterator final : public EntryIterator {
 public:
  explicit MergingIterator(std::vector<std::unique_ptr<EntryIterator>> newest_first) noexcept;

  [[nodiscard]] bool Valid() const noexcept override { return !heap_.empty() && failed_ == kNone; }
  void SeekToFirst() noexcept override;
  void Seek(const StemKey& target) noexcept override;
  void Next() noexcept override;
  [[nodiscard]] StemKey key() const noexcept override { return heap_.front().key; }
  [[nodiscard]] const Entry& entry() const noexcept override;
  [[nodiscard]] Status status() const noexcept override;

  // Which source, by its place in `newest_first`, the current entry comes from.
  [[nodiscard]] size_t source() const noexcept { return heap_.front().source; }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);
  struct Head {
    StemKey key;
    size_t source;
  };
  static bool Before(const Head& a, const Head& b) noexcept;
  void Build() noexcept;
  void SiftDown(size_t at) noexcept;

  std::vector<std::unique_ptr<EntryIterator>> sources_;
  std::vector<Head> heap_;  // a min-heap by (key, source)
  size_t failed_ = kNone;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_MERGING_ITERATOR_H_
