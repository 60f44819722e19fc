// Crashes, and failures, while a store recovers from a crash, at every single operation and read;
// and long chains of them.
#include <catch2/catch.hpp>
#include <cerrno>
#include <random>

#include "tests/crash/scripted_history.h"

namespace lamina::testing {
namespace {

const PathName kModel = {"model", 0};
const PathName kOther = {"another model", 0};

// Leaves tables, dead entries, an erased root that was put again, and a journal with all of that.
void Work(ScriptedHistory& history) {
  history.Put(kModel, 0, 20);
  history.Put(kOther, 0, 10);
  history.Flush();
  history.Erase(kModel, 5, 5);
  history.Put(kModel, 20, 10);
  history.EraseRoot("another model");
  history.CompactAll();
  history.Put(kOther, 0, 6);
  history.Put(kModel, 7, 2);
  history.Flush();
  history.Put(kModel, 30, 10);
  history.Put(kOther, 4, 8);
}

// What is left of a store that died at some operation of its work.
struct Wreck {
  HistorySetup setup;
  uint64_t at = 0;  // operation; 0: when all was done
  SimulatedCrash kind = SimulatedCrash::kProcess;

  void Make(ScriptedHistory& history) const {
    history.disk().SetCrashAt(at, kind);
    history.Open();
    Work(history);
    history.Crash(kind);
  }
};

// At operations all over the work, with options and kinds of crash in turn.
std::vector<Wreck> Wrecks() {
  const char* const kOptions[] = {"", "durability=batch", "erase=physical"};
  std::vector<Wreck> wrecks;
  for (const char* options : kOptions) wrecks.push_back({{options}});
  constexpr uint64_t kOperations = 85;
  for (uint64_t at = 9; at < kOperations; at += 7 * CrashStep()) {
    wrecks.push_back(
        {{kOptions[at % 3]}, at, at % 2 == 0 ? SimulatedCrash::kPower : SimulatedCrash::kProcess});
  }
  return wrecks;
}

using Spoil = std::function<void(SimulatedDisk& disk, uint64_t n)>;
// Whether an open has got beyond what was spoiled.
using IsThrough = std::function<bool(SimulatedDisk& disk, uint64_t n)>;

// Opens each wreck with its first operation (or read) spoiled, then the second, and so on.
void SpoilEverywhere(SimulatedCrash then, const Spoil& spoil, const IsThrough& is_through) {
  for (const Wreck& wreck : Wrecks()) {
    bool through = false;
    for (uint64_t n = 1; !through; n += CrashStep()) {
      CAPTURE(wreck.at, wreck.setup.options, n, static_cast<int>(then));
      SimulatedDisk disk(1000 * n + wreck.at);
      ScriptedHistory history(disk, wreck.setup);
      wreck.Make(history);
      history.ExpectFailures();
      spoil(disk, n);
      history.Open();
      through = is_through(disk, n);
      if (!history.open_status().ok() && !disk.crashed())
        CHECK(history.open_status().message().find("/store") != std::string_view::npos);
      disk.FailOperation(0, 0);
      disk.FailRead(0, 0);
      history.Crash(then);
      history.Check();
    }
  }
}

TEST_CASE("a crash at every operation of a recovery costs nothing that was promised",
          "[recovery]") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  SpoilEverywhere(
      kind, [&](SimulatedDisk& disk, uint64_t n) { disk.SetCrashAt(n, kind); },
      [](SimulatedDisk& disk, uint64_t) { return !disk.crashed(); });
}

TEST_CASE("a recovery in which an operation fails opens or says why, and the next one has it all",
          "[recovery]") {
  const auto then = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  const int error = then == SimulatedCrash::kPower ? EIO : ENOSPC;
  uint64_t before = 0;
  SpoilEverywhere(
      then,
      [&](SimulatedDisk& disk, uint64_t n) {
        before = disk.operations();
        disk.FailOperation(n, error);
      },
      [&](SimulatedDisk& disk, uint64_t n) { return disk.operations() - before < n; });
}

TEST_CASE("a recovery in which a read fails opens or says why, and the next one has it all",
          "[recovery]") {
  uint64_t before = 0;
  SpoilEverywhere(
      SimulatedCrash::kProcess,
      [&](SimulatedDisk& disk, uint64_t n) {
        before = disk.counts().reads;
        disk.FailRead(n, EIO);
      },
      [&](SimulatedDisk& disk, uint64_t n) { return disk.counts().reads - before < n; });
}

TEST_CASE("recoveries that die one operation later each time end in one that has it all",
          "[recovery]") {
  for (const Wreck& wreck : Wrecks()) {
    CAPTURE(wreck.at, wreck.setup.options);
    SimulatedDisk disk(wreck.at);
    ScriptedHistory history(disk, wreck.setup);
    wreck.Make(history);
    bool through = false;
    for (uint64_t n = 1; !through; ++n) {
      CAPTURE(n);
      const auto kind = n % 3 == 0 ? SimulatedCrash::kPower : SimulatedCrash::kProcess;
      disk.SetCrashAt(n, kind);
      history.Open();
      through = !disk.crashed();
      history.Crash(kind);
    }
    history.Check();
  }
}

TEST_CASE("a creation that dies anywhere, and anywhere once more, leaves a store that works",
          "[recovery]") {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  bool created = false;
  for (uint64_t n = 1; !created; n += CrashStep()) {
    bool opened = false;
    for (uint64_t m = 1 + n % 3; !opened; m += 3 * CrashStep()) {
      CAPTURE(n, m, static_cast<int>(kind));
      SimulatedDisk disk(1000 * n + m);
      ScriptedHistory history(disk, {});
      disk.SetCrashAt(n, kind);
      history.Open();
      created = !disk.crashed();
      history.Crash(kind);
      disk.SetCrashAt(m, SimulatedCrash::kPower);
      history.Open();
      opened = !disk.crashed();
      history.Crash(SimulatedCrash::kPower);
      history.Check();
    }
  }
}

TEST_CASE("chains of crashes, recoveries and work keep every promise", "[recovery]") {
  const uint64_t seed = FromEnvironment("LAMINA_SEED", std::random_device()());
  const uint64_t chains = FromEnvironment("LAMINA_CRASH_CHAINS", 80 / CrashStep());
  for (uint64_t chain = 0; chain < chains; ++chain) {
    CAPTURE(seed, chain);
    std::mt19937_64 random(seed + chain);
    const bool batch = random() % 3 == 0;
    SimulatedDisk disk(seed + chain);
    ScriptedHistory history(disk, {batch ? "durability=batch" : ""});
    for (int link = 0; link < 8; ++link) {
      CAPTURE(link);
      const auto kind = random() % 2 == 0 ? SimulatedCrash::kPower : SimulatedCrash::kProcess;
      disk.SetCrashAt(1 + random() % 90, kind);
      history.Open();
      Work(history);
      if (random() % 4 == 0) history.Close();
      history.Crash(kind);
    }
    history.Check();
  }
}

}  // namespace
}  // namespace lamina::testing
