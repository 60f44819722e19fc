// lamina-bench: runs engines side by side over the same pages and reports what each reaches of raw
// io_uring. Exit codes: 0, 1 when a page was wrong or lost or an engine failed, 2 for wrong usage.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "bench/directory.h"
#include "bench/peers_arguments.h"
#include "bench/peers_report.h"
#include "bench/peers_run.h"

namespace lamina::bench {
namespace {

std::atomic<bool> g_stop{false};

extern "C" void HandleStopSignal(int signal_number) {
  g_stop.store(true);
  // A second one ends the process at once.
  std::signal(signal_number, SIG_DFL);
}

int Fail(const Status& status) {
  fmt::print(stderr, "lamina-bench: {}\n", status.message());
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitFailure;
}

// On a terminal one line that is written over and over; else a line for each phase.
void ShowProgress(const std::string& text) {
  if (isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr, "\r{:<78}", text);
  } else {
    fmt::print(stderr, "{}\n", text);
  }
}

Status WriteJson(const std::string& file, const std::vector<PeerRow>& rows) {
  if (file.empty()) return Status::Ok();
  nlohmann::json json = nlohmann::json::array();
  for (const PeerRow& row : rows) json.push_back(ToJson(row));
  std::ofstream stream(file);
  stream << json.dump(1) << '\n';
  stream.close();
  if (!stream) return Status::IoError("cannot write " + file);
  return Status::Ok();
}

int Run(PeersArguments arguments) {
  Result<Workspace> workspace = Workspace::PrepareIn(arguments.parent, "lamina-bench");
  if (!workspace.ok()) return Fail(workspace.status());
  arguments.plan.dir = workspace->path();
  const Status room = CheckRoom(arguments.plan);
  if (!room.ok()) return Fail(room);
  std::signal(SIGINT, HandleStopSignal);
  std::signal(SIGTERM, HandleStopSignal);
  const Result<std::vector<Measurement>> measurements =
      RunPeers(arguments.plan, ShowProgress, g_stop);
  if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r{:78}\r", "");
  if (!measurements.ok()) return Fail(measurements.status());
  const std::vector<PeerRow> rows = MakePeerRows(arguments.plan, *measurements);
  fmt::print("{}", FormatPeerTable(rows));
  std::fflush(stdout);
  const Status written = WriteJson(arguments.json, rows);
  if (!written.ok()) return Fail(written);
  const bool wrong = std::any_of(rows.begin(), rows.end(), [](const PeerRow& row) {
    return row.wrong_pages > 0 || row.missing_pages > 0;
  });
  return wrong || g_stop ? kExitFailure : 0;
}

}  // namespace
}  // namespace lamina::bench

int main(int argc, char** argv) {
  using lamina::bench::PeersArguments;
  auto parsed = lamina::bench::ParsePeersArguments({argv + 1, argv + argc});
  if (const auto* exit_code = std::get_if<lamina::bench::ExitCode>(&parsed)) {
    return exit_code->value;
  }
  return lamina::bench::Run(std::move(std::get<PeersArguments>(parsed)));
}
