// --run: opens the store and collects garbage.
#ifndef LAMINA_TOOLS_VLOG_GC_RUN_H_
#define LAMINA_TOOLS_VLOG_GC_RUN_H_

#include "engine/io/file_system.h"
#include "engine/lamina.h"
#include "tools/vlog_gc_report.h"

namespace lamina::vlog_gc {

// What the store is opened with: --options; what they leave open as the manifest has it; and
// `memory_bytes`, or more if the store needs it, which is noted. `fs` is for looking at the store
// before it is opened.
Result<Options> OptionsFor(FileSystem& fs, Report& report, uint64_t memory_bytes);
void Collect(FileSystem& fs, Report& report);
// From a store that is open.
void CollectFrom(Store& store, Report& report);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_RUN_H_
