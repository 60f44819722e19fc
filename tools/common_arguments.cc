#include "tools/common_arguments.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace lamina::tools {

std::optional<ExitCode> Parse(CLI::App& app, std::vector<std::string> arguments, Output& out,
                              Output& err) {
  // CLI11 takes them from the back.
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    std::ostringstream data;
    std::ostringstream diagnostics;
    const int code = app.exit(error, data, diagnostics);
    out.Write(data.str());
    err.Write(diagnostics.str());
    return code == 0 ? ExitCode::kClean : ExitCode::kTrouble;
  }
  return std::nullopt;
}

}  // namespace lamina::tools
