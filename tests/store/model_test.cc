// The store against a std::map: random puts, gets, probes, erases, flushes, compactions and
// reopenings.
//
// The seed is printed; LAMINA_SEED repeats a run, LAMINA_MODEL_OPERATIONS makes it longer.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "engine/store/store_impl.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

// Conversations: a tree of token sequences with shared prefixes, so that stems branch everywhere.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) {
    options_ = {"compaction=lazy;size_ratio=4", "compaction=leveling;size_ratio=2",
                "compaction=tiering;size_ratio=3;filter_bits=2", "filter_bits=0;table_bytes=64K"};
    Reopen();
  }

  void Step() {
    switch (Below(40)) {
      case 0:
        REQUIRE(store_->Flush().ok());
        break;
      case 1:
        if (Below(4) == 0) Reopen();
        break;
      case 2:
        Erase();
        break;
      case 3:
        if (Below(8) == 0) EraseRoot();
        break;
      case 4:
        if (Below(8) == 0) REQUIRE(store_->impl()->CompactAll().ok());
        break;
      default:
        if (Below(2) == 0) {
          Put();
        } else {
          Look();
        }
    }
  }

 private:
  static constexpr size_t kPage = 4096;

  uint64_t Below(uint64_t n) { return random_() % n; }

  void Reopen() {
    store_.reset();
    store_ = OpenStore(directory_ / "store", TestOptions(options_[Below(options_.size())]));
  }

  std::pair<std::string, std::vector<uint32_t>> RandomTokens() {
    std::vector<uint32_t> tokens;
    const size_t length = 1 + Below(150);
    // Few branches near the front, so that prefixes are shared.
    for (size_t i = 0; i < length; ++i)
      tokens.push_back(static_cast<uint32_t>(Below(i % 37 == 0 ? 3 : (i % 11 == 0 ? 2 : 1))));
    return {Below(3) == 0 ? "b" : "a", tokens};
  }

  struct Picked {
    std::string root;
    TestPath path;
    size_t first = 0;
    size_t count = 0;
  };
  Picked Pick() {
    auto [root, tokens] = RandomTokens();
    Picked picked{root, MakePath(*store_, root, tokens), 0, 0};
    picked.first = Below(2) == 0 ? 0 : Below(tokens.size());
    picked.count = 1 + Below(tokens.size() - picked.first);
    return picked;
  }

  void Put() {
    Picked p = Pick();
    REQUIRE(CountOk(PutPages(*store_, p.path, p.first, p.count, kPage)) == p.count);
    for (size_t i = p.first; i < p.first + p.count; ++i) present_[p.root].insert(p.path.seeds[i]);
  }

  void Look() {
    Picked p = Pick();
    const auto states = ProbePages(*store_, p.path, p.first, p.count);
    const GetOutcome got = GetPages(*store_, p.path, p.first, p.count, kPage);
    REQUIRE(got.wrong == 0);
    size_t leading = 0;
    for (size_t i = 0; i < p.count; ++i) {
      const bool expected = present_[p.root].contains(p.path.seeds[p.first + i]);
      REQUIRE((states[i] == PageState::kOk) == expected);
      REQUIRE((got.states[i] == PageState::kOk) == expected);
      if (expected && leading == i) ++leading;
    }
    REQUIRE(*store_->Probe(*p.path.path, p.first, p.count, {}) == leading);
  }

  void Erase() {
    Picked p = Pick();
    REQUIRE(store_->Erase(*p.path.path, p.first, p.count).ok());
    for (size_t i = p.first; i < p.first + p.count; ++i) present_[p.root].erase(p.path.seeds[i]);
  }

  void EraseRoot() {
    const std::string root = Below(2) == 0 ? "a" : "b";
    REQUIRE(store_->EraseRoot(root).ok());
    present_[root].clear();
  }

  std::mt19937_64 random_;
  const TemporaryDirectory directory_;
  std::vector<std::string> options_;
  std::unique_ptr<Store> store_;
  std::map<std::string, std::set<uint64_t>> present_;
};

TEST_CASE("10,000 random operations and reopenings agree with a map") {
  const uint64_t seed = FromEnvironment("LAMINA_SEED", std::random_device()());
  const uint64_t operations = FromEnvironment("LAMINA_MODEL_OPERATIONS", 10000);
  CAPTURE(seed);
  WARN("repeat with LAMINA_SEED=" << seed);
  Model model(seed);
  for (uint64_t i = 0; i < operations; ++i) model.Step();
}

}  // namespace
}  // namespace lamina::testing
