// Which entries count, and who may overwrite a slot.
#include <algorithm>

#include "tests/mutations/scenario.h"

namespace lamina::testing {
namespace {

constexpr size_t kLarge = 65536;
constexpr size_t kSlots = 16;  // of a segment of these pages

Entry EntryOf(Store& store, TestPath& path, size_t page) {
  ProbePages(store, path, page, 1);
  return path.path->impl()->locations[page].entry;
}

void CondemnAll(Store& store, TestPath& path, size_t pages) {
  for (size_t i = 0; i < pages; ++i) {
    const Entry entry = EntryOf(store, path, i);
    Need(store.impl()->log().Condemn(entry.slot, entry.tag(path.path->impl()->fingerprints[i])),
         "a condemned page");
  }
}

}  // namespace

std::string ErasedPagesAreNotFound() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, 20);
  PutAll(*store, path, 0, 20);
  Need(store->Flush().ok(), "a flush");
  Need(store->Erase(*path.path, 5, 10).ok(), "an erase");
  return CountOk(ProbePages(*store, path, 5, 10)) == 0 ? "" : "an erased page is found";
}

// With fingerprints of two bits only the guards tell pages of one stem apart. Pages may be lost,
// since memtables know a page by its fingerprint; none may be taken for another.
std::string CollidingFingerprintsAreToldApart() {
  constexpr uint32_t kPaths = 60;
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  std::vector<TestPath> paths;
  for (uint32_t i = 0; i < kPaths; ++i) paths.push_back(Model(*store, 4, i * 1000));
  const auto broken = [&] {
    for (TestPath& path : paths)
      if (std::string why = Broken(*store, path, std::vector(4, false)); !why.empty()) return why;
    return std::string();
  };
  for (TestPath& path : paths) PutPages(*store, path, 0, 4, kPage);
  if (std::string why = broken(); !why.empty()) return why;
  Need(store->Flush().ok() && store->impl()->CompactAll().ok(), "a table");
  for (uint32_t i = 0; i < kPaths; ++i) paths[i] = Model(*store, 4, i * 1000);
  return broken();
}

// A path that knows where a page was, while other bytes of that page lie there by now.
std::string OldEntriesDoNotCountForNewBytes() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath old = Model(*store, kSlots);
  PutAll(*store, old, 0, kSlots, kLarge);
  const SlotRef before = EntryOf(*store, old, 3).slot;
  TestPath path = Model(*store, kSlots);
  Need(store->Erase(*path.path, 0, kSlots).ok(), "an erase");
  constexpr uint64_t kSalt = 99;
  Need(CountOk(PutPages(*store, path, 0, kSlots, kLarge, kSalt)) == kSlots, "a put");
  Need(EntryOf(*store, path, 3).slot == before, "a slot that is used again");
  return BrokenAll(*store, old, kSlots, kLarge, kSalt);
}

std::string PutsSeeThatTheirSlotIsBeingOverwritten() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, kSlots);
  PutAll(*store, path, 0, kSlots, kLarge);
  CondemnAll(*store, path, 1);
  // As a put in another thread would.
  const auto runs = store->impl()->log().TakeIn(EntryOf(*store, path, 1).slot.segment, 1);
  Need(runs.size() == 1 && runs[0].first == 0, "a slot that is taken");
  PutAll(*store, path, 0, kSlots, kLarge);
  return BrokenAll(*store, path, kSlots, kLarge);
}

std::string PinnedSlotsAreNotOverwritten() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, kSlots);
  PutAll(*store, path, 0, kSlots, kLarge);
  TensorLog& log = store->impl()->log();
  const Entry entry = EntryOf(*store, path, 3);
  const uint64_t tag = entry.tag(path.path->impl()->fingerprints[3]);
  CondemnAll(*store, path, kSlots);
  Need(log.Pin(entry.slot, tag), "a pin");
  const auto runs = log.TakeIn(entry.slot.segment, kSlots);
  const bool taken = std::any_of(runs.begin(), runs.end(), [&](const SlotRun& run) {
    return entry.slot.slot >= run.first && entry.slot.slot < run.first + run.count;
  });
  if (taken) return "a slot was taken for overwriting while it was read";
  log.Unpin(entry.slot);
  for (const SlotRun& run : runs) log.Release(run);
  return {};
}

std::string RejectedPagesAreNotServed() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, 8);
  disk.SetFaults({.write_error = 1, .only_in = ".segment"});
  std::vector<bool> promised;
  for (const PageState state : PutPages(*store, path, 0, 8, kPage))
    promised.push_back(state == PageState::kOk);
  disk.SetFaults({});
  return Broken(*store, path, promised);
}

std::string MergesKeepAllEntries() {
  SimulatedDisk disk(1);
  const auto store = Open(disk);
  TestPath path = Model(*store, 100);
  // Tables that overlap.
  for (size_t first = 0; first < 4; ++first) {
    for (size_t page = first; page < 100; page += 4) PutAll(*store, path, page, 1);
    Need(store->Flush().ok(), "a flush");
  }
  Need(store->impl()->CompactAll().ok(), "a merge");
  path = Model(*store, 100);  // one that has not located its pages yet
  return BrokenAll(*store, path, 100);
}

}  // namespace lamina::testing
