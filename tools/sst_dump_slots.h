// Reads a slot table file part by part, past damage, and shows it.
#ifndef LAMINA_TOOLS_SST_DUMP_SLOTS_H_
#define LAMINA_TOOLS_SST_DUMP_SLOTS_H_

#include <cstdint>
#include <string>

#include "engine/io/file_system.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/segment.h"
#include "tools/sst_dump_report.h"

namespace lamina::sst_dump {

// What the manifest says of a slot table.
struct ExpectedSlotTable {
  StoreId store_id;
  SegmentInfo segment;
  uint64_t generation = 0;
};

void SlotTableProperties(FileSystem& fs, const std::string& path, Report& report);
void SlotTableLayout(FileSystem& fs, const std::string& path, Report& report);
// The slots that hold a page. `left` counts down from the limit.
void SlotTableScan(FileSystem& fs, const std::string& path, uint64_t* left, Report& report);
// `expected` may be null.
void SlotTableVerify(FileSystem& fs, const std::string& path, const ExpectedSlotTable* expected,
                     Report& report);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_SLOTS_H_
