// What sst-dump shows of a table file.
#ifndef LAMINA_TOOLS_SST_DUMP_TABLE_H_
#define LAMINA_TOOLS_SST_DUMP_TABLE_H_

#include <cstdint>
#include <string>

#include "engine/index/entry.h"
#include "engine/index/stem_key.h"
#include "engine/index/table_format.h"
#include "engine/io/file_system.h"
#include "tools/sst_dump_report.h"

namespace lamina::sst_dump {

void TableProperties(FileSystem& fs, const std::string& path, Report& report);

// Each region and data block, told by what blocks say of themselves, so that it works without a
// footer and past damage (sst_dump_table_layout.cc).
void TableLayout(FileSystem& fs, const std::string& path, Report& report);

// Prints entries between the bounds of the options. `left` counts down from the limit, over all
// tables of a run. Damaged blocks are reported and skipped.
void TableScan(FileSystem& fs, const std::string& path, uint64_t* left, Report& report);

// Reads every byte. `meta`, if given, is what the manifest says of it, with which it must agree.
void TableVerify(FileSystem& fs, const std::string& path, const TableMeta* meta, Report& report);

// One entry as it is printed everywhere; the caller puts in front what says where it is.
void AddEntry(tools::Record* record, const StemKey& key, const Entry& entry);
std::string EntryText(const StemKey& key, const Entry& entry);
// All of a key in hex, as --from takes it.
std::string KeyHex(const StemKey& key);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_TABLE_H_
