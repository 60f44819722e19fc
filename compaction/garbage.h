// How dead a table is, judged from a sample: what PickGarbage wants to know.
#ifndef LAMINA_COMPACTION_GARBAGE_H_
#define LAMINA_COMPACTION_GARBAGE_H_

#include <cstdint>

#include "engine/base/status.h"
#include "engine/index/entry.h"
#include "engine/index/table.h"

namespace lamina {

// Reads up to `blocks` data blocks, spread evenly over the table, past the cache, and returns the
// dead entries that the table would have if all of it were like that: with 16 blocks, of about a
// hundred entries each, within about 3 % of its entries if deaths are independent. Damaged blocks
// are left out. Errors: kIoError.
Result<uint64_t> EstimateDeadEntries(const Table& table, const SlotOracle& slots,
                                     uint32_t blocks) noexcept;

}  // namespace lamina

#endif  // LAMINA_COMPACTION_GARBAGE_H_
