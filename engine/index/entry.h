// An index record: where a page lies and how to know it.
#ifndef LAMINA_ENGINE_INDEX_ENTRY_H_
#define LAMINA_ENGINE_INDEX_ENTRY_H_

#include <cstdint>

#include "engine/base/keys.h"
#include "engine/base/slot_ref.h"

namespace lamina {

struct Entry {
  SlotRef slot;
  uint32_t length = 0;    // payload bytes
  uint32_t guard = 0;     // 32 bits of D_i that the fingerprint does not have
  uint64_t checksum = 0;  // CombineChunkSums of the payload, seeded with the fingerprint

  [[nodiscard]] uint64_t tag(Fingerprint f) const noexcept { return TagOf(f, checksum); }
  friend bool operator==(const Entry&, const Entry&) = default;
};

// Whether the slot of an entry bears the entry's tag. Only then does the entry count. The index
// asks through this, so that it needs no tensor log. Thread-safe, no I/O.
class SlotOracle {
 public:
  virtual ~SlotOracle() = default;
  [[nodiscard]] virtual bool Bears(SlotRef slot, uint64_t tag) const noexcept = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_ENTRY_H_
