// --run: opens the store and collects garbage.
#ifndef LAMINA_TOOLS_VLOG_GC_RUN_H_
#define LAMINA_TOOLS_VLOG_GC_RUN_H_

#include "engine/io/file_system.h"
#include "engine/lamina.h"
#include "tools/vlog_gc_report.h"

namespace lamina::vlog_gc {

// `fs` is for looking at the store before it is opened.
void Collect(FileSystem& fs, Report& report);
// From a store that is open.
void CollectFrom(Store& store, Report& report);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_RUN_H_
