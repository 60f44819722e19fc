// A few slots overwritten over and over while they are read: no get ever gives another page's
// bytes.
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "engine/base/buffer.h"
#include "tests/store/simulated_store.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 131072;  // of which eight make a segment
constexpr char kOverwriting[] = "capacity_bytes=64M;eviction=lru;admission=all;";

uint64_t Overwrites(uint64_t usual) {
  return std::getenv("LAMINA_LONG_TESTS") != nullptr ? 100000 : usual;
}

// Pages hold their name, repeated: cheap to make, and a single word of another page shows.
uint64_t NameOf(uint32_t page) { return (page + 1) * 0x9E3779B97F4A7C15u; }

void Fill(std::span<std::byte> bytes, uint64_t name) {
  for (size_t i = 0; i < bytes.size(); i += 8) std::memcpy(bytes.data() + i, &name, 8);
}

bool Holds(std::span<const std::byte> bytes, uint64_t name) {
  for (size_t i = 0; i < bytes.size(); i += 8) {
    if (std::memcmp(bytes.data() + i, &name, 8) != 0) return false;
  }
  return true;
}

// Writers put pages out of many, which fit only if others go; readers get them.
struct Hammer {
  Store& store;
  const uint32_t pages;
  const uint64_t overwrites;
  std::atomic<uint64_t> written{0};
  std::atomic<uint64_t> read{0};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<bool> stop{false};

  std::unique_ptr<Path> PathOf(uint32_t page) {
    const uint32_t token = page;
    return *store.PathFromTokens("model", std::span(&token, 1), 1);
  }

  void Write(uint64_t seed) {
    std::mt19937_64 random(seed);
    AlignedBuffer memory(kPage);
    const void* const buffer = memory.data();
    // Bounded, so that a store which takes nothing any more fails the test.
    for (uint64_t tries = 0; written < overwrites; ++tries) {
      if (tries > 100 * overwrites) ++failed;
      if (failed > 0) break;
      const auto page = static_cast<uint32_t>(random() % pages);
      Fill(memory.span(), NameOf(page));
      const auto path = PathOf(page);
      const auto put = store.Put(*path, 0, 1, {{&buffer, 1}, {&kPage, 1}, 1}, {});
      if (!put.ok()) ++failed;
      // Those that were there were not written, but every few are.
      written = store.impl()->counters().pages_put.load();
    }
  }

  void Read(uint64_t seed) {
    std::mt19937_64 random(seed);
    AlignedBuffer memory(kPage);
    void* const buffer = memory.data();
    // Paths are kept, so that what they remember is often overwritten.
    std::vector<std::unique_ptr<Path>> paths;
    for (uint32_t page = 0; page < pages; ++page) paths.push_back(PathOf(page));
    while (!stop) {
      const auto page = static_cast<uint32_t>(random() % pages);
      const auto got = store.Get(*paths[page], 0, 1, {{&buffer, 1}, {&kPage, 1}, 1}, {});
      if (!got.ok()) ++failed;
      if (!got.ok() || *got == 0) continue;
      ++read;
      if (!Holds(memory.span(), NameOf(page))) ++wrong;
    }
  }

  void Run() {
    std::vector<std::thread> readers;
    std::vector<std::thread> writers;
    for (uint64_t i = 0; i < 2; ++i) readers.emplace_back([this, i] { Read(100 + i); });
    for (uint64_t i = 0; i < 2; ++i) writers.emplace_back([this, i] { Write(200 + i); });
    for (std::thread& thread : writers) thread.join();
    stop = true;
    for (std::thread& thread : readers) thread.join();
    CHECK(wrong == 0);
    CHECK(failed == 0);
    CHECK(read > 0);
    const std::string stats = store.StatsJson();
    // The pin keeps the bytes of what bears the tag: even a failed checksum would be a defect.
    CHECK(StatOf(stats, "checksum_failures") == 0);
    CHECK(StatOf(stats, "writing") == 0);
    CHECK(StatOf(stats, "pinned") == 0);
  }
};

TEST_CASE("a few segments of eight slots, overwritten under gets, never give a wrong page") {
  SimulatedDisk disk(31);
  StoreEnvironment environment;
  environment.file_system = disk.Restart();
  auto options =
      Options::Parse(std::string(kOverwriting) + "min_free_bytes=64M;memtable_bytes=64K");
  REQUIRE(options.ok());
  auto impl = Store::Impl::Open("/store", *options, std::move(environment));
  REQUIRE(impl.ok());
  Store store(std::move(*impl));
  // Room for three segments; what the store writes beside them may use what they leave to others.
  const SpaceInfo space = *disk.Attach()->Space("/store");
  disk.SetCapacity(space.total_bytes - space.free_bytes + (64 << 20) + 3 * 8 * kPage + 65536);
  Hammer hammer{store, 200, Overwrites(1500)};
  hammer.Run();
  const auto segments = store.impl()->log().Segments();
  CHECK(segments.size() <= 4);
  for (const SegmentInfo& info : segments) CHECK(info.slot_count == 8);
}

TEST_CASE("segments of eight slots, overwritten under gets on a file system, stay right") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", TestOptions(kOverwriting));
  Hammer hammer{*store, 1000, Overwrites(700)};
  hammer.Run();
  for (const SegmentInfo& info : store->impl()->log().Segments()) CHECK(info.slot_count == 8);
}

}  // namespace
}  // namespace lamina::testing
