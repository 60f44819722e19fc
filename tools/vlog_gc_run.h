// --run: opens the store and collects garbage.
#ifndef LAMINA_TOOLS_VLOG_GC_RUN_H_
#define LAMINA_TOOLS_VLOG_GC_RUN_H_

#include "engine/io/file_system.h"
#include "tools/vlog_gc_report.h"

namespace lamina::vlog_gc {

// `fs` is for looking at the store before it is opened.
void Collect(FileSystem& fs, Report& report);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_RUN_H_
