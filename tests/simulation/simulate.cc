// Runs simulated histories of a whole store.
//
//   simulate --seed N [--histories M]   histories N, N+1, ... N+M-1 (1 without M), until one fails
//   simulate --seed N --keep 0,3,7      of one history, these steps alone
//   --trace                             each step on stderr
//   --all                               goes on after a failure
//
// A failure prints the command that repeats it, and the steps that are enough for it. Exit status:
// 0 all were right, 1 one was not, 2 usage; the seed that crashes or hangs the program is printed.
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/shrink.h"

namespace lamina::simulation {
namespace {

volatile uint64_t running_seed = 0;

// A history takes milliseconds; one that hangs, or crashes the program, is to be known by name.
void TellSeed(int signal) {
  char text[160];
  const int length = std::snprintf(
      text, sizeof text, "\nsignal %d in history %llu: simulate --seed %llu\n", signal,
      static_cast<unsigned long long>(running_seed), static_cast<unsigned long long>(running_seed));
  if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) _exit(4);
  ::signal(signal, SIG_DFL);
  if (signal == SIGALRM) _exit(3);
  raise(signal);
}

struct Arguments {
  uint64_t seed = 1;
  uint64_t histories = 1;
  std::vector<size_t> keep;
  bool trace = false;
  bool all = false;
};

bool ParseNumber(std::string_view text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--trace") {
      arguments->trace = true;
    } else if (name == "--all") {
      arguments->all = true;
    } else if (i + 1 == argc) {
      return false;
    } else if (name == "--seed") {
      if (!ParseNumber(argv[++i], &arguments->seed)) return false;
    } else if (name == "--histories") {
      if (!ParseNumber(argv[++i], &arguments->histories)) return false;
    } else if (name == "--keep") {
      std::string_view list = argv[++i];
      while (!list.empty()) {
        uint64_t step = 0;
        if (!ParseNumber(list.substr(0, list.find(',')), &step)) return false;
        arguments->keep.push_back(step);
        list.remove_prefix(std::min(list.size(), std::min(list.find(','), list.size()) + 1));
      }
    } else {
      return false;
    }
  }
  return true;
}

struct Totals {
  uint64_t histories = 0, failed = 0, gave_up = 0, crashes = 0, faults = 0, pages = 0, evicted = 0;
};

void Report(const Plan& plan, const Outcome& outcome) {
  std::printf("FAILED  simulate --seed %llu\n  %s\n", static_cast<unsigned long long>(plan.seed),
              outcome.violation.c_str());
  const std::vector<size_t> enough = Shrink(plan, 400);
  std::string list;
  for (const size_t step : enough) list += (list.empty() ? "" : ",") + std::to_string(step);
  std::printf("  these steps are enough:  simulate --seed %llu --keep %s\n",
              static_cast<unsigned long long>(plan.seed), list.c_str());
  for (const size_t step : enough)
    std::printf("    %3zu  %s\n", step, NameOf(plan.steps[step].act));
  std::fflush(stdout);
}

int Main(const Arguments& arguments) {
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGALRM}) ::signal(signal, TellSeed);
  const auto began = std::chrono::steady_clock::now();
  Totals totals;
  for (uint64_t i = 0; i < arguments.histories; ++i) {
    running_seed = arguments.seed + i;
    alarm(60);
    Plan plan = Plan::Draw(arguments.seed + i);
    if (!arguments.keep.empty()) plan = Keep(plan, arguments.keep);
    const Outcome outcome = History(plan, arguments.trace).Run();
    ++totals.histories;
    totals.gave_up += outcome.gave_up ? 1 : 0;
    totals.crashes += outcome.crashes;
    totals.faults += outcome.faults;
    totals.pages += outcome.pages_checked;
    if (outcome.violation.empty()) continue;
    ++totals.failed;
    if (!arguments.keep.empty()) {
      std::printf("FAILED\n  %s\n", outcome.violation.c_str());
    } else {
      alarm(0);
      Report(plan, outcome);
    }
    if (!arguments.all) break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf(
      "%llu histories, %llu failed; %llu crashes, %llu faults, %llu pages got and checked; %llu "
      "stores refused to open on a disk that had lied; %.1f histories/s\n",
      static_cast<unsigned long long>(totals.histories),
      static_cast<unsigned long long>(totals.failed),
      static_cast<unsigned long long>(totals.crashes),
      static_cast<unsigned long long>(totals.faults), static_cast<unsigned long long>(totals.pages),
      static_cast<unsigned long long>(totals.gave_up),
      static_cast<double>(totals.histories) / took.count());
  return totals.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamina::simulation

int main(int argc, char** argv) {
  lamina::simulation::Arguments arguments;
  if (!lamina::simulation::Parse(argc, argv, &arguments)) {
    std::fprintf(stderr,
                 "usage: simulate [--seed N] [--histories M] [--keep I,J,...] [--trace] [--all]\n");
    return 2;
  }
  return lamina::simulation::Main(arguments);
}
