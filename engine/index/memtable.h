// The index of what was put since the last flush, built for paths.
//
// Pages are nodes of a tree per stem. Looking a page up is one probe of a hash table with (anchor,
// f); the pages of a put share one copy of their stem's anchor, and no node repeats its ancestors'
// fingerprints. Key order costs nothing until a flush asks for it: then roots and siblings are
// sorted once and the trees walked depth-first.
//
//   hash slots: 16 bits of hash | 48 bits of address
//        |
//        v
//   Node { root, f, first child, next sibling, newest candidate }     40 bytes; a root has its
//        |                                                            stem's anchor behind it
//        v
//   Candidate { older, entry }                                        32 bytes
//
// Nodes and candidates lie in an arena of fixed chunks and are never moved or freed before the
// memtable is. The writer links a node only when it is complete (release), readers follow
// (acquire): Lookup and Find never wait. It unlinks candidates in the same way; readers that are at
// one go on from there. When the hash table fills up, a larger one is published
// and the old one kept for readers that are still in it; sizing the table up front avoids that.
//
// Within one anchor a fingerprint names one path (it is a hash of that path); should two collide,
// their candidates share a node, and the guard tells them apart.
#ifndef LAMINA_ENGINE_INDEX_MEMTABLE_H_
#define LAMINA_ENGINE_INDEX_MEMTABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "engine/index/arena.h"
#include "engine/index/entry.h"
#include "engine/index/iterator.h"
#include "engine/index/stem_key.h"

namespace lamina {

// Thread-safe. Writers take an internal mutex; readers are lock-free.
class Memtable {
 public:
  // One place where a page may lie. Lives as long as the memtable. Its entry never changes; those
  // behind it may be unlinked.
  struct Candidate {
    mutable std::atomic<const Candidate*> older;
    Entry entry;
  };

  struct JournalRange {
    uint64_t min;
    uint64_t max;
  };

  // `expected_pages` sizes the hash table; more pages than that are fine, but growing copies it.
  explicit Memtable(size_t expected_pages = 0) noexcept;
  ~Memtable();
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  // Adds entries[k] as the newest candidate of page first + k of the stem, for all of them.
  // `fingerprints` reach from the stem's first page to at least page first + entries.size() - 1.
  // Pages before `first` need not be here. An entry that equals a candidate already held is not
  // added again, so a replay may repeat itself. Each page becomes visible by itself, first page
  // first. `journal_position` is remembered in journal_range(). Not allowed after Freeze. With
  // `slots`, candidates of these pages whose slots do not bear their tags are unlinked: a page that
  // comes and goes again and again would have ever more of them to search.
  void Insert(Digest anchor, std::span<const Fingerprint> fingerprints, size_t first,
              std::span<const Entry> entries, uint64_t journal_position,
              const SlotOracle* slots = nullptr) noexcept;

  // The same for one page, the last of `key`: recovery keeps every slot journaled for a page.
  void AddCandidate(const StemKey& key, const Entry& entry, uint64_t journal_position) noexcept {
    Insert(key.anchor, key.fingerprints, key.fingerprints.size() - 1, {&entry, 1},
           journal_position);
  }

  // The candidates of a page, newest first, or nullptr.
  [[nodiscard]] const Candidate* Lookup(const PageKey& key) const noexcept;

  // Appends all candidates of the lookup's pages that are here, by page, newest first.
  void Find(const StemLookup& lookup, std::vector<FoundEntry>* found) const noexcept;

  // Ends writing. Cheap; the sorting waits for the first NewIterator.
  void Freeze() noexcept;
  [[nodiscard]] bool frozen() const noexcept;

  // Walks all candidates in key order, leaving out nodes without any. Requires frozen(). The
  // memtable must outlive the iterator. The first call sorts; it may run beside readers.
  [[nodiscard]] std::unique_ptr<EntryIterator> NewIterator() const noexcept;

  // Candidates that are linked, and pages that have had one.
  [[nodiscard]] size_t entry_count() const noexcept {
    return entry_count_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] size_t page_count() const noexcept {
    return page_count_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool empty() const noexcept { return entry_count() == 0; }
  // Bytes allocated on the heap for this memtable, exactly: chunks, hash tables, the sorted roots.
  [[nodiscard]] size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  // The least and greatest journal position of any Insert; nothing before the first.
  [[nodiscard]] std::optional<JournalRange> journal_range() const noexcept;

 private:
  struct Node;
  struct RootNode;
  struct HashTable;
  class Iterator;

  [[nodiscard]] const Node* FindNode(const PageKey& key) const noexcept;
  Node* FindOrAddPath(Digest anchor, std::span<const Fingerprint> path) noexcept;
  Node* AddNode(Digest anchor, Node* parent, Fingerprint f) noexcept;
  void AddCandidateTo(Node* node, const Entry& entry) noexcept;
  void UnlinkDead(Node* node, const SlotOracle& slots) noexcept;
  void InsertIntoHash(Node* node) noexcept;
  void Grow() noexcept;
  void SortOnce() const noexcept;
  static Node* SortSiblings(Node* first, std::vector<Node*>* scratch) noexcept;
  void UpdateBytes() const noexcept;

  mutable std::mutex mutex_;
  Arena arena_;
  std::vector<std::unique_ptr<HashTable>> hash_tables_;  // the last one is current
  std::atomic<HashTable*> current_{nullptr};
  RootNode* roots_ = nullptr;  // linked through sibling
  size_t root_count_ = 0;
  size_t node_count_ = 0;
  std::atomic<bool> frozen_{false};
  mutable bool sorted_ = false;
  mutable std::vector<const RootNode*> sorted_roots_;
  uint64_t min_journal_position_ = UINT64_MAX;
  uint64_t max_journal_position_ = 0;
  bool has_journal_position_ = false;
  std::atomic<size_t> entry_count_{0};
  std::atomic<size_t> page_count_{0};
  mutable std::atomic<size_t> bytes_{0};
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_MEMTABLE_H_
