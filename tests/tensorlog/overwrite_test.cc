// Eight slots overwritten over and over under concurrent gets: no entry ever resolves to another
// page's bytes.
#include <catch2/catch.hpp>
#include <thread>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

// Pages of this test hold their name, repeated: cheap to make, and a single word of another page
// shows.
struct NamedPage {
  static constexpr size_t kBytes = 8192;
  AlignedBuffer memory{kBytes};
  iovec fragment{memory.data(), kBytes};

  void Set(uint64_t name) {
    for (size_t i = 0; i < kBytes; i += 8) std::memcpy(memory.data() + i, &name, 8);
  }
  [[nodiscard]] bool Holds(uint64_t name) const {
    for (size_t i = 0; i < kBytes; i += 8) {
      if (std::memcmp(memory.data() + i, &name, 8) != 0) return false;
    }
    return true;
  }
};

// What an index would know: for each slot the page that was published there last. Read and written
// without any order between the two words, so readers often hold entries that are long overwritten.
struct Entry {
  std::atomic<uint64_t> name{0};
  std::atomic<uint64_t> checksum{0};
};

void RunOverwrites(Options::Io io, uint64_t overwrites) {
  constexpr uint32_t kSlots = 8;
  TestLog t(1, 0, 1, io);
  t.options.capacity_bytes = uint64_t{NamedPage::kBytes} * kSlots * 64;
  t.Open(true);
  t.log->FinishReplay();
  std::array<Entry, kSlots> index;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> mismatches{0};
  std::atomic<uint64_t> written{0};

  const auto reader = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    auto queue = t.fs.NewQueue(8);
    std::array<NamedPage, 4> pages;
    while (!stop.load(std::memory_order_relaxed)) {
      std::array<PageRead, 4> batch;
      std::array<uint64_t, 4> names{};
      const auto first = static_cast<uint32_t>(random() % kSlots);
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t slot = (first + i) % kSlots;
        names[i] = index[slot].name.load();
        batch[i] = {.slot = {1, slot},
                    .fingerprint = names[i] | 1,
                    .checksum = index[slot].checksum.load(),
                    .length = NamedPage::kBytes,
                    .fragments = {&pages[i].fragment, 1}};
      }
      t.log->ReadPages(**queue, batch, {}, nullptr, nullptr);
      for (uint32_t i = 0; i < 4; ++i) {
        if (batch[i].outcome == ReadOutcome::kMismatch) ++mismatches;
        if (batch[i].outcome != ReadOutcome::kOk) continue;
        ++reads;
        if (!pages[i].Holds(names[i])) ++wrong;
      }
    }
  };
  const auto writer = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    auto queue = t.fs.NewQueue(8);
    std::array<NamedPage, 3> pages;
    while (written.load() < overwrites) {
      auto runs = t.log->Take(NamedPage::kBytes, 1 + random() % 3);
      if (!runs.ok()) {
        // Make room: condemn what some slot holds.
        const auto slot = static_cast<uint32_t>(random() % kSlots);
        const uint64_t name = index[slot].name.load();
        t.log->Condemn({1, slot}, TagOf(name | 1, index[slot].checksum.load()));
        continue;
      }
      std::vector<PageWrite> writes;
      std::vector<uint64_t> names;
      for (const SlotRun& run : *runs) {
        for (uint32_t i = 0; i < run.count; ++i) {
          const uint64_t name = random() & ~uint64_t{1};
          NamedPage& page = pages[names.size()];
          page.Set(name);
          names.push_back(name);
          writes.push_back(
              {.slot = run.slot(i), .fingerprint = name | 1, .fragments = {&page.fragment, 1}});
        }
      }
      if (!t.log->WritePages(**queue, writes, {}, false, nullptr).ok()) std::abort();
      for (size_t i = 0; i < writes.size(); ++i) {
        Entry& entry = index[writes[i].slot.slot];
        entry.name = names[i];
        entry.checksum = writes[i].checksum;
        t.log->Publish(writes[i].slot, TagOf(names[i] | 1, writes[i].checksum), 1, {});
        ++written;
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 2; ++i) threads.emplace_back(reader, 100 + i);
  std::vector<std::thread> writers;
  for (uint64_t i = 0; i < 2; ++i) writers.emplace_back(writer, 200 + i);
  for (std::thread& thread : writers) thread.join();
  stop = true;
  for (std::thread& thread : threads) thread.join();

  CHECK(wrong == 0);
  // The pin keeps the bytes of what bears the tag: even a failed checksum would be a defect.
  CHECK(mismatches == 0);
  CHECK(reads > 0);
  const ClassStats stats = t.log->Stats(true).at(0);
  CHECK(stats.slots.total() == kSlots);
  CHECK(stats.slots.writing == 0);
  CHECK(stats.pinned == 0);
}

TEST_CASE("no get ever returns another page's bytes while its slot is overwritten") {
  const auto io = GENERATE(from_range(Backends()));
  CAPTURE(static_cast<int>(io));
  RunOverwrites(io, std::getenv("LAMINA_LONG_TESTS") != nullptr ? 100000 : 3000);
}

}  // namespace
}  // namespace lamina
