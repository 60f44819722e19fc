#include "compaction/garbage.h"

#include <algorithm>
#include <span>

#include "engine/index/data_block.h"

namespace lamina {

Result<uint64_t> EstimateDeadEntries(const Table& table, const SlotOracle& slots,
                                     uint32_t blocks) noexcept {
  const uint64_t data_blocks = table.footer().data_blocks;
  const uint64_t probes = std::min<uint64_t>(blocks, data_blocks);
  const PinnedBlock buffer = PinnedBlock::Private();
  uint64_t seen = 0;
  uint64_t dead = 0;
  for (uint64_t i = 0; i < probes; ++i) {
    const uint64_t offset = i * data_blocks / probes * kTableBlockBytes;
    LAMINA_RETURN_IF_ERROR(table.file()->Read(offset, buffer.writable()));
    DataBlockCursor cursor;
    if (!table.VerifyBlock(offset, buffer.bytes()).ok() || !cursor.Open(buffer.bytes())) continue;
    while (cursor.Next()) {
      const Entry& entry = cursor.entry();
      ++seen;
      if (!slots.Bears(entry.slot, entry.tag(cursor.key().fingerprints.back()))) ++dead;
    }
  }
  if (seen == 0) return uint64_t{0};
  const double share = static_cast<double>(dead) / static_cast<double>(seen);
  return static_cast<uint64_t>(share * static_cast<double>(table.properties().meta.entry_count));
}

}  // namespace lamina
