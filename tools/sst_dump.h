// sst-dump: shows and checks the files of a store, from outside, without changing anything.
//
// It works on a store that another process has open: it takes no lock and opens nothing for
// writing. What it prints of such a store was true at some moment while it ran.
#ifndef LAMINA_TOOLS_SST_DUMP_H_
#define LAMINA_TOOLS_SST_DUMP_H_

#include <string>
#include <vector>

#include "tools/common_output.h"

namespace lamina::sst_dump {

// The whole tool but for the process: arguments without the program's name. Data goes to `out`,
// diagnostics to `err`.
tools::ExitCode Run(std::vector<std::string> arguments, tools::Output& out, tools::Output& err);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_H_
