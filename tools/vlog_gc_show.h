// The dry run: what each segment holds, and what --run would do about it.
#ifndef LAMINA_TOOLS_VLOG_GC_SHOW_H_
#define LAMINA_TOOLS_VLOG_GC_SHOW_H_

#include "tools/vlog_gc_report.h"
#include "tools/vlog_gc_state.h"

namespace lamina::vlog_gc {

void Show(const StoreState& state, Report& report);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_SHOW_H_
