// The file of the eviction policy's state, read with room for some of its records.
#include "engine/store/policy_file.h"

#include <catch2/catch.hpp>
#include <vector>

#include "engine/io/simulated_file_system.h"
#include "tensorlog/eviction/state_format.h"

namespace lamina::testing {
namespace {

constexpr char kPath[] = "/0000000001.policy";
constexpr uint64_t kRecords = 100000;  // more than are read at once

std::unique_ptr<EvictionPolicy> NewPolicy(PolicyKind kind) {
  PolicyOptions options;
  options.kind = kind;
  options.capacity_pages = kRecords;
  options.record_bytes = uint64_t{1} << 30;
  return MakePolicy(options);
}

// Of a policy that has seen so many pages.
std::string StateOf(PolicyKind kind) {
  const auto policy = NewPolicy(kind);
  std::vector<RequestPage> pages(1000);
  for (uint64_t i = 0; i < kRecords; i += pages.size()) {
    for (size_t k = 0; k < pages.size(); ++k) pages[k].key = (i + k + 1) * 0x9E3779B97F4A7C15u;
    policy->OnRequest({.flat = true, .pages_per_unit = 1}, pages);
  }
  std::string state;
  policy->Save(&state);
  return state;
}

std::string_view LastRecords(std::string_view state, uint64_t count) {
  state.remove_suffix(kStateChecksumBytes);
  return state.substr(state.size() - count * kSavedRecordBytes);
}

TEST_CASE("of a policy's file that has more records than there is room for the latest are read") {
  const PolicyKind kind = GENERATE(PolicyKind::kPrhd, PolicyKind::kLru, PolicyKind::kS3Fifo);
  SimulatedDisk disk(1);
  const auto fs = disk.Attach();
  const std::string state = StateOf(kind);
  REQUIRE(WritePolicyFile(*fs, kPath, state).ok());
  REQUIRE(*ReadPolicyFile(*fs, kPath) == state);
  REQUIRE(*ReadPolicyFile(*fs, kPath, kRecords) == state);
  for (const uint64_t most : {uint64_t{0}, uint64_t{1}, uint64_t{777}, kRecords - 1}) {
    CAPTURE(most);
    const auto latest = ReadPolicyFile(*fs, kPath, most);
    REQUIRE(latest.ok());
    CHECK(latest->size() == state.size() - (kRecords - most) * kSavedRecordBytes);
    CHECK(LastRecords(*latest, most) == LastRecords(state, most));
    const auto policy = NewPolicy(kind);
    const Status loaded = policy->Load(*latest);
    CAPTURE(loaded.ToString());
    CHECK(loaded.ok());
    std::string saved;
    policy->Save(&saved);
    CHECK(saved == *latest);
  }
}

TEST_CASE("a damaged byte of a policy's file is found out, also among records that are left out") {
  SimulatedDisk disk(2);
  const auto fs = disk.Attach();
  const std::string state = StateOf(PolicyKind::kPrhd);
  for (const size_t at : {size_t{70}, state.size() / 2, state.size() - 1000, state.size() - 1}) {
    CAPTURE(at);
    std::string damaged = state;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    REQUIRE(WritePolicyFile(*fs, kPath, damaged).ok());
    const auto latest = ReadPolicyFile(*fs, kPath, 10);
    REQUIRE(latest.ok());
    CHECK(NewPolicy(PolicyKind::kPrhd)->Load(*latest).code() == StatusCode::kCorruption);
  }
}

TEST_CASE("of a policy's file that is not as long as it says no more than its header is read") {
  SimulatedDisk disk(3);
  const auto fs = disk.Attach();
  const std::string state = StateOf(PolicyKind::kPrhd);
  REQUIRE(WritePolicyFile(*fs, kPath, state.substr(0, state.size() - 1)).ok());
  const auto read = ReadPolicyFile(*fs, kPath);
  REQUIRE(read.ok());
  CHECK(read->size() < 100);
  CHECK(NewPolicy(PolicyKind::kPrhd)->Load(*read).code() == StatusCode::kCorruption);
}

}  // namespace
}  // namespace lamina::testing
