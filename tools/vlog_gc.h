// vlog-gc: shows what lies in a store's tensor log, checks it, and gives disk space back.
//
// Without --run it works from outside, on a store that another process may have open: it takes no
// lock and writes nothing.
#ifndef LAMINA_TOOLS_VLOG_GC_H_
#define LAMINA_TOOLS_VLOG_GC_H_

#include <atomic>
#include <string>
#include <vector>

#include "tools/common_output.h"

namespace lamina::vlog_gc {

// The whole tool but for the process: arguments without the program's name. Data goes to `out`,
// diagnostics to `err`. Ends early, in order, when `stop` is set.
tools::ExitCode Run(std::vector<std::string> arguments, const std::atomic<bool>& stop,
                    tools::Output& out, tools::Output& err);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_H_
