// --verify: reads every page that an entry leads to, and checks it.
#ifndef LAMINA_TOOLS_VLOG_GC_VERIFY_H_
#define LAMINA_TOOLS_VLOG_GC_VERIFY_H_

#include <memory>
#include <string>

#include "tools/vlog_gc_report.h"
#include "tools/vlog_gc_state.h"

namespace lamina::vlog_gc {

// A page whose bytes are wrong is damage, unless
//   - it is unproven: the journal has it, but its payload may never have reached the device, as a
//     power cut leaves it; such pages are named and counted apart;
//   - the store is open, and the page turns out to have been overwritten since the state was read.
// Tags that no entry reaches are named, too; they are no damage: space that is lost until the walk
// that the store makes after it was not closed.
void Verify(FileSystem& fs, const std::string& directory, std::unique_ptr<StoreState> state,
            Report& report);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_VERIFY_H_
