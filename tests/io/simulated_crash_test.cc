// What crashes of the simulated disk may do and must not. Where something may happen or not, many
// seeds are tried and both must be seen.
#include <catch2/catch.hpp>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/io/simulated_file_system.h"
#include "tests/io/simulated_test_util.h"

namespace lamina {
namespace {

using Catch::Contains;

constexpr uint64_t kSeeds = 200;

// How often each outcome was seen over all seeds.
template <class Run>
std::map<std::string, int> OutcomesOf(Run run) {
  std::map<std::string, int> outcomes;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) ++outcomes[run(seed)];
  return outcomes;
}

// Each 512 bytes as their first letter ('0' for zero); "!" where a sector is not of one letter.
std::string SectorsOf(const std::string& content) {
  std::string letters;
  for (size_t at = 0; at < content.size(); at += 512) {
    const std::string sector = content.substr(at, 512);
    const bool whole = sector.find_first_not_of(sector[0]) == std::string::npos;
    letters += !whole ? '!' : sector[0] == '\0' ? '0' : sector[0];
  }
  return letters;
}

TEST_CASE("a power cut keeps what was synced, whatever the seed") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(1024, 'a'));
    disk.Crash(SimulatedCrash::kPower);
    return SectorsOf(ContentOf(disk.Restart().get(), "/f"));
  });
  CHECK(outcomes == std::map<std::string, int>{{"aa", static_cast<int>(kSeeds)}});
}

TEST_CASE("a power cut loses, keeps or tears what was not synced, by sectors") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(1024, 'a'));
    REQUIRE(file->Write(0, Filled(1024, 'b')).ok());
    disk.Crash(SimulatedCrash::kPower);
    return SectorsOf(ContentOf(disk.Restart().get(), "/f"));
  });
  CHECK(outcomes.size() == 4);
  for (const char* const outcome : {"aa", "ab", "ba", "bb"}) CHECK(outcomes.at(outcome) > 5);
}

TEST_CASE("a sector that a power cut tears off may be garbage, if the write covered all of it") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(1536, 'a'));
    REQUIRE(file->Write(0, Filled(1100, 'b')).ok());
    disk.SetFaults({.garbage = 1});
    disk.Crash(SimulatedCrash::kPower);
    const std::string content = ContentOf(disk.Restart().get(), "/f");
    CHECK(content.substr(1100) == std::string(436, 'a'));
    const std::string part = content.substr(1024, 76);
    CHECK((part == std::string(76, 'a') || part == std::string(76, 'b')));
    return SectorsOf(content.substr(0, 1024));
  });
  // All or nothing in half of the cases; then no sector is torn off.
  CHECK(outcomes.size() == 5);
  for (const char* const outcome : {"aa", "b!", "!b", "!!", "bb"}) CHECK(outcomes.at(outcome) > 2);
}

TEST_CASE("of several unsynced writes a power cut may keep any, older ones too") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(1024, 'a'));
    REQUIRE(file->Write(0, Filled(512, 'b')).ok());
    REQUIRE(file->Write(512, Filled(512, 'c')).ok());
    REQUIRE(file->Write(0, Filled(512, 'd')).ok());
    disk.Crash(SimulatedCrash::kPower);
    return SectorsOf(ContentOf(disk.Restart().get(), "/f"));
  });
  CHECK(outcomes.size() == 6);
  for (const char* const outcome : {"aa", "ac", "ba", "bc", "da", "dc"})
    CHECK(outcomes.at(outcome) > 0);
}

TEST_CASE("a write that grows the file may lose its size, its data, or both, apart") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(512, 'a'));
    REQUIRE(file->Write(512, Filled(512, 'b')).ok());
    disk.Crash(SimulatedCrash::kPower);
    return SectorsOf(ContentOf(disk.Restart().get(), "/f"));
  });
  CHECK(outcomes.size() == 3);
  for (const char* const outcome : {"a", "a0", "ab"}) CHECK(outcomes.at(outcome) > 5);
}

TEST_CASE("allocate, punch and truncate are lost or kept whole when not synced") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(8192, 'a'));
    REQUIRE(file->PunchHole(0, 4096).ok());
    REQUIRE(file->Truncate(4608).ok());
    disk.Crash(SimulatedCrash::kPower);
    const std::string sectors = SectorsOf(ContentOf(disk.Restart().get(), "/f"));
    return sectors.substr(0, 1) + std::to_string(sectors.size());
  });
  CHECK(outcomes.size() == 4);
  for (const char* const outcome : {"a16", "a9", "016", "09"}) CHECK(outcomes.at(outcome) > 5);
}

TEST_CASE("names are lost or kept until their directory is synced") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    MakeDurable(fs.get(), "/removed", Filled(1, 'r'));
    REQUIRE(fs->Remove("/removed").ok());
    const auto created = OpenSimulated(fs.get(), "/created");
    REQUIRE(created->Write(0, Filled(1, 'c')).ok());
    REQUIRE(created->Sync().ok());
    disk.Crash(SimulatedCrash::kPower);
    const auto after = disk.Restart();
    return ContentOf(after.get(), "/removed") + ContentOf(after.get(), "/created");
  });
  CHECK(outcomes.size() == 4);
  for (const char* const outcome : {"r-", "rc", "--", "-c"}) CHECK(outcomes.at(outcome) > 5);
}

TEST_CASE("names are durable once their directory is synced") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    REQUIRE(fs->MakeDirectory("/d").ok());
    const auto file = OpenSimulated(fs.get(), "/d/f");
    REQUIRE(file->Write(0, Filled(1, 'c')).ok());
    REQUIRE(file->Sync().ok());
    REQUIRE(fs->Rename("/d/f", "/d/g").ok());
    REQUIRE(fs->SyncDirectory("/d").ok());
    disk.Crash(SimulatedCrash::kPower);
    const auto after = disk.Restart();
    return ContentOf(after.get(), "/d/f") + ContentOf(after.get(), "/d/g");
  });
  CHECK(outcomes == std::map<std::string, int>{{"-c", static_cast<int>(kSeeds)}});
}

TEST_CASE("a synced name of an unsynced file may be an empty file after a power cut") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    REQUIRE(OpenSimulated(fs.get(), "/f")->Write(0, Filled(1, 'c')).ok());
    REQUIRE(fs->SyncDirectory("/").ok());
    disk.Crash(SimulatedCrash::kPower);
    return ContentOf(disk.Restart().get(), "/f");
  });
  CHECK(outcomes.at("") > 5);
  CHECK(outcomes.at("c") > 5);
}

TEST_CASE("a rename over a file is atomic: the old or the new, never neither") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    MakeDurable(fs.get(), "/CURRENT", Filled(1, 'o'));
    MakeDurable(fs.get(), "/next", Filled(1, 'n'));
    REQUIRE(fs->Rename("/next", "/CURRENT").ok());
    disk.Crash(SimulatedCrash::kPower);
    const auto after = disk.Restart();
    return ContentOf(after.get(), "/CURRENT") + ContentOf(after.get(), "/next");
  });
  CHECK(outcomes.size() == 2);
  CHECK(outcomes.at("on") > 5);
  CHECK(outcomes.at("n-") > 5);
}

TEST_CASE("changes of one name are never reordered: a file is not lost under its successor") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    MakeDurable(fs.get(), "/log", Filled(1, 'o'));
    REQUIRE(fs->Rename("/log", "/log.old").ok());
    const auto file = OpenSimulated(fs.get(), "/log");
    REQUIRE(file->Write(0, Filled(1, 'n')).ok());
    REQUIRE(file->Sync().ok());
    disk.Crash(SimulatedCrash::kPower);
    const auto after = disk.Restart();
    return ContentOf(after.get(), "/log") + ContentOf(after.get(), "/log.old");
  });
  CHECK(outcomes.size() == 3);
  for (const char* const outcome : {"o-", "-o", "no"}) CHECK(outcomes.at(outcome) > 5);
}

TEST_CASE("syncing the target's directory of a rename makes the whole rename durable") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    REQUIRE(fs->MakeDirectory("/a").ok());
    REQUIRE(fs->MakeDirectory("/b").ok());
    OpenSimulated(fs.get(), "/a/f");
    REQUIRE(fs->Rename("/a/f", "/b/f").ok());
    REQUIRE(fs->SyncDirectory("/b").ok());
    disk.Crash(SimulatedCrash::kPower);
    const auto after = disk.Restart();
    return ContentOf(after.get(), "/a/f") + "|" + ContentOf(after.get(), "/b/f");
  });
  CHECK(outcomes == std::map<std::string, int>{{"-|", static_cast<int>(kSeeds)}});
}

TEST_CASE("making a directory is durable when it returns") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    REQUIRE(disk.Restart()->MakeDirectory("/d").ok());
    disk.Crash(SimulatedCrash::kPower);
    return std::string(*disk.Restart()->Exists("/d") ? "there" : "gone");
  });
  CHECK(outcomes == std::map<std::string, int>{{"there", static_cast<int>(kSeeds)}});
}

TEST_CASE("the death of a process loses nothing that was completed") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = OpenSimulated(fs.get(), "/f");
    REQUIRE(file->Write(0, Filled(512, 'a')).ok());
    return SectorsOf(ContentOf(disk.Restart().get(), "/f"));
  });
  CHECK(outcomes == std::map<std::string, int>{{"a", static_cast<int>(kSeeds)}});
}

TEST_CASE("but a power cut after it still may") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto file = MakeDurable(disk.Restart().get(), "/f", Filled(512, 'a'));
    REQUIRE(file->Write(0, Filled(512, 'b')).ok());
    disk.Crash(SimulatedCrash::kProcess);
    const auto between = disk.Restart();
    CHECK(SectorsOf(ContentOf(between.get(), "/f")) == "b");
    disk.Crash(SimulatedCrash::kPower);
    return SectorsOf(ContentOf(disk.Restart().get(), "/f"));
  });
  CHECK(outcomes.at("a") > 5);
  CHECK(outcomes.at("b") > 5);
}

// A write is submitted, not waited for, and the process dies.
struct InFlight {
  explicit InFlight(uint64_t seed) : disk(seed) {
    before = disk.Restart();
    file = MakeDurable(before.get(), "/f", Filled(1024, 'a'));
    queue = std::move(*before->NewQueue(4));
    memory = Filled(1024, 'b');
    owned = std::make_unique<OwnedRequest>(file.get(), /*write=*/true, 0, memory);
    queue->Submit(&owned->request);
  }
  SimulatedDisk disk;
  std::unique_ptr<FileSystem> before;
  std::unique_ptr<File> file;
  std::vector<std::byte> memory;
  std::unique_ptr<OwnedRequest> owned;
  std::unique_ptr<IoQueue> queue;  // the last, so that it goes before its request does
};

TEST_CASE("a write in flight at a power cut lands whole, in part or not at all") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    InFlight run(seed);
    run.disk.Crash(SimulatedCrash::kPower);
    CHECK(run.queue->Wait() == &run.owned->request);
    CHECK(run.owned->request.error == EIO);
    return SectorsOf(ContentOf(run.disk.Restart().get(), "/f"));
  });
  CHECK(outcomes.size() == 4);
}

TEST_CASE("a write in flight when the process dies lands in part, or late, or not at all") {
  const auto at_once = OutcomesOf([](uint64_t seed) {
    InFlight run(seed);
    run.disk.Crash(SimulatedCrash::kProcess);
    return SectorsOf(ContentOf(run.disk.Restart().get(), "/f"));
  });
  CHECK(at_once.size() == 4);

  const auto late = OutcomesOf([](uint64_t seed) {
    InFlight run(seed);
    const auto after = run.disk.Restart();
    const std::string first = SectorsOf(ContentOf(after.get(), "/f"));
    for (int i = 0; i < 100; ++i) {
      const std::string now = SectorsOf(ContentOf(after.get(), "/f"));
      if (now != first) return "late: " + now;
    }
    return std::string("settled");
  });
  CHECK(late.at("late: bb") > 5);
  CHECK(late.at("settled") > 5);
}

TEST_CASE("once the next process has the lock nothing lands any more") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    InFlight run(seed);
    const auto after = run.disk.Restart();
    const auto lock = after->Lock("/LOCK");
    REQUIRE(lock.ok());
    const std::string first = SectorsOf(ContentOf(after.get(), "/f"));
    for (int i = 0; i < 100; ++i)
      if (SectorsOf(ContentOf(after.get(), "/f")) != first) return std::string("changed");
    return std::string("settled");
  });
  CHECK(outcomes == std::map<std::string, int>{{"settled", static_cast<int>(kSeeds)}});
}

TEST_CASE("a write that was submitted and not waited for is not covered by a sync") {
  const auto outcomes = OutcomesOf([](uint64_t seed) {
    InFlight run(seed);
    REQUIRE(run.file->Sync().ok());
    run.disk.Crash(SimulatedCrash::kPower);
    return SectorsOf(ContentOf(run.disk.Restart().get(), "/f"));
  });
  CHECK(outcomes.at("aa") > 5);
}

TEST_CASE("after a crash everything that the process still does fails") {
  InFlight run(1);
  const auto follower = run.disk.Attach();
  run.disk.Crash(SimulatedCrash::kProcess);
  CHECK(run.disk.crashed());
  std::vector<std::byte> out(10);
  FileSystem* const fs = run.before.get();
  CHECK_FALSE(run.file->Read(0, out).ok());
  CHECK_FALSE(run.file->Write(0, out).ok());
  CHECK_FALSE(run.file->Sync().ok());
  CHECK_FALSE(run.file->Allocate(10).ok());
  CHECK_FALSE(run.file->Size().ok());
  CHECK_FALSE(fs->Open("/f", {}).ok());
  CHECK_FALSE(fs->Exists("/f").ok());
  CHECK_FALSE(fs->List("/").ok());
  CHECK_FALSE(fs->MakeDirectory("/d").ok());
  CHECK_FALSE(fs->Rename("/f", "/g").ok());
  CHECK_FALSE(fs->Remove("/f").ok());
  CHECK_FALSE(fs->SyncDirectory("/").ok());
  CHECK_FALSE(fs->Lock("/LOCK").ok());
  CHECK_FALSE(fs->Space("/").ok());
  CHECK_FALSE(follower->List("/").ok());
  const uint64_t operations = run.disk.operations();
  CHECK_FALSE(run.file->Sync().ok());
  CHECK(run.disk.operations() == operations);

  const auto after = run.disk.Restart();
  CHECK_FALSE(run.disk.crashed());
  CHECK(*after->Exists("/f"));
  CHECK_FALSE(run.file->Sync().ok());
}

// The classic: write a new file, sync it, rename it over the old one, sync the directory.
void Replace(FileSystem* fs, const std::string& content) {
  auto file = fs->Open("/next", {.write = true, .create = true, .truncate = true});
  if (!file.ok()) return;
  if (!(*file)->Write(0, std::as_bytes(std::span(content))).ok()) return;
  if (!(*file)->Sync().ok()) return;
  if (!fs->Rename("/next", "/CURRENT").ok()) return;
  if (!fs->SyncDirectory("/").ok()) return;
}

TEST_CASE("a crash at every operation in turn: a right protocol survives all of them") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  std::set<std::string> outcomes;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    uint64_t n = 1;
    for (;; ++n) {
      SimulatedDisk disk(seed);
      const auto before = disk.Restart();
      MakeDurable(before.get(), "/CURRENT", Filled(1, 'o'));
      disk.SetCrashAt(n, kind);
      Replace(before.get(), "n");
      if (!disk.crashed()) break;
      const auto after = disk.Restart();
      const std::string current = ContentOf(after.get(), "/CURRENT");
      CAPTURE(seed, n);
      CHECK((current == "o" || current == "n"));
      outcomes.insert(current);
    }
    CHECK(n == 6);  // create, write, sync, rename, directory sync; then none is left
  }
  CHECK(outcomes.size() == 2);
}

TEST_CASE("a crash at every operation finds a protocol that forgets to sync the file") {
  bool found = false;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimulatedDisk disk(seed);
    const auto before = disk.Restart();
    MakeDurable(before.get(), "/CURRENT", Filled(1, 'o'));
    REQUIRE(OpenSimulated(before.get(), "/next")->Write(0, Filled(1, 'n')).ok());
    REQUIRE(before->Rename("/next", "/CURRENT").ok());
    disk.SetCrashAt(1, SimulatedCrash::kPower);
    CHECK_FALSE(before->SyncDirectory("/").ok());
    const std::string current = ContentOf(disk.Restart().get(), "/CURRENT");
    if (current != "o" && current != "n") found = true;
  }
  CHECK(found);
}

TEST_CASE("crashes may follow each other, and a crash that is taken back does not come") {
  SimulatedDisk disk(7);
  auto fs = disk.Restart();
  MakeDurable(fs.get(), "/f", Filled(512, 'a'));
  for (int round = 0; round < 10; ++round) {
    disk.SetCrashAt(2, SimulatedCrash::kPower);
    CHECK_FALSE(fs->MakeDirectory("/d" + std::to_string(round)).ok());
    CHECK(disk.crashed());
    fs = disk.Restart();
    CHECK(SectorsOf(ContentOf(fs.get(), "/f")) == "a");
  }
  disk.SetCrashAt(1, SimulatedCrash::kPower);
  disk.SetCrashAt(0, SimulatedCrash::kPower);
  CHECK(fs->MakeDirectory("/last").ok());
  CHECK_FALSE(disk.crashed());
}

TEST_CASE("the same seed and the same calls give the same disk") {
  const auto run = [](uint64_t seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    disk.SetFaults({.again = 0.1, .short_transfer = 0.3, .reorder = true});
    const auto file = OpenSimulated(fs.get(), "/f");
    std::vector<std::byte> memory = RandomBytes(64 * 1024, 1);
    std::vector<std::unique_ptr<OwnedRequest>> requests;
    const auto queue = std::move(*fs->NewQueue(8));
    std::string order;
    for (size_t i = 0; i < 16; ++i) {
      requests.push_back(std::make_unique<OwnedRequest>(file.get(), /*write=*/true, i * 4096,
                                                        std::span(memory).subspan(i * 4096, 4096)));
      queue->Submit(&requests.back()->request);
    }
    for (int i = 0; i < 10; ++i) order += std::to_string(queue->Wait()->offset) + " ";
    disk.Crash(SimulatedCrash::kPower);
    const auto after = disk.Restart();
    return order + std::to_string(disk.operations()) + ContentOf(after.get(), "/f");
  };
  CHECK(run(3) == run(3));
  CHECK(run(3) != run(4));
}

}  // namespace
}  // namespace lamina
