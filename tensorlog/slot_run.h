// Consecutive slots of one segment.
#ifndef LAMINA_TENSORLOG_SLOT_RUN_H_
#define LAMINA_TENSORLOG_SLOT_RUN_H_

#include <cstdint>

#include "engine/base/slot_ref.h"

namespace lamina {

struct SlotRun {
  uint32_t segment = 0;
  uint32_t first = 0;
  uint32_t count = 0;
  [[nodiscard]] SlotRef slot(uint32_t i) const noexcept { return {segment, first + i}; }
  friend bool operator==(const SlotRun&, const SlotRun&) = default;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SLOT_RUN_H_
