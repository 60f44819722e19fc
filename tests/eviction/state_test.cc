// Saved states of policies: what they bring back, and that damage changes nothing.
#include <xxhash.h>

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/state_format.h"
#include "tests/eviction/page_store.h"
#include "tests/eviction/requests.h"

namespace lamina {
namespace {

constexpr PolicyKind kKinds[] = {PolicyKind::kPrhd, PolicyKind::kLru, PolicyKind::kS3Fifo};

PolicyOptions OptionsOf(PolicyKind kind) {
  PolicyOptions options;
  options.kind = kind;
  options.capacity_pages = 50;
  return options;
}

std::string SavedOf(EvictionPolicy& policy) {
  std::string saved;
  policy.Save(&saved);
  return saved;
}

// A policy that has served requests, and the store it did that for.
struct Used {
  explicit Used(PolicyKind kind, int requests = 400)
      : policy(MakePolicy(OptionsOf(kind))), store(policy.get(), 56, 50), maker(TestSeed()) {
    for (int i = 0; i < requests; ++i) store.Serve(maker.Next());
  }
  std::unique_ptr<EvictionPolicy> policy;
  PageStore store;
  RequestMaker maker;
};

std::string WithRightChecksum(std::string state) {
  const size_t checked = state.size() - kStateChecksumBytes;
  const uint64_t checksum = XXH3_64bits(state.data(), checked);
  std::memcpy(state.data() + checked, &checksum, sizeof checksum);
  return state;
}

template <typename T>
void Overwrite(std::string* state, size_t offset, T value) {
  REQUIRE(offset + sizeof value <= state->size());
  std::memcpy(state->data() + offset, &value, sizeof value);
}

void CheckRefused(EvictionPolicy* policy, const std::string& state, StatusCode code) {
  const std::string before = SavedOf(*policy);
  const Status status = policy->Load(state);
  REQUIRE(!status.ok());
  CHECK(status.code() == code);
  CHECK(status.message().starts_with("eviction state: "));
  CHECK(SavedOf(*policy) == before);
}

TEST_CASE("a state that is read back is saved as the same bytes") {
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind));
    const Used used(kind);
    const std::string saved = SavedOf(*used.policy);
    const auto restored = MakePolicy(OptionsOf(kind));
    const Status status = restored->Load(saved);
    INFO(status.message());
    REQUIRE(status.ok());
    CHECK(SavedOf(*restored) == saved);
  }
}

TEST_CASE("LRU and S3-FIFO go on after a restart as if there had been none") {
  for (const PolicyKind kind : {PolicyKind::kLru, PolicyKind::kS3Fifo}) {
    INFO("policy " << static_cast<int>(kind) << ", LAMINA_TEST_SEED=" << TestSeed());
    Used straight(kind);
    Used restarted(kind);
    const auto restored = MakePolicy(OptionsOf(kind));
    REQUIRE(restored->Load(SavedOf(*restarted.policy)).ok());
    restarted.store.set_policy(restored.get());
    for (int i = 0; i < 400; ++i) {
      straight.store.Serve(straight.maker.Next());
      restarted.store.Serve(restarted.maker.Next());
    }
    CHECK(straight.store.condemned() == restarted.store.condemned());
  }
}

TEST_CASE("PRHD hits after a restart what it would have hit without one") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  size_t hits[2] = {0, 0};
  for (int run = 0; run < 2; ++run) {
    Used used(PolicyKind::kPrhd, 2000);
    const auto restored = MakePolicy(OptionsOf(PolicyKind::kPrhd));
    if (run == 1) {
      REQUIRE(restored->Load(SavedOf(*used.policy)).ok());
      used.store.set_policy(restored.get());
    }
    for (int i = 0; i < 2000; ++i) hits[run] += used.store.Serve(used.maker.Next()).hits;
  }
  const auto straight = static_cast<double>(hits[0]);
  CHECK(static_cast<double>(hits[1]) == Approx(straight).epsilon(.01));
}

TEST_CASE("every byte of a state that is changed, and every length it is cut to, is refused") {
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind));
    const Used used(kind, 30);
    const std::string saved = SavedOf(*used.policy);
    const auto policy = MakePolicy(OptionsOf(kind));
    const std::string before = SavedOf(*policy);
    for (size_t i = 0; i < saved.size(); ++i) {
      std::string damaged = saved;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
      const Status status = policy->Load(damaged);
      REQUIRE(!status.ok());
      REQUIRE(
          (status.code() == StatusCode::kCorruption || status.code() == StatusCode::kNotSupported));
      REQUIRE(!policy->Load(saved.substr(0, i)).ok());
    }
    REQUIRE(!policy->Load(saved + "x").ok());
    CHECK(SavedOf(*policy) == before);
  }
}

TEST_CASE("a state of another policy or version is not supported") {
  for (const PolicyKind kind : kKinds) {
    const Used used(kind, 30);
    const std::string saved = SavedOf(*used.policy);
    for (const PolicyKind other : kKinds) {
      if (other == kind) continue;
      const auto policy = MakePolicy(OptionsOf(other));
      CheckRefused(policy.get(), saved, StatusCode::kNotSupported);
    }
    std::string newer = saved;
    Overwrite<uint32_t>(&newer, offsetof(StateHeader, version), kStateVersion + 1);
    CheckRefused(used.policy.get(), WithRightChecksum(newer), StatusCode::kNotSupported);
  }
}

TEST_CASE("a state with illegal values is refused even if its checksum is right") {
  const Used used(PolicyKind::kPrhd, 50);
  const std::string saved = SavedOf(*used.policy);
  StateHeader header;
  std::memcpy(&header, saved.data(), sizeof header);
  const size_t model = sizeof header;
  const size_t records = model + header.model_bytes;
  REQUIRE(header.record_count > 2);

  std::vector<std::pair<size_t, uint64_t>> changes;
  const size_t first_weight = model + 4 * sizeof(uint32_t);
  changes.emplace_back(first_weight, std::bit_cast<uint64_t>(std::nan("")));
  changes.emplace_back(first_weight, std::bit_cast<uint64_t>(5.5));
  changes.emplace_back(first_weight + 8, std::bit_cast<uint64_t>(-1.0));
  changes.emplace_back(records - 8, std::bit_cast<uint64_t>(double{INFINITY}));
  // The second record's key becomes the first's.
  changes.emplace_back(records + kSavedRecordBytes, LoadFixed<uint64_t>(saved.data() + records));
  for (const auto& [offset, value] : changes) {
    INFO("offset " << offset);
    std::string changed = saved;
    Overwrite(&changed, offset, value);
    CheckRefused(used.policy.get(), WithRightChecksum(changed), StatusCode::kCorruption);
  }
  std::vector<std::pair<size_t, uint32_t>> small_changes;
  small_changes.emplace_back(records + 16, 0xFFFFFFFF);                              // features
  small_changes.emplace_back(records + 8, static_cast<uint32_t>(header.clock + 1));  // later
  small_changes.emplace_back(records + kSavedRecordBytes + 8, 0);                    // out of order
  for (const auto& [offset, value] : small_changes) {
    INFO("offset " << offset);
    std::string changed = saved;
    Overwrite(&changed, offset, value);
    CheckRefused(used.policy.get(), WithRightChecksum(changed), StatusCode::kCorruption);
  }
  std::string other_model = saved;
  Overwrite<uint32_t>(&other_model, model, 7);
  CheckRefused(used.policy.get(), WithRightChecksum(other_model), StatusCode::kNotSupported);
}

TEST_CASE("a policy with room for fewer records keeps the latest of a state") {
  for (const PolicyKind kind : kKinds) {
    INFO("policy " << static_cast<int>(kind));
    const Used used(kind);
    const std::string saved = SavedOf(*used.policy);
    PolicyOptions options = OptionsOf(kind);
    options.record_bytes = 20 * RecordTable::kBytesPerRecord;
    const auto small = MakePolicy(options);
    REQUIRE(small->Load(saved).ok());
    const std::string kept = SavedOf(*small);
    const size_t bytes = 20 * kSavedRecordBytes;
    CHECK(kept.substr(kept.size() - kStateChecksumBytes - bytes, bytes) ==
          saved.substr(saved.size() - kStateChecksumBytes - bytes, bytes));
    StateHeader header;
    std::memcpy(&header, kept.data(), sizeof header);
    CHECK(header.record_count == 20);
  }
}

}  // namespace
}  // namespace lamina
