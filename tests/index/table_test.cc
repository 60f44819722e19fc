#include "engine/index/table.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/index/allocation_counter.h"
#include "tests/index/memory_file_system.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::BytesOf;
using testing::Drain;
using testing::Flat;
using testing::Flatten;
using testing::MemoryFileSystem;
using testing::Model;
using testing::OpenTable;
using testing::Random;
using testing::WriteTable;

constexpr char kPath[] = "t.sst";

TableBuilderOptions WithLevels(int levels) {
  TableBuilderOptions options;
  options.single_level_index_bytes = levels == 2 ? 0 : SIZE_MAX;
  return options;
}

// Ranges of paths that are there, in part or not at all.
StemLookup RandomLookup(const Model& model, Random* random, OwnedStemKey* path) {
  auto at = model.begin();
  std::advance(at, static_cast<ptrdiff_t>((*random)() % model.size()));
  *path = *ParseKeyBytes(at->first);
  if ((*random)() % 4 == 0) path->fingerprints[(*random)() % path->fingerprints.size()] += 2;
  if ((*random)() % 16 == 0) path->anchor.low += 1;
  while (path->fingerprints.size() < kMaxStemPages && (*random)() % 4 == 0)
    path->fingerprints.push_back((*random)() | 1);
  StemLookup lookup{path->anchor, path->fingerprints};
  lookup.end = 1 + static_cast<uint32_t>((*random)() % path->fingerprints.size());
  lookup.first = static_cast<uint32_t>((*random)() % lookup.end);
  return lookup;
}

TEST_CASE("a table answers as std::map does") {
  const uint64_t seed = GENERATE(uint64_t{1}, uint64_t{2}, uint64_t{3});
  const int levels = GENERATE(1, 2);
  const bool cached = GENERATE(false, true);
  INFO("seed " << seed << ", " << levels << " levels");
  MemoryFileSystem fs;
  const Model model = testing::RandomModel(seed, 400, 1500);
  WriteTable(&fs, kPath, model, WithLevels(levels));
  BlockCache cache(128 << 10);
  const auto table = OpenTable(&fs, kPath, cached ? &cache : nullptr);
  REQUIRE((table->footer().index_blocks > 0) == (levels == 2));
  Random random(seed);
  OwnedStemKey path;
  for (int i = 0; i < 3000; ++i) {
    StemLookup lookup = RandomLookup(model, &random, &path);
    std::vector<FoundEntry> found;
    const Status status = table->Find(&lookup, &found);
    INFO(status.message());
    REQUIRE(status.ok());
    const auto expected = testing::ExpectedFinds(model, lookup);
    REQUIRE(found == expected);
    for (const FoundEntry& entry : expected)
      REQUIRE(table->MayContain(lookup.page_key(entry.page)));
  }
}

TEST_CASE("a table is walked in order, from its start or from any key") {
  const int levels = GENERATE(1, 2);
  const size_t readahead = GENERATE(size_t{0}, size_t{4096}, size_t{256} << 10);
  MemoryFileSystem fs;
  const Model model = testing::RandomModel(5, 300, 900);
  WriteTable(&fs, kPath, model, WithLevels(levels));
  BlockCache cache(1 << 20);
  const auto table = OpenTable(&fs, kPath, &cache);
  const auto iterator = table->NewIterator({.readahead_bytes = readahead});
  CHECK_FALSE(iterator->Valid());
  iterator->SeekToFirst();
  const Flat all = Flatten(model);
  REQUIRE(Drain(iterator.get()) == all);

  Random random(5);
  for (int i = 0; i < 300; ++i) {
    OwnedStemKey target = *ParseKeyBytes(all[random() % all.size()].first);
    target.fingerprints.resize(1 + random() % target.fingerprints.size());
    if (random() % 2 == 0) target.fingerprints.back() += random() % 3 - 1;
    const std::string bytes = BytesOf(target.view());
    auto at = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first >= bytes; });
    iterator->Seek(target.view());
    for (int k = 0; k < 3 && at != all.end(); ++k, ++at, iterator->Next()) {
      REQUIRE(iterator->Valid());
      REQUIRE(BytesOf(iterator->key()) == at->first);
      REQUIRE(iterator->entry() == at->second);
    }
    if (at == all.end()) REQUIRE_FALSE(iterator->Valid());
  }
}

TEST_CASE("candidates of one page are found though they fill several blocks") {
  const int levels = GENERATE(1, 2);
  MemoryFileSystem fs;
  Model model = testing::RandomModel(6, 20, 60);
  OwnedStemKey path;
  path.anchor = {uint64_t{1} << 63, 7};
  path.fingerprints = {10, 20, 30};
  Random random(6);
  for (size_t depth = 1; depth <= 3; ++depth) {
    auto& candidates = model[BytesOf({path.anchor, std::span(path.fingerprints).first(depth)})];
    for (int i = 0; i < 500; ++i) candidates.push_back(testing::RandomEntry(&random));
  }
  WriteTable(&fs, kPath, model, WithLevels(levels));
  const auto table = OpenTable(&fs, kPath);
  for (uint32_t first = 0; first < 3; ++first) {
    StemLookup lookup{path.anchor, path.fingerprints, first, 3};
    std::vector<FoundEntry> found;
    REQUIRE(table->Find(&lookup, &found).ok());
    REQUIRE(found == testing::ExpectedFinds(model, lookup));
  }
}

TEST_CASE("an entry of full stems takes at most 40 bytes on disk before the filter") {
  MemoryFileSystem fs;
  const auto per_entry = [&](const Model& model) {
    fs.Put(kPath, {});
    (void)fs.Remove(kPath);
    const TableMeta meta = WriteTable(&fs, kPath, model, {.filter_bits_per_key = 0});
    REQUIRE(meta.file_bytes == fs.bytes(kPath).size());
    return static_cast<double>(meta.file_bytes) / static_cast<double>(meta.entry_count);
  };
  const double stems = per_entry(testing::FullStems(1, 2000, 16384, 65536));
  const double flat = per_entry(testing::FlatKeys(1, 60000, 65536));
  INFO("stems " << stems << ", flat keys " << flat);
  CHECK(stems <= 22);
  CHECK(flat <= 40);
}

TEST_CASE("the meta that a builder returns is what the table says of itself") {
  MemoryFileSystem fs;
  const Model model = testing::RandomModel(7, 200, 500);
  TableBuilderOptions options;
  options.number = 77;
  options.filter_bits_per_key = 7.25;
  options.store_id = 123;
  options.job_id = 456;
  options.shape = "T=4 K=3,1";
  auto builder = TableBuilder::Create(&fs, kPath, options);
  REQUIRE(builder.ok());
  for (const auto& [key, entry] : Flatten(model))
    REQUIRE((*builder)->Add(ParseKeyBytes(key)->view(), entry).ok());
  (*builder)->AddDropped(9);
  const auto meta = (*builder)->Finish();
  REQUIRE(meta.ok());
  const auto table = OpenTable(&fs, kPath);
  CHECK(table->meta() == *meta);
  CHECK(table->properties().store_id == 123);
  CHECK(table->properties().job_id == 456);
  CHECK(table->properties().shape == "T=4 K=3,1");
  CHECK(table->number() == 77);
  CHECK(meta->dropped_entries == 9);
  CHECK(meta->entry_count == Flatten(model).size());
  CHECK(meta->page_count == model.size());
  CHECK(meta->filter_bits_per_key == 7.25);
  CHECK(meta->filter_bytes == FilterBytes(model.size(), 7.25));
  CHECK(BytesOf(meta->smallest.view()) == model.begin()->first);
  CHECK(BytesOf(meta->largest.view()) == model.rbegin()->first);
  CHECK(meta->file_bytes == fs.bytes(kPath).size());
}

TEST_CASE("a table is written in large aligned requests and synced") {
  MemoryFileSystem fs;
  WriteTable(&fs, kPath, testing::FullStems(2, 2500, 16384, 65536), {});
  const uint64_t bytes = fs.bytes(kPath).size();
  REQUIRE(bytes > (size_t{3} << 20));
  CHECK(fs.counts.largest_write == size_t{1} << 20);
  CHECK(fs.counts.writes == (bytes + (1 << 20) - 1) >> 20);
  CHECK(fs.counts.syncs == 1);
}

TEST_CASE("the governor is asked before each write") {
  MemoryFileSystem fs;
  TableBuilderOptions options;
  uint64_t announced = 0;
  options.before_write = [&](size_t bytes) { announced += bytes; };
  const TableMeta meta = WriteTable(&fs, kPath, testing::RandomModel(3, 50, 100), options);
  CHECK(announced == meta.file_bytes);
}

TEST_CASE("a builder that does not finish leaves no file") {
  MemoryFileSystem fs;
  const Model model = testing::RandomModel(8, 50, 100);
  SECTION("because it is dropped") {
    auto builder = TableBuilder::Create(&fs, kPath, {.number = 1});
    REQUIRE(builder.ok());
    REQUIRE((*builder)->Add(ParseKeyBytes(model.begin()->first)->view(), {}).ok());
    CHECK(fs.Has(kPath));
  }
  SECTION("because writing or syncing fails") {
    fs.operations_before_failure = GENERATE(0, 1);
    auto builder = TableBuilder::Create(&fs, kPath, {.number = 1});
    REQUIRE(builder.ok());
    REQUIRE((*builder)->Add(ParseKeyBytes(model.begin()->first)->view(), {}).ok());
    CHECK((*builder)->Finish().status().code() == StatusCode::kIoError);
    CHECK((*builder)->Finish().status().code() == StatusCode::kIoError);
  }
  CHECK_FALSE(fs.Has(kPath));
}

TEST_CASE("a builder refuses what it cannot write") {
  MemoryFileSystem fs;
  CHECK_FALSE(TableBuilder::Create(&fs, kPath, {.number = 0}).ok());
  CHECK_FALSE(TableBuilder::Create(&fs, kPath, {.number = 1, .filter_bits_per_key = -1}).ok());
  CHECK_FALSE(TableBuilder::Create(&fs, kPath, {.number = 1, .filter_bits_per_key = 65}).ok());
  TableBuilderOptions long_shape{.number = 1};
  long_shape.shape = std::string(256, 's');
  CHECK_FALSE(TableBuilder::Create(&fs, kPath, long_shape).ok());
  CHECK_FALSE(fs.Has(kPath));

  auto builder = TableBuilder::Create(&fs, kPath, {.number = 1});
  REQUIRE(builder.ok());
  SECTION("no entries") {
    CHECK((*builder)->Finish().status().code() == StatusCode::kInvalidArgument);
  }
  const Fingerprint fingerprints[] = {5, 6};
  SECTION("keys that go down") {
    REQUIRE((*builder)->Add({{1, 1}, fingerprints}, {}).ok());
    const Status status = (*builder)->Add({{1, 1}, std::span(fingerprints).first(1)}, {});
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find("after") != std::string::npos);
    CHECK_FALSE((*builder)->Finish().ok());
  }
  SECTION("keys without fingerprints, or with too many") {
    CHECK_FALSE((*builder)->Add({{1, 1}, {}}, {}).ok());
  }
  SECTION("keys with too many fingerprints") {
    const std::vector<Fingerprint> many(65, 1);
    CHECK_FALSE((*builder)->Add({{1, 1}, many}, {}).ok());
  }
}

TEST_CASE("a cold stem that is in one run is located with one block read, warm with none") {
  MemoryFileSystem fs;
  const Model model = testing::FullStems(3, 900, 16384, 65536);
  WriteTable(&fs, kPath, model, {});
  BlockCache cache(8 << 20);
  IndexCounters counters;
  const auto table = OpenTable(&fs, kPath, &cache, &counters);
  size_t stems = 0;
  for (auto at = model.begin(); at != model.end(); std::advance(at, kMaxStemPages), ++stems) {
    const OwnedStemKey path = *ParseKeyBytes(std::next(at, kMaxStemPages - 1)->first);
    const uint64_t before = counters.block_reads_true;
    StemLookup lookup{path.anchor, path.fingerprints, 0, kMaxStemPages};
    std::vector<FoundEntry> found;
    REQUIRE(table->Find(&lookup, &found).ok());
    REQUIRE(found.size() == kMaxStemPages);
    REQUIRE(counters.block_reads_true - before <= 1);
    found.clear();
    REQUIRE(table->Find(&lookup, &found).ok());
    REQUIRE(counters.block_reads_true - before <= 1);
  }
  CHECK(counters.block_reads_true == table->footer().data_blocks);
  CHECK(counters.block_reads_false_positive == 0);
  CHECK(counters.cache_hits == 2 * stems - table->footer().data_blocks);
  CHECK(counters.table_lookups == 2 * stems);
}

TEST_CASE("reads are counted by what caused them") {
  MemoryFileSystem fs;
  const Model model = testing::FullStems(4, 600, 16384, 65536);
  WriteTable(&fs, kPath, model, {.filter_bits_per_key = 4});
  IndexCounters counters;
  const auto table = OpenTable(&fs, kPath, nullptr, &counters);
  Random random(4);
  uint64_t passed = 0;
  constexpr uint64_t kMisses = 20000;
  for (uint64_t i = 0; i < kMisses; ++i) {
    const Fingerprint f = random() | 1;
    StemLookup lookup{testing::RandomDigest(&random), {&f, 1}, 0, 1};
    const PageKey key = lookup.page_key(0);
    if (!table->MayContain(key)) continue;
    ++passed;
    std::vector<FoundEntry> found;
    REQUIRE(table->Find(&lookup, &found).ok());
    REQUIRE(found.empty());
  }
  CHECK(counters.block_reads_false_positive == passed);
  CHECK(counters.block_reads_true == 0);
  CHECK(counters.table_lookups_empty == passed);
  CHECK(counters.filter_negatives + passed == counters.filter_checks);
  CHECK(counters.filter_checks > kMisses * 9 / 10);
  CHECK(static_cast<double>(passed) == Approx(ExpectedFpr(4) * kMisses).epsilon(0.15));

  const auto iterator = table->NewIterator();
  iterator->SeekToFirst();
  Drain(iterator.get());
  CHECK(counters.block_reads_seek == table->footer().data_blocks);
}

TEST_CASE("keys outside a table's range do not ask its filter") {
  MemoryFileSystem fs;
  Model model;
  const Fingerprint f = 3;
  model[BytesOf({{100, 0}, {&f, 1}})] = {Entry{}};
  model[BytesOf({{200, 0}, {&f, 1}})] = {Entry{}};
  WriteTable(&fs, kPath, model, {.filter_bits_per_key = 0});
  IndexCounters counters;
  const auto table = OpenTable(&fs, kPath, nullptr, &counters);
  CHECK_FALSE(table->MayContain({{99, 0}, 3}));
  CHECK_FALSE(table->MayContain({{200, 1}, 3}));
  CHECK(table->MayContain({{150, 0}, 3}));
  CHECK(counters.filter_checks == 0);
}

TEST_CASE("an open table holds the memory that it says") {
  MemoryFileSystem fs;
  const int levels = GENERATE(1, 2);
  const TableMeta meta =
      WriteTable(&fs, kPath, testing::FullStems(5, 3000, 16384, 65536), WithLevels(levels));
  const size_t before = testing::LiveAllocatedBytes();
  const auto table = OpenTable(&fs, kPath);
  const size_t held = testing::LiveAllocatedBytes() - before;
  CHECK(table->memory_bytes() == meta.memory_bytes() + sizeof(Table));
  if (!testing::CountsAllocations()) return;
  CHECK(held >= table->memory_bytes());
  CHECK(held <= table->memory_bytes() + 4096);  // the file, keys and strings of the properties
}

}  // namespace
}  // namespace lamina
