// Histories in which disk space is given back, by an open store and as vlog-gc --run does it, with
// a crash, or a failure, at every single operation on the disk, and with a failure of every single
// read.
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/crash/scripted_history.h"

namespace lamina::testing {
namespace {

constexpr size_t kPage = 4000;
constexpr uint32_t kSlots = 8;  // of a segment
constexpr uint64_t kSegmentBytes = uint64_t{kSlots} * 4096;
constexpr uint64_t kCapacity = uint64_t{1} << 20;
constexpr size_t kPages = 56;
const PathName kModel = {"model", 0};
const PathName kOther = {"another model", 0};

// Seven full segments. Three in five of their pages are condemned, and some erased; all is flushed.
void PutSparse(ScriptedHistory& history) {
  history.OpenAs({}, kCapacity);
  history.Put(kModel, 0, kPages);
  history.Erase(kModel, 20, 4);
  for (const size_t from : {size_t{0}, size_t{1}, size_t{3}})
    history.Condemn(kModel, from, kPages - from, 5);
  history.Put({"model", 1}, 0, 1);
  history.Flush();
}

HistorySetup Sparse(const std::string& options) {
  return {
      .options = "admission=all;eviction=lru;memory_bytes=24M;request_bytes=256K;" + options,
      .page_bytes = kPage,
      .arrange = [](StoreEnvironment* environment) { environment->stripe_bytes = kSegmentBytes; },
      .capacity_bytes = kCapacity,
      .prepare = PutSparse};
}

// Every log directory gives segments up.
void CollectInEach(ScriptedHistory& history) {
  const auto segments_in = [&] {
    std::map<uint32_t, size_t> segments;
    for (const SegmentInfo& info : history.store()->impl()->log().Segments())
      ++segments[info.log_dir];
    return segments;
  };
  const auto before = segments_in();
  const CollectReport report = history.CollectGarbage();
  if (history.in_peace()) {
    CHECK(report.problems.empty());
    CHECK(report.pages_moved > 0);
    const auto after = segments_in();
    CHECK(before.size() == 2);
    for (const auto& [dir, segments] : before) CHECK(after.at(dir) < segments);
  }
  history.Put(kOther, 0, 10);
  history.Get(kModel, 0, kPages);
}

// Without room on the disk for another segment, pages go to slots that are free or condemned in
// others.
void Squeeze(ScriptedHistory& history) {
  const CollectReport report = history.CollectGarbage();
  if (history.in_peace()) {
    CHECK(report.segments_freed > 0);
    CHECK(report.pages_moved > uint64_t{kSlots} * report.segments_made);
  }
  history.Get(kModel, 0, kPages);
}

HistorySetup WithoutRoom(HistorySetup setup) {
  setup.prepare = [](ScriptedHistory& history) {
    PutSparse(history);
    history.LeaveOnDisk(kSegmentBytes - 1);
  };
  return setup;
}

// What vlog-gc --run does, which knows nothing of the capacity that the store is used with.
void RunTool(ScriptedHistory& history) {
  history.OpenAs("create_if_missing=false;capacity_bytes=0", 0);
  const CollectReport report = history.CollectGarbage();
  if (history.in_peace()) CHECK(report.segments_freed > 0);
  history.Close();
}

// A store that was closed, or killed with pages that only the journal knows. The tool's own files
// are larger than such a small one would be: the next open has more.
HistorySetup Left(bool killed) {
  HistorySetup setup = Sparse({});
  setup.capacity_bytes = 0;
  setup.prepare = [killed, prepare = setup.prepare](ScriptedHistory& history) {
    prepare(history);
    if (!killed) return history.Close();
    history.Put(kModel, 20, 4);
    history.Crash(SimulatedCrash::kProcess);
  };
  return setup;
}

std::vector<NamedHistory> Histories() {
  const std::string two = "log_dirs=/a,/b;";
  return {
      {"two log directories", Sparse(two), CollectInEach},
      {"two log directories, physically and synced",
       Sparse(two + "erase=physical;durability=batch"), CollectInEach},
      {"no room for another segment", WithoutRoom(Sparse(two)), Squeeze},
      {"the tool, of a store that was closed", Left(false), RunTool},
      {"the tool, of a store that was killed", Left(true), RunTool},
  };
}

TEST_CASE("a crash at every operation while space is given back loses no live page",
          "[collection]") {
  CrashEachAnywhere(Histories());
}

TEST_CASE("a failure of any operation while space is given back is survived", "[collection]") {
  FailAnyOperationOfEach(Histories(), /*before_power_cut=*/EIO, /*before_kill=*/ENOSPC);
}

TEST_CASE("a failure of any one read while space is given back costs no page", "[collection]") {
  FailAnyReadOfEach(Histories());
}

}  // namespace
}  // namespace lamina::testing
