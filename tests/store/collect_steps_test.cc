// In how few steps garbage is collected: each of them walks the whole index.
#include <catch2/catch.hpp>
#include <random>

#include "engine/store/collect.h"
#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kPathPages = 64;

// A store with so many full segments, of which a random `live` per cent is live.
struct Sparse {
  Sparse(uint32_t segments, uint32_t slots, uint64_t live, uint64_t seed) {
    auto opened = OpenSimulatedStore(disk.Restart(),
                                     "capacity_bytes=64G;eviction=lru;admission=all;"
                                     "memory_bytes=256M;memtable_bytes=8M");
    REQUIRE(opened.ok());
    store = std::move(*opened);
    TensorLog& log = store->impl()->log();
    for (uint32_t i = 0; i < segments; ++i) {
      const auto id = log.AddEmptySegment(0, kPage, slots);
      REQUIRE(id.ok());
      REQUIRE(log.SetDraining(*id, false).ok());
    }
    std::mt19937_64 random(seed);
    const size_t pages = size_t{segments} * slots;
    for (size_t first = 0; first < pages; first += kPathPages) {
      paths.push_back(MakePath(*store, "model", Tokens(static_cast<uint32_t>(first), kPathPages)));
      TestPath& path = paths.back();
      REQUIRE(CountOk(PutPages(*store, path, 0, kPathPages, kPage)) == kPathPages);
      for (size_t i = 0; i < kPathPages; ++i) {
        if (random() % 100 < live) {
          ++live_pages;
          continue;
        }
        const Entry& entry = path.path->impl()->locations[i].entry;
        REQUIRE(log.Free(entry.slot, entry.tag(path.path->impl()->fingerprints[i])));
      }
    }
    REQUIRE(log.Segments().size() == segments);
    REQUIRE(store->Flush().ok());
  }
  [[nodiscard]] uint64_t Checkpoints() const { return StatOf(store->StatsJson(), "checkpoints"); }

  SimulatedDisk disk{1};
  std::unique_ptr<Store> store;
  std::vector<TestPath> paths;
  uint64_t live_pages = 0;
};

TEST_CASE("the steps of a collection grow with what it gives back, however full the disk was",
          "[simulated]") {
  constexpr uint32_t kSegments = 200;
  constexpr uint32_t kSlots = 128;
  Sparse sparse(kSegments, kSlots, 30, 3);
  uint64_t used = 0;
  const auto view = sparse.disk.Attach();
  for (const std::string& file : sparse.disk.Files()) used += *view->AllocatedBytes(file);
  // For another segment, and what is to be written of one.
  const bool full = GENERATE(false, true);
  if (full) sparse.disk.SetCapacity(used + kSlots * kPage + (1 << 20));
  const uint64_t before = sparse.Checkpoints();
  CollectReport report;
  REQUIRE(sparse.store->impl()->CollectGarbage({}, nullptr, &report).ok());
  CAPTURE(full, report.ToJson());
  CHECK(report.segments_freed == kSegments);
  CHECK(report.segments_made <= sparse.live_pages / kSlots + 4);
  CHECK(report.pages_moved == sparse.live_pages);
  CHECK(report.problems.empty());
  // Each step ends with a checkpoint.
  CHECK(sparse.Checkpoints() - before <= (full ? 10 : 4));
  uint64_t present = 0;
  for (TestPath& path : sparse.paths) {
    const GetOutcome got = GetPages(*sparse.store, path, 0, kPathPages, kPage);
    CHECK(got.wrong == 0);
    present += CountOk(got.states);
  }
  CHECK(present == sparse.live_pages);
}

}  // namespace
}  // namespace lamina::testing
