// lamina-replay: replays a request trace, or a built-in workload, through a store and checks every
// byte. Exit codes: 0, 1 when a page was wrong or an engine failed, 2 for wrong usage.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "bench/arguments.h"
#include "bench/directory.h"
#include "bench/report.h"
#include "bench/run.h"

namespace lamina::bench {
namespace {

std::atomic<bool> g_stop{false};

extern "C" void HandleStopSignal(int signal_number) {
  g_stop.store(true);
  // A second one ends the process at once.
  std::signal(signal_number, SIG_DFL);
}

// Does nothing without a file. Of one report an object, of several an array.
template <typename Report>
Status WriteJson(const std::string& file, const std::vector<Report>& reports) {
  if (file.empty()) return Status::Ok();
  nlohmann::json json = nlohmann::json::array();
  for (const Report& report : reports) json.push_back(ToJson(report));
  std::ofstream stream(file);
  stream << (json.size() == 1 ? json.front() : json).dump(2) << '\n';
  stream.close();
  if (!stream) return Status::IoError("cannot write " + file);
  return Status::Ok();
}

int Fail(const Status& status) {
  std::fprintf(stderr, "lamina-replay: %s\n", std::string(status.message()).c_str());
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitFailure;
}

int RunPolicy(const Workload& workload, const Arguments& arguments) {
  const Result<std::vector<PolicyReport>> reports =
      RunPolicyOnly(workload, arguments.run, arguments.capacities);
  if (!reports.ok()) return Fail(reports.status());
  std::fputs(FormatTable(*reports).c_str(), stdout);
  const Status written = WriteJson(arguments.json, *reports);
  return written.ok() ? 0 : Fail(written);
}

int Run(Arguments arguments) {
  const Result<Workload> workload = LoadWorkload(arguments);
  if (!workload.ok()) return Fail(workload.status());
  if (arguments.policy_only) return RunPolicy(*workload, arguments);
  Result<Workspace> workspace = Workspace::Prepare(arguments.dir, arguments.keep);
  if (!workspace.ok()) return Fail(workspace.status());
  arguments.run.dir = workspace->path();
  arguments.run.replay.stop = &g_stop;
  arguments.run.show_progress = isatty(STDERR_FILENO) == 1;
  std::signal(SIGINT, HandleStopSignal);
  std::signal(SIGTERM, HandleStopSignal);
  const Result<std::vector<Summary>> summaries = RunWorkload(*workload, arguments.run);
  if (!summaries.ok()) return Fail(summaries.status());
  // Before the workspace is removed, which can take longer than the run where files are many.
  std::fputs(FormatTable(*summaries).c_str(), stdout);
  std::fflush(stdout);
  const Status written = WriteJson(arguments.json, *summaries);
  if (!written.ok()) return Fail(written);
  const bool failed = std::any_of(summaries->begin(), summaries->end(),
                                  [](const Summary& s) { return s.wrong_pages > 0 || s.stopped; });
  return failed ? kExitFailure : 0;
}

}  // namespace
}  // namespace lamina::bench

int main(int argc, char** argv) {
  using lamina::bench::Arguments;
  auto parsed = lamina::bench::ParseArguments({argv + 1, argv + argc});
  if (const auto* exit_code = std::get_if<lamina::bench::ExitCode>(&parsed)) {
    return exit_code->value;
  }
  return lamina::bench::Run(std::move(std::get<Arguments>(parsed)));
}
