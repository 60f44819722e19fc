// What must hold of every policy.
#include "tensorlog/eviction/policy.h"

#include <catch2/catch.hpp>

#include "tests/eviction/page_store.h"
#include "tests/eviction/requests.h"

namespace lamina {
namespace {

constexpr PolicyKind kKinds[] = {PolicyKind::kPrhd, PolicyKind::kLru, PolicyKind::kS3Fifo};

PolicyOptions OptionsOf(PolicyKind kind, uint64_t capacity_pages) {
  PolicyOptions options;
  options.kind = kind;
  options.capacity_pages = capacity_pages;
  return options;
}

std::vector<Heat> HeatsOf(EvictionPolicy* policy, const std::vector<uint64_t>& keys) {
  std::vector<RequestPage> pages(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) pages[i].key = keys[i];
  policy->OnRequest({}, pages);
  std::vector<Heat> heats;
  for (const RequestPage& page : pages) heats.push_back(page.heat);
  return heats;
}

TEST_CASE("random requests never leave more live pages than fit, nor cost a path its own pages") {
  const uint64_t seed = TestSeed();
  for (const PolicyKind kind : kKinds) {
    for (const uint32_t pages_per_unit : {1u, 3u}) {
      for (const bool admit_all : {false, true}) {
        INFO("policy " << static_cast<int>(kind) << ", " << pages_per_unit
                       << " pages a unit, admit_all " << admit_all
                       << ", LAMINA_TEST_SEED=" << seed);
        RequestMaker maker(seed);
        const auto policy = MakePolicy(OptionsOf(kind, 60));
        PageStore store(policy.get(), 64, 60);
        size_t written = 0;
        for (int i = 0; i < 3000; ++i) {
          // The store checks every step.
          const RequestShape shape{.flat = false, .pages_per_unit = pages_per_unit};
          written += store.Serve(maker.Next(), shape, admit_all).written;
          if (i % 500 == 499) {
            store.set_capacity(20 + maker.random().Below(40));
            policy->SetCapacity(store.capacity_pages(), 1 << 20);
            store.TrimAlone();
          }
        }
        CHECK(written > 300);
        CHECK(store.condemned().size() > 300);
      }
    }
  }
}

TEST_CASE("a path longer than the capacity keeps its front") {
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind));
    RequestMaker maker(1);
    const auto policy = MakePolicy(OptionsOf(kind, 10));
    PageStore store(policy.get(), 10, 10);
    store.Serve(NewPath(&maker, 6));
    const std::vector<uint64_t> path = NewPath(&maker, 25);
    store.Serve(path, {}, /*admit_all=*/true);
    for (size_t i = 0; i < 10; ++i) CHECK(store.live(path[i]));
    CHECK(store.Serve(path, {}, /*admit_all=*/true).hits == 10);
    CHECK(store.live(path[9]));
  }
}

// Most of what is sampled is the path itself, and under PRHD its own pages may be worth least.
TEST_CASE("what is admitted at the cost of all others is, as long as there are others") {
  const uint64_t seed = TestSeed();
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind) << ", LAMINA_TEST_SEED=" << seed);
    RequestMaker maker(seed);
    const auto policy = MakePolicy(OptionsOf(kind, 100));
    PageStore store(policy.get(), 104, 100);
    for (int i = 0; i < 50; ++i) {
      const std::vector<uint64_t> path = NewPath(&maker, 100);
      const auto front = [&](size_t pages) {
        return std::vector<uint64_t>(path.begin(), path.begin() + static_cast<long>(pages));
      };
      for (const size_t pages : {20u, 50u, 90u, 95u, 99u, 100u})
        REQUIRE(store.Serve(front(pages), {}, /*admit_all=*/true).rejected == 0);
    }
  }
}

TEST_CASE("where there is room nothing is condemned and everything is written") {
  for (const PolicyKind kind : kKinds) {
    RequestMaker maker(1);
    const auto policy = MakePolicy(OptionsOf(kind, 200));
    PageStore store(policy.get(), 200, 200);
    for (int i = 0; i < 10; ++i) CHECK(store.Serve(NewPath(&maker, 20)).written == 20);
    CHECK(store.condemned().empty());
  }
}

TEST_CASE("a capacity of no pages condemns all and writes none") {
  for (const PolicyKind kind : kKinds) {
    RequestMaker maker(1);
    const auto policy = MakePolicy(OptionsOf(kind, 50));
    PageStore store(policy.get(), 50, 50);
    store.Serve(NewPath(&maker, 30));
    store.set_capacity(0);
    policy->SetCapacity(0, 1 << 20);
    store.TrimAlone();
    CHECK(store.live_pages() == 0);
    CHECK(store.Serve(NewPath(&maker, 5), {}, /*admit_all=*/true).written == 0);
  }
}

TEST_CASE("a condemned page is live again after a request for it") {
  for (const PolicyKind kind : kKinds) {
    RequestMaker maker(1);
    const auto policy = MakePolicy(OptionsOf(kind, 8));
    PageStore store(policy.get(), 16, 8);
    const std::vector<uint64_t> first = NewPath(&maker, 4);
    store.Serve(first);
    store.set_capacity(0);
    store.TrimAlone();
    store.set_capacity(8);
    REQUIRE(!store.live(first[0]));
    REQUIRE(store.readable(first[0]));
    CHECK(store.Serve(first).hits == 4);
    CHECK(store.live(first[0]));
  }
}

TEST_CASE("policies with the same seed that see the same requests evict the same pages") {
  const uint64_t seed = TestSeed();
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind) << ", LAMINA_TEST_SEED=" << seed);
    std::vector<uint64_t> condemned[2];
    std::string saved[2];
    for (int run = 0; run < 2; ++run) {
      RequestMaker maker(seed);
      const auto policy = MakePolicy(OptionsOf(kind, 50));
      PageStore store(policy.get(), 56, 50);
      for (int i = 0; i < 2000; ++i) store.Serve(maker.Next());
      condemned[run] = store.condemned();
      policy->Save(&saved[run]);
    }
    CHECK(condemned[0] == condemned[1]);
    CHECK(saved[0] == saved[1]);
  }
}

TEST_CASE("pages are seen when they are readable or were asked for lately") {
  for (const PolicyKind kind : kKinds) {
    const auto policy = MakePolicy(OptionsOf(kind, 100));
    std::vector<RequestPage> pages(3);
    for (size_t i = 0; i < 3; ++i) pages[i].key = 10 + i;
    pages[1].readable = true;
    policy->OnRequest({}, pages);
    CHECK(!pages[0].seen);
    CHECK(pages[1].seen);
    CHECK(!pages[2].seen);
    pages[1].readable = false;
    policy->OnRequest({}, pages);
    for (const RequestPage& page : pages) CHECK(page.seen);
  }
}

TEST_CASE("worth falls with the time since a page was used, where nothing else is known") {
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind));
    const auto policy = MakePolicy(OptionsOf(kind, 1000));
    const Heat heat = HeatsOf(policy.get(), {1})[0];
    double last = policy->Worth(heat);
    for (uint32_t tick = 100; tick < 100'000; tick *= 2) {
      policy->OnRecovered({.tick = tick, .bits = 0});
      CHECK(policy->Worth(heat) < last);
      last = policy->Worth(heat);
    }
  }
}

TEST_CASE("LRU evicts the path used longest ago, its deepest page first") {
  RequestMaker maker(1);
  const auto policy = MakePolicy(OptionsOf(PolicyKind::kLru, 12));
  PageStore store(policy.get(), 12, 12);
  const std::vector<uint64_t> a = NewPath(&maker, 6);
  const std::vector<uint64_t> b = NewPath(&maker, 6);
  store.Serve(a);
  store.Serve(b);
  store.Serve(a);
  store.Serve(NewPath(&maker, 7));
  CHECK(store.condemned() == std::vector<uint64_t>{b[5], b[4], b[3], b[2], b[1], b[0], a[5]});
}

TEST_CASE("S3-FIFO keeps what was used again over what was used once") {
  RequestMaker maker(1);
  const auto policy = MakePolicy(OptionsOf(PolicyKind::kS3Fifo, 40));
  PageStore store(policy.get(), 40, 40);
  const std::vector<uint64_t> again = NewPath(&maker, 10);
  for (int i = 0; i < 4; ++i) store.Serve(again);
  for (int i = 0; i < 12; ++i) store.Serve(NewPath(&maker, 5));
  for (const uint64_t key : again) CHECK(store.live(key));
}

TEST_CASE("records stay within their memory") {
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind));
    PolicyOptions options = OptionsOf(kind, 1'000'000);
    options.record_bytes = 1 << 20;
    const auto policy = MakePolicy(options);
    const uint64_t beside_records = policy->memory_bytes();
    RequestMaker maker(1);
    for (int i = 0; i < 4000; ++i) HeatsOf(policy.get(), NewPath(&maker, 10));
    CHECK(policy->memory_bytes() <= beside_records + options.record_bytes);
    policy->SetCapacity(1'000'000, 1 << 18);
    CHECK(policy->memory_bytes() <= beside_records + (1 << 18));
  }
}

TEST_CASE("the clock goes on behind the latest heat that was recovered") {
  for (const PolicyKind kind : kKinds) {
    const auto policy = MakePolicy(OptionsOf(kind, 100));
    policy->OnRecovered({.tick = 5000, .bits = 0});
    policy->OnRecovered({.tick = 10, .bits = 0});
    CHECK(policy->UnknownHeat().tick == 5000);
    CHECK(HeatsOf(policy.get(), {1})[0].tick == 5001);
  }
}

TEST_CASE("links that go in a circle end the search, and condemn a page once") {
  class Circle final : public Residents {
   public:
    uint32_t slot_count() const noexcept override { return 3; }
    uint64_t live_pages() const noexcept override { return live_; }
    uint64_t capacity_pages() const noexcept override { return 1; }
    bool Live(PageHandle slot, Heat* heat) const noexcept override {
      *heat = Heat{};
      return slot < 3 && !gone_[slot];
    }
    PageHandle LastChild(PageHandle slot) const noexcept override { return (slot + 1) % 3; }
    void SetHeat(PageHandle, const Heat&) noexcept override {}
    void Condemn(PageHandle slot) noexcept override {
      REQUIRE(!gone_[slot]);
      gone_[slot] = true;
      --live_;
    }

   private:
    uint64_t live_ = 3;
    bool gone_[3] = {false, false, false};
  };
  for (const PolicyKind kind : kKinds) {
    const auto policy = MakePolicy(OptionsOf(kind, 1));
    Circle circle;
    TrimToCapacity(*policy, circle, {}, false);
    CHECK(circle.live_pages() == 1);
  }
}

TEST_CASE("any bytes are a legal heat") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  SplitMix random(seed);
  for (const PolicyKind kind : kKinds) {
    const auto policy = MakePolicy(OptionsOf(kind, 100));
    for (int i = 0; i < 2000; ++i) {
      std::vector<RequestPage> pages(4);
      for (RequestPage& page : pages) {
        page.key = random.Below(500);
        page.readable = random.Below(2) == 0;
        page.heat = {static_cast<uint32_t>(random.Next()), static_cast<uint32_t>(random.Next())};
        REQUIRE(policy->Worth(page.heat) >= 0);
      }
      policy->OnRequest({}, pages);
      for (const RequestPage& page : pages) REQUIRE(policy->Worth(page.heat) >= 0);
    }
  }
}

}  // namespace
}  // namespace lamina
