#include "tools/vlog_gc_options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "engine/base/size_text.h"
#include "engine/lamina.h"
#include "engine/store/manifest_format.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/slot_table_format.h"
#include "tools/common_arguments.h"

namespace lamina::vlog_gc {
namespace {

using tools::ExitCode;
using tools::Output;

constexpr char kFooter[] =
    "Without --run nothing is written or locked, so a store that is open can be looked at; what\n"
    "is printed of it may then be inconsistent, and which slots are pinned is not known.\n"
    "\n"
    "--run opens the store, and so needs it to itself. It may be interrupted (SIGINT, SIGTERM),\n"
    "and killed: what was moved by then has moved, the rest is where it was. Of memory it takes a\n"
    "gigabyte, or more if slots, tables and the eviction policy need it; or memory_bytes of\n"
    "--options.\n"
    "\n"
    "Exit codes: 0 clean, 1 damage was found, 2 wrong usage, something that could not be read or\n"
    "written, a segment that was to go and could not, or a run that was stopped before it was\n"
    "through.";

std::string Versions() {
  return fmt::format(
      "vlog-gc {}\nformats: manifest {}, journal {}, slot table {}, log directory {}", Version(),
      kManifestVersion, kJournalVersion, kSlotTableVersion, kLogDirFormatVersion);
}

struct Arguments {
  bool run = false;
  bool verify = false;
  std::string target;
  std::optional<uint32_t> segment;
};

void Declare(CLI::App* app, Arguments* arguments, GcOptions* options) {
  app->set_version_flag("--version", Versions(), "Print the versions of the tool and the formats");
  app->add_option("directory", options->directory, "The store")->required()->type_name("DIR");
  auto* run = app->add_flag("--run", arguments->run, "Give disk space back now");
  app->add_flag("--verify", arguments->verify, "Read every page and check it")->excludes(run);
  app->add_option("--target-bytes", arguments->target,
                  "Stop when so much is given back (K, M, G, T)")
      ->type_name("N");
  app->add_option("--segment", arguments->segment, "Only this segment")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--options", options->store_options,
                  "--run: options of the store, name=value;..., as it is usually opened with")
      ->type_name("TEXT");
  app->add_flag("--json", options->json, "One JSON object a line, each with a \"type\"");
  app->add_flag("--raw", options->raw, "Print numbers exactly");
  app->footer(kFooter);
}

// What is wrong; empty if nothing is.
std::string Resolve(const Arguments& arguments, GcOptions* options) {
  if (arguments.run) options->command = Command::kRun;
  if (arguments.verify) options->command = Command::kVerify;
  options->segment = arguments.segment;
  if (!arguments.target.empty()) {
    if (arguments.verify) return "--target-bytes: --verify gives nothing back";
    if (!ParseSize(arguments.target, &options->target_bytes) || options->target_bytes == 0)
      return "--target-bytes: expected a size such as 64M, found '" + arguments.target + "'";
  }
  if (!options->store_options.empty() && !arguments.run)
    return "--options: only --run opens the store";
  while (options->directory.size() > 1 && options->directory.back() == '/')
    options->directory.pop_back();
  return {};
}

}  // namespace

std::optional<ExitCode> ParseOptions(std::vector<std::string> arguments, GcOptions* options,
                                     Output& out, Output& err) {
  CLI::App app(
      "Shows what lies in the tensor log of a Lamina store, checks it, and gives disk "
      "space back.",
      "vlog-gc");
  Arguments parsed;
  Declare(&app, &parsed, options);
  if (const auto over = tools::Parse(app, std::move(arguments), out, err)) return over;
  if (const std::string wrong = Resolve(parsed, options); !wrong.empty()) {
    err.Print("vlog-gc: {}\n", wrong);
    return ExitCode::kTrouble;
  }
  return std::nullopt;
}

}  // namespace lamina::vlog_gc
