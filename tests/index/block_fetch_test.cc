#include "engine/index/block_fetch.h"

#include <catch2/catch.hpp>

#include "tests/index/memory_file_system.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::MemoryFileSystem;
using testing::Model;
using testing::OpenTable;
using testing::Random;

// Several tables, and every stem of each as a lookup.
struct Runs {
  explicit Runs(size_t cache_bytes, int levels) : cache(cache_bytes) {
    for (uint64_t number = 1; number <= 3; ++number) {
      models.push_back(testing::RandomModel(number, 120, 300));
      TableBuilderOptions options{.number = number};
      if (levels == 2) options.single_level_index_bytes = 0;
      const std::string path = std::to_string(number);
      testing::WriteTable(&fs, path, models.back(), options);
      tables.push_back(OpenTable(&fs, path, &cache, &counters));
    }
    for (size_t t = 0; t < tables.size(); ++t) {
      size_t i = 0;
      for (const auto& [bytes, entries] : models[t]) {
        if (++i % 37 != 0) continue;
        paths.push_back({t, *ParseKeyBytes(bytes)});
      }
    }
    for (const auto& [t, path] : paths)
      lookups.push_back(
          {path.anchor, path.fingerprints, 0, static_cast<uint32_t>(path.fingerprints.size())});
    queue = *fs.NewQueue(32);
  }

  MemoryFileSystem fs;
  BlockCache cache;
  IndexCounters counters;
  std::vector<Model> models;
  std::vector<std::shared_ptr<Table>> tables;
  std::vector<std::pair<size_t, OwnedStemKey>> paths;
  std::vector<StemLookup> lookups;
  std::unique_ptr<IoQueue> queue;
};

TEST_CASE("after a fetch lookups of several stems and runs need no further reads") {
  const int levels = GENERATE(1, 2);
  const size_t cache_bytes = GENERATE(size_t{0}, size_t{16} << 20);
  Runs runs(cache_bytes, levels);
  BlockFetcher fetcher(&runs.cache);
  for (size_t i = 0; i < runs.lookups.size(); ++i)
    fetcher.Add(runs.tables[runs.paths[i].first].get(), &runs.lookups[i]);
  const size_t read = fetcher.Run(runs.queue.get());
  CHECK(read > 10);
  CHECK(runs.fs.counts.queue_batches == static_cast<uint64_t>(levels));

  const uint64_t reads_before = runs.fs.counts.reads;
  for (size_t i = 0; i < runs.lookups.size(); ++i) {
    std::vector<FoundEntry> found;
    const size_t t = runs.paths[i].first;
    REQUIRE(runs.tables[t]->Find(&runs.lookups[i], &found).ok());
    REQUIRE(found == testing::ExpectedFinds(runs.models[t], runs.lookups[i]));
  }
  CHECK(runs.fs.counts.reads == reads_before);
  CHECK(runs.counters.block_reads_true == read);
  CHECK(runs.counters.block_reads_false_positive == 0);

  SECTION("and a second fetch reads nothing") {
    BlockFetcher again(&runs.cache);
    for (size_t i = 0; i < runs.lookups.size(); ++i)
      again.Add(runs.tables[runs.paths[i].first].get(), &runs.lookups[i]);
    CHECK(again.Run(runs.queue.get()) == 0);
  }
}

TEST_CASE("blocks that fail to be read are left for the lookup to report") {
  Runs runs(16 << 20, 1);
  BlockFetcher fetcher(&runs.cache);
  for (size_t i = 0; i < runs.lookups.size(); ++i)
    fetcher.Add(runs.tables[runs.paths[i].first].get(), &runs.lookups[i]);
  SECTION("an error of the device") {
    runs.fs.operations_before_failure = 0;
    fetcher.Run(runs.queue.get());
    std::vector<FoundEntry> found;
    CHECK(runs.tables[runs.paths[0].first]->Find(&runs.lookups[0], &found).code() ==
          StatusCode::kIoError);
  }
  SECTION("damage") {
    for (const char* path : {"1", "2", "3"}) {
      auto& bytes = runs.fs.bytes(path);
      for (size_t at = 100; at < bytes.size(); at += kTableBlockBytes) bytes[at] ^= std::byte{1};
    }
    fetcher.Run(runs.queue.get());
    std::vector<FoundEntry> found;
    CHECK(runs.tables[runs.paths[0].first]->Find(&runs.lookups[0], &found).code() ==
          StatusCode::kCorruption);
    CHECK(found.empty());
  }
  CHECK(runs.cache.block_count() == 0);
}

}  // namespace
}  // namespace lamina
