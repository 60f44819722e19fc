// Where a page lies in the tensor log.
#ifndef LAMINA_ENGINE_BASE_SLOT_REF_H_
#define LAMINA_ENGINE_BASE_SLOT_REF_H_

#include <compare>
#include <cstdint>

namespace lamina {

// Segment ids are never reused; slots count from 0 within the segment.
struct SlotRef {
  uint32_t segment = 0;
  uint32_t slot = 0;
  friend auto operator<=>(const SlotRef&, const SlotRef&) = default;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_SLOT_REF_H_
