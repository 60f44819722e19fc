#include "bench/peers_arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "bench/buffers.h"
#include "bench/run.h"

namespace lamina::bench {
namespace {

constexpr uint64_t kMaxPageBytes = uint64_t{1} << 30;
constexpr uint64_t kQuickBytes = uint64_t{128} << 20;
constexpr size_t kQuickRounds = 3;

// "a, b, c". (fmt::join makes GCC 12 see an overflow in fmt, when optimising.)
std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// What needs a second look after parsing.
struct RawArguments : PeersArguments {
  std::vector<std::string> engines = {"raw", "lamina"};
  std::vector<std::string> ops = {"put", "restore", "restore-random"};
  std::vector<std::string> page_bytes = {"64K", "256K", "1M"};
  std::vector<size_t> batches = {32};
  std::vector<std::string> blocks = {"fresh"};
  size_t fragments = 1;
  size_t misalign_bytes = 0;
  std::string bytes = "1G";
  bool quick = false;
};

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  for (const PeerOp op : kPeerOps) names.emplace_back(PeerOpName(op));
  return names;
}

template <typename T>
CLI::Option* AddList(CLI::App* app, const char* name, std::vector<T>* values,
                     const std::string& help) {
  return app->add_option(name, *values, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
}

void DeclareShapes(CLI::App* app, RawArguments* arguments) {
  AddList(app, "--page-bytes", &arguments->page_bytes, "Sizes of a page; K, M, G are of 1024");
  AddList(app, "--batch", &arguments->batches, "Pages that a call puts or restores")
      ->check(CLI::Range(1, 65536));
  AddList(app, "--threads", &arguments->plan.threads,
          "Threads that restore at once; all else is done by one")
      ->check(CLI::Range(1, 256));
  app->add_option("--fragments", arguments->fragments,
                  "Buffers that a page is scattered over, layer by layer")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app->add_option("--misalign", arguments->misalign_bytes,
                  "Bytes behind a 4 KiB boundary at which buffers begin")
      ->capture_default_str()
      ->check(CLI::Range(size_t{0}, kDirectIoBytes - 1));
  AddList(app, "--blocks", &arguments->blocks,
          "fresh: puts are the first into their blocks; recycled: they overwrite, in a full store "
          "(engines that can be bounded)")
      ->check(CLI::IsMember({"fresh", "recycled"}));
}

void DeclareRun(CLI::App* app, RawArguments* arguments, CLI::Option** bytes, CLI::Option** rounds) {
  AddList(app, "--engines", &arguments->engines,
          fmt::format("Engines to compare: {}, or all; file-N has N workers",
                      Listed(ContenderLabels())));
  AddList(app, "--ops", &arguments->ops,
          fmt::format("What they do: {}, or all", Listed(OpNames())));
  *rounds = app->add_option("--rounds", arguments->plan.rounds,
                            "Times that every engine does everything, in turn")
                ->capture_default_str()
                ->check(CLI::Range(1, 1000));
  *bytes = app->add_option("--bytes", arguments->bytes,
                           "Put into each engine in a round (at most 8192 calls)")
               ->capture_default_str();
  app->add_option("--writer-seconds", arguments->plan.writer_seconds,
                  "Most that restores beside a writer take")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app->add_flag("--quick", arguments->quick, "3 rounds of 128M, where not given");
  app->add_option("--dir", arguments->parent,
                  "Where a directory is made for the run, and removed at its end")
      ->capture_default_str();
  app->add_option("--json", arguments->json, "Write the rows to this file, as an array");
  app->add_option("--options", arguments->plan.engine.store_options,
                  "Of the lamina engine: \"k=v;k=v\"");
  app->add_option("--raw-depth", arguments->plan.engine.raw_depth,
                  "Requests in flight of the raw engine")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
}

Status ResolveShapes(RawArguments* arguments) {
  for (const std::string& text : arguments->page_bytes) {
    const Result<uint64_t> page_bytes = ParseBytes(text);
    if (!page_bytes.ok()) {
      return Status::InvalidArgument("--page-bytes: " + std::string(page_bytes.status().message()));
    }
    if (*page_bytes == 0 || *page_bytes > kMaxPageBytes) {
      return Status::InvalidArgument("--page-bytes: 1 to 1G");
    }
    for (const size_t batch : arguments->batches) {
      for (const std::string& blocks : arguments->blocks) {
        arguments->plan.shapes.push_back({*page_bytes, batch, arguments->fragments,
                                          arguments->misalign_bytes, blocks == "recycled"});
      }
    }
  }
  return Status::Ok();
}

Status ResolveOps(RawArguments* arguments) {
  std::vector<PeerOp> ops;
  for (const std::string& name : arguments->ops) {
    const auto op = std::find_if(std::begin(kPeerOps), std::end(kPeerOps),
                                 [&](PeerOp known) { return PeerOpName(known) == name; });
    if (name == "all") {
      ops.assign(std::begin(kPeerOps), std::end(kPeerOps));
    } else if (op == std::end(kPeerOps)) {
      return Status::InvalidArgument(
          fmt::format("--ops: unknown operation \"{}\" (known: {}, all)", name, Listed(OpNames())));
    } else {
      ops.push_back(*op);
    }
  }
  PeersPlan& plan = arguments->plan;
  plan.ops = WithPrerequisites(ops);
  std::sort(plan.threads.begin(), plan.threads.end());
  plan.threads.erase(std::unique(plan.threads.begin(), plan.threads.end()), plan.threads.end());
  const bool writer = std::find(ops.begin(), ops.end(), PeerOp::kRestoreBesideWriter) != ops.end();
  // One thread restores beside the writer, and is compared with one alone.
  if (writer && plan.threads.front() != 1) plan.threads.insert(plan.threads.begin(), 1);
  return Status::Ok();
}

Status ResolveEngines(RawArguments* arguments) {
  Result<std::vector<Contender>> contenders = ParseContenders(arguments->engines);
  if (!contenders.ok()) {
    return Status::InvalidArgument("--engines: " + std::string(contenders.status().message()));
  }
  arguments->plan.contenders = std::move(*contenders);
  const bool recycled = std::find(arguments->blocks.begin(), arguments->blocks.end(), "recycled") !=
                        arguments->blocks.end();
  const auto can = [](const Contender& c) { return CanRecycle(c.engine); };
  if (recycled &&
      std::none_of(arguments->plan.contenders.begin(), arguments->plan.contenders.end(), can)) {
    return Status::InvalidArgument("--blocks recycled: none of these engines can be bounded");
  }
  const Result<Options> options = Options::Parse(arguments->plan.engine.store_options);
  if (!options.ok()) {
    return Status::InvalidArgument("--options: " + std::string(options.status().message()));
  }
  return Status::Ok();
}

Status ResolveBytes(RawArguments* arguments, bool bytes_given, bool rounds_given) {
  const Result<uint64_t> bytes = ParseBytes(arguments->bytes);
  if (!bytes.ok()) {
    return Status::InvalidArgument("--bytes: " + std::string(bytes.status().message()));
  }
  if (*bytes == 0) return Status::InvalidArgument("--bytes: at least 1");
  arguments->plan.bytes = arguments->quick && !bytes_given ? kQuickBytes : *bytes;
  if (arguments->quick && !rounds_given) arguments->plan.rounds = kQuickRounds;
  return Status::Ok();
}

}  // namespace

std::variant<PeersArguments, ExitCode> ParsePeersArguments(std::vector<std::string> arguments) {
  CLI::App app(
      "Runs storage engines in turn over the same pages and prints what they reach of raw "
      "io_uring.",
      "lamina-bench");
  RawArguments raw;
  raw.plan.engine.root = "bench";
  CLI::Option* bytes = nullptr;
  CLI::Option* rounds = nullptr;
  DeclareRun(&app, &raw, &bytes, &rounds);
  DeclareShapes(&app, &raw);
  try {
    // CLI11 takes a vector from its back.
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return ExitCode{app.exit(error) == 0 ? 0 : kExitUsage};
  }
  Status status = ResolveShapes(&raw);
  if (status.ok()) status = ResolveOps(&raw);
  if (status.ok()) status = ResolveEngines(&raw);
  if (status.ok()) status = ResolveBytes(&raw, bytes->count() > 0, rounds->count() > 0);
  if (!status.ok()) {
    std::fprintf(stderr, "lamina-bench: %s\n", std::string(status.message()).c_str());
    return ExitCode{kExitUsage};
  }
  return PeersArguments(std::move(raw));
}

}  // namespace lamina::bench
