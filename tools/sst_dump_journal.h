// Reads a journal file block by block and shows it.
//
// A block that is not whole is one of three things. *Unwritten*: all zeros, as its space was
// reserved. *Torn*: a crash cut the write off, or it is still under way; some sector of it is still
// zero, or all of it, and it lies among the last blocks that can have been in flight. That is legal
// and counted apart. Anything else is *damage*: it was written whole once.
#ifndef LAMINA_TOOLS_SST_DUMP_JOURNAL_H_
#define LAMINA_TOOLS_SST_DUMP_JOURNAL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "engine/io/file_system.h"
#include "tensorlog/log_dir.h"
#include "tools/sst_dump_report.h"

namespace lamina::sst_dump {

void JournalProperties(FileSystem& fs, const std::string& path, Report& report);
// Runs of blocks that are alike.
void JournalLayout(FileSystem& fs, const std::string& path, Report& report);
// The records: what was put, moved, started. `left` counts down from the limit.
void JournalScan(FileSystem& fs, const std::string& path, uint64_t* left, Report& report);
// `store_id`: the blocks must be of that store.
void JournalVerify(FileSystem& fs, const std::string& path, std::optional<StoreId> store_id,
                   Report& report);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_JOURNAL_H_
