// What the scenarios share: a simulated disk, a store on it, and words for what is broken.
//
// A scenario drives a store through what one seeded bug would spoil and holds the store against its
// promises. It returns the first promise that was broken, in words, or nothing.
#ifndef LAMINA_TESTS_MUTATIONS_SCENARIO_H_
#define LAMINA_TESTS_MUTATIONS_SCENARIO_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/store/simulated_store.h"

namespace lamina::testing {

using Scenario = std::string (*)();

inline constexpr size_t kPage = 4096;

// A promise that is broken right there.
struct BrokenPromise {
  std::string what;
};

// A store opens whatever it went through.
inline std::unique_ptr<Store> Open(SimulatedDisk& disk, const std::string& options = {}) {
  auto store = OpenSimulatedStore(disk.Restart(), options);
  if (!store.ok()) throw BrokenPromise{"the store does not open: " + store.status().ToString()};
  return std::move(*store);
}

// Throws where a scenario does not come about: that is no broken promise but a broken test.
inline void Need(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("the scenario did not come about: " + what);
}

inline TestPath Model(Store& store, size_t pages, uint32_t first = 0) {
  return MakePath(store, "model", Tokens(first, pages));
}

inline void PutAll(Store& store, TestPath& path, size_t first, size_t count, size_t bytes = kPage) {
  Need(CountOk(PutPages(store, path, first, count, bytes)) == count, "a put");
}

// Each page that `promised` names has to be there with its bytes, and none may be wrong.
inline std::string Broken(Store& store, TestPath& path, const std::vector<bool>& promised,
                          size_t bytes = kPage, uint64_t salt = 0) {
  const GetOutcome got = GetPages(store, path, 0, promised.size(), bytes, salt);
  if (got.wrong > 0) return "a get gave wrong bytes";
  for (size_t i = 0; i < promised.size(); ++i) {
    if (promised[i] && got.states[i] != PageState::kOk)
      return "page " + std::to_string(i) + " was acknowledged and is lost";
  }
  return {};
}

inline std::string BrokenAll(Store& store, TestPath& path, size_t pages, size_t bytes = kPage,
                             uint64_t salt = 0) {
  return Broken(store, path, std::vector<bool>(pages, true), bytes, salt);
}

// Of these files the last one by name.
inline std::string FileOf(const SimulatedDisk& disk, std::string_view part) {
  std::string found;
  for (const std::string& path : disk.Files())
    if (path.find(part) != std::string::npos) found = path;
  Need(!found.empty(), "a file " + std::string(part));
  return found;
}

// Flips a bit of the payload of the path's page.
inline void DamagePayload(SimulatedDisk& disk, Store& store, TestPath& path, size_t page) {
  ProbePages(store, path, 0, path.seeds.size());
  const SlotRef slot = path.path->impl()->locations[page].entry.slot;
  const SegmentTable::ReadSection section(store.impl()->log().table());
  const Segment& segment = *section.Find(slot.segment);
  const uint64_t offset = uint64_t{slot.slot} * segment.slot_bytes() + 77;
  Need(disk.FlipBit(segment.file()->path(), 8 * offset + 3).ok(), "damage");
}

// ---- The scenarios, by what they try -----------------------------------------------------------

// durability_scenarios.cc
std::string FlushedPagesSurviveAPowerCut();
std::string BatchedPutsSurviveAPowerCut();
std::string ErasedPagesStayErasedAfterAPowerCut();
std::string ErasedPagesStayErasedAfterAKill();
std::string AFailedSyncPromisesNothing();
std::string PutsWithoutJournalAreNotAcknowledged();
std::string UnfinishedPutsAreReplayed();
std::string PutsDuringACheckpointSurviveAKill();
std::string MovedPagesSurviveAPowerCut();

// recovery_scenarios.cc
std::string EveryPutOfAPageIsReplayed();
std::string UnprovenPagesAreWrittenAgain();
std::string PagesOfANewEpochSurviveARestart();
std::string DamagedJournalBlocksTouchNoOtherPage();
std::string DamagedTablesAreReported();
std::string DamagedManifestsAreRefused();

// slot_scenarios.cc
std::string ErasedPagesAreNotFound();
std::string CollidingFingerprintsAreToldApart();
std::string OldEntriesDoNotCountForNewBytes();
std::string PutsSeeThatTheirSlotIsBeingOverwritten();
std::string PinnedSlotsAreNotOverwritten();
std::string RejectedPagesAreNotServed();
std::string MergesKeepAllEntries();

// identity_scenarios.cc
std::string DamagedPayloadsAreMisses();
std::string EntriesOfOtherPagesAreMisses();
std::string ShortTransfersAreResumed();
std::string TokensHaveAllTheirBits();
std::string KindsOfPathShareNothing();
std::string RootsMayHoldAnyBytes();

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_MUTATIONS_SCENARIO_H_
