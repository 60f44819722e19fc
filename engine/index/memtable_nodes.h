// The pieces of a memtable's memory, for memtable.cc and its iterator alone.
#ifndef LAMINA_ENGINE_INDEX_MEMTABLE_NODES_H_
#define LAMINA_ENGINE_INDEX_MEMTABLE_NODES_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/base/keys.h"
#include "engine/index/memtable.h"

namespace lamina {

// Readers see root, f and newest. The links are the writer's, and after sorting the iterators'.
struct Memtable::Node {
  const RootNode* root;
  Fingerprint f;
  Node* first_child;
  Node* sibling;
  std::atomic<const Candidate*> newest;
};

// The first page of a stem. Its siblings are all other roots.
struct Memtable::RootNode : Node {
  Digest anchor;
};

// Open addressing with linear probing. A slot is 16 bits of the hash above 48 bits of address, so
// that a probe of another key rarely touches its node; 0 is free. Slots only ever fill.
struct Memtable::HashTable {
  static constexpr unsigned kAddressBits = 48;
  static constexpr uint64_t kAddressMask = (uint64_t{1} << kAddressBits) - 1;

  explicit HashTable(size_t slot_count)
      : mask(slot_count - 1), slots(std::make_unique<std::atomic<uint64_t>[]>(slot_count)) {}

  [[nodiscard]] size_t slot_count() const noexcept { return mask + 1; }
  // Above this many nodes, probes get long.
  [[nodiscard]] size_t limit() const noexcept { return slot_count() / 4 * 3; }
  [[nodiscard]] size_t bytes() const noexcept { return sizeof(*this) + slot_count() * 8; }

  static uint64_t Pack(uint64_t hash, const Node* node) noexcept {
    const auto address = std::bit_cast<uint64_t>(node);
    LAMINA_CHECK((address & ~kAddressMask) == 0);
    return (hash & ~kAddressMask) | address;
  }
  static Node* Unpack(uint64_t slot) noexcept { return std::bit_cast<Node*>(slot & kAddressMask); }

  void Insert(uint64_t hash, const Node* node) noexcept {
    size_t at = hash & mask;
    while (slots[at].load(std::memory_order_relaxed) != 0) at = (at + 1) & mask;
    slots[at].store(Pack(hash, node), std::memory_order_release);
  }

  size_t mask;
  std::unique_ptr<std::atomic<uint64_t>[]> slots;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_MEMTABLE_NODES_H_
