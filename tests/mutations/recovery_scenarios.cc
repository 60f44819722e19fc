// What a restart makes of the journal, and of damage.
#include "engine/store/manifest_format.h"
#include "tests/mutations/scenario.h"

namespace lamina::testing {

// The first put's bytes decay; the second put's are what is promised.
std::string EveryPutOfAPageIsReplayed() {
  SimulatedDisk disk(1);
  {
    const auto store = Open(disk);
    TestPath path = Model(*store, 4);
    PutAll(*store, path, 0, 4);
    DamagePayload(disk, *store, path, 1);
    Need(CountOk(GetPages(*store, path, 0, 4, kPage).states) == 3, "a damaged page");
    PutAll(*store, path, 1, 1);
    disk.Crash(SimulatedCrash::kProcess);
  }
  const auto store = Open(disk);
  TestPath path = Model(*store, 4);
  return BrokenAll(*store, path, 4);
}

std::string UnprovenPagesAreWrittenAgain() {
  SimulatedDisk disk(1);
  {
    const auto store = Open(disk);
    TestPath path = Model(*store, 4);
    PutAll(*store, path, 0, 4);
    DamagePayload(disk, *store, path, 1);
    disk.Crash(SimulatedCrash::kProcess);
  }
  const auto store = Open(disk);
  TestPath path = Model(*store, 4);
  PutAll(*store, path, 0, 4);
  return BrokenAll(*store, path, 4);
}

std::string PagesOfANewEpochSurviveARestart() {
  SimulatedDisk disk(1);
  {
    const auto store = Open(disk);
    TestPath path = Model(*store, 8);
    PutAll(*store, path, 0, 8);
    Need(store->EraseRoot("model").ok(), "an erase of the root");
    PutAll(*store, path, 0, 8);
  }
  const auto store = Open(disk);
  TestPath path = Model(*store, 8);
  return BrokenAll(*store, path, 8);
}

// Each bit in turn of what the second put's record says of its page.
std::string DamagedJournalBlocksTouchNoOtherPage() {
  constexpr uint64_t kFirstByte = 112;
  constexpr uint64_t kBytes = 28;
  for (uint64_t bit = 8 * kFirstByte; bit < 8 * (kFirstByte + kBytes); ++bit) {
    SimulatedDisk disk(1);
    {
      const auto store = Open(disk);
      TestPath first = Model(*store, 1);
      TestPath second = Model(*store, 1, 1000);
      PutAll(*store, first, 0, 1);
      PutAll(*store, second, 0, 1);
      disk.Crash(SimulatedCrash::kProcess);
    }
    const std::string journal = FileOf(disk, ".journal");
    const std::string bytes = SimulatedBytes(*disk.Attach(), journal);
    uint64_t block = 0;  // the last one that was written
    for (uint64_t at = 0; at < bytes.size(); at += kJournalBlockBytes)
      if (bytes[at] != 0) block = at;
    Need(block > 0, "a second journal block");
    Need(disk.FlipBit(journal, 8 * block + bit).ok(), "damage");
    const auto store = Open(disk);
    TestPath first = Model(*store, 1);
    if (std::string broken = BrokenAll(*store, first, 1); !broken.empty()) return broken;
  }
  return {};
}

std::string DamagedTablesAreReported() {
  constexpr size_t kPages = 40;
  for (uint64_t bit = 500; bit < 8 * 1000; bit += 331) {
    SimulatedDisk disk(1);
    {
      const auto store = Open(disk);
      TestPath path = Model(*store, kPages);
      PutAll(*store, path, 0, kPages);
    }
    Need(disk.FlipBit(FileOf(disk, ".sst"), bit).ok(), "damage");
    const auto store = Open(disk);
    TestPath path = Model(*store, kPages);
    const GetOutcome got = GetPages(*store, path, 0, kPages, kPage);
    if (got.wrong > 0) return "a get gave wrong bytes";
    const std::string stats = store->StatsJson();
    const bool reported = store->impl()->counters().index_damage.load() > 0 ||
                          stats.find("\"recovery_notes\":[]") == std::string::npos;
    if (CountOk(got.states) < kPages && !reported)
      return "pages are lost to damage that nothing tells of";
  }
  return {};
}

// In the secret, which any value could be.
std::string DamagedManifestsAreRefused() {
  SimulatedDisk disk(1);
  {
    const auto store = Open(disk);
    TestPath path = Model(*store, 4);
    PutAll(*store, path, 0, 4);
  }
  const std::string manifest = FileOf(disk, "MANIFEST-");
  constexpr uint64_t kInSecret = sizeof(ManifestHeader) + sizeof(ManifestRecordHeader) + 100;
  Need(disk.FlipBit(manifest, 8 * kInSecret).ok(), "damage");
  const auto store = OpenSimulatedStore(disk.Restart());
  if (store.ok()) return "a damaged manifest was taken for whole";
  if (store.status().message().find(manifest) == std::string_view::npos)
    return "the error does not name the manifest";
  return {};
}

}  // namespace lamina::testing
