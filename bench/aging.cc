// lamina-aging-bench: does a store that is full, and has been for long, do as well as an empty one?
//
// In one run: puts into an empty store until it is full, alone and beside a reader; then the same
// puts while each overwrites what was evicted; then the same again after the store has been written
// many times over. Everything is admitted, so that the same bytes move in each phase. The ratios
// are to the empty store of the same run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/buffers.h"
#include "bench/directory.h"
#include "bench/page_name.h"
#include "bench/payload.h"
#include "engine/lamina.h"

namespace lamina::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kPathPages = 32;

struct Settings {
  uint64_t pages = 16384;
  size_t page_bytes = 64 << 10;
  uint32_t times = 10;
  std::string store_options;
  std::string directory;
  std::string json;
};

[[noreturn]] void Fail(const std::string& what) {
  fmt::print(stderr, "lamina-aging-bench: {}\n", what);
  std::exit(1);
}

// Path `number` has pages of its own. Only the first bytes of a page tell it from others, so that
// making payloads costs nothing beside moving them; the store checks all of it.
class Paths {
 public:
  Paths(Store& store, size_t page_bytes) : store_(store), page_bytes_(page_bytes) {}

  std::unique_ptr<Path> Make(uint64_t number) const {
    std::vector<uint8_t> digests(kPathPages * 32);
    for (size_t i = 0; i < kPathPages; ++i) {
      const uint64_t words[2] = {number + 1, i};
      std::memcpy(digests.data() + 32 * i, words, sizeof words);
    }
    auto path = store_.PathFromDigests("aging", digests);
    if (!path.ok()) Fail(path.status().ToString());
    return std::move(*path);
  }

  void Put(uint64_t number, const PageBuffers& buffers) const {
    const auto path = Make(number);
    std::vector<const void*> data;
    const std::vector<size_t> sizes(kPathPages, page_bytes_);
    for (size_t i = 0; i < kPathPages; ++i) {
      std::memcpy(buffers.Page(i).data(), &number, sizeof number);
      data.push_back(buffers.Page(i).data());
    }
    const auto put = store_.Put(*path, 0, kPathPages, {data, sizes, 1}, {});
    if (!put.ok()) Fail(put.status().ToString());
    if (*put != kPathPages) Fail(fmt::format("path {}: {} pages were stored", number, *put));
  }

  // Pages that were there. All of them are the path's.
  size_t Get(uint64_t number, const PageBuffers& buffers) const {
    const auto path = Make(number);
    std::vector<void*> data;
    const std::vector<size_t> sizes(kPathPages, page_bytes_);
    for (size_t i = 0; i < kPathPages; ++i) data.push_back(buffers.Page(i).data());
    const auto got = store_.Get(*path, 0, kPathPages, {data, sizes, 1}, {});
    if (!got.ok()) Fail(got.status().ToString());
    for (size_t i = 0; i < *got; ++i) {
      uint64_t found = 0;
      std::memcpy(&found, buffers.Page(i).data(), sizeof found);
      if (found != number) Fail(fmt::format("path {}: page {} is of path {}", number, i, found));
    }
    return *got;
  }

 private:
  Store& store_;
  const size_t page_bytes_;
};

double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

struct Phase {
  std::string name;
  double put_mb_per_s = 0;         // alone
  double put_beside_mb_per_s = 0;  // beside the reader
  double get_us_p50 = 0;
  double get_us_p99 = 0;
  uint64_t gets = 0;
};

class Bench {
 public:
  Bench(Store& store, const Settings& settings)
      : settings_(settings),
        paths_(store, settings.page_bytes),
        put_buffers_(Allocate(settings.page_bytes)),
        get_buffers_(Allocate(settings.page_bytes)) {}

  [[nodiscard]] uint64_t paths_in_capacity() const { return settings_.pages / kPathPages; }

  // Puts `count` paths; MB/s.
  double Write(uint64_t count) {
    const auto start = Clock::now();
    for (uint64_t i = 0; i < count; ++i) {
      paths_.Put(next_.load(std::memory_order_relaxed), put_buffers_);
      next_.fetch_add(1, std::memory_order_release);
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return static_cast<double>(count * kPathPages * settings_.page_bytes) / 1e6 / seconds;
  }

  // Half of the paths alone, half beside a reader of what was put lately.
  Phase Run(std::string name, uint64_t count) {
    Phase phase;
    phase.name = std::move(name);
    phase.put_mb_per_s = Write(count / 2);
    std::atomic<bool> done{false};
    std::vector<double> latencies;
    std::thread reader([&] { ReadUntil(done, &latencies); });
    phase.put_beside_mb_per_s = Write(count - count / 2);
    done = true;
    reader.join();
    phase.gets = latencies.size();
    phase.get_us_p50 = Percentile(latencies, 0.5);
    phase.get_us_p99 = Percentile(latencies, 0.99);
    fmt::print("{:<12} {:>9.0f} {:>13.0f} {:>11.0f} {:>11.0f} {:>8}\n", phase.name,
               phase.put_mb_per_s, phase.put_beside_mb_per_s, phase.get_us_p50, phase.get_us_p99,
               phase.gets);
    return phase;
  }

 private:
  static PageBuffers Allocate(size_t page_bytes) {
    auto buffers = PageBuffers::Allocate(kPathPages, page_bytes);
    if (!buffers.ok()) Fail(buffers.status().ToString());
    for (size_t i = 0; i < kPathPages; ++i)
      FillPayload(PageName{i, page_bytes}, i, buffers->Page(i));
    return std::move(*buffers);
  }

  // One path at a time, of the quarter of the capacity that was put last.
  void ReadUntil(const std::atomic<bool>& done, std::vector<double>* latencies) {
    std::mt19937_64 random(7);
    while (!done) {
      const uint64_t next = next_.load(std::memory_order_acquire);
      const uint64_t recent = std::min(next, paths_in_capacity() / 4);
      if (recent == 0) continue;
      const uint64_t number = next - 1 - random() % recent;
      const auto start = Clock::now();
      const size_t got = paths_.Get(number, get_buffers_);
      if (got == kPathPages)
        latencies->push_back(
            std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
  }

  const Settings& settings_;
  const Paths paths_;
  const PageBuffers put_buffers_;
  const PageBuffers get_buffers_;
  std::atomic<uint64_t> next_{0};  // paths put so far
};

void Report(const std::vector<Phase>& phases, const Settings& settings, Store& store) {
  nlohmann::ordered_json json;
  json["page_bytes"] = settings.page_bytes;
  json["pages"] = settings.pages;
  json["times_written"] = settings.times;
  for (const Phase& phase : phases) {
    auto& row = json["phases"].emplace_back();
    row["name"] = phase.name;
    row["put_mb_per_s"] = phase.put_mb_per_s;
    row["put_beside_mb_per_s"] = phase.put_beside_mb_per_s;
    row["get_us_p50"] = phase.get_us_p50;
    row["get_us_p99"] = phase.get_us_p99;
    row["put_ratio_to_empty"] = phase.put_mb_per_s / phases.front().put_mb_per_s;
    row["get_p99_ratio_to_empty"] = phase.get_us_p99 / phases.front().get_us_p99;
  }
  for (size_t i = 1; i < phases.size(); ++i) {
    fmt::print("{}: puts {:.2f} of those into the empty store, p99 of a get {:.2f} times\n",
               phases[i].name, phases[i].put_mb_per_s / phases.front().put_mb_per_s,
               phases[i].get_us_p99 / phases.front().get_us_p99);
  }
  if (settings.json.empty()) return;
  json["stats"] = nlohmann::ordered_json::parse(store.StatsJson());
  std::ofstream(settings.json) << json.dump(2) << "\n";
}

int Main(const Settings& settings) {
  auto workspace = Workspace::Prepare(settings.directory, false);
  if (!workspace.ok()) Fail(workspace.status().ToString());
  const auto options = Options::Parse(fmt::format("admission=all;capacity_bytes={};{}",
                                                  CapacityFor(settings.pages, settings.page_bytes),
                                                  settings.store_options));
  if (!options.ok()) Fail(options.status().ToString());
  auto store = Store::Open(workspace->path() + "/store", *options);
  if (!store.ok()) Fail(store.status().ToString());

  Bench bench(**store, settings);
  const uint64_t capacity = bench.paths_in_capacity();
  fmt::print("{:<12} {:>9} {:>13} {:>11} {:>11} {:>8}\n", "", "put MB/s", "beside a get",
             "get us p50", "get us p99", "gets");
  std::vector<Phase> phases;
  phases.push_back(bench.Run("empty", capacity * 9 / 10));
  bench.Write(capacity / 5);  // over the end
  phases.push_back(bench.Run("full", capacity * 9 / 10));
  for (uint32_t i = 2; i < settings.times; ++i) bench.Write(capacity);
  phases.push_back(bench.Run(fmt::format("{} times", settings.times), capacity * 9 / 10));
  Report(phases, settings, **store);
  return 0;
}

}  // namespace
}  // namespace lamina::bench

int main(int argc, char** argv) {
  lamina::bench::Settings settings;
  CLI::App app("Puts and gets into an empty, a full and an aged store, in one run.");
  app.add_option("--pages", settings.pages, "Pages that the store holds")
      ->check(CLI::Range(1024, 1 << 26));
  app.add_option("--page-bytes", settings.page_bytes, "Bytes of a page")
      ->check(CLI::Range(4096, 1 << 24));
  app.add_option("--times", settings.times, "Capacities written before the last phase")
      ->check(CLI::Range(2, 1000));
  app.add_option("--options", settings.store_options, "Of the store: \"k=v;k=v\"");
  app.add_option("--dir", settings.directory, "Where to make the store");
  app.add_option("--json", settings.json, "Write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  return lamina::bench::Main(settings);
}
