// The store as a whole: that nothing leaks, that every page is right, and that what was lost can be
// put again.
#include <set>
#include <utility>

#include "engine/store/manifest_format.h"
#include "tensorlog/slot_table_format.h"
#include "tests/simulation/history.h"
#include "tests/simulation/history_batch.h"

namespace lamina::simulation {

// To the end; work that has failed is tried again.
void History::RunBackground() {
  constexpr int kMost = 10000;
  int steps = 0;
  while (!crashed() && impl().scheduler().RunOne()) {
    if (++steps == kMost) Fail("background work does not end: " + store_->StatsJson());
  }
}

void History::Quiesce() {
  if (faults_on_ || crashed()) return;
  RunBackground();
  const Status flushed = store_->Flush();
  CheckStatus("flush", flushed);
  // Behind a checkpoint the store may find that its metadata has grown, and give up a segment: that
  // leaves dead entries.
  const auto retired = [&] { return impl().counters().segments_retired.load(); };
  for (uint64_t before = UINT64_MAX; before != retired() && !crashed();) {
    before = retired();
    CompactAll();
  }
  if (crashed()) return;
  LookAtSlots();
  if (flushed.ok()) oracle_.Flushed();
  if (!faulty_open_ && !lied_) CheckSpace();
}

// What is on the disk is what the store counts, and nothing in it is without use.
void History::CheckSpace() {
  uint64_t tagged = 0;
  impl().log().ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
    const std::string where =
        "slot " + std::to_string(number) + " of segment " + std::to_string(segment.id());
    if (slot.pins() != 0) Fail(where + " stays pinned");
    if (slot.state() == SlotState::kWriting) Fail(where + " stays taken");
    if ((slot.tag() != 0) == (slot.state() == SlotState::kFree)) Fail(where + " is half free");
    tagged += slot.tag() != 0 ? 1 : 0;
  });
  const auto view = impl().CurrentView();
  const uint64_t entries = view->tree->entries();
  if (entries != tagged)
    Fail(std::to_string(tagged) + " slots bear a page, and the index has " +
         std::to_string(entries) + " entries");
  if (impl().budget().OverBytes() > 0 && submitted_.empty())
    Fail("the store is above its capacity");
  size_t tables = 0;
  for (const RunPtr& run : view->tree->RunsNewestFirst()) tables += run->tables.size();
  CheckFiles(tables);
}

void History::CheckFiles(size_t tables) {
  const auto fs = disk_.Attach();
  std::map<std::string, size_t> kinds;
  std::string listing;
  uint64_t bytes = 0;
  for (const std::string& file : disk_.Files()) {
    const auto allocated = fs->AllocatedBytes(file);
    bytes += allocated.ok() ? *allocated : 0;
    listing += " " + file;
    const std::string name = file.substr(file.rfind('/') + 1);
    const size_t dot = name.rfind('.');
    ++kinds[name.starts_with("MANIFEST-") ? "manifest"
            : dot == std::string::npos    ? name
                                          : name.substr(dot)];
  }
  const size_t segments = impl().log().Segments().size();
  const auto expect = [&](const char* kind, size_t least, size_t most) {
    if (kinds[kind] >= least && kinds[kind] <= most) return;
    Fail("there are " + std::to_string(kinds[kind]) + " files of the kind " + kind + ", expected " +
         std::to_string(least) + " to " + std::to_string(most) + ":" + listing);
  };
  expect("manifest", 1, 1);
  expect(".sst", tables, tables);
  expect(".segment", segments, segments);
  expect(".slots", 0, segments);
  if (capacity_bytes_ != 0 && bytes > capacity_bytes_)
    Fail("the store takes " + std::to_string(bytes) + " bytes of its capacity of " +
         std::to_string(capacity_bytes_));
}

// Reads each: what the disk has changed silently is found and given up, so that a put stores it
// anew instead of skipping it as present.
void History::CheckAllPages() {
  Random random(plan_.seed + step_);
  for (const PathSpec& spec : world_.paths()) {
    if (crashed()) return;
    const Range whole = {&spec, 0, spec.pages.size()};
    GetRange(&random, whole, false);
  }
  // A page that was found although it is condemned may go with the next step.
  if (!crashed()) LookAtSlots();
}

// Whatever has happened to a page: put, probe and get of it succeed. Page by page, since a put that
// has taken slots of one class in a small store may lack those of another.
void History::CheckRepair() {
  Random random(plan_.seed + 101);
  for (int i = 0; i < 3; ++i) {
    const Range range = DrawRange(&random, 6);
    for (size_t page = 0; page < range.count; ++page) {
      const Range one = {range.spec, range.first + page, 1};
      PutRange(&random, one, true);
      LookAtSlots();
      const auto path = World::Open(*store_, *range.spec);
      const auto found = store_->Probe(*path, one.first, 1, {});
      if (!found.ok() || *found != 1) Fail("what was put just now is not present");
      Batch batch(world_, one, &random);
      std::vector<PageState> states(1);
      const auto got = store_->Get(*path, one.first, 1, batch.ToGet(), states);
      if (!got.ok() || states[0] != PageState::kOk) Fail("what was put just now is not found");
      CheckGot(one, batch, states, true);
    }
  }
}

}  // namespace lamina::simulation
