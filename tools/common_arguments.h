// Parsing a tool's command line.
#ifndef LAMINA_TOOLS_COMMON_ARGUMENTS_H_
#define LAMINA_TOOLS_COMMON_ARGUMENTS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/common_output.h"

namespace lamina::tools {

// Parses what follows the tool's name into what `app` has declared. Where the tool is over with
// that, for help and versions asked for and for wrong usage, it prints so and returns what to exit
// with.
std::optional<ExitCode> Parse(CLI::App& app, std::vector<std::string> arguments, Output& out,
                              Output& err);

}  // namespace lamina::tools

#endif  // LAMINA_TOOLS_COMMON_ARGUMENTS_H_
