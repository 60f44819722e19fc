// One decision, recomputed from what lamina_explain prints and nothing else: no function of the
// tuner is called on the way from counters to verdict.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/tuner/growing_tree.h"
#include "tuner/controller.h"
#include "tuner/journal.h"

namespace lamina::tuner {
namespace {

using nlohmann::json;

void CheckMix(const json& decision) {
  const json& n = decision["counters"];
  const json& mix = decision["mix"];
  const double puts = n["puts_written"].get<double>() + n["puts_present"].get<double>();
  const double all = puts + n["lookups_missing"].get<double>() +
                     n["lookups_existing"].get<double>() + n["stem_scans"].get<double>() +
                     n["missing_stems"].get<double>() + n["long_scans"].get<double>();
  CHECK(mix["puts"].get<double>() == Approx(puts / all));
  CHECK(mix["missing"].get<double>() == Approx(n["lookups_missing"].get<double>() / all));
  CHECK(mix["missing_stems"].get<double>() == Approx(n["missing_stems"].get<double>() / all));
  CHECK(mix["missing_stem_entries"].get<double>() ==
        Approx(n["missing_stem_entries"].get<double>() / n["missing_stems"].get<double>()));
  CHECK(mix["existing"].get<double>() == Approx(n["lookups_existing"].get<double>() / all));
  CHECK(mix["put_duplicates"].get<double>() == Approx(n["puts_present"].get<double>() / puts));
  CHECK(mix["put_lookups"].get<double>() == Approx(n["put_lookups"].get<double>() / puts));
}

// Times that an entry is written while T - 1 batches come into at most K runs.
double CopiesInRuns(double ratio, double runs) {
  double copies = 0;
  const double batches = ratio - 1;
  for (double run = 0; run < runs; ++run) {
    const double taken = std::floor(batches / runs) + (run < std::fmod(batches, runs) ? 1 : 0);
    copies += taken * (taken + 1) / 2;
  }
  return copies / batches;
}

// Copies of an entry on its way through a level of T that holds up to K runs.
double CopiesOf(double ratio, double runs) {
  return (ratio - 1) / ratio * CopiesInRuns(ratio, runs);
}

// Dead entries of the last level: half of what a batch brings, or of half the live ones.
double DeadOf(double deaths, double live, double batch, double runs) {
  return deaths / 2 * (runs == 1 ? std::min(live / 2, batch) : live / 2);
}

// Copies that the last level makes when it neither grows nor shrinks: n / B with one run, once for
// each batch and each time that half as many are dead as alive before it comes.
double SteadyCopies(double ratio, double runs, double batches) {
  if (runs == 1) return batches * std::max(1.0, std::ceil(2 / batches));
  return std::min(std::max(1.0, batches), CopiesInRuns(ratio, runs));
}

// The price of a shape, in seconds per operation, from its levels.
double PriceOf(const json& decision, const json& candidate) {
  const json& facts = decision["facts"];
  const json& device = decision["device"];
  const json& mix = decision["mix"];
  const json& shape = candidate["shape"];
  const json& levels = candidate["prediction"]["levels"];
  const auto fact = [&](const char* name) { return facts[name].get<double>(); };
  const double ratio = shape["size_ratio"];

  const double stem_pages = mix["missing_stem_entries"];
  double missing = 0;
  double missing_stem = 0;
  double existing = 0;
  double existing_checks = 0;
  double all_runs = 0;
  double share_sum = 0;
  double copies = 0;
  double entries = 0;
  double uncached_seeks = 0;
  const double deaths = fact("deaths_per_put");
  double dead = 0;
  double capacity =
      (ratio - 1) * shape["memtable_bytes"].get<double>() / fact("memtable_entry_bytes");
  for (size_t i = 0; i < levels.size(); ++i) {
    const double runs = levels[i]["runs"];
    const double rate = levels[i]["false_positive_rate"];
    const double uncached = 1 - levels[i]["cache_hit_ratio"].get<double>();
    const double share = levels[i]["entries"].get<double>();
    // A hit reads its own block, and what it reads of other runs does not depend on their age: all
    // of `missing`, which is added below, but for its own run's part.
    const double beside = std::max(0.0, runs - 1);
    existing += share * ((1 + (beside - runs) * rate) * uncached);
    existing_checks += share * (1 + beside - runs);
    share_sum += share;
    missing += runs * rate * uncached;
    missing_stem += runs * uncached * (1 - std::pow(1 - rate, stem_pages));
    all_runs += runs;
    uncached_seeks += runs * uncached;
    entries += levels[i]["entries"].get<double>();
    double fill = 1;
    if (i + 1 == levels.size()) {
      fill = std::min(1.0, levels[i]["entries"].get<double>() / capacity);
    }
    const double most_runs = shape["runs"][i];
    // The flush writes each entry; K of T memtables become runs of the first level as they are.
    if (i == 0) copies = 1 - fill * most_runs / ratio;
    double here = fill * CopiesOf(ratio, most_runs);
    if (i + 1 == levels.size()) {
      const double batch = capacity / (ratio - 1);
      dead = DeadOf(deaths, fact("entries"), batch, most_runs);
      const double batches = (levels[i]["entries"].get<double>() - dead) / batch;
      here += deaths * (SteadyCopies(ratio, most_runs, batches) - here);
    }
    copies += here;
    capacity *= ratio;
  }
  CHECK(entries - dead == Approx(fact("entries")));
  existing = existing / share_sum + missing;
  existing_checks = existing_checks / share_sum + all_runs;

  const double uncached = 1 - fact("cache_hit_ratio");
  const double holding = std::min(fact("stem_runs"), all_runs);
  const double stem_entries = mix["stem_scan_entries"];
  const double stem =
      (holding + stem_entries * fact("entry_bytes") / fact("block_bytes")) * uncached +
      missing * (1 - holding / all_runs);

  const auto blocks = [&](double reads, double waits) {
    return reads * device["read_device_s"].get<double>() +
           std::min(reads, waits) * decision["latency_weight"].get<double>() *
               device["read_latency_s"].get<double>();
  };
  const double puts = mix["puts"];
  const double duplicates = mix["put_duplicates"];
  const double looking = mix["put_lookups"];
  const double check = fact("filter_check_s");
  const double read_bandwidth = device["read_bytes_per_s"];
  double price =
      puts * (1 - duplicates) * fact("entry_bytes") *
      (copies / device["write_bytes_per_s"].get<double>() + (copies - 1 + deaths) / read_bandwidth);
  price += (mix["missing"].get<double>() + puts * looking * (1 - duplicates)) *
           (blocks(missing, 1) + all_runs * check);
  price += mix["missing_stems"].get<double>() *
           (blocks(missing_stem, 2) + all_runs * stem_pages * check);
  price += (mix["existing"].get<double>() + puts * looking * duplicates) *
           (blocks(existing, 1) + existing_checks * check);
  price += mix["stem_scans"].get<double>() *
           (blocks(stem, std::max(1.0, fact("stem_runs"))) + all_runs * check);
  price += mix["long_scans"].get<double>() * (blocks(uncached_seeks, uncached_seeks) +
                                              mix["long_scan_entries"].get<double>() *
                                                  fact("entry_bytes") * uncached / read_bandwidth);
  return price;
}

std::string VerdictOf(const json& decision, double current, double best) {
  const json& in = decision["inputs"];
  const json& limits = decision["limits"];
  const json& transition = decision["transition"];
  const auto number = [](const json& object, const char* name) {
    return object[name].get<double>();
  };
  const double gain = current - best;
  const double needed = number(limits, "error_multiple") * number(in, "error_sd") * current;
  const double regret =
      std::max(0.0, number(in, "regret_before_s") + (gain - needed) * number(in, "operations"));
  const double there = number(transition, "device_s") + number(transition, "cpu_s");
  const double threshold = std::max(there, (there + number(transition, "return_s")) / 2);
  const json& out = decision["outcome"];
  CHECK(number(out, "gain_s") == Approx(gain));
  CHECK(number(out, "regret_after_s") == Approx(regret));
  CHECK(number(out, "threshold_s") == Approx(threshold));
  if (gain <= 0) return "keep";
  if (gain <= needed) return "within_error";
  if (regret < threshold) return "accumulating";
  const double dwell = number(limits, "dwell_memtables") * number(in, "memtable_entries");
  return number(in, "dwell_entries") < dwell ? "dwelling" : "switch";
}

TEST_CASE("each decision can be recomputed from the printed numbers alone") {
  constexpr uint64_t kMemtableEntries = 1000;
  TreeShape shape = LazyShape(6);
  shape.memtable_bytes = kMemtableEntries * 40;
  shape.filter_bits = 800000;
  GrowingTree tree(shape);
  for (int i = 0; i < 300; ++i) tree.Flush();
  ControllerOptions options;
  options.space.min_memtable_bytes = options.space.max_memtable_bytes = shape.memtable_bytes;
  options.space.memory_bytes = shape.memtable_bytes + 100000;
  options.space.max_size_ratio = 12;
  Controller controller(options, shape);
  Journal journal;
  for (int window = 0; window < 120; ++window) {
    // Writes, then reads, then both, so that all verdicts come up.
    const uint64_t puts = window < 40 ? 9000 : window < 80 ? 500 : 5000;
    Controller::Input input;
    input.counters = {.puts_written = puts,
                      .puts_present = 300,
                      .put_lookups = puts / 2,
                      .lookups_missing = (10000 - puts) / 2,
                      .lookups_existing = (10000 - puts) / 2,
                      .stem_scans = 200,
                      .stem_scan_entries = 9000,
                      .missing_stems = 80,
                      .missing_stem_entries = 2400,
                      .long_scans = 50,
                      .long_scan_entries = 30000};
    input.tree = tree.State();
    input.costs.facts.entries = 300000;
    input.costs.facts.cache_hit_ratio = 0.25;
    input.costs.facts.deaths_per_put = 0.75;
    input.costs.facts.level_headroom = 1.25;
    input.costs.latency_weight = 0.005;
    input.costs.device.write_bytes_per_s = 0.5e9;
    const std::optional<DecisionRecord> record = controller.Step(input);
    REQUIRE(record);
    tree.shape = controller.target();
    if (record->outcome.eager) tree.ApplyShape();
    (void)journal.Append(*record);
  }
  const json printed = json::parse(journal.ToJson());
  REQUIRE(printed["decisions"].size() == 120);
  std::map<std::string, int> verdicts;
  for (const json& decision : printed["decisions"]) {
    INFO(decision.dump());
    CheckMix(decision);
    const double current = PriceOf(decision, decision["current"]);
    CHECK(current == Approx(decision["current"]["prediction"]["index_s"].get<double>()));
    double best = 0;
    for (size_t i = 0; i < decision["candidates"].size(); ++i) {
      const json& candidate = decision["candidates"][i];
      const double price = PriceOf(decision, candidate);
      CHECK(price == Approx(candidate["prediction"]["index_s"].get<double>()));
      if (i == 0) best = price;
    }
    const std::string verdict = VerdictOf(decision, current, best);
    CHECK(verdict == decision["outcome"]["verdict"].get<std::string>());
    ++verdicts[verdict];
  }
  CHECK(verdicts["switch"] >= 2);
  CHECK(verdicts["accumulating"] > 0);
  CHECK(verdicts["keep"] + verdicts["within_error"] > 0);
}

}  // namespace
}  // namespace lamina::tuner
