// The command line of sst-dump.
#ifndef LAMINA_TOOLS_SST_DUMP_OPTIONS_H_
#define LAMINA_TOOLS_SST_DUMP_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/common_output.h"

namespace lamina::sst_dump {

enum class Command : uint8_t { kProperties, kLayout, kScan, kVerify, kManifest, kTree, kTuner };

struct DumpOptions {
  std::vector<std::string> targets;  // at least one
  Command command = Command::kProperties;
  std::string from;               // bytes of a key or of its front; scan starts there
  std::optional<std::string> to;  // and ends before this one
  uint64_t limit = UINT64_MAX;    // of entries that scan prints
  bool json = false;
  bool raw = false;
  bool verbose = false;
};

// Fills `options`; or prints help, versions or what is wrong, and returns the exit code.
std::optional<tools::ExitCode> ParseOptions(std::vector<std::string> arguments,
                                            DumpOptions* options, tools::Output& out,
                                            tools::Output& err);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_OPTIONS_H_
