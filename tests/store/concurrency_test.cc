// Many threads on one store. Run under ThreadSanitizer in CI.
#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "engine/store/store_impl.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4096;

TEST_CASE("puts, gets, probes, erases and flushes at once never show a wrong page") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  std::atomic<size_t> wrong{0};
  const auto work = [&](uint32_t thread) {
    std::mt19937 random(thread);
    for (int i = 0; i < 60; ++i) {
      TestPath path = MakePath(*store, "model", Tokens(random() % 4, 80));
      const size_t first = random() % 40;
      switch (random() % 5) {
        case 0:
          if (!store->Erase(*path.path, first, 1 + random() % 5).ok()) ++wrong;
          break;
        case 1:
          if (random() % 4 == 0 && !store->Flush().ok()) ++wrong;
          break;
        case 2:
          wrong += GetPages(*store, path, first, 40, kPage).wrong;
          break;
        default:
          PutPages(*store, path, first, 40, kPage);
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
}

TEST_CASE("a full store that is used, resized and collected by many at once shows no wrong page") {
  const TemporaryDirectory directory;
  StoreEnvironment environment;
  environment.capacity_bytes = uint64_t{6} << 20;
  auto impl =
      Store::Impl::Open(directory / "store", TestOptions("admission=all"), std::move(environment));
  REQUIRE(impl.ok());
  const auto store = std::make_unique<Store>(std::move(*impl));
  std::atomic<size_t> wrong{0};
  const auto work = [&](uint32_t thread) {
    std::mt19937 random(thread);
    for (int i = 0; i < 60; ++i) {
      TestPath path =
          MakePath(*store, "model", Tokens(1000 * static_cast<uint32_t>(random() % 40), 40));
      // Two classes; a page that was put in the other size is a miss.
      const size_t bytes = random() % 4 == 0 ? 20 << 10 : 16 << 10;
      switch (random() % 8) {
        case 0:
          if (!store->Touch(*path.path, 0, 40).ok()) ++wrong;
          break;
        case 1:
          if (random() % 4 == 0) (void)store->SetCapacity((4 + random() % 3) << 20);
          break;
        case 2:
          if (random() % 4 == 0 && !store->Erase(*path.path, 0, 40).ok()) ++wrong;
          break;
        case 3:
        case 4:
          wrong += GetPages(*store, path, 0, 40, bytes).wrong;
          break;
        default:
          PutPages(*store, path, 0, 40, bytes);
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
  REQUIRE(StatOf(store->StatsJson(), "evicted_pages") > 0);
  REQUIRE(StatOf(store->StatsJson(), "writing") == 0);
  REQUIRE(StatOf(store->StatsJson(), "pinned") == 0);
}

TEST_CASE("two puts of the same pages at once store each page once") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  std::vector<std::thread> threads;
  std::atomic<size_t> ok{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      TestPath path = MakePath(*store, "model", Tokens(0, 64));
      ok += CountOk(PutPages(*store, path, 0, 64, kPage));
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(ok == 4 * 64);
  REQUIRE(StatOf(store->StatsJson(), "live") == 64);
  REQUIRE(StatOf(store->StatsJson(), "writing") == 0);
}

}  // namespace
}  // namespace lamina::testing
