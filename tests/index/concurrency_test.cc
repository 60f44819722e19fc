// Readers beside a writer, for the thread sanitizer as much as for the assertions.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "engine/index/block_cache.h"
#include "engine/index/memtable.h"
#include "engine/index/table.h"
#include "tests/index/memory_file_system.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::Forest;
using testing::Random;

TEST_CASE("readers of a memtable see every put that was complete when they looked") {
  constexpr size_t kPuts = 4000;
  constexpr int kReaders = 3;
  const Forest forest(1, 1500);
  Memtable memtable;  // starts small: the hash table grows under the readers
  std::atomic<size_t> published{0};
  std::atomic<bool> writing{true};
  std::atomic<size_t> wrong{0};

  // Put i is of path i; the entry of page p of it has checksum i and slot p.
  const auto path_of = [&](size_t i) -> const OwnedStemKey& {
    return forest.paths()[i % forest.paths().size()];
  };
  const auto check = [&](size_t i, bool must_have) {
    const OwnedStemKey& path = path_of(i);
    for (size_t page = 0; page < path.fingerprints.size(); ++page) {
      bool has = false;
      for (const auto* c = memtable.Lookup({path.anchor, path.fingerprints[page]}); c != nullptr;
           c = c->older) {
        if (c->entry.slot.slot != page) ++wrong;
        has |= c->entry.checksum == i;
      }
      if (must_have && !has) ++wrong;
    }
  };
  std::vector<std::thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      Random random(static_cast<uint64_t>(r));
      while (writing.load(std::memory_order_relaxed)) {
        const size_t seen = published.load(std::memory_order_acquire);
        if (seen > 0) check(random() % seen, true);
        check(random() % kPuts, false);
        if (memtable.bytes() == 0) ++wrong;
      }
    });
  }
  for (size_t i = 0; i < kPuts; ++i) {
    const OwnedStemKey& path = path_of(i);
    std::vector<Entry> entries(path.fingerprints.size());
    for (size_t page = 0; page < entries.size(); ++page)
      entries[page] = {{1, static_cast<uint32_t>(page)}, 4096, 0, i};
    memtable.Insert(path.anchor, path.fingerprints, 0, entries, i);
    published.store(i + 1, std::memory_order_release);
  }
  // Sorting for a flush beside readers.
  memtable.Freeze();
  const auto iterator = memtable.NewIterator();
  iterator->SeekToFirst();
  size_t walked = 0;
  for (; iterator->Valid(); iterator->Next()) ++walked;
  writing = false;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(walked == memtable.entry_count());
  for (size_t i = 0; i < kPuts; ++i) check(i, true);
  CHECK(wrong == 0);
}

TEST_CASE("threads that look up one table through a tiny cache all find the truth") {
  testing::MemoryFileSystem fs;
  const testing::Model model = testing::RandomModel(2, 300, 800);
  testing::WriteTable(&fs, "t", model, {});
  BlockCache cache(40 << 10);
  IndexCounters counters;
  const auto table = testing::OpenTable(&fs, "t", &cache, &counters);
  std::vector<OwnedStemKey> paths;
  for (const auto& [bytes, entries] : model) paths.push_back(*ParseKeyBytes(bytes));
  std::atomic<size_t> wrong{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<FoundEntry> found;
      for (int i = 0; i < 1500; ++i) {
        const OwnedStemKey& path = paths[random() % paths.size()];
        StemLookup lookup{path.anchor, path.fingerprints, 0,
                          static_cast<uint32_t>(path.fingerprints.size())};
        found.clear();
        if (!table->Find(&lookup, &found).ok() || found != testing::ExpectedFinds(model, lookup))
          ++wrong;
      }
    });
  }
  threads.emplace_back([&] {
    for (size_t i = 0; i < 300; ++i) {
      cache.SetCapacity((i % 64) << 10);
      if (i % 16 == 0) cache.EraseTable(table->number());
      std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  cache.SetCapacity(0);
  CHECK(cache.block_count() == 0);
}

}  // namespace
}  // namespace lamina
