// Which runs a tree will get before its present ones are rewritten.
//
// Filters are fixed when a run is written. A last level that was written while the levels above it
// were empty would take the whole budget and leave nothing to the runs that follow, which need it
// most: so their share is set aside when the large one is written. Pure.
#ifndef LAMINA_TUNER_FILTER_PLAN_H_
#define LAMINA_TUNER_FILTER_PLAN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tuner/filter_allocation.h"
#include "tuner/tree_shape.h"

namespace lamina::tuner {

// `level_entries[i]`: entries in level i once the flush or compaction at hand has finished, its
// outputs included. `max_entries`: what the index will hold at most. The result fills every level
// above the deepest one with entries up to its capacity, with runs of the size that the shape makes
// there. A deepest level of several runs gets what it may still take, but not more than twice what
// it has: setting aside for a level that may never fill wastes memory, and too little leaves its
// last runs without a filter. One of a single run gets nothing: it frees the filter it replaces.
std::vector<FilterRun> RunsToCome(const TreeShape& shape, double entry_bytes,
                                  std::span<const uint64_t> level_entries,
                                  uint64_t max_entries = UINT64_MAX) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_FILTER_PLAN_H_
