#include "bench/index_fixture.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "bench/index_null_segments.h"
#include "engine/io/posix_file_system.h"
#include "engine/store/tuner_tree.h"

namespace lamina::bench {

void RequireOk(const Status& status, const char* what) {
  if (status.ok()) return;
  fmt::print(stderr, "lamina bench: {}: {}\n", what, status.ToString());
  std::exit(1);
}

std::unique_ptr<IndexStore> OpenIndexStore(const std::string& directory, const Options& options,
                                           StoreEnvironment environment, bool in_memory) {
  auto posix = PosixFileSystem::Create({options.io, options.require_io_uring, options.io_threads});
  RequireOk(posix.status(), "file system");
  environment.file_system = std::make_unique<NullSegments>(std::move(*posix), in_memory);
  auto store = IndexStore::Open(directory, options, std::move(environment));
  RequireOk(store.status(), "open");
  return std::move(*store);
}

ScratchDirectory::ScratchDirectory(const std::string& base, const std::string& name) {
  const std::string parent = base.empty() ? "." : base;
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  if (error) RequireOk(Status::IoError(parent + ": " + error.message()), "directory");
  path_ = parent + "/" + name + "-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) RequireOk(Status::IoError(path_), "directory");
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::unique_ptr<Path::Impl> MakePath(IndexStore& store, uint64_t number) {
  // One token a page; the first says which path it is.
  std::vector<uint32_t> tokens(kPathPages);
  for (size_t i = 1; i < tokens.size(); ++i) tokens[i] = static_cast<uint32_t>(i);
  tokens[0] = static_cast<uint32_t>(number);
  auto path = store.PathFromTokens("index-bench", tokens, 1);
  RequireOk(path.status(), "path");
  return std::move(*path);
}

void FillPaths(IndexStore& store, uint64_t first, uint64_t last, size_t threads) {
  std::atomic<uint64_t> next{first};
  const auto work = [&] {
    for (uint64_t number = next++; number < last; number = next++) {
      const auto path = MakePath(store, number);
      const auto put = store.PutEntries(*path, 0, kPathPages, kPageBytes);
      RequireOk(put.status(), "put");
      if (*put != kPathPages) RequireOk(Status::NoSpace(store.StatsJson()), "put was rejected");
    }
  };
  std::vector<std::thread> workers;
  for (size_t i = 0; i < threads; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
}

void Settle(IndexStore& store) {
  RequireOk(store.Flush(), "flush");
  const auto deadline = Scheduler::Clock::now() + std::chrono::hours(1);
  RequireOk(store.scheduler().WaitIdle(deadline), "compaction");
}

LookupCosts MeasureLookups(IndexStore& store, uint64_t paths, size_t samples, size_t pages,
                           uint64_t seed) {
  const IndexCounters& counters = store.index_counters();
  const auto reads = [&] {
    return counters.block_reads_true.load() + counters.block_reads_false_positive.load() +
           counters.block_reads_unused.load();
  };
  const size_t capacity = store.block_cache().capacity_bytes();
  store.block_cache().SetCapacity(0);
  std::mt19937_64 random(seed);
  LookupCosts costs;
  const auto probe = [&](uint64_t number) {
    const auto path = MakePath(store, number);
    const size_t first = random() % (kPathPages / kStemPages) * kStemPages;
    const size_t page = first + (pages == kStemPages ? 0 : random() % kStemPages);
    // As if the eviction policy had been shown it: it would look for the pages before as well.
    path->request = std::make_shared<ShownRequest>();
    RequireOk(store.Probe(*path, page, pages, {}).status(), "probe");
  };
  uint64_t before = reads();
  const uint64_t unused_before = counters.block_reads_unused.load();
  for (size_t i = 0; i < samples; ++i) probe(random() % paths);
  costs.measured_hit = static_cast<double>(reads() - before) / static_cast<double>(samples);
  costs.measured_unused = static_cast<double>(counters.block_reads_unused.load() - unused_before) /
                          static_cast<double>(samples);
  before = reads();
  for (size_t i = 0; i < samples; ++i) probe(kMissingPaths + random() % kMissingPaths);
  costs.measured_miss = static_cast<double>(reads() - before) / static_cast<double>(samples);
  store.block_cache().SetCapacity(capacity);

  tuner::CostInputs inputs;
  inputs.curve = MeasuredFprCurve();
  const tuner::TreeShape shape = TunerShape(store.shape(), store.batch_entries());
  const auto predicted =
      tuner::PredictTree(inputs, {}, shape, TunerTree(*store.CurrentView()->tree));
  costs.predicted_hit = predicted.existing_reads;
  costs.predicted_miss = predicted.missing_reads;
  return costs;
}

SpaceUse MeasureSpace(IndexStore& store, uint64_t entries) {
  uint64_t file_bytes = 0;
  uint64_t filter_bytes = 0;
  const auto view = store.CurrentView();
  for (const OpenRun& run : view->runs) {
    for (const TableMeta& table : run.run->tables) {
      file_bytes += table.file_bytes;
      filter_bytes += table.filter_bytes;
    }
  }
  const auto n = static_cast<double>(entries);
  SpaceUse use;
  use.disk_bytes_per_entry = static_cast<double>(file_bytes - filter_bytes) / n;
  use.filter_bytes_per_entry = static_cast<double>(filter_bytes) / n;
  use.memory_bytes_per_entry =
      static_cast<double>(store.log().memory_bytes() + store.index_memory_bytes()) / n;
  return use;
}

}  // namespace lamina::bench
