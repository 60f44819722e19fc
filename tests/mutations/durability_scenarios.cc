// What was acknowledged is there after a crash, and what was erased is not.
#include <filesystem>

#include "tests/mutations/scenario.h"
#include "tests/tensorlog/journal_fixture.h"

namespace lamina::testing {
namespace {

constexpr uint64_t kSeeds = 12;

// Tries `once` on disks that lose other writes each time.
template <class Once>
std::string OnManyDisks(Once once) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimulatedDisk disk(seed);
    if (std::string broken = once(disk); !broken.empty()) return broken;
  }
  return {};
}

std::string BrokenErase(Store& store, size_t pages) {
  TestPath path = Model(store, pages);
  return CountOk(ProbePages(store, path, 0, pages)) == 0 ? "" : "an erased page is back";
}

std::string EraseAndCrash(SimulatedDisk& disk, SimulatedCrash kind) {
  {
    const auto store = Open(disk);
    TestPath path = Model(*store, 20);
    PutAll(*store, path, 0, 20);
    Need(store->Flush().ok(), "a flush");
    Need(store->Erase(*path.path, 0, 20).ok(), "an erase");
    disk.Crash(kind);
  }
  const auto store = Open(disk);
  return BrokenErase(*store, 20);
}

}  // namespace

std::string FlushedPagesSurviveAPowerCut() {
  return OnManyDisks([](SimulatedDisk& disk) {
    {
      const auto store = Open(disk);
      TestPath path = Model(*store, 40);
      PutAll(*store, path, 0, 40);
      Need(store->Flush().ok(), "a flush");
      disk.Crash(SimulatedCrash::kPower);
    }
    const auto store = Open(disk);
    TestPath path = Model(*store, 40);
    return BrokenAll(*store, path, 40);
  });
}

std::string BatchedPutsSurviveAPowerCut() {
  return OnManyDisks([](SimulatedDisk& disk) {
    {
      const auto store = Open(disk, "durability=batch");
      TestPath path = Model(*store, 40);
      PutAll(*store, path, 0, 20);
      PutAll(*store, path, 20, 20);
      disk.Crash(SimulatedCrash::kPower);
    }
    const auto store = Open(disk, "durability=batch");
    TestPath path = Model(*store, 40);
    return BrokenAll(*store, path, 40);
  });
}

std::string ErasedPagesStayErasedAfterAPowerCut() {
  return OnManyDisks(
      [](SimulatedDisk& disk) { return EraseAndCrash(disk, SimulatedCrash::kPower); });
}

std::string ErasedPagesStayErasedAfterAKill() {
  return OnManyDisks(
      [](SimulatedDisk& disk) { return EraseAndCrash(disk, SimulatedCrash::kProcess); });
}

// The second flush promises what it still has, and no more than that.
std::string AFailedSyncPromisesNothing() {
  return OnManyDisks([](SimulatedDisk& disk) {
    std::vector<bool> promised;
    {
      const auto store = Open(disk);
      TestPath path = Model(*store, 40);
      PutAll(*store, path, 0, 40);
      disk.SetFaults({.sync_error = 1, .only_in = ".segment"});
      Need(!store->Flush().ok(), "a flush that fails");
      disk.SetFaults({});
      const bool flushed = store->Flush().ok();
      for (const PageState state : ProbePages(*store, path, 0, 40))
        promised.push_back(flushed && state == PageState::kOk);
      disk.Crash(SimulatedCrash::kPower);
    }
    const auto store = Open(disk);
    TestPath path = Model(*store, 40);
    return Broken(*store, path, promised);
  });
}

std::string PutsWithoutJournalAreNotAcknowledged() {
  SimulatedDisk disk(1);
  std::vector<bool> promised;
  {
    const auto store = Open(disk);
    TestPath path = Model(*store, 8);
    disk.SetFaults({.write_error = 1, .only_in = ".journal"});
    for (const PageState state : PutPages(*store, path, 0, 8, kPage))
      promised.push_back(state == PageState::kOk);
    disk.SetFaults({});
    disk.Crash(SimulatedCrash::kProcess);
  }
  const auto store = Open(disk);
  TestPath path = Model(*store, 8);
  return Broken(*store, path, promised);
}

// A checkpoint that comes between a put's journal block and its publication.
std::string UnfinishedPutsAreReplayed() {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  Need(fs->MakeDirectory("/journal").ok(), "a directory");
  JournalWriterOptions options;
  options.directory = "/journal";
  options.store_id = kTestStore;
  options.epoch = 1;
  options.file_bytes = 64 * kJournalBlockBytes;
  auto writer = JournalWriter::Open(*fs, options);
  Need(writer.ok(), "a journal");
  JournalWriter::Guard guard = (*writer)->Begin();
  const Fingerprint fingerprint = 7;
  const JournalPage page = {{1, 2}, 4096, 3, 4};
  PutRecord put;
  put.anchor = {1, 1};
  put.fingerprints = std::span(&fingerprint, 1);
  put.pages = std::span(&page, 1);
  JournalRecords records;
  records.AddPut(put);
  Need((*writer)->Append(guard, records).ok(), "a journal block");
  const JournalPosition checkpoint = (*writer)->LowWater();
  guard.Release();
  Collector seen;
  Need(ReplayJournal(*fs, "/journal", kTestStore, checkpoint, seen).ok(), "a replay");
  if (seen.pages.size() == 1) return {};
  return "a checkpoint forgets a put that is in no table yet";
}

// On a real disk, of which a copy shows what a killed process leaves.
std::string PutsDuringACheckpointSurviveAKill() {
  const lamina::testing::TemporaryDirectory directory;
  auto file_system = std::make_unique<FailingFileSystem>();
  Failures& failures = file_system->failures;
  const auto open = [](const std::string& path, std::unique_ptr<FileSystem> fs) {
    StoreEnvironment environment;
    environment.file_system = std::move(fs);
    environment.background_threads = 0;
    auto impl = Store::Impl::Open(path, TestOptions("capacity_bytes=64M;checkpoint_seconds=0"),
                                  std::move(environment));
    Need(impl.ok(), "a store");
    return std::make_unique<Store>(std::move(*impl));
  };
  {
    const auto store = open(directory / "store", std::move(file_system));
    TestPath path = Model(*store, 8);
    PutAll(*store, path, 0, 4);
    bool during = false;
    failures.on_sync = [&](const std::string& file) {
      if (during || !file.ends_with(".sst")) return;
      during = true;
      PutAll(*store, path, 4, 4);
    };
    Need(store->Flush().ok() && during, "a put during a flush");
    failures.on_sync = nullptr;
    std::filesystem::copy(directory / "store", directory / "killed",
                          std::filesystem::copy_options::recursive);
  }
  const auto store = open(directory / "killed", MakeFileSystem());
  TestPath path = Model(*store, 8);
  return BrokenAll(*store, path, 8);
}

std::string MovedPagesSurviveAPowerCut() {
  constexpr size_t kLarge = 65536;  // of which 16 make a segment
  return OnManyDisks([](SimulatedDisk& disk) {
    std::vector<bool> promised(52, true);
    {
      const auto store = Open(disk);
      TestPath path = Model(*store, 52);
      PutAll(*store, path, 0, 52, kLarge);
      ProbePages(*store, path, 0, 52);
      const Path::Impl& impl = *path.path->impl();
      for (size_t i = 0; i < 52; i += 3) {
        const Entry& entry = impl.locations[i].entry;
        Need(store->impl()->log().Condemn(entry.slot, entry.tag(impl.fingerprints[i])), "room");
        promised[i] = false;
      }
      Need(store->Flush().ok(), "a flush");
      const uint32_t first = impl.locations[0].entry.slot.segment;
      Store::Impl::RetireReport report;
      Need(store->impl()->RetireSegments(std::span(&first, 1), true, nullptr, &report).ok() &&
               report.segments == 1,
           "a segment that goes");
      disk.Crash(SimulatedCrash::kPower);
    }
    const auto store = Open(disk);
    TestPath path = Model(*store, 52);
    return Broken(*store, path, promised, kLarge);
  });
}

}  // namespace lamina::testing
