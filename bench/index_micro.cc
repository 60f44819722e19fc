// Why the memtable is its own structure: putting and looking up the pages of conversations in it,
// in std::map and in a skip list, both of whole keys (a page's anchor and fingerprints as bytes,
// which is what an LSM-tree that knows nothing of paths would store). Beside them, the table:
// building it, warm lookups of stems, filter checks, and walking it.
//
// Every benchmark reports pages per second; the containers also report bytes per page.
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/index/memtable.h"
#include "engine/index/stem_key.h"
#include "engine/index/table.h"
#include "engine/index/table_builder.h"
#include "engine/io/posix_file_system.h"

namespace {

using lamina::Digest;
using lamina::Entry;
using lamina::Fingerprint;
using lamina::KeyBytes;
using lamina::OwnedStemKey;
using lamina::StemKey;
using lamina::StemLookup;

constexpr size_t kPutPages = 16;  // a turn of a conversation

// Live bytes of a container, for bytes per page. Not thread-safe.
size_t counted_bytes = 0;
template <class T>
struct CountingAllocator {
  using value_type = T;
  CountingAllocator() = default;
  template <class U>
  explicit CountingAllocator(const CountingAllocator<U>&) {}
  T* allocate(size_t n) {
    counted_bytes += n * sizeof(T);
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, size_t n) {
    counted_bytes -= n * sizeof(T);
    std::allocator<T>().deallocate(p, n);
  }
  friend bool operator==(const CountingAllocator&, const CountingAllocator&) { return true; }
};
using CountedString = std::basic_string<char, std::char_traits<char>, CountingAllocator<char>>;

// Stems of 64 pages in random order of anchors.
std::vector<OwnedStemKey> MakeStems(size_t pages) {
  std::mt19937_64 random(7);
  std::vector<OwnedStemKey> stems(pages / lamina::kMaxStemPages);
  for (OwnedStemKey& stem : stems) {
    stem.anchor = {random(), random()};
    for (size_t i = 0; i < lamina::kMaxStemPages; ++i) stem.fingerprints.push_back(random() | 1);
  }
  return stems;
}

Entry EntryOf(size_t page) {
  return {{static_cast<uint32_t>(page >> 14), static_cast<uint32_t>(page & 16383)},
          65536,
          static_cast<uint32_t>(page * 2654435761u),
          page * 0x9E3779B97F4A7C15u};
}

class LaminaMemtable {
 public:
  explicit LaminaMemtable(size_t pages) : memtable_(pages) {}
  void Put(const OwnedStemKey& stem, size_t first, const std::vector<Entry>& entries) {
    memtable_.Insert(stem.anchor, stem.fingerprints, first, entries, 0);
  }
  bool Has(const OwnedStemKey& stem, size_t page) const {
    return memtable_.Lookup({stem.anchor, stem.fingerprints[page]}) != nullptr;
  }
  size_t bytes() const { return memtable_.bytes(); }

 private:
  lamina::Memtable memtable_;
};

CountedString WholeKey(const OwnedStemKey& stem, size_t page) {
  const KeyBytes key({stem.anchor, std::span(stem.fingerprints).first(page + 1)});
  return CountedString(key.view());
}

class MapOfWholeKeys {
 public:
  explicit MapOfWholeKeys(size_t) : before_(counted_bytes) {}
  void Put(const OwnedStemKey& stem, size_t first, const std::vector<Entry>& entries) {
    for (size_t i = 0; i < entries.size(); ++i)
      map_.insert_or_assign(WholeKey(stem, first + i), entries[i]);
  }
  bool Has(const OwnedStemKey& stem, size_t page) const {
    return map_.find(WholeKey(stem, page)) != map_.end();
  }
  size_t bytes() const { return counted_bytes - before_; }

 private:
  size_t before_;
  std::map<CountedString, Entry, std::less<>,
           CountingAllocator<std::pair<const CountedString, Entry>>>
      map_;
};

// The usual memtable: towers of 1 in 4, nodes and keys in an arena.
class SkipListOfWholeKeys {
 public:
  explicit SkipListOfWholeKeys(size_t) : head_(NewNode({}, {}, kMaxHeight)) {}
  void Put(const OwnedStemKey& stem, size_t first, const std::vector<Entry>& entries) {
    for (size_t i = 0; i < entries.size(); ++i) {
      const KeyBytes key({stem.anchor, std::span(stem.fingerprints).first(first + i + 1)});
      Insert(key.view(), entries[i]);
    }
  }
  bool Has(const OwnedStemKey& stem, size_t page) const {
    const KeyBytes key({stem.anchor, std::span(stem.fingerprints).first(page + 1)});
    const Node* node = FindNotBelow(key.view(), nullptr);
    return node != nullptr && node->key() == key.view();
  }
  size_t bytes() const { return arena_.bytes(); }

 private:
  static constexpr int kMaxHeight = 12;
  struct Node {
    Entry entry;
    const char* key_data;
    size_t key_size;
    Node* next[1];
    std::string_view key() const { return {key_data, key_size}; }
  };

  Node* NewNode(std::string_view key, const Entry& entry, int height) {
    const size_t tower = sizeof(Node*) * static_cast<size_t>(height - 1);
    auto* node = static_cast<Node*>(arena_.Allocate(sizeof(Node) + tower));
    auto* copy = static_cast<char*>(arena_.Allocate(key.size()));
    key.copy(copy, key.size());
    node->entry = entry;
    node->key_data = copy;
    node->key_size = key.size();
    for (int i = 0; i < height; ++i) node->next[i] = nullptr;
    return node;
  }
  Node* FindNotBelow(std::string_view key, Node** before) const {
    Node* node = head_;
    for (int level = kMaxHeight - 1;; --level) {
      while (node->next[level] != nullptr && node->next[level]->key() < key)
        node = node->next[level];
      if (before != nullptr) before[level] = node;
      if (level == 0) return node->next[0];
    }
  }
  void Insert(std::string_view key, const Entry& entry) {
    Node* before[kMaxHeight];
    Node* at = FindNotBelow(key, before);
    if (at != nullptr && at->key() == key) {
      at->entry = entry;
      return;
    }
    int height = 1;
    while (height < kMaxHeight && random_() % 4 == 0) ++height;
    Node* node = NewNode(key, entry, height);
    for (int i = 0; i < height; ++i) {
      node->next[i] = before[i]->next[i];
      before[i]->next[i] = node;
    }
  }

  lamina::Arena arena_;
  std::mt19937 random_{1};
  Node* head_;
};

// In turns: the first pages of every stem, then the next, as conversations interleave.
template <class Container>
void Fill(Container* container, const std::vector<OwnedStemKey>& stems) {
  std::vector<Entry> entries(kPutPages);
  size_t page_number = 0;
  for (size_t first = 0; first < lamina::kMaxStemPages; first += kPutPages) {
    for (const OwnedStemKey& stem : stems) {
      for (Entry& entry : entries) entry = EntryOf(page_number++);
      container->Put(stem, first, entries);
    }
  }
}

template <class Container>
void Put(benchmark::State& state) {
  const auto stems = MakeStems(static_cast<size_t>(state.range(0)));
  const size_t pages = stems.size() * lamina::kMaxStemPages;
  size_t bytes = 0;
  for (auto _ : state) {
    Container container(pages);
    Fill(&container, stems);
    bytes = container.bytes();
    benchmark::DoNotOptimize(bytes);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(pages));
  state.counters["bytes_per_page"] = static_cast<double>(bytes) / static_cast<double>(pages);
}

template <class Container>
void LookUpPaths(benchmark::State& state) {
  const auto stems = MakeStems(static_cast<size_t>(state.range(0)));
  Container container(stems.size() * lamina::kMaxStemPages);
  Fill(&container, stems);
  std::mt19937_64 random(3);
  for (auto _ : state) {
    const OwnedStemKey& stem = stems[random() % stems.size()];
    size_t hits = 0;
    for (size_t page = 0; page < lamina::kMaxStemPages; ++page)
      hits += container.Has(stem, page) ? 1 : 0;
    if (hits != lamina::kMaxStemPages) state.SkipWithError("a page was not found");
  }
  state.SetItemsProcessed(state.iterations() * lamina::kMaxStemPages);
}

template <class Container>
void LookUpMissing(benchmark::State& state) {
  const auto stems = MakeStems(static_cast<size_t>(state.range(0)));
  Container container(stems.size() * lamina::kMaxStemPages);
  Fill(&container, stems);
  std::mt19937_64 random(4);
  OwnedStemKey missing;
  missing.fingerprints.resize(1);
  for (auto _ : state) {
    missing.anchor = {random(), random()};
    missing.fingerprints[0] = random() | 1;
    benchmark::DoNotOptimize(container.Has(missing, 0));
  }
  state.SetItemsProcessed(state.iterations());
}

// A table in a temporary directory, all of its blocks cached.
class TableFixture {
 public:
  explicit TableFixture(size_t pages) : stems_(MakeStems(pages)), cache_(size_t{1} << 30) {
    char name[] = "/tmp/lamina-index-micro-XXXXXX";
    directory_ = mkdtemp(name);
    file_system_ = std::move(*lamina::PosixFileSystem::Create({}));
    std::vector<const OwnedStemKey*> order;
    for (const OwnedStemKey& stem : stems_) order.push_back(&stem);
    std::sort(order.begin(), order.end(),
              [](const auto* a, const auto* b) { return a->anchor < b->anchor; });
    lamina::TableBuilderOptions options;
    options.number = 1;
    auto builder = lamina::TableBuilder::Create(file_system_.get(), path(), options);
    size_t page_number = 0;
    for (const OwnedStemKey* stem : order) {
      for (size_t i = 1; i <= lamina::kMaxStemPages; ++i)
        ok_ &= (*builder)
                   ->Add({stem->anchor, std::span(stem->fingerprints).first(i)},
                         EntryOf(page_number++))
                   .ok();
    }
    ok_ &= (*builder)->Finish().ok();
    table_ = *lamina::Table::Open(file_system_.get(), path(), 1, &cache_, nullptr);
  }
  ~TableFixture() {
    (void)file_system_->Remove(path());
    rmdir(directory_.c_str());
  }
  std::string path() const { return directory_ + "/1.sst"; }
  const std::vector<OwnedStemKey>& stems() const { return stems_; }
  const std::shared_ptr<lamina::Table>& table() const { return table_; }
  bool ok() const { return ok_; }

 private:
  std::vector<OwnedStemKey> stems_;
  lamina::BlockCache cache_;
  std::string directory_;
  std::unique_ptr<lamina::PosixFileSystem> file_system_;
  std::shared_ptr<lamina::Table> table_;
  bool ok_ = true;
};

void TableBuild(benchmark::State& state) {
  const auto pages = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    const TableFixture fixture(pages);
    if (!fixture.ok()) state.SkipWithError("writing failed");
    state.counters["bytes_per_page"] = static_cast<double>(fixture.table()->meta().file_bytes) /
                                       static_cast<double>(fixture.table()->meta().entry_count);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void TableFindStem(benchmark::State& state) {
  const TableFixture fixture(static_cast<size_t>(state.range(0)));
  std::mt19937_64 random(5);
  std::vector<lamina::FoundEntry> found;
  for (auto _ : state) {
    const OwnedStemKey& stem = fixture.stems()[random() % fixture.stems().size()];
    StemLookup lookup{stem.anchor, stem.fingerprints, 0, lamina::kMaxStemPages};
    found.clear();
    const bool may = fixture.table()->MayContain(lookup.page_key(0));
    if (!may || !fixture.table()->Find(&lookup, &found).ok() ||
        found.size() != lamina::kMaxStemPages)
      state.SkipWithError("a page was not found");
  }
  state.SetItemsProcessed(state.iterations() * lamina::kMaxStemPages);
}

void TableMiss(benchmark::State& state) {
  const TableFixture fixture(static_cast<size_t>(state.range(0)));
  std::mt19937_64 random(6);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        fixture.table()->MayContain({{random(), random()}, Fingerprint{random() | 1}}));
  state.SetItemsProcessed(state.iterations());
}

void TableWalk(benchmark::State& state) {
  const TableFixture fixture(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const auto iterator = fixture.table()->NewIterator();
    uint64_t sum = 0;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next())
      sum += iterator->entry().checksum;
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

constexpr int64_t kPages = int64_t{1} << 18;

BENCHMARK(Put<LaminaMemtable>)->Arg(kPages)->Unit(benchmark::kMillisecond);
BENCHMARK(Put<MapOfWholeKeys>)->Arg(kPages)->Unit(benchmark::kMillisecond);
BENCHMARK(Put<SkipListOfWholeKeys>)->Arg(kPages)->Unit(benchmark::kMillisecond);
BENCHMARK(LookUpPaths<LaminaMemtable>)->Arg(kPages);
BENCHMARK(LookUpPaths<MapOfWholeKeys>)->Arg(kPages);
BENCHMARK(LookUpPaths<SkipListOfWholeKeys>)->Arg(kPages);
BENCHMARK(LookUpMissing<LaminaMemtable>)->Arg(kPages);
BENCHMARK(LookUpMissing<MapOfWholeKeys>)->Arg(kPages);
BENCHMARK(LookUpMissing<SkipListOfWholeKeys>)->Arg(kPages);
BENCHMARK(TableBuild)->Arg(kPages)->Unit(benchmark::kMillisecond);
BENCHMARK(TableFindStem)->Arg(kPages);
BENCHMARK(TableMiss)->Arg(kPages);
BENCHMARK(TableWalk)->Arg(kPages)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
