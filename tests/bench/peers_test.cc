#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "bench/payload.h"
#include "bench/peers_arguments.h"
#include "bench/peers_phases.h"
#include "bench/peers_plan.h"
#include "bench/peers_report.h"
#include "bench/peers_rows.h"
#include "bench/peers_run.h"
#include "tests/bench/memory_engine.h"
#include "tests/bench/temporary_directory.h"

namespace lamina::bench {
namespace {

PeersPlan PlanOf(const std::vector<std::string>& labels, const std::vector<PeerOp>& ops) {
  PeersPlan plan;
  Result<std::vector<Contender>> contenders = ParseContenders(labels);
  REQUIRE(contenders.ok());
  plan.contenders = *contenders;
  plan.ops = WithPrerequisites(ops);
  plan.shapes = {{.page_bytes = 8192, .batch = 4}};
  plan.rounds = 2;
  plan.bytes = 10 * 4 * 8192;
  plan.engine.root = "test";
  plan.engine.store_options = "min_free_bytes=0";
  return plan;
}

Result<std::vector<Measurement>> Run(PeersPlan* plan, const std::string& dir) {
  plan->dir = dir;
  const std::atomic<bool> stop{false};
  return RunPeers(
      *plan, [](const std::string&) {}, stop);
}

// One call a second of so many megabytes.
PhaseResult Phase(double megabytes, double seconds) {
  PhaseResult result;
  result.bytes = static_cast<uint64_t>(megabytes * 1e6);
  result.calls = 1;
  result.seconds = seconds;
  result.cpu_seconds = seconds / 4;
  result.call_seconds.Add(seconds);
  return result;
}

TEST_CASE("a median is the middle value, or the mean of the middle two") {
  CHECK(MedianOf({}) == 0);
  CHECK(MedianOf({7}) == 7);
  CHECK(MedianOf({9, 1, 2}) == 2);
  CHECK(MedianOf({4, 1, 100, 2}) == 3);
}

TEST_CASE("ratios are taken round by round, not between medians") {
  const std::vector<double> rates = {100, 50, 80};
  const std::vector<double> raw = {100, 200, 100};
  const auto ratios = RatiosOf(rates, raw);
  REQUIRE(ratios);
  CHECK(ratios->median == Approx(.8));
  CHECK(ratios->least == Approx(.25));
  CHECK(ratios->greatest == Approx(1));
  CHECK(ratios->spread() == Approx(.75 / .8));
  CHECK(!RatiosOf({}, {}));
  CHECK(!RatiosOf(rates, std::vector<double>{0, 0, 0}));
}

TEST_CASE("a row has the medians of its rounds and the calls of all of them") {
  const PeersPlan plan = PlanOf({"raw", "file-1"}, {PeerOp::kPut});
  std::vector<Measurement> measurements;
  for (size_t round = 0; round < 3; ++round) {
    measurements.push_back({0, 0, PeerOp::kPut, 1, round, Phase(100, 1)});
    measurements.push_back(
        {0, 1, PeerOp::kPut, 1, round, Phase(100, static_cast<double>(1 << round))});
  }
  measurements.back().result.wrong_pages = 3;
  for (int i = 1; i <= 20; ++i)
    measurements[i % 2 == 0 ? 1 : 3].result.estimate_errors.Add(i / 100.0);
  const std::vector<PeerRow> rows = MakePeerRows(plan, measurements);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].engine == "raw");
  CHECK(rows[0].to_raw->median == Approx(1));
  const PeerRow& file = rows[1];
  CHECK(file.engine == "file-1");
  CHECK(file.rounds == 3);
  CHECK(file.mb_per_s == Approx(50));
  CHECK(file.to_raw->median == Approx(.5));
  CHECK(file.to_raw->least == Approx(.25));
  CHECK(file.cpu_cores == Approx(.25));
  CHECK(file.p50_us == Approx(2e6));
  CHECK(file.p99_us == Approx(4e6));
  CHECK(file.wrong_pages == 3);
  CHECK(!file.beside_writer);
  CHECK(!rows[0].estimates);
  REQUIRE(file.estimates);
  CHECK(file.estimates->p50 == Approx(.1));
  CHECK(file.estimates->p95 == Approx(.19));

  const nlohmann::json json = ToJson(file);
  CHECK(json["ratio_to_raw"] == Approx(.5));
  CHECK(json["ratio_spread"] == Approx(1.5));
  CHECK(json["op"] == "put");
  CHECK(FormatPeerTable(rows).find("3 WRONG") != std::string::npos);
}

TEST_CASE("without raw there is no ratio") {
  const PeersPlan plan = PlanOf({"file-1"}, {PeerOp::kPut});
  const std::vector<Measurement> measurements = {{0, 0, PeerOp::kPut, 1, 0, Phase(1, 1)}};
  const std::vector<PeerRow> rows = MakePeerRows(plan, measurements);
  REQUIRE(rows.size() == 1);
  CHECK(!rows[0].to_raw);
  CHECK(ToJson(rows[0])["ratio_to_raw"].is_null());
}

TEST_CASE("restores beside a writer are compared with both sides alone, in the same round") {
  const PeersPlan plan = PlanOf({"raw"}, {PeerOp::kRestoreBesideWriter});
  PhaseResult beside = Phase(100, 2);
  beside.writer_bytes = 100'000'000;
  beside.writer_seconds = 1;
  const std::vector<Measurement> measurements = {
      {0, 0, PeerOp::kPut, 1, 0, Phase(200, 1)},
      {0, 0, PeerOp::kRestoreRandom, 1, 0, Phase(100, 1)},
      {0, 0, PeerOp::kRestoreRandom, 8, 0, Phase(800, 1)},
      {0, 0, PeerOp::kRestoreBesideWriter, 1, 0, beside}};
  const std::vector<PeerRow> rows = MakePeerRows(plan, measurements);
  REQUIRE(rows.size() == 4);
  REQUIRE(rows.back().beside_writer);
  CHECK(rows.back().beside_writer->writer_mb_per_s == Approx(100));
  CHECK(rows.back().beside_writer->writer_to_solo.median == Approx(.5));
  CHECK(rows.back().beside_writer->restore_to_solo.median == Approx(.5));
  CHECK(rows.back().beside_writer->solo_p50_us == Approx(1e6));
}

TEST_CASE("an engine's label tells its workers") {
  const auto contenders = ParseContenders({"raw", "file", "file-4", "lamina"});
  REQUIRE(contenders.ok());
  REQUIRE(contenders->size() == 5);
  CHECK((*contenders)[1].label == "file-1");
  CHECK((*contenders)[1].file_workers == 1);
  CHECK((*contenders)[2].file_workers == 8);
  CHECK((*contenders)[3].engine == "file");
  CHECK((*contenders)[3].file_workers == 4);
  for (const char* const wrong : {"tape", "file-0", "file-", "file-4x", "file-1000", ""}) {
    INFO(wrong);
    CHECK(!ParseContenders({wrong}).ok());
  }
  CHECK(!ParseContenders({"raw", "raw"}).ok());
  CHECK(ParseContenders({"all"})->size() == ContenderLabels().size());
}

TEST_CASE("operations come in order, with those that they build on") {
  CHECK(WithPrerequisites({PeerOp::kRestore}) ==
        std::vector<PeerOp>{PeerOp::kPut, PeerOp::kRestore});
  CHECK(WithPrerequisites({PeerOp::kRestoreBesideWriter, PeerOp::kPut}) ==
        std::vector<PeerOp>{PeerOp::kPut, PeerOp::kRestoreRandom, PeerOp::kRestoreBesideWriter});
}

TEST_CASE("the calls of a phase are bounded, and there are enough to go round") {
  PeersPlan plan = PlanOf({"raw"}, {PeerOp::kPut});
  CHECK(SequencesOf(plan, plan.shapes[0]) == 10);
  plan.bytes = uint64_t{1} << 40;
  CHECK(SequencesOf(plan, plan.shapes[0]) == 8192);
  plan.bytes = 1;
  CHECK(SequencesOf(plan, plan.shapes[0]) == 2);
  plan.threads = {1, 8};
  CHECK(NeedsOf(plan).status().code() == StatusCode::kInvalidArgument);
  plan.threads = {1};
  plan.shapes[0].fragments = 3;
  CHECK(NeedsOf(plan).status().code() == StatusCode::kInvalidArgument);
  plan.shapes[0].fragments = 2;
  CHECK(NeedsOf(plan).ok());
  plan.shapes[0].recycled = true;
  CHECK(NeedsOf(plan).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a plan's needs grow with its engines and its bytes, and are checked") {
  PeersPlan plan = PlanOf({"raw"}, {PeerOp::kPut});
  const Result<PlanNeeds> one = NeedsOf(plan);
  plan.contenders = *ParseContenders({"raw", "lamina"});
  const Result<PlanNeeds> two = NeedsOf(plan);
  plan.shapes[0].page_bytes = size_t{1} << 30;
  plan.bytes = uint64_t{1} << 50;
  const Result<PlanNeeds> large = NeedsOf(plan);
  REQUIRE((one.ok() && two.ok() && large.ok()));
  CHECK(one->memory_bytes == 2 * 10 * 4 * 8192);
  CHECK(one->disk_bytes < two->disk_bytes);
  CHECK(two->disk_bytes < large->disk_bytes);
  const TemporaryDirectory dir;
  plan.dir = dir.path();
  CHECK(CheckRoom(plan).code() == StatusCode::kNoSpace);
}

TEST_CASE("the command line becomes a plan") {
  const auto parsed =
      ParsePeersArguments({"--engines",   "raw,file-2", "--page-bytes", "64K,1M",
                           "--batch",     "1,32",       "--ops",        "restore-beside-writer",
                           "--threads",   "8,2",        "--blocks",     "fresh,recycled",
                           "--fragments", "2",          "--misalign",   "512",
                           "--rounds",    "7",          "--bytes",      "2G",
                           "--json",      "out"});
  REQUIRE(std::holds_alternative<PeersArguments>(parsed));
  const auto& arguments = std::get<PeersArguments>(parsed);
  const PeersPlan& plan = arguments.plan;
  CHECK(plan.contenders.size() == 2);
  CHECK(plan.shapes.size() == 8);
  CHECK(plan.shapes[0].page_bytes == 65536);
  CHECK(plan.shapes[0].fragments == 2);
  CHECK(plan.shapes[0].misalign_bytes == 512);
  CHECK(plan.shapes[1].recycled);
  CHECK(plan.shapes[2].batch == 32);
  CHECK(plan.ops.size() == 3);
  // One thread for what restores beside a writer are compared with.
  CHECK(plan.threads == std::vector<unsigned>{1, 2, 8});
  CHECK(plan.rounds == 7);
  CHECK(plan.bytes == uint64_t{2} << 30);
  CHECK(arguments.json == "out");
}

TEST_CASE("a quick run is smaller, but for what was asked for") {
  const auto quick = ParsePeersArguments({"--quick"});
  CHECK(std::get<PeersArguments>(quick).plan.bytes == uint64_t{128} << 20);
  CHECK(std::get<PeersArguments>(quick).plan.rounds == 3);
  const auto own = ParsePeersArguments({"--quick", "--bytes", "1M", "--rounds", "9"});
  CHECK(std::get<PeersArguments>(own).plan.bytes == uint64_t{1} << 20);
  CHECK(std::get<PeersArguments>(own).plan.rounds == 9);
}

TEST_CASE("wrong arguments of the comparison are refused") {
  const std::vector<std::vector<std::string>> wrong = {
      {"--engines", "tape"},      {"--engines", "raw,raw"},
      {"--ops", "get"},           {"--page-bytes", "0"},
      {"--page-bytes", "2G"},     {"--page-bytes", "4KB"},
      {"--batch", "0"},           {"--threads", "0"},
      {"--fragments", "0"},       {"--misalign", "4096"},
      {"--rounds", "0"},          {"--bytes", "0"},
      {"--blocks", "old"},        {"--blocks", "recycled", "--engines", "file-1"},
      {"--options", "no_such=1"}, {"stray"}};
  for (const std::vector<std::string>& arguments : wrong) {
    INFO(arguments.front() << " " << arguments.back());
    const auto parsed = ParsePeersArguments(arguments);
    REQUIRE(std::holds_alternative<ExitCode>(parsed));
    CHECK(std::get<ExitCode>(parsed).value == kExitUsage);
  }
  const auto help = ParsePeersArguments({"--help"});
  CHECK(std::get<ExitCode>(help).value == 0);
}

TEST_CASE("every operation on every engine hands back what was put, and all is removed") {
  const TemporaryDirectory dir;
  const std::vector<PeerOp> ops(std::begin(kPeerOps), std::end(kPeerOps));
  PeersPlan plan = PlanOf({"all"}, ops);
  plan.threads = {1, 3};
  const Result<std::vector<Measurement>> measurements = Run(&plan, dir.path());
  INFO(measurements.status().message());
  REQUIRE(measurements.ok());
  // Restores in both orders run with both numbers of threads.
  CHECK(measurements->size() == plan.rounds * plan.contenders.size() * (ops.size() + 2));
  for (const Measurement& m : *measurements) {
    INFO(plan.contenders[m.contender].label << " " << PeerOpName(m.op));
    CHECK(m.result.wrong_pages == 0);
    CHECK(m.result.missing_pages == 0);
    CHECK(m.result.calls > 0);
    const bool probe = m.op == PeerOp::kProbeHit || m.op == PeerOp::kProbeMiss;
    const bool all = m.op != PeerOp::kRestoreBesideWriter;
    if (probe) CHECK(m.result.bytes == 0);
    if (!probe && all) CHECK(m.result.bytes == plan.bytes);
    if (!all) CHECK(m.result.writer_bytes > 0);
    const bool restores = !probe && m.op != PeerOp::kPut;
    const bool estimates = plan.contenders[m.contender].label == "lamina" && restores;
    if (m.op != PeerOp::kMixed)
      CHECK(m.result.estimate_errors.count() == (estimates ? m.result.calls : 0));
  }
  CHECK(std::filesystem::is_empty(dir.path()));
}

TEST_CASE("scattered, unaligned pages of odd sizes come back whole from every engine") {
  const TemporaryDirectory dir;
  PeersPlan plan = PlanOf({"all"}, {PeerOp::kPut, PeerOp::kRestoreRandom, PeerOp::kMixed});
  plan.rounds = 1;
  plan.shapes = {{.page_bytes = 24576, .batch = 3, .fragments = 4, .misalign_bytes = 1000},
                 {.page_bytes = 5000, .batch = 1, .fragments = 5}};
  plan.bytes = 6 * 3 * 24576;
  const Result<std::vector<Measurement>> measurements = Run(&plan, dir.path());
  INFO(measurements.status().message());
  REQUIRE(measurements.ok());
  CHECK(measurements->size() == 2 * 3 * plan.contenders.size());
  for (const Measurement& m : *measurements) {
    INFO(plan.contenders[m.contender].label << " " << PeerOpName(m.op));
    CHECK(m.result.wrong_pages == 0);
    CHECK(m.result.missing_pages == 0);
  }
}

TEST_CASE("bounded engines overwrite, and still hand back what a round put") {
  const TemporaryDirectory dir;
  PeersPlan plan = PlanOf({"all"}, {PeerOp::kRestore, PeerOp::kRestoreBesideWriter});
  plan.shapes = {{.page_bytes = 65536, .batch = 8, .recycled = true}};
  plan.bytes = uint64_t{16} << 20;
  const Result<std::vector<Measurement>> measurements = Run(&plan, dir.path());
  INFO(measurements.status().message());
  REQUIRE(measurements.ok());
  std::set<std::string> engines;
  for (const Measurement& m : *measurements) {
    engines.insert(plan.contenders[m.contender].engine);
    INFO(plan.contenders[m.contender].label << " " << PeerOpName(m.op));
    CHECK(m.result.wrong_pages == 0);
    CHECK(m.result.missing_pages == 0);
  }
  CHECK(engines.contains("raw"));
  CHECK(engines.contains("lamina"));
  CHECK(engines.contains("hash"));
  CHECK(!engines.contains("file"));
}

TEST_CASE("pages that are wrong or lost are counted") {
  const SequenceNames names("test", 1, 4, 2);
  Result<PageBuffers> source = PageBuffers::Allocate(8, 4096);
  Result<PageBuffers> target = PageBuffers::Allocate(8, 4096);
  REQUIRE((source.ok() && target.ok()));
  FillSequences(names, *source);
  MemoryEngine engine(4096);
  const PhaseContext context = {&engine, 4096, &names, &*source, &*target};
  engine.capacity_pages = 7;
  const Result<PhaseResult> put = RunPut(context, names);
  REQUIRE(put.ok());
  CHECK(put->missing_pages == 1);
  CHECK(engine.flushes == 1);
  engine.spoil = [&](const PageName& name, std::span<std::byte> page) {
    if (name == names.Of(1)[1]) page[4095] ^= std::byte{1};
  };
  const Result<PhaseResult> restored = RunRestore(context, Shuffled(4, 7), 2);
  REQUIRE(restored.ok());
  CHECK(restored->missing_pages == 1);
  // The one that was spoilt, and the one that was not handed back.
  CHECK(restored->wrong_pages == 2);
  CHECK(RunProbe(context, names, true)->missing_pages > 0);
  CHECK(RunProbe(context, names, false)->wrong_pages > 0);
  CHECK(RunProbe(context, SequenceNames("test", 2, 4, 2), false)->wrong_pages == 0);
}

TEST_CASE("an engine's error ends the run and names the engine") {
  const SequenceNames names("test", 1, 2, 2);
  Result<PageBuffers> buffers = PageBuffers::Allocate(4, 4096);
  REQUIRE(buffers.ok());
  MemoryEngine engine(4096);
  engine.put_error = Status::IoError("broken");
  const PhaseContext context = {&engine, 4096, &names, &*buffers, &*buffers};
  CHECK(RunPut(context, names).status().message() == "broken");
  CHECK(!RunRestoreBesideWriter(context, InOrder(2), names, 1).ok());

  PeersPlan plan = PlanOf({"lamina"}, {PeerOp::kPut});
  plan.engine.store_options = "min_free_bytes=0;require_io_uring=1;io=threads";
  const TemporaryDirectory dir;
  const Result<std::vector<Measurement>> measurements = Run(&plan, dir.path());
  REQUIRE(!measurements.ok());
  CHECK(std::string(measurements.status().message()).starts_with("lamina: "));
}

TEST_CASE("sequences of two generations share no page") {
  const SequenceNames a("test", 1, 3, 4);
  const SequenceNames b("test", 2, 3, 4);
  std::set<std::pair<uint64_t, uint64_t>> names;
  for (size_t s = 0; s < 3; ++s) {
    for (const PageName& name : a.Of(s)) names.emplace(name.high, name.low);
    for (const PageName& name : b.Of(s)) names.emplace(name.high, name.low);
  }
  CHECK(names.size() == 2 * 3 * 4);
}

TEST_CASE("a shuffled order has every sequence once and depends on the seed alone") {
  std::vector<size_t> order = Shuffled(100, 3);
  CHECK(order == Shuffled(100, 3));
  CHECK(order != Shuffled(100, 4));
  CHECK(order != InOrder(100));
  std::sort(order.begin(), order.end());
  CHECK(order == InOrder(100));
}

TEST_CASE("fragments of a page lie layer by layer, off alignment as asked") {
  Result<PageBuffers> buffers =
      PageBuffers::Allocate(3, 8192, {.fragments = 2, .misalign_bytes = 100});
  REQUIRE(buffers.ok());
  CHECK(buffers->pages() == 3);
  CHECK(buffers->Pages(1, 2).size() == 4);
  for (size_t page = 0; page < 3; ++page) {
    for (size_t f = 0; f < 2; ++f) {
      const std::span<std::byte> fragment = buffers->Fragment(page, f);
      CHECK(fragment.size() == 4096);
      CHECK(reinterpret_cast<uintptr_t>(fragment.data()) % 4096 == 100);
      const auto from_first = fragment.data() - buffers->Fragment(0, 0).data();
      CHECK(from_first == static_cast<ptrdiff_t>((f * 3 + page) * 8192));
    }
  }
}

}  // namespace
}  // namespace lamina::bench
