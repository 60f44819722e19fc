// Histories of a whole store with a crash, or a failure, at every single operation on the disk, and
// with a failure of every single read.
#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/crash/scripted_history.h"

namespace lamina::testing {
namespace {

const PathName kFirst = {"model", 0};
const PathName kSecond = {"model", 1};
const PathName kOther = {"another model", 0};

// Puts, flushes and erases of pages.
void PutFlushErase(ScriptedHistory& history) {
  history.Put(kFirst, 0, 30);
  history.Flush();
  history.Put(kFirst, 30, 30);
  history.Erase(kFirst, 10, 30);
  history.Get(kFirst, 0, 60);
  history.Put(kFirst, 60, 20);
  history.Flush();
  history.Put(kFirst, 10, 10);
  history.Put(kFirst, 80, 10);
  history.Get(kFirst, 0, 90);
}

// Roots are erased with what is flushed and what is not, are put again, and are erased again.
void EraseRoots(ScriptedHistory& history) {
  history.Put(kFirst, 0, 20);
  history.Put(kOther, 0, 20);
  history.Flush();
  history.Put(kSecond, 0, 10);
  history.EraseRoot("model");
  history.Get(kFirst, 0, 20);
  history.Put(kFirst, 0, 10);
  history.Flush();
  history.Put(kSecond, 5, 10);
  history.EraseRoot("another model");
  history.EraseRoot("unknown");
  history.Put(kOther, 10, 10);
  history.EraseRoot("model");
  history.Put(kFirst, 15, 5);
  history.Get(kFirst, 0, 20);
  history.Get(kOther, 0, 20);
}

// So small that two flushes are a batch for level 1.
constexpr size_t kBatch = 320;
const PathName kIndex = {"index", 0};

void ExpectMerges(ScriptedHistory& history, uint64_t least, uint64_t levels) {
  if (!history.in_peace()) return;
  CHECK(history.store()->impl()->counters().compactions >= least);
  CHECK(history.store()->impl()->CurrentView()->tree->last_level() >= levels);
}

// Batches that merge into a tree of some levels; pages are erased and put before, between and
// behind the merges.
void Compact(ScriptedHistory& history) {
  for (size_t batch = 0; batch < 4; ++batch) {
    history.PutEntries(kIndex, batch * kBatch, kBatch);
    history.Put(kFirst, batch * 5, 5);
    history.Flush();
    if (batch == 1) history.Erase(kFirst, 0, 3);
    history.RunBackground();
    history.Put(kSecond, batch * 3, 2);
  }
  ExpectMerges(history, 2, 2);
  history.Erase(kIndex, 100, 250);
  history.Get(kFirst, 0, 20);
  history.CompactAll();
  history.Put(kFirst, 2, 10);
  history.Get(kFirst, 3, 17);
}

// Shapes that are followed at once, by merges that are due then, and that are only recorded.
void ChangeShapes(ScriptedHistory& history) {
  const Shape shapes[] = {Shape::Tiering(4), Shape::Leveling(2), Shape::Lazy(3)};
  size_t batch = 0;
  for (const Shape& shape : shapes) {
    history.SetShape(shape);
    for (const size_t end = batch + 2; batch < end; ++batch) {
      history.PutEntries(kIndex, batch * kBatch, kBatch);
      history.Put(kFirst, batch * 3, 3);
      history.Flush();
      history.RunBackground();
    }
  }
  ExpectMerges(history, 3, 2);
  history.SetShape(Shape::Leveling(4));
  history.Put(kFirst, 18, 3);
  history.Close();
  history.Open();
  history.Put(kFirst, 21, 3);
  history.Get(kFirst, 0, 24);
}

std::vector<NamedHistory> Histories() {
  return {
      {"puts, flushes and erases", {}, PutFlushErase},
      {"puts, flushes and erases, each put synced", {"durability=batch"}, PutFlushErase},
      {"erased roots", {}, EraseRoots},
      {"erased roots, physically", {"erase=physical"}, EraseRoots},
      {"compaction",
       {"compaction=leveling;size_ratio=2;capacity_bytes=1G;memory_bytes=24M"},
       Compact},
      {"changes of shape", {"compaction=auto;capacity_bytes=1G;memory_bytes=24M"}, ChangeShapes},
  };
}

TEST_CASE("a crash at every operation loses nothing that was promised and brings nothing back",
          "[histories]") {
  CrashEachAnywhere(Histories());
}

TEST_CASE("a failure of any operation is survived, and later checkpoints forget nothing",
          "[histories]") {
  FailAnyOperationOfEach(Histories(), /*before_power_cut=*/EIO, /*before_kill=*/EIO);
}

TEST_CASE("a failure of any one read costs no page", "[histories]") {
  FailAnyReadOfEach(Histories());
}

}  // namespace
}  // namespace lamina::testing
