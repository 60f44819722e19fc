// The index as the tuner's model has it: plain numbers about runs, shapes and filters. Pure.
//
// The tuner counts levels from 0 and has no place for flushed runs that wait: level 0 and level 1
// are its first level.
#ifndef LAMINA_ENGINE_STORE_TUNER_TREE_H_
#define LAMINA_ENGINE_STORE_TUNER_TREE_H_

#include <cstdint>

#include "compaction/levels.h"
#include "compaction/shape.h"
#include "tuner/cost_model.h"
#include "tuner/fpr_curve.h"
#include "tuner/tree_shape.h"

namespace lamina {

// What the filters of tables give, as measured (engine/index/filter_fpr.h).
const tuner::FprCurve& MeasuredFprCurve() noexcept;

// 0 and 1: 0; 2: 1; and so on.
[[nodiscard]] constexpr uint32_t TunerLevel(uint32_t level) noexcept {
  return level == 0 ? 0 : level - 1;
}

// Sizes are in bytes there; with an entry of one byte they are entries.
tuner::TreeShape TunerShape(const Shape& shape, double batch_entries) noexcept;

// The runs, with their filters, and how much of the range of keys each spans: of that of anchors,
// which are hashes, or, with one anchor in all, of that of its first pages' fingerprints.
tuner::TreeState TunerTree(const Tree& tree) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_TUNER_TREE_H_
