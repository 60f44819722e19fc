// lamina-index-bench: the index alone, at scale. Entries are put, journaled, flushed and compacted
// as by a store, without payloads; the same lookups run in an in-memory hash index beside them.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "bench/index_fixture.h"
#include "tuner/cost_model.h"
#include "tuner/tree_shape.h"

namespace lamina::bench {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Settings {
  uint64_t entries = 10'000'000;
  std::string shape = "lazy";
  uint32_t size_ratio = 10;
  std::string filter_bits = "auto";
  std::string memtable_bytes = "32M";
  std::string memory_bytes = "4G";
  size_t threads = 2;
  size_t samples = 20000;
  uint64_t seed = 1;
  std::string directory;
  std::string json;
  bool grid = false;
};

Options OptionsOf(const Settings& settings) {
  auto options = Options::Parse(
      "capacity_bytes=0;min_free_bytes=0;checkpoint_seconds=0;memory_bytes=" +
      settings.memory_bytes + ";memtable_bytes=" + settings.memtable_bytes +
      ";compaction=" + settings.shape + ";size_ratio=" + std::to_string(settings.size_ratio) +
      ";filter_bits=" + settings.filter_bits);
  RequireOk(options.status(), "options");
  return *options;
}

// The reviewers' control: everything in one open-addressing table in memory.
class HashIndex {
 public:
  explicit HashIndex(uint64_t entries) {
    size_t size = 1024;
    while (size * 6 / 10 < entries) size *= 2;
    cells_.resize(size);
  }
  void Insert(const PageKey& key, const Entry& entry) {
    size_t at = HashOf(key) & (cells_.size() - 1);
    while (cells_[at].key.fingerprint != 0) at = (at + 1) & (cells_.size() - 1);
    cells_[at] = {key, entry};
  }
  const Entry* Find(const PageKey& key) const {
    size_t at = HashOf(key) & (cells_.size() - 1);
    for (; cells_[at].key.fingerprint != 0; at = (at + 1) & (cells_.size() - 1)) {
      if (cells_[at].key == key) return &cells_[at].entry;
    }
    return nullptr;
  }

 private:
  struct Cell {
    PageKey key;
    Entry entry;
  };
  std::vector<Cell> cells_;
};

// Looks every entry up once, which fills the hash index and shows that none is lost.
HashIndex BuildHashIndex(IndexStore& store, uint64_t paths) {
  HashIndex index(paths * kPathPages);
  for (uint64_t number = 0; number < paths; ++number) {
    const auto path = MakePath(store, number);
    const auto found = store.Probe(*path, 0, kPathPages, {});
    RequireOk(found.status(), "probe");
    if (*found != kPathPages)
      RequireOk(Status::Corruption(fmt::format("path {}: found {}", number, *found)), "verify");
    for (size_t page = 0; page < kPathPages; ++page)
      index.Insert(path->page_key(page), path->locations[page].entry);
  }
  return index;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

struct WarmProbes {
  double hit_us = 0, miss_us = 0, hash_hit_us = 0, hash_miss_us = 0;
};

// One stem at a time. Paths are made beforehand: hashing tokens is the caller's cost in either
// index. The two indexes take turns on the same stems, and who goes first alternates.
WarmProbes MeasureWarm(IndexStore& store, const HashIndex& hash, uint64_t paths,
                       const Settings& settings) {
  std::mt19937_64 random(settings.seed);
  std::vector<double> times[4];
  size_t unexpected = 0;
  const auto time_us = [](auto&& work) {
    const auto start = Clock::now();
    work();
    return SecondsSince(start) * 1e6;
  };
  for (size_t i = 0; i < settings.samples; ++i) {
    const size_t first = random() % (kPathPages / kStemPages) * kStemPages;
    for (const bool hit : {true, false}) {
      const auto path =
          MakePath(store, hit ? random() % paths : kMissingPaths + random() % kMissingPaths);
      const size_t expected = hit ? kStemPages : 0;
      const auto in_store = [&] {
        unexpected += *store.Probe(*path, first, kStemPages, {}) != expected;
      };
      const auto in_hash = [&] {
        size_t found = 0;
        for (; found < kStemPages; ++found) {
          const PageKey key = path->page_key(first + found);
          const Entry* entry = hash.Find(key);
          if (entry == nullptr || !store.log().Bears(entry->slot, entry->tag(key.fingerprint)))
            break;
        }
        unexpected += found != expected;
      };
      double store_us;
      double hash_us;
      if (i % 2 == 0) {
        store_us = time_us(in_store);
        hash_us = time_us(in_hash);
      } else {
        hash_us = time_us(in_hash);
        store_us = time_us(in_store);
      }
      times[hit ? 0 : 1].push_back(store_us);
      times[hit ? 2 : 3].push_back(hash_us);
    }
  }
  if (unexpected > 0)
    RequireOk(Status::Corruption(fmt::format("{} probes", unexpected)), "unexpected answers");
  return {Median(times[0]), Median(times[1]), Median(times[2]), Median(times[3])};
}

double CopiesPerEntry(const IndexStore& store, uint64_t entries) {
  return static_cast<double>(store.counters().compaction_entries_copied.load()) /
         static_cast<double>(entries);
}

nlohmann::ordered_json RunOnce(const Settings& settings) {
  const ScratchDirectory directory(settings.directory, "lamina-index-bench");
  const Options options = OptionsOf(settings);
  auto store = OpenIndexStore(directory / "store", options);
  const uint64_t paths = std::max<uint64_t>(1, settings.entries / kPathPages);
  const uint64_t entries = paths * kPathPages;

  const auto start = Clock::now();
  FillPaths(*store, 0, paths, settings.threads);
  Settle(*store);
  const double fill_s = SecondsSince(start);
  const double copies = CopiesPerEntry(*store, entries);
  const auto stalls = store->scheduler().stats();
  const std::string shape = store->shape().ToString();

  store.reset();
  const auto open_start = Clock::now();
  store = OpenIndexStore(directory / "store", options);
  const double open_ms = SecondsSince(open_start) * 1e3;
  nlohmann::ordered_json phases;
  for (const auto& phase : store->open_phases())
    phases[phase.name] = static_cast<double>(phase.us) / 1e3;

  const SpaceUse space = MeasureSpace(*store, entries);
  const HashIndex hash = BuildHashIndex(*store, paths);
  const WarmProbes warm = MeasureWarm(*store, hash, paths, settings);
  const LookupCosts cold = MeasureLookups(*store, paths, settings.samples, kStemPages, 7);

  nlohmann::ordered_json json;
  json["entries"] = entries;
  json["shape"] = shape;
  json["threads"] = settings.threads;
  json["entries_per_s"] = static_cast<double>(entries) / fill_s;
  json["bytes_per_entry_disk"] = space.disk_bytes_per_entry;
  json["bytes_per_entry_filter"] = space.filter_bytes_per_entry;
  json["bytes_per_entry_memory"] = space.memory_bytes_per_entry;
  json["probe_hit_us_p50"] = warm.hit_us;
  json["probe_miss_us_p50"] = warm.miss_us;
  json["hash_probe_hit_us_p50"] = warm.hash_hit_us;
  json["hash_probe_miss_us_p50"] = warm.hash_miss_us;
  json["block_reads_per_hit"] = cold.measured_hit;
  json["block_reads_per_hit_unused"] = cold.measured_unused;
  json["block_reads_per_miss"] = cold.measured_miss;
  json["predicted_block_reads_per_hit"] = cold.predicted_hit;
  json["predicted_block_reads_per_miss"] = cold.predicted_miss;
  json["copies_per_entry"] = copies;
  json["runs"] = store->CurrentView()->runs.size();
  json["stalls"] = stalls.stalls;
  json["open_ms"] = open_ms;
  json["open_phases_ms"] = phases;
  return json;
}

void Print(const nlohmann::ordered_json& json) {
  for (const auto& [name, value] : json.items())
    fmt::print("{:<32} {}\n", name, value.is_string() ? value.get<std::string>() : value.dump());
}

// ---- Predicted beside measured
// -----------------------------------------------------------------------

tuner::TreeShape TunerShape(const std::string& name, uint32_t ratio) {
  if (name == "leveling") return tuner::LevelingShape(ratio);
  if (name == "tiering") return tuner::TieringShape(ratio);
  return tuner::LazyShape(ratio);
}

// Full trees over size ratios and shapes: each batch is one memtable, and compaction ends before
// the next.
nlohmann::ordered_json RunGrid(Settings settings) {
  constexpr uint64_t kPathsPerBatch = 8;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  fmt::print("{:<12} {:>8} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7} {:>10}\n",
             "shape", "batches", "copies", "predicted", "error", "miss reads", "predicted", "error",
             "hit reads", "predicted", "error", "unused");
  for (const uint32_t ratio : {2u, 4u, 10u}) {
    const uint64_t batches = ratio == 2 ? 63 : ratio == 4 ? 255 : 999;
    for (const std::string name : {"leveling", "lazy", "tiering"}) {
      settings.shape = name;
      settings.size_ratio = ratio;
      // A flush must be a whole batch to the picker: batch_entries follows from memtable_bytes.
      settings.memtable_bytes = std::to_string(kPathsPerBatch * kPathPages * 104 / 1024) + "K";
      settings.filter_bits = "5";
      const ScratchDirectory directory(settings.directory, "lamina-index-bench");
      auto store = OpenIndexStore(directory / "store", OptionsOf(settings));
      for (uint64_t batch = 0; batch < batches; ++batch) {
        FillPaths(*store, batch * kPathsPerBatch, (batch + 1) * kPathsPerBatch, 1);
        Settle(*store);
      }
      const uint64_t paths = batches * kPathsPerBatch;
      // A run that begins in level 1 is a flush that moved there.
      const tuner::LevelHistory history = tuner::HistoryOfLevels(TunerShape(name, ratio), batches);
      const double predicted = history.copies - history.moved;
      const double copies = CopiesPerEntry(*store, paths * kPathPages);
      const LookupCosts reads = MeasureLookups(*store, paths, settings.samples, 1, settings.seed);
      const auto error = [](double measured, double expected) {
        return expected == 0 ? 0 : (measured - expected) / expected;
      };
      const double errors[] = {error(copies, predicted),
                               error(reads.measured_miss, reads.predicted_miss),
                               error(reads.measured_hit, reads.predicted_hit)};
      fmt::print(
          "{:<12} {:>8} {:>10.3f} {:>10.3f} {:>6.1f}% {:>10.4f} {:>10.4f} {:>6.1f}% {:>10.4f} "
          "{:>10.4f} {:>6.1f}% {:>10.4f}\n",
          name + ":" + std::to_string(ratio), batches, copies, predicted, 100 * errors[0],
          reads.measured_miss, reads.predicted_miss, 100 * errors[1], reads.measured_hit,
          reads.predicted_hit, 100 * errors[2], reads.measured_unused);
      std::fflush(stdout);
      rows.push_back({{"shape", name + ":" + std::to_string(ratio)},
                      {"batches", batches},
                      {"copies_per_entry", copies},
                      {"predicted_copies_per_entry", predicted},
                      {"block_reads_per_miss", reads.measured_miss},
                      {"predicted_block_reads_per_miss", reads.predicted_miss},
                      {"block_reads_per_hit", reads.measured_hit},
                      {"predicted_block_reads_per_hit", reads.predicted_hit},
                      {"block_reads_per_hit_unused", reads.measured_unused}});
    }
  }
  return rows;
}

}  // namespace
}  // namespace lamina::bench

int main(int argc, char** argv) {
  using namespace lamina::bench;
  CLI::App app("Measures Lamina's index without payloads, beside an in-memory hash index.");
  Settings settings;
  app.add_option("--entries", settings.entries, "Entries to put")->check(CLI::Range(256, 1 << 30));
  app.add_option("--shape", settings.shape, "leveling, tiering or lazy")
      ->check(CLI::IsMember({"leveling", "tiering", "lazy", "auto"}));
  app.add_option("--size-ratio", settings.size_ratio, "Capacity ratio of levels, 2 to 64")
      ->check(CLI::Range(2, 64));
  app.add_option("--filter-bits", settings.filter_bits, "auto, or bits per entry");
  app.add_option("--memtable-bytes", settings.memtable_bytes, "Size of a memtable");
  app.add_option("--memory-bytes", settings.memory_bytes, "Memory budget");
  app.add_option("--threads", settings.threads, "Threads that put")->check(CLI::Range(1, 64));
  app.add_option("--samples", settings.samples, "Lookups of each kind")
      ->check(CLI::Range(100, 10'000'000));
  app.add_option("--seed", settings.seed, "Seed of the lookups");
  app.add_option("--dir", settings.directory, "Where to make the temporary store; made if missing");
  app.add_option("--json", settings.json, "Write the figures to this file");
  app.add_flag("--grid", settings.grid,
               "Predicted beside measured copies and block reads, over shapes and size ratios");
  CLI11_PARSE(app, argc, argv);

  const nlohmann::ordered_json json = settings.grid ? RunGrid(settings) : RunOnce(settings);
  if (!settings.grid) Print(json);
  if (!settings.json.empty()) std::ofstream(settings.json) << json.dump(2) << "\n";
  return 0;
}
