// Many threads on one store. Run under ThreadSanitizer in CI.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

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
