#include "tools/sst_dump_options.h"

#include <CLI/CLI.hpp>
#include <array>
#include <string_view>
#include <utility>

#include "engine/index/stem_key.h"
#include "engine/index/table_format.h"
#include "engine/lamina.h"
#include "engine/store/manifest_format.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/slot_table_format.h"
#include "tools/common_arguments.h"
#include "tools/common_text.h"
#include "tuner/journal_format.h"

namespace lamina::sst_dump {
namespace {

using tools::ExitCode;
using tools::Output;

constexpr std::array<std::pair<const char*, Command>, 7> kCommands = {{
    {"properties", Command::kProperties},
    {"layout", Command::kLayout},
    {"scan", Command::kScan},
    {"verify", Command::kVerify},
    {"manifest", Command::kManifest},
    {"tree", Command::kTree},
    {"tuner", Command::kTuner},
}};

constexpr char kFooter[] =
    "Commands:\n"
    "  properties  what each file says of itself (default); of a store, its tables\n"
    "  layout      each region of a file with offset and length; -v: entries, too\n"
    "  scan        the entries of tables, the slots of slot tables, the records of journals\n"
    "  verify      read every byte and check it; of a store, all that its manifest names\n"
    "  manifest    the state of a store, and the edits that led to it\n"
    "  tree        levels and runs, their sizes, filters and expected false-positive rates\n"
    "  tuner       the decisions of the tuner\n"
    "\n"
    "A DIR may be a store or hold any of its files; a FILE may be a table, a manifest, a journal\n"
    "file or a slot table, told by its content. Nothing is written or locked, so a store that is\n"
    "open can be read; what is printed of it may then be inconsistent.\n"
    "\n"
    "Exit codes: 0 clean, 1 damage was found, 2 wrong usage or a file that cannot be read.";

std::string Versions() {
  return fmt::format(
      "sst-dump {}\nformats: table {}, manifest {}, journal {}, slot table {}, log directory {}, "
      "tuner journal {}",
      Version(), kTableVersion, kManifestVersion, kJournalVersion, kSlotTableVersion,
      kLogDirFormatVersion, tuner::kJournalVersion);
}

struct Arguments {
  std::string command = kCommands[0].first;
  std::string from;
  std::string to;
};

void Declare(CLI::App* app, Arguments* arguments, DumpOptions* options) {
  std::vector<std::string> names;
  for (const auto& [name, command] : kCommands) names.emplace_back(name);
  app->set_version_flag("--version", Versions(), "Print the versions of the tool and the formats");
  app->add_option("targets", options->targets, "Stores, directories and files")
      ->required()
      ->type_name("DIR|FILE");
  app->add_option("--command", arguments->command, "What to do")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app->add_option("--from", arguments->from, "scan: start at this key or front of a key")
      ->type_name("HEX");
  app->add_option("--to", arguments->to, "scan: stop before this key or front of a key")
      ->type_name("HEX");
  app->add_option("--limit", options->limit, "scan: print at most N")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  app->add_flag("--json", options->json, "One JSON object a line, each with a \"type\"");
  app->add_flag("--raw", options->raw, "Print numbers exactly");
  app->add_flag("-v,--verbose", options->verbose, "layout: entries, too; tree: tables, too");
  app->footer(kFooter);
}

// What is wrong with the text of a key; empty if nothing is.
std::string ParseKey(const std::string& option, const std::string& text, std::string* bytes) {
  auto parsed = tools::BytesOfHex(text);
  if (!parsed) return option + ": expected pairs of hex digits, found '" + text + "'";
  if (parsed->size() > kMaxKeyBytes) {
    return option + ": a key has at most " + std::to_string(kMaxKeyBytes) + " bytes, found " +
           std::to_string(parsed->size());
  }
  *bytes = std::move(*parsed);
  return {};
}

}  // namespace

std::optional<ExitCode> ParseOptions(std::vector<std::string> arguments, DumpOptions* options,
                                     Output& out, Output& err) {
  CLI::App app("Shows and checks the files of a Lamina store.", "sst-dump");
  Arguments texts;
  Declare(&app, &texts, options);
  if (const auto over = tools::Parse(app, std::move(arguments), out, err)) return over;
  for (const auto& [name, command] : kCommands) {
    if (texts.command == name) options->command = command;
  }
  std::string wrong = ParseKey("--from", texts.from, &options->from);
  if (wrong.empty() && !texts.to.empty())
    wrong = ParseKey("--to", texts.to, &options->to.emplace());
  if (wrong.empty() && options->to && *options->to < options->from)
    wrong = "--to: is below --from, so that nothing lies between";
  if (!wrong.empty()) {
    err.Print("sst-dump: {}\n", wrong);
    return ExitCode::kTrouble;
  }
  return std::nullopt;
}

}  // namespace lamina::sst_dump
