// lamina-whatif: the tuner's cost model on given numbers, or on a decision that a store journaled.
//
// Prints the cost surface (what leveling, lazy leveling and tiering cost at each size ratio), the
// best shapes of the whole search, and where their cost comes from. Nothing is measured and no
// store is opened: a journal is read as a file.
//
// Exit codes: 0; 1 when the journal has damaged blocks (the others are used); 2 for wrong arguments
// and files that cannot be read.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tuner/decision_record.h"
#include "tuner/journal.h"
#include "tuner/search.h"

namespace lamina::tuner {
namespace {

struct Arguments {
  // Where the numbers come from.
  std::string journal_file;
  uint64_t decision = 0;  // 0: the last
  std::string curve_file;
  // The store.
  CostInputs costs;
  double memtable_mib = 32;
  double filter_bits_per_key = 10;
  // The mix: weights of any scale.
  double puts = 1;
  double duplicates = 0;
  double put_lookups = 1;
  double missing = 1;
  double existing = 1;
  double stem_scans = 0;
  double missing_stems = 0;
  double long_scans = 0;
  double stem_scan_entries = 64;
  double missing_stem_entries = 64;
  double long_scan_entries = 1000;
  // The device, in the units of data sheets.
  double read_latency_us = 80;
  double read_kiops = 800;
  double read_gb_per_s = 6;
  double write_gb_per_s = 3;
  // The output.
  std::string policy = "any";
  uint32_t size_ratio = 0;  // 0: all
  size_t best = 5;
  bool json = false;
};

void AddOptions(CLI::App* app, Arguments* a) {
  StoreFacts& facts = a->costs.facts;
  app->add_option("--journal", a->journal_file,
                  "Take entries, device and mix from a decision in this tuner journal");
  app->add_option("--decision", a->decision, "Its number (default: the last)");
  app->add_option(
      "--curve", a->curve_file,
      "JSON array of [bits_per_key, false_positive_rate], as measured (default: ideal)");
  facts.entries = 1e8;
  app->add_option("--entries", facts.entries, "Entries in the index")->capture_default_str();
  app->add_option("--entry-bytes", facts.entry_bytes, "Bytes of one on disk")
      ->capture_default_str();
  app->add_option("--page-bytes", facts.page_bytes, "Tensor bytes per put")->capture_default_str();
  app->add_option("--cache-hit-ratio", facts.cache_hit_ratio, "Of index block reads")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("--stem-runs", facts.stem_runs, "Runs that hold a part of one stem")
      ->capture_default_str();
  app->add_option("--filter-check-ns", "CPU per filter asked (default 20)")
      ->each([&facts](const std::string& text) { facts.filter_check_s = std::stod(text) * 1e-9; })
      ->check(CLI::Number);
  app->add_option("--memtable-mib", a->memtable_mib, "Memtable size, as a table")
      ->capture_default_str();
  app->add_option("--filter-bits", a->filter_bits_per_key, "Filter memory, bits per entry")
      ->check(CLI::Range(0.0, kMaxFilterBits))
      ->capture_default_str();
  app->add_option("--puts", a->puts, "Weight in the mix")->capture_default_str();
  app->add_option("--duplicates", a->duplicates, "Share of puts that are present already")
      ->check(CLI::Range(0.0, 1.0));
  app->add_option("--put-lookups", a->put_lookups, "Share of puts that ask the index first")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("--missing", a->missing, "Weight of lookups that find nothing")
      ->capture_default_str();
  app->add_option("--existing", a->existing, "Weight of lookups that find")->capture_default_str();
  app->add_option("--stem-scans", a->stem_scans, "Weight of seeks along a path");
  app->add_option("--stem-entries", a->stem_scan_entries, "Entries of one")->capture_default_str();
  app->add_option("--missing-stems", a->missing_stems,
                  "Weight of lookups of several pages of a stem that find none");
  app->add_option("--missing-stem-entries", a->missing_stem_entries, "Pages of one")
      ->capture_default_str();
  app->add_option("--long-scans", a->long_scans, "Weight of key range scans");
  app->add_option("--long-entries", a->long_scan_entries, "Entries of one")->capture_default_str();
  app->add_option("--read-latency-us", a->read_latency_us, "Of a 4 KiB read")
      ->capture_default_str();
  app->add_option("--read-kiops", a->read_kiops, "4 KiB reads at depth, thousands a second")
      ->capture_default_str();
  app->add_option("--read-gbps", a->read_gb_per_s, "Bandwidth, GB/s")->capture_default_str();
  app->add_option("--write-gbps", a->write_gb_per_s, "Bandwidth, GB/s")->capture_default_str();
  app->add_option("--latency-weight", a->costs.latency_weight,
                  "What a second of waiting for a block counts beside one of device time");
  app->add_option("--policy", a->policy, "any, leveling, lazy or tiering")
      ->check(CLI::IsMember({"any", "leveling", "lazy", "tiering"}))
      ->capture_default_str();
  app->add_option("--size-ratio", a->size_ratio, "Pin T (2 to 64; default: all)")
      ->check(CLI::Range(0u, kMaxSizeRatio));
  app->add_option("--best", a->best, "Shapes to list")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app->add_flag("--json", a->json, "Print one JSON object");
}

WorkloadMix MixOf(const Arguments& a) {
  const double all =
      a.puts + a.missing + a.existing + a.stem_scans + a.missing_stems + a.long_scans;
  WorkloadMix mix;
  mix.puts = a.puts / all;
  mix.missing = a.missing / all;
  mix.existing = a.existing / all;
  mix.stem_scans = a.stem_scans / all;
  mix.missing_stems = a.missing_stems / all;
  mix.long_scans = a.long_scans / all;
  mix.put_duplicates = a.duplicates;
  mix.put_lookups = a.put_lookups;
  mix.stem_scan_entries = a.stem_scan_entries;
  mix.missing_stem_entries = a.missing_stem_entries;
  mix.long_scan_entries = a.long_scan_entries;
  return mix;
}

SearchSpace SpaceOf(const Arguments& a, uint64_t memtable_bytes, uint64_t filter_bits) {
  SearchSpace space;
  if (a.policy == "leveling") space.policy = SearchSpace::Policy::kLeveling;
  if (a.policy == "lazy") space.policy = SearchSpace::Policy::kLazy;
  if (a.policy == "tiering") space.policy = SearchSpace::Policy::kTiering;
  if (a.size_ratio != 0) space.min_size_ratio = space.max_size_ratio = a.size_ratio;
  space.min_memtable_bytes = space.max_memtable_bytes = memtable_bytes;
  space.memory_bytes = memtable_bytes + filter_bits / 8;
  return space;
}

// Everything that a question to the model consists of.
struct Question {
  CostInputs costs;
  WorkloadMix mix;
  SearchSpace space;
  std::optional<DecisionRecord> decision;
};

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Returns an exit code other than 0 when there is no such decision.
int LoadDecision(const Arguments& a, Question* question, bool* damaged) {
  const std::optional<std::string> bytes = ReadFile(a.journal_file);
  if (!bytes) {
    fmt::print(stderr, "lamina-whatif: cannot read {}\n", a.journal_file);
    return 2;
  }
  Journal journal(UINT32_MAX);
  const Journal::LoadReport report =
      journal.Load(std::as_bytes(std::span(bytes->data(), bytes->size())));
  if (report.damaged_blocks > 0) {
    fmt::print(stderr, "lamina-whatif: {}: {} damaged blocks left out\n", a.journal_file,
               report.damaged_blocks);
    *damaged = true;
  }
  for (const DecisionRecord& record : journal.records()) {
    if (a.decision == 0 || record.sequence == a.decision) question->decision = record;
  }
  if (!question->decision) {
    fmt::print(stderr, "lamina-whatif: {}: no such decision among {}\n", a.journal_file,
               report.records);
    return 2;
  }
  const DecisionRecord& record = *question->decision;
  question->costs.facts = record.facts;
  question->costs.device = record.device;
  question->costs.latency_weight = record.latency_weight;
  question->mix = record.mix;
  question->space =
      SpaceOf(a, record.current.shape.memtable_bytes, record.current.shape.filter_bits);
  return 0;
}

int LoadCurve(const Arguments& a, Question* question) {
  const std::optional<std::string> text = ReadFile(a.curve_file);
  const nlohmann::json json =
      text ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
  std::vector<FprPoint> points;
  bool right = json.is_array();
  for (size_t i = 0; right && i < json.size(); ++i) {
    right = json[i].is_array() && json[i].size() == 2 && json[i][0].is_number() &&
            json[i][1].is_number();
    if (right) points.push_back({json[i][0].get<double>(), json[i][1].get<double>()});
  }
  if (!right) {
    fmt::print(stderr, "lamina-whatif: {} is no JSON array of [bits, rate]\n", a.curve_file);
    return 2;
  }
  Result<FprCurve> curve = FprCurve::FromPoints(points);
  if (!curve.ok()) {
    fmt::print(stderr, "lamina-whatif: {}: {}\n", a.curve_file, curve.status().message());
    return 2;
  }
  question->costs.curve = *curve;
  return 0;
}

constexpr std::array<uint32_t, 13> kSurfaceRatios = {2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64};

// The three classic shapes of one size ratio.
std::array<Candidate, 3> ClassicShapes(const Question& question, uint32_t ratio) {
  std::array<Candidate, 3> row;
  row[0].shape = LevelingShape(ratio);
  row[1].shape = LazyShape(ratio);
  row[2].shape = TieringShape(ratio);
  for (Candidate& candidate : row) {
    candidate.shape.memtable_bytes = question.space.min_memtable_bytes;
    candidate.shape.filter_bits =
        FilterBudget(question.space, question.costs.facts, question.space.min_memtable_bytes);
    candidate.prediction = PredictShape(question.costs, question.mix, candidate.shape);
  }
  return row;
}

void PrintRow(const Candidate& candidate) {
  const Prediction& p = candidate.prediction;
  fmt::print(
      "{:<24} {:>6} {:>9.4f} {:>8.4f} {:>8.4f} {:>8.4f} {:>8.4f} {:>8.4f} {:>7.2f} {:>7.3f} "
      "{:>7.3f}\n",
      ShapeName(candidate.shape, p.level_count), p.level_count, p.index_s * 1e6, p.put_s * 1e6,
      p.missing_s * 1e6, p.existing_s * 1e6, p.stem_s * 1e6, p.long_scan_s * 1e6, p.copies,
      p.missing_reads, p.existing_reads);
}

void PrintText(const Question& question, const SearchResult& found) {
  if (question.decision) {
    const DecisionRecord& record = *question.decision;
    fmt::print("decision {}: {} ({}{})\n\n", record.sequence,
               ShapeName(record.current.shape, record.current.prediction.level_count),
               VerdictName(record.outcome.verdict), record.applied ? "" : ", observed only");
  }
  fmt::print("Index cost, device us per operation of the mix\n\n");
  fmt::print("{:>5} {:>10} {:>10} {:>10}\n", "T", "leveling", "lazy", "tiering");
  for (const uint32_t ratio : kSurfaceRatios) {
    const std::array<Candidate, 3> row = ClassicShapes(question, ratio);
    fmt::print("{:>5} {:>10.4f} {:>10.4f} {:>10.4f}\n", ratio, row[0].prediction.index_s * 1e6,
               row[1].prediction.index_s * 1e6, row[2].prediction.index_s * 1e6);
  }
  fmt::print(
      "\nThe best of {} shapes, and where the cost comes from (us per operation of the mix; "
      "copies per put; block reads per lookup)\n\n",
      found.shapes_tried);
  fmt::print("{:<24} {:>6} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7}\n", "shape",
             "levels", "all", "put", "missing", "existing", "stem", "scan", "copies", "miss",
             "hit");
  for (const Candidate& candidate : found.best) PrintRow(candidate);
  if (question.decision) {
    fmt::print("\nThe present shape\n");
    PrintRow(question.decision->current);
  }
  const Prediction& best = found.best.front().prediction;
  fmt::print(
      "\nTensors and journal, the same for every shape: {:.4f} us. The shape decides over "
      "{:.1f} % of what a put or lookup costs the device.\n",
      best.fixed_s * 1e6, 100 * best.index_s / (best.index_s + best.fixed_s));
}

void PrintJson(const Question& question, const SearchResult& found) {
  nlohmann::json out;
  out["mix"] = nlohmann::json::parse(ToJson(question.mix));
  if (question.decision) out["decision"] = nlohmann::json::parse(ToJson(*question.decision));
  for (const uint32_t ratio : kSurfaceRatios) {
    for (const Candidate& candidate : ClassicShapes(question, ratio)) {
      out["surface"].push_back(nlohmann::json::parse(ToJson(candidate)));
    }
  }
  for (const Candidate& candidate : found.best) {
    out["best"].push_back(nlohmann::json::parse(ToJson(candidate)));
  }
  out["shapes_tried"] = found.shapes_tried;
  fmt::print("{}\n", out.dump(2));
}

int Run(const Arguments& a) {
  Question question;
  question.costs = a.costs;
  question.costs.facts.memtable_entry_bytes = a.costs.facts.entry_bytes;
  question.costs.device = {.read_latency_s = a.read_latency_us * 1e-6,
                           .read_device_s = 1e-3 / a.read_kiops,
                           .read_bytes_per_s = a.read_gb_per_s * 1e9,
                           .write_bytes_per_s = a.write_gb_per_s * 1e9};
  question.mix = MixOf(a);
  question.space = SpaceOf(a, static_cast<uint64_t>(a.memtable_mib * 1048576),
                           static_cast<uint64_t>(a.filter_bits_per_key * a.costs.facts.entries));
  bool damaged = false;
  if (!a.journal_file.empty()) {
    if (const int code = LoadDecision(a, &question, &damaged); code != 0) return code;
  }
  if (!a.curve_file.empty()) {
    if (const int code = LoadCurve(a, &question); code != 0) return code;
  }
  const StoreFacts& facts = question.costs.facts;
  if (!IsValid(question.costs.device) || !(facts.entries >= 1) || !(facts.entry_bytes > 0) ||
      question.space.min_memtable_bytes == 0 || !(question.mix.puts >= 0)) {
    fmt::print(stderr, "lamina-whatif: entries, sizes, rates and weights must be positive\n");
    return 2;
  }
  const SearchResult found = FindBestShapes(question.costs, question.mix, question.space, a.best);
  if (a.json) {
    PrintJson(question, found);
  } else {
    PrintText(question, found);
  }
  return damaged ? 1 : 0;
}

}  // namespace
}  // namespace lamina::tuner

int main(int argc, char** argv) {
  lamina::tuner::Arguments arguments;
  CLI::App app("What a shape of the index would cost, by the tuner's own model");
  lamina::tuner::AddOptions(&app, &arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return lamina::tuner::Run(arguments);
}
