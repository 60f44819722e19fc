#include "engine/io/io_governor.h"

#include <catch2/catch.hpp>
#include <chrono>

namespace lamina::testing {
namespace {

using Session = IoGovernor::Session;
// Longer than a test takes.
constexpr std::chrono::microseconds kLong = std::chrono::hours(1);

TEST_CASE("alone, everybody may do what his queue can") {
  for (size_t i = 0; i < kIoClasses; ++i) {
    IoGovernor governor({});
    const Session session(governor, static_cast<IoClass>(i));
    CHECK(session.depth() == UINT32_MAX);
    CHECK(governor.active(static_cast<IoClass>(i)) == 1);
    CHECK(governor.held_back(static_cast<IoClass>(i)) == 0);
  }
}

TEST_CASE("writers share few requests while somebody reads, and each may have one") {
  IoGovernor governor({.writes_beside_reads = 4});
  const Session get(governor, IoClass::kDemandGet);
  CHECK(get.depth() == UINT32_MAX);
  const Session put(governor, IoClass::kPut);
  CHECK(put.depth() == 4);
  const Session flush(governor, IoClass::kFlush);
  CHECK(put.depth() == 2);
  const Session compaction(governor, IoClass::kCompaction);
  const Session more[] = {
      {governor, IoClass::kPut}, {governor, IoClass::kPut}, {governor, IoClass::kReclaim}};
  CHECK(put.depth() == 1);
  CHECK(get.depth() == UINT32_MAX);
  CHECK(governor.asked(IoClass::kPut) == 3);
  CHECK(governor.held_back(IoClass::kPut) == 3);
}

TEST_CASE("writers have as many requests as their share of what readers have in flight") {
  IoGovernor governor({.writes_beside_reads = 12, .quiet = kLong});
  const Session put(governor, IoClass::kPut);
  {
    Session get(governor, IoClass::kDemandGet);
    get.SetReads(32);
    CHECK(put.depth() == 12);
    get.SetReads(1);
    CHECK(put.depth() == 1);
    Session another(governor, IoClass::kPrefetchGet);
    another.SetReads(23);
    CHECK(put.depth() == 9);
  }
  // The last of both to end had one request.
  CHECK(put.depth() == 1);
}

TEST_CASE("a session may ask for less than it might have") {
  IoGovernor governor({});
  const Session move(governor, IoClass::kReclaim, 4);
  CHECK(move.depth() == 4);
}

TEST_CASE("prefetch gives way to demand, and writes to both") {
  IoGovernor governor({.writes_beside_reads = 2, .prefetch_beside_demand = 4});
  const Session prefetch(governor, IoClass::kPrefetchGet);
  const Session put(governor, IoClass::kPut);
  CHECK(prefetch.depth() == UINT32_MAX);
  CHECK(put.depth() == 2);
  {
    const Session get(governor, IoClass::kDemandGet);
    CHECK(prefetch.depth() == 4);
    const Session another(governor, IoClass::kPrefetchGet);
    CHECK(prefetch.depth() == 2);
  }
  CHECK(prefetch.depth() == UINT32_MAX);
}

TEST_CASE("writes stay few for a while after a read, since a restore is many calls") {
  IoGovernor patient({.writes_beside_reads = 2, .quiet = kLong});
  { const Session get(patient, IoClass::kDemandGet); }
  const Session put(patient, IoClass::kPut);
  CHECK(put.depth() == 2);

  IoGovernor hasty({.writes_beside_reads = 2, .quiet = std::chrono::microseconds(1)});
  { const Session get(hasty, IoClass::kDemandGet); }
  const Session other(hasty, IoClass::kPut);
  // They double in each such time until nothing holds them.
  uint32_t depth = other.depth();
  while (depth != UINT32_MAX) {
    const uint32_t next = other.depth();
    REQUIRE(next >= depth);
    depth = next;
  }
}

TEST_CASE("a governor that is switched off holds nobody back") {
  IoGovernor governor({.enabled = false});
  const Session get(governor, IoClass::kDemandGet);
  const Session put(governor, IoClass::kPut);
  const Session prefetch(governor, IoClass::kPrefetchGet);
  CHECK(put.depth() == UINT32_MAX);
  CHECK(prefetch.depth() == UINT32_MAX);
}

}  // namespace
}  // namespace lamina::testing
