// lamina-tuner-bench: does the tuner's model predict, and do its decisions pay?
//
// Both parts run real trees (memtables, flushes, compactions, filters) of entries without payloads,
// with nothing cached, and price what they count by a device model: block reads of lookups, bytes
// of tables written and read by flushes and merges. So the figures repeat to the last digit on any
// machine; wall time stands beside them.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/tuner_grid.h"
#include "bench/tuner_schedules.h"

namespace lamina::bench {
namespace {

struct Arguments {
  std::string part = "all";
  std::vector<std::string> schedules;
  uint64_t operations = 240000;
  bool quick = false;
  std::string json;
  double read_kiops = 400;
  double read_gb_per_s = 2;
  double write_gb_per_s = 1;
  GridSettings grid;
  ScheduleSettings schedule;
};

void AddOptions(CLI::App* app, Arguments* a) {
  TunerStoreSettings& store = a->schedule.store;
  app->add_option("--part", a->part, "grid, steady, schedules or all")
      ->check(CLI::IsMember({"grid", "steady", "schedules", "all"}))
      ->capture_default_str();
  app->add_option("--schedule", a->schedules, "Only these: stages ring far flutter constant");
  app->add_option("--operations", a->operations, "Of each schedule")->capture_default_str();
  app->add_option("--live", store.live_entries, "Entries that live")->capture_default_str();
  app->add_option("--filter-bits", store.filter_bits, "Bits per entry that filters share")
      ->capture_default_str();
  app->add_option("--window", store.window_operations, "Operations of the tuner's window")
      ->capture_default_str();
  app->add_option("--size-ratios", a->schedule.size_ratios, "Of the static shapes");
  app->add_option("--variants", a->schedule.variants,
                  "Only these: the tuner, and shapes such as leveling:16, random");
  app->add_option("--read-kiops", a->read_kiops, "Of the modelled device")->capture_default_str();
  app->add_option("--read-gbps", a->read_gb_per_s)->capture_default_str();
  app->add_option("--write-gbps", a->write_gb_per_s)->capture_default_str();
  app->add_option("--seed", store.seed)->capture_default_str();
  app->add_option("--threads", a->schedule.threads, "Stores that run at a time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app->add_option("--dir", store.directory, "Where to make the temporary stores");
  app->add_option("--json", a->json, "Write the figures to this file");
  app->add_flag("--quick", a->quick, "A small grid and short schedules: does it run?");
}

void Prepare(Arguments* a) {
  TunerStoreSettings& store = a->schedule.store;
  if (store.directory.empty() && std::filesystem::is_directory("/dev/shm"))
    store.directory = "/dev/shm";
  store.device = {.read_device_s = 1e-3 / a->read_kiops,
                  .read_bytes_per_s = a->read_gb_per_s * 1e9,
                  .write_bytes_per_s = a->write_gb_per_s * 1e9};
  a->grid.directory = store.directory;
  a->grid.seed = store.seed;
  if (!a->quick) return;
  a->grid.size_ratios = {4};
  a->grid.filter_bits = {2, 5};
  a->grid.most_lookups = 20000;
  a->operations = 48000;
  a->schedule.warm_up_operations = 10000;
  a->schedule.size_ratios = {4};
  store.live_entries = 20000;
}

int Run(Arguments a) {
  Prepare(&a);
  nlohmann::ordered_json json;
  const auto wants = [&](const char* part) { return a.part == part || a.part == "all"; };
  if (wants("grid")) json["grid"] = RunGrid(a.grid);
  if (wants("steady")) json["steady"] = RunSteady(a.schedule.store, a.schedule.size_ratios);
  if (wants("schedules")) {
    json["schedules"] = nlohmann::ordered_json::array();
    for (const Schedule& schedule :
         MakeSchedules(a.operations, a.schedule.store.window_operations)) {
      const bool wanted = a.schedules.empty() || std::find(a.schedules.begin(), a.schedules.end(),
                                                           schedule.name) != a.schedules.end();
      if (wanted) json["schedules"].push_back(RunSchedule(a.schedule, schedule));
    }
  }
  if (!a.json.empty()) std::ofstream(a.json) << json.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace lamina::bench

int main(int argc, char** argv) {
  CLI::App app("Measures what Lamina's tuner predicts and what its decisions are worth.");
  lamina::bench::Arguments arguments;
  lamina::bench::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  return lamina::bench::Run(std::move(arguments));
}
