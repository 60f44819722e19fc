// The command line of vlog-gc.
#ifndef LAMINA_TOOLS_VLOG_GC_OPTIONS_H_
#define LAMINA_TOOLS_VLOG_GC_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/common_output.h"

namespace lamina::vlog_gc {

enum class Command : uint8_t { kDryRun, kRun, kVerify };

struct GcOptions {
  std::string directory;
  Command command = Command::kDryRun;
  uint64_t target_bytes = UINT64_MAX;
  std::optional<uint32_t> segment;  // this one alone
  std::string store_options;        // for --run: as the store is opened with
  bool json = false;
  bool raw = false;
};

// Fills `options`; or prints help, versions or what is wrong, and returns the exit code.
std::optional<tools::ExitCode> ParseOptions(std::vector<std::string> arguments, GcOptions* options,
                                            tools::Output& out, tools::Output& err);

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_OPTIONS_H_
