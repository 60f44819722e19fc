#include "bench/peers_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bench/buffers.h"

namespace lamina::bench {
namespace {

constexpr uint64_t kMaxCalls = 8192;
constexpr unsigned kMaxFileWorkers = 256;
constexpr std::string_view kFilePrefix = "file-";

// Per byte of a round: what is put, what is mixed in, and what a writer adds at most.
constexpr double kWrittenPerRound = 2.3;
// A bounded engine has room for that and still keeps the round's own pages readable.
constexpr uint64_t kRecycledRounds = 4;
// So that a store of that many rounds is one that can be bounded.
constexpr uint64_t kMinRecycledBytes = uint64_t{16} << 20;

Result<Contender> ParseContender(const std::string& label) {
  Contender contender{.label = label, .engine = label};
  if (label.starts_with(kFilePrefix)) {
    const char* const begin = label.data() + kFilePrefix.size();
    const char* const end = label.data() + label.size();
    const auto [stop, error] = std::from_chars(begin, end, contender.file_workers);
    if (error != std::errc() || stop != end || contender.file_workers == 0 ||
        contender.file_workers > kMaxFileWorkers) {
      return Status::InvalidArgument(
          fmt::format("\"{}\": file-N has 1 to {} workers", label, kMaxFileWorkers));
    }
    contender.engine = "file";
    return contender;
  }
  const Status known = CheckEngineName(label);
  if (!known.ok()) return known;
  return contender;
}

Status CheckShape(const PeersPlan& plan, const Shape& shape) {
  if (shape.fragments == 0 || shape.page_bytes % shape.fragments != 0) {
    return Status::InvalidArgument(fmt::format("{} fragments do not divide a page of {} bytes",
                                               shape.fragments, shape.page_bytes));
  }
  const size_t sequences = SequencesOf(plan, shape);
  const uint64_t bytes = uint64_t{sequences} * shape.batch * shape.page_bytes;
  if (shape.recycled && bytes < kMinRecycledBytes) {
    return Status::InvalidArgument(
        fmt::format("recycled blocks need --bytes {} at least", kMinRecycledBytes));
  }
  const unsigned threads = *std::max_element(plan.threads.begin(), plan.threads.end());
  if (threads <= sequences) return Status::Ok();
  return Status::InvalidArgument(fmt::format(
      "{} threads need as many sequences, and --bytes makes {} of {} pages of {} bytes; ask for "
      "more bytes or fewer threads",
      threads, sequences, shape.batch, shape.page_bytes));
}

Result<uint64_t> DiskBytesOf(const PeersPlan& plan, const Shape& shape) {
  const size_t pages = SequencesOf(plan, shape) * shape.batch;
  const double rounds = shape.recycled ? kRecycledRounds : kWrittenPerRound;
  const auto most_pages = static_cast<uint64_t>(std::ceil(rounds * static_cast<double>(pages)));
  uint64_t disk_bytes = 0;
  for (const Contender& contender : plan.contenders) {
    if (shape.recycled && !CanRecycle(contender.engine)) continue;
    const Result<uint64_t> bytes =
        EstimateDiskBytes(contender.engine, ConfigOf(plan, shape, contender), most_pages);
    if (!bytes.ok()) return bytes.status();
    disk_bytes += *bytes;
  }
  return disk_bytes;
}

uint64_t MemoryBytesOf(const PeersPlan& plan, const Shape& shape) {
  const uint64_t stride =
      RoundUp(shape.page_bytes / shape.fragments + shape.misalign_bytes, kDirectIoBytes);
  // What is put and what is restored, and the same for raw.
  const uint64_t pools = IsPlain(shape) ? 2 : 4;
  return pools * SequencesOf(plan, shape) * shape.batch * shape.fragments * stride;
}

}  // namespace

std::string_view PeerOpName(PeerOp op) {
  switch (op) {
    case PeerOp::kPut:
      return "put";
    case PeerOp::kRestore:
      return "restore";
    case PeerOp::kRestoreRandom:
      return "restore-random";
    case PeerOp::kProbeHit:
      return "probe-hit";
    case PeerOp::kProbeMiss:
      return "probe-miss";
    case PeerOp::kMixed:
      return "mixed";
    case PeerOp::kRestoreBesideWriter:
      return "restore-beside-writer";
  }
  return {};
}

std::vector<std::string> ContenderLabels() {
  std::vector<std::string> labels = {"raw"};
  for (const std::string& name : EngineNames()) {
    if (name == "file") {
      labels.insert(labels.end(), {"file-1", "file-8"});
    } else if (name != "raw") {
      labels.push_back(name);
    }
  }
  return labels;
}

Result<std::vector<Contender>> ParseContenders(const std::vector<std::string>& labels) {
  std::vector<std::string> expanded;
  for (const std::string& label : labels) {
    if (label == "all") {
      const std::vector<std::string> all = ContenderLabels();
      expanded.insert(expanded.end(), all.begin(), all.end());
    } else if (label == "file") {
      expanded.insert(expanded.end(), {"file-1", "file-8"});
    } else {
      expanded.push_back(label);
    }
  }
  std::vector<Contender> contenders;
  for (const std::string& label : expanded) {
    Result<Contender> contender = ParseContender(label);
    if (!contender.ok()) return contender.status();
    const bool twice = std::any_of(contenders.begin(), contenders.end(),
                                   [&](const Contender& c) { return c.label == label; });
    if (twice) return Status::InvalidArgument("engine \"" + label + "\" is named twice");
    contenders.push_back(std::move(*contender));
  }
  return contenders;
}

bool CanRecycle(std::string_view engine) {
  return engine == "raw" || engine == "lamina" || engine == "hash";
}

size_t SequencesOf(const PeersPlan& plan, const Shape& shape) {
  const uint64_t sequence_bytes = uint64_t{shape.page_bytes} * shape.batch;
  return static_cast<size_t>(std::clamp<uint64_t>(plan.bytes / sequence_bytes, 2, kMaxCalls));
}

EngineConfig ConfigOf(const PeersPlan& plan, const Shape& shape, const Contender& contender) {
  EngineConfig config = plan.engine;
  config.page_bytes = shape.page_bytes;
  config.fragments = contender.engine == "raw" ? 1 : shape.fragments;
  config.file_workers = contender.file_workers;
  if (shape.recycled) {
    const uint64_t pages = kRecycledRounds * SequencesOf(plan, shape) * shape.batch;
    config.ring_pages = pages;
    // In front, so that what the user asks for wins.
    config.store_options =
        fmt::format("capacity_bytes={};eviction=lru;admission=all;{}",
                    CapacityFor(pages + pages / 16, shape.page_bytes), config.store_options);
  }
  return config;
}

std::vector<PeerOp> WithPrerequisites(const std::vector<PeerOp>& ops) {
  const auto asked = [&](PeerOp op) { return std::find(ops.begin(), ops.end(), op) != ops.end(); };
  std::vector<PeerOp> all;
  for (const PeerOp op : kPeerOps) {
    const bool needed =
        op == PeerOp::kPut || (op == PeerOp::kRestoreRandom && asked(PeerOp::kRestoreBesideWriter));
    if (needed || asked(op)) all.push_back(op);
  }
  return all;
}

Result<PlanNeeds> NeedsOf(const PeersPlan& plan) {
  PlanNeeds needs;
  for (const Shape& shape : plan.shapes) {
    const Status status = CheckShape(plan, shape);
    if (!status.ok()) return status;
    const Result<uint64_t> disk_bytes = DiskBytesOf(plan, shape);
    if (!disk_bytes.ok()) return disk_bytes.status();
    needs.disk_bytes = std::max(needs.disk_bytes, *disk_bytes);
    needs.memory_bytes = std::max(needs.memory_bytes, MemoryBytesOf(plan, shape));
  }
  return needs;
}

}  // namespace lamina::bench
