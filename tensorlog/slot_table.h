// Saves what the slots of a segment hold, and loads it again (slot_table_format.h).
#ifndef LAMINA_TENSORLOG_SLOT_TABLE_H_
#define LAMINA_TENSORLOG_SLOT_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "tensorlog/journal_position.h"
#include "tensorlog/segment.h"
#include "tensorlog/slot_table_format.h"

namespace lamina {

// `<directory>/NNNNNNNNNN-GGGGGGGGGG.slots`
std::string SlotTablePath(const std::string& directory, uint32_t segment,
                          uint64_t generation) noexcept;
// Whether `name` is that of a slot table; then gives its segment and generation.
bool ParseSlotTableFileName(std::string_view name, uint32_t* segment,
                            uint64_t* generation) noexcept;

// Size of the table of a segment, bytes.
uint64_t SlotTableBytes(uint32_t slot_count) noexcept;

// Writes and syncs the table of `segment` as a new file (the directory is not synced). Slots that
// are being written or were put at or above `checkpoint` are saved as free.
Status SaveSlotTable(FileSystem& fs, const std::string& path, const StoreId& store_id,
                     uint64_t generation, JournalPosition checkpoint, uint32_t cursor,
                     const Segment& segment) noexcept;

struct SlotTableLoad {
  // Ok, or what was wrong first: kIoError or kCorruption with file, region, offset, expected and
  // found. The slots that could be read are loaded either way.
  Status problem;
  uint64_t slots_loaded = 0;  // live and condemned
  uint64_t slots_lost = 0;    // left empty because of damage
  uint64_t generation = 0;
  uint32_t cursor = kNoCursor;
};

// Loads the table into `segment`, whose slots are empty and not in use yet. The only error is
// kNotSupported, for an unknown version; everything else is in the result.
Result<SlotTableLoad> LoadSlotTable(FileSystem& fs, const std::string& path,
                                    const StoreId& store_id, Segment& segment) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_SLOT_TABLE_H_
