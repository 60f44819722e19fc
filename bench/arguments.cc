#include "bench/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <utility>

namespace lamina::bench {
namespace {

constexpr uint64_t kMaxPageBytes = uint64_t{1} << 30;

// What needs a second look after parsing.
struct RawArguments : Arguments {
  std::string page_bytes = "256K";
  std::vector<std::string> engines = {"lamina"};
  std::vector<std::string> capacity_texts;
  std::string eviction;
  std::string admission;
  bool page_cache = false;
};

std::string KnownEngines() {
  std::string text;
  for (const std::string& name : EngineNames()) text += name + ", ";
  return text + "all";
}

void DeclareWhatToReplay(CLI::App* app, RawArguments* arguments) {
  CLI::Option* trace = app->add_option("--trace", arguments->trace,
                                       "Trace file: JSONL with timestamp, input_length, "
                                       "output_length, hash_ids");
  app->add_option("--workload", arguments->workload,
                  "Built-in workload: conversation (chat sessions that come back) or staged (hit "
                  "rates .1 .3 .5 .7 .5 .3 .1)")
      ->capture_default_str()
      ->excludes(trace);
  app->add_option("--requests", arguments->workload_requests,
                  "Length of a built-in workload (default: 1000 conversation, 700 staged)")
      ->check(CLI::NonNegativeNumber)
      ->excludes(trace);
  app->add_option("--seed", arguments->seed, "Of a built-in workload")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app->add_option("--skip", arguments->run.skip, "Leave out the first N requests")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--limit", arguments->run.limit, "Replay at most N requests (default: all)")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--page-bytes", arguments->page_bytes, "Size of a page; K, M, G are of 1024")
      ->capture_default_str();
  app->add_option("--pages-per-block", arguments->pages_per_block,
                  "Make so many pages of each block, which must divide its tokens")
      ->capture_default_str()
      ->check(CLI::Range(1, 512));
  app->add_option(
         "--page-tokens", arguments->page_tokens,
         "Tokens in a full page, for the time to first token (default: the workload's; 512 "
         "for a trace)")
      ->check(CLI::PositiveNumber);
  app->add_option("--prefill-tokens-per-s", arguments->run.replay.prefill_tokens_per_s,
                  "Speed of computing what is not restored, for the modelled time to first token")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

void DeclareCapacity(CLI::App* app, RawArguments* arguments) {
  PolicyChoice& policy = arguments->run.policy;
  app->add_option("--capacity", arguments->capacity_texts,
                  "Bound on the lamina engine: bytes of all it has on disk, or \"P%\": slots for "
                  "that share of the distinct pages (metadata comes on top)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option("--eviction", arguments->eviction, "prhd, lru or s3fifo (default: prhd)")
      ->check(CLI::IsMember(EvictionNames()));
  app->add_option("--admission", arguments->admission,
                  "Which new pages are written: policy, all or second_use (default: policy)")
      ->check(CLI::IsMember(AdmissionNames()));
  CLI::Option* only = app->add_flag("--policy-only", arguments->policy_only,
                                    "Run the eviction policy alone, without payloads, beside LRU "
                                    "and the offline optimum; --capacity may be a list");
  app->add_option("--seeds", policy.seeds, "Runs of the policy alone, whose mean is reported")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app->add_option("--live-share", policy.live_share,
                  "Of --policy-only: live pages over slots (the store: 63/64, or .96 where pages "
                  "are under 256 KiB)")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1.0))
      ->needs(only);
  app->add_option("--run-pages", policy.run_pages,
                  "Of --policy-only: slots in a row that are overwritten together (the store: 256 "
                  "KiB of them)")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->needs(only);
}

void DeclareEngines(CLI::App* app, RawArguments* arguments) {
  RunConfig& run = arguments->run;
  app->add_option("--engine", arguments->engines, "Engines to run in turn: " + KnownEngines())
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option(
      "--dir", arguments->dir,
      "Directory to use and leave (several engines: one in it for each). Default: a new "
      "one here, removed at the end");
  app->add_flag("--keep", arguments->keep, "Leave the new directory");
  app->add_option("--options", run.engine.store_options, "Of the lamina engine: \"k=v;k=v\"");
  app->add_option("--root", run.engine.root, "Root of the pages' identity")->capture_default_str();
  app->add_option("--threads", run.replay.threads, "Threads that replay")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app->add_option("--file-workers", run.engine.file_workers, "Threads of the file engine")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app->add_option("--raw-depth", run.engine.raw_depth, "Requests in flight of the raw engine")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app->add_flag("--verify,!--no-verify", run.replay.verify, "Compare every byte (default)");
  app->add_flag("--page-cache", arguments->page_cache,
                "Let restores come from the kernel's page cache (default: its pages are dropped "
                "before each restore)");
  app->add_option("--json", arguments->json,
                  "Write the summary to this file: an object; with several engines, an array");
}

Status ResolvePageBytes(RawArguments* arguments) {
  const Result<uint64_t> page_bytes = ParseBytes(arguments->page_bytes);
  if (!page_bytes.ok()) {
    return Status::InvalidArgument("--page-bytes: " + std::string(page_bytes.status().message()));
  }
  if (*page_bytes == 0 || *page_bytes > kMaxPageBytes) {
    return Status::InvalidArgument("--page-bytes: 1 to 1G");
  }
  arguments->run.engine.page_bytes = *page_bytes;
  return Status::Ok();
}

Status ResolveEngines(RawArguments* arguments) {
  const std::vector<std::string> known = EngineNames();
  std::vector<std::string>& engines = arguments->run.engines;
  for (const std::string& name : arguments->engines) {
    if (name == "all") {
      engines.insert(engines.end(), known.begin(), known.end());
    } else if (const Status status = CheckEngineName(name); !status.ok()) {
      return Status::InvalidArgument("--engine: " + std::string(status.message()));
    } else {
      engines.push_back(name);
    }
  }
  std::vector<std::string> sorted = engines;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return Status::InvalidArgument("--engine: an engine is named twice");
  }
  return Status::Ok();
}

Status ResolveCapacity(RawArguments* arguments) {
  for (const std::string& text : arguments->capacity_texts) {
    const Result<CapacityChoice> choice = ParseCapacity(text);
    if (!choice.ok()) {
      return Status::InvalidArgument("--capacity: " + std::string(choice.status().message()));
    }
    arguments->capacities.push_back(*choice);
  }
  const size_t count = arguments->capacities.size();
  if (arguments->policy_only && count == 0) {
    return Status::InvalidArgument("--policy-only needs a --capacity");
  }
  if (!arguments->policy_only && count > 1) {
    return Status::InvalidArgument("--capacity: a list is for --policy-only");
  }
  if (count > 0) arguments->run.capacity = arguments->capacities.front();
  return Status::Ok();
}

// What the store is told is what it is compared with.
void ResolvePolicy(RawArguments* arguments) {
  RunConfig& run = arguments->run;
  const auto choose = [&](const char* option, const std::string& value, std::string* name) {
    if (value.empty()) return;
    *name = value;
    run.engine.store_options += std::string(";") + option + "=" + value;
  };
  choose("eviction", arguments->eviction, &run.policy.eviction);
  choose("admission", arguments->admission, &run.policy.admission);
}

}  // namespace

std::variant<Arguments, ExitCode> ParseArguments(std::vector<std::string> arguments) {
  CLI::App app("Replays a request trace through a store, checks every byte and measures.",
               "lamina-replay");
  RawArguments raw;
  DeclareWhatToReplay(&app, &raw);
  DeclareCapacity(&app, &raw);
  DeclareEngines(&app, &raw);
  try {
    // CLI11 takes a vector from its back.
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return ExitCode{app.exit(error) == 0 ? 0 : kExitUsage};
  }
  Status status = ResolvePageBytes(&raw);
  if (status.ok()) status = ResolveEngines(&raw);
  if (status.ok()) status = ResolveCapacity(&raw);
  if (!status.ok()) {
    std::fprintf(stderr, "lamina-replay: %s\n", std::string(status.message()).c_str());
    return ExitCode{kExitUsage};
  }
  ResolvePolicy(&raw);
  raw.run.replay.drop_page_cache = !raw.page_cache;
  return Arguments(std::move(raw));
}

Result<Workload> LoadWorkload(const Arguments& arguments) {
  Workload workload;
  if (arguments.trace.empty()) {
    Result<Workload> made =
        MakeWorkload(arguments.workload, arguments.workload_requests, arguments.seed);
    if (!made.ok()) return made.status();
    workload = std::move(*made);
  } else {
    // All of it where a capacity is a share of the trace's distinct pages.
    const bool whole =
        arguments.run.limit == 0 || arguments.run.capacity.given() || !arguments.capacities.empty();
    const size_t count = whole ? 0 : arguments.run.skip + arguments.run.limit;
    Result<std::vector<Request>> requests = LoadTrace(arguments.trace, count);
    if (!requests.ok()) return requests.status();
    workload.name = arguments.trace;
    workload.requests = std::move(*requests);
  }
  if (arguments.page_tokens != 0) workload.page_tokens = arguments.page_tokens;
  if (workload.page_tokens % arguments.pages_per_block != 0) {
    return Status::InvalidArgument("--pages-per-block must divide the " +
                                   std::to_string(workload.page_tokens) + " tokens of a block");
  }
  SplitBlocks(arguments.pages_per_block, &workload);
  return workload;
}

}  // namespace lamina::bench
