#include "tools/vlog_gc.h"

#include <cstring>
#include <utility>

#include "engine/io/posix_file_system.h"
#include "tools/vlog_gc_options.h"
#include "tools/vlog_gc_report.h"
#include "tools/vlog_gc_run.h"
#include "tools/vlog_gc_show.h"
#include "tools/vlog_gc_state.h"
#include "tools/vlog_gc_verify.h"

namespace lamina::vlog_gc {
namespace {

using tools::ExitCode;
using tools::Output;

// Whether the segment that was asked for is there.
bool HasSegment(const StoreState& state, const GcOptions& options) {
  return !options.segment || state.manifest().segments.contains(*options.segment);
}

void LookFromOutside(FileSystem& fs, Report& report) {
  const GcOptions& options = report.options();
  auto state = StoreState::Load(fs, options.directory);
  if (!state.ok()) return report.Failed(options.directory, state.status());
  if (!HasSegment(**state, options)) {
    return report.Trouble(options.directory + ": has no segment " +
                          std::to_string(*options.segment));
  }
  if (!(*state)->closed()) {
    report.Note(options.directory +
                ": the store was not closed. If a process has it open, what is printed may be "
                "inconsistent");
  }
  if ((*state)->changed_meanwhile())
    report.Note(options.directory + ": the store changed while it was being read");
  for (const auto& [file, problem] : (*state)->problems()) report.Failed(file, problem);
  if (options.command == Command::kVerify) {
    Verify(fs, options.directory, std::move(*state), report);
  } else {
    Show(**state, report);
  }
}

}  // namespace

ExitCode Run(std::vector<std::string> arguments, const std::atomic<bool>& stop, Output& out,
             Output& err) {
  GcOptions options;
  if (const auto ended = ParseOptions(std::move(arguments), &options, out, err)) return *ended;
  const auto posix = PosixFileSystem::Create({});
  if (!posix.ok()) {
    err.Print("vlog-gc: {}\n", posix.status().message());
    return ExitCode::kTrouble;
  }
  QueueingReadOnlyFileSystem fs(**posix);
  Report report(options, stop, out, err);
  if (options.command == Command::kRun) {
    Collect(fs, report);
  } else {
    LookFromOutside(fs, report);
  }
  out.Flush();
  if (out.error() != 0)
    err.Print("vlog-gc: cannot write to standard output: {}\n", std::strerror(out.error()));
  return report.exit_code();
}

}  // namespace lamina::vlog_gc
