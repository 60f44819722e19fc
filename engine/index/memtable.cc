#include "engine/index/memtable.h"

#include <algorithm>
#include <new>

#include "engine/index/memtable_nodes.h"

namespace lamina {
namespace {

constexpr size_t kMinSlots = 1024;

size_t SlotsFor(size_t pages) noexcept { return std::bit_ceil(std::max(kMinSlots, pages / 3 * 4)); }

}  // namespace

Memtable::Memtable(size_t expected_pages) noexcept {
  static_assert(sizeof(Node) == 40 && sizeof(RootNode) == 56 && sizeof(Candidate) == 32,
                "memtable.h states these");
  hash_tables_.push_back(std::make_unique<HashTable>(SlotsFor(expected_pages)));
  current_.store(hash_tables_.back().get(), std::memory_order_release);
  UpdateBytes();
}

Memtable::~Memtable() = default;

void Memtable::Insert(Digest anchor, std::span<const Fingerprint> fingerprints, size_t first,
                      std::span<const Entry> entries, uint64_t journal_position,
                      const SlotOracle* slots) noexcept {
  LAMINA_CHECK(first + entries.size() <= fingerprints.size());
  LAMINA_CHECK(fingerprints.size() <= kMaxStemPages);
  if (entries.empty()) return;
  const std::lock_guard lock(mutex_);
  LAMINA_CHECK(!frozen());
  Node* parent = FindOrAddPath(anchor, fingerprints.first(first));
  for (size_t i = 0; i < entries.size(); ++i) {
    const PageKey key{anchor, fingerprints[first + i]};
    auto* node = const_cast<Node*>(FindNode(key));
    if (node == nullptr) {
      node = AddNode(anchor, parent, key.fingerprint);
      AddCandidateTo(node, entries[i]);
      InsertIntoHash(node);
    } else {
      // A page without candidates is none, or is counted already: the new one comes first.
      const bool had_any = node->newest.load(std::memory_order_relaxed) != nullptr;
      if (had_any && slots != nullptr) UnlinkDead(node, *slots);
      const bool has_any = node->newest.load(std::memory_order_relaxed) != nullptr;
      AddCandidateTo(node, entries[i]);
      if (had_any && !has_any) page_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    parent = node;
  }
  min_journal_position_ = std::min(min_journal_position_, journal_position);
  max_journal_position_ = std::max(max_journal_position_, journal_position);
  has_journal_position_ = true;
  UpdateBytes();
}

// The node of the last page of `path` (nullptr for an empty path), made with its ancestors where
// they are missing. Looks from the end: usually the last page is here, or none.
Memtable::Node* Memtable::FindOrAddPath(Digest anchor, std::span<const Fingerprint> path) noexcept {
  Node* node = nullptr;
  size_t known = path.size();
  while (known > 0) {
    node = const_cast<Node*>(FindNode({anchor, path[known - 1]}));
    if (node != nullptr) break;
    --known;
  }
  for (; known < path.size(); ++known) {
    node = AddNode(anchor, node, path[known]);
    InsertIntoHash(node);
  }
  return node;
}

Memtable::Node* Memtable::AddNode(Digest anchor, Node* parent, Fingerprint f) noexcept {
  Node* node;
  if (parent == nullptr) {
    auto* root = new (arena_.Allocate(sizeof(RootNode))) RootNode;
    root->anchor = anchor;
    root->root = root;
    root->sibling = roots_;
    roots_ = root;
    ++root_count_;
    node = root;
  } else {
    node = new (arena_.Allocate(sizeof(Node))) Node;
    node->root = parent->root;
    node->sibling = parent->first_child;
    parent->first_child = node;
  }
  node->f = f;
  node->first_child = nullptr;
  node->newest.store(nullptr, std::memory_order_relaxed);
  return node;
}

void Memtable::AddCandidateTo(Node* node, const Entry& entry) noexcept {
  const Candidate* newest = node->newest.load(std::memory_order_relaxed);
  for (const Candidate* c = newest; c != nullptr; c = c->older) {
    if (c->entry == entry) return;
  }
  auto* candidate = new (arena_.Allocate(sizeof(Candidate))) Candidate{newest, entry};
  node->newest.store(candidate, std::memory_order_release);
  entry_count_.fetch_add(1, std::memory_order_relaxed);
  if (newest == nullptr) page_count_.fetch_add(1, std::memory_order_relaxed);
}

void Memtable::UnlinkDead(Node* node, const SlotOracle& slots) noexcept {
  std::atomic<const Candidate*>* link = &node->newest;
  while (const Candidate* c = link->load(std::memory_order_relaxed)) {
    if (slots.Bears(c->entry.slot, c->entry.tag(node->f))) {
      link = &c->older;
      continue;
    }
    link->store(c->older.load(std::memory_order_relaxed), std::memory_order_release);
    entry_count_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void Memtable::InsertIntoHash(Node* node) noexcept {
  if (++node_count_ > hash_tables_.back()->limit()) Grow();
  hash_tables_.back()->Insert(HashOf({node->root->anchor, node->f}), node);
}

// Readers may still be probing the old table, so it stays; they miss only what comes after.
void Memtable::Grow() noexcept {
  const HashTable& old = *hash_tables_.back();
  auto grown = std::make_unique<HashTable>(old.slot_count() * 2);
  for (size_t i = 0; i < old.slot_count(); ++i) {
    const uint64_t slot = old.slots[i].load(std::memory_order_relaxed);
    if (slot == 0) continue;
    const Node* node = HashTable::Unpack(slot);
    grown->Insert(HashOf({node->root->anchor, node->f}), node);
  }
  hash_tables_.push_back(std::move(grown));
  current_.store(hash_tables_.back().get(), std::memory_order_release);
}

const Memtable::Node* Memtable::FindNode(const PageKey& key) const noexcept {
  const uint64_t hash = HashOf(key);
  const HashTable& table = *current_.load(std::memory_order_acquire);
  for (size_t at = hash & table.mask;; at = (at + 1) & table.mask) {
    const uint64_t slot = table.slots[at].load(std::memory_order_acquire);
    if (slot == 0) return nullptr;
    if (((slot ^ hash) & ~HashTable::kAddressMask) != 0) continue;
    const Node* node = HashTable::Unpack(slot);
    if (node->f == key.fingerprint && node->root->anchor == key.anchor) return node;
  }
}

const Memtable::Candidate* Memtable::Lookup(const PageKey& key) const noexcept {
  const Node* node = FindNode(key);
  return node == nullptr ? nullptr : node->newest.load(std::memory_order_acquire);
}

void Memtable::Find(const StemLookup& lookup, std::vector<FoundEntry>* found) const noexcept {
  for (uint32_t page = lookup.first; page < lookup.end; ++page) {
    for (const Candidate* c = Lookup(lookup.page_key(page)); c != nullptr; c = c->older)
      found->push_back({page, c->entry});
  }
}

void Memtable::Freeze() noexcept {
  const std::lock_guard lock(mutex_);
  frozen_.store(true, std::memory_order_release);
}

bool Memtable::frozen() const noexcept { return frozen_.load(std::memory_order_acquire); }

std::optional<Memtable::JournalRange> Memtable::journal_range() const noexcept {
  const std::lock_guard lock(mutex_);
  if (!has_journal_position_) return std::nullopt;
  return JournalRange{min_journal_position_, max_journal_position_};
}

void Memtable::UpdateBytes() const noexcept {
  size_t bytes = arena_.bytes() + hash_tables_.capacity() * sizeof(hash_tables_[0]) +
                 sorted_roots_.capacity() * sizeof(sorted_roots_[0]);
  for (const auto& table : hash_tables_) bytes += table->bytes();
  bytes_.store(bytes, std::memory_order_relaxed);
}

}  // namespace lamina
