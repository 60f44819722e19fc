#include "tests/crash/scripted_history.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "tests/crash/leaks.h"

namespace lamina::testing {
namespace {

// A path of which no page is put before the end.
const PathName kNeverPut = {"never put", 0};

void Prepare(ScriptedHistory& history, const HistorySetup& setup) {
  if (setup.prepare) {
    setup.prepare(history);
  } else {
    history.Open();
  }
}

}  // namespace

ScriptedHistory::ScriptedHistory(SimulatedDisk& disk, HistorySetup setup)
    : disk_(disk),
      setup_(std::move(setup)),
      batch_(setup_.options.find("durability=batch") != std::string::npos) {}

// ---- Steps --------------------------------------------------------------------------------------

void ScriptedHistory::Expect(const char* step, const Status& status) {
  if (status.ok() || failures_ || disk_.crashed()) return;
  FAIL_CHECK(step << ": " << status.ToString());
}

void ScriptedHistory::Open() { OpenAs({}, setup_.capacity_bytes); }

void ScriptedHistory::OpenAs(const std::string& options, uint64_t capacity_bytes) {
  auto opened = OpenSimulatedStore(disk_.Attach(), setup_.options + ";" + options, capacity_bytes,
                                   {}, [&](StoreEnvironment* environment) {
                                     environment->single_threaded = true;
                                     if (setup_.arrange) setup_.arrange(environment);
                                   });
  open_status_ = opened.status();
  Expect("open", open_status_);
  if (opened.ok()) store_ = std::move(*opened);
  // As with a flush that fails so.
  if (failures_ && !batch_ && open_status_.message().find("sync") != std::string_view::npos)
    Weaken(Promise::kAcknowledged, Promise::kNothing);
  evicted_ = 0;
  NoteEvicted();
}

ScriptedHistory::PathState& ScriptedHistory::StateOf(const PathName& name, size_t pages) {
  PathState& state = paths_[name];
  if (state.pages.size() < pages) state.pages.resize(pages, Promise::kAbsent);
  state.tags.resize(state.pages.size());
  return state;
}

size_t ScriptedHistory::PageBytes(const PathName& name) const {
  return name.page_bytes == 0 ? setup_.page_bytes : name.page_bytes;
}

TestPath ScriptedHistory::Make(const PathName& name) {
  return MakePath(*store_, name.root, Tokens(name.number * 100000, paths_[name].pages.size()));
}

void ScriptedHistory::Begun(const PathName& name, size_t first, size_t count) {
  PathState& state = StateOf(name, first + count);
  for (size_t i = first; i < first + count; ++i)
    state.pages[i] = std::max(state.pages[i], Promise::kNothing);
}

void ScriptedHistory::Acknowledged(const PathName& name, size_t first,
                                   const std::vector<PageState>& states, const TestPath& path) {
  if (disk_.crashed()) return AfterStep();
  const Promise made = batch_ ? Promise::kDurable : Promise::kAcknowledged;
  const Path::Impl& located = *path.path->impl();
  PathState& state = paths_[name];
  for (size_t page = first; page < first + states.size(); ++page) {
    if (states[page - first] != PageState::kOk) continue;
    state.pages[page] = std::max(state.pages[page], made);
    state.tags[page] = located.locations[page].entry.tag(located.fingerprints[page]);
  }
  if (CountOk(states) != states.size()) {
    CAPTURE(name.root, name.number, first, states.size(), CountOk(states));
    Expect("put", Status::NoSpace(TextOf(store_->StatsJson(), "last_rejection")));
  }
  AfterStep();
}

void ScriptedHistory::Put(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  Begun(name, first, count);
  TestPath path = Make(name);
  const auto states = PutPages(*store_, path, first, count, PageBytes(name));
  Acknowledged(name, first, states, path);
}

void ScriptedHistory::PutEntries(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  Begun(name, first, count);
  paths_[name].entries_only = true;
  TestPath path = Make(name);
  const auto put = store_->impl()->PutEntries(*path.path->impl(), first, count, PageBytes(name));
  const size_t stored = put.ok() ? *put : 0;
  std::vector<PageState> states(count, PageState::kRejected);
  std::fill_n(states.begin(), stored, PageState::kOk);
  Acknowledged(name, first, states, path);
}

void ScriptedHistory::Get(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  StateOf(name, first + count);
  TestPath path = Make(name);
  const GetOutcome got = GetPages(*store_, path, first, count, PageBytes(name));
  CHECK(got.wrong == 0);
  if (!failures_ && !disk_.crashed())
    for (size_t i = 0; i < count; ++i) CheckPage(name, first + i, got.states[i]);
  AfterStep();
}

void ScriptedHistory::Erase(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  std::vector<Promise>& pages = StateOf(name, first + count).pages;
  for (size_t i = first; i < first + count; ++i) pages[i] = std::min(pages[i], Promise::kNothing);
  TestPath path = Make(name);
  const Status erased = store_->Erase(*path.path, first, count);
  Expect("erase", erased);
  if (erased.ok() && !disk_.crashed())
    for (size_t i = first; i < first + count; ++i) pages[i] = Promise::kAbsent;
  AfterStep();
}

void ScriptedHistory::EraseRoot(const std::string& root) {
  if (dead()) return;
  const auto lower = [&](Promise most) {
    for (auto& [name, state] : paths_) {
      if (name.root != root) continue;
      for (Promise& promise : state.pages) promise = std::min(promise, most);
    }
  };
  lower(Promise::kNothing);
  const Status erased = store_->EraseRoot(root);
  Expect("erase_root", erased);
  if (erased.ok() && !disk_.crashed()) lower(Promise::kAbsent);
  AfterStep();
}

void ScriptedHistory::Flush() {
  if (dead()) return;
  const Status flushed = store_->Flush();
  Expect("flush", flushed);
  AfterStep();
  if (flushed.ok() && !disk_.crashed()) Weaken(Promise::kAcknowledged, Promise::kDurable);
}

// By their tags: to look them up would be a use, which brings them back to life.
void ScriptedHistory::Condemn(const PathName& name, size_t first, size_t count, size_t step) {
  if (dead()) return;
  PathState& state = StateOf(name, first + count);
  std::unordered_set<uint64_t> tags;
  for (size_t i = first; i < first + count; i += step) {
    state.pages[i] = std::min(state.pages[i], Promise::kNothing);
    tags.insert(state.tags[i]);
  }
  store_->impl()->log().ForEachSlot([&](Segment& segment, uint32_t i, Slot& slot) {
    if (slot.tag() != 0 && tags.contains(slot.tag())) segment.Condemn(i, slot.tag());
  });
}

CollectReport ScriptedHistory::CollectGarbage() {
  CollectReport report;
  if (dead()) return report;
  Expect("collect garbage", store_->impl()->CollectGarbage({}, nullptr, &report));
  AfterStep();
  return report;
}

void ScriptedHistory::CompactAll() {
  if (dead()) return;
  Expect("compact", store_->impl()->CompactAll());
  AfterStep();
}

void ScriptedHistory::SetShape(const Shape& shape) {
  if (!dead()) Expect("set_shape", store_->impl()->SetShape(shape));
}

void ScriptedHistory::RunBackground() {
  while (!dead() && store_->impl()->scheduler().RunOne()) {
  }
  AfterStep();
}

// A store that is closed in peace has made everything durable. One that could not sync has nobody
// to tell what is lost.
void ScriptedHistory::Close() {
  if (store_ == nullptr) return;
  const uint64_t faults = disk_.counts().faults;
  store_.reset();
  if (disk_.crashed()) return;
  const bool failed = disk_.counts().faults != faults;
  Weaken(Promise::kAcknowledged, failed ? Promise::kNothing : Promise::kDurable);
}

// ---- What comes over it -------------------------------------------------------------------------

void ScriptedHistory::Weaken(Promise from, Promise to) {
  for (auto& [name, state] : paths_) {
    for (Promise& promise : state.pages)
      if (promise == from) promise = to;
  }
}

void ScriptedHistory::AfterStep() {
  if (store_ == nullptr) return;
  if (!disk_.crashed()) NoteLatched();
  NoteEvicted();
}

// What is evicted or overwritten is promised no longer, even if it comes back to life. No more may
// have left its slots than the store says: what it condemned, and what went with segments that
// passed to another class.
void ScriptedHistory::NoteEvicted() {
  if (!setup_.evicts || store_ == nullptr) return;
  std::unordered_set<uint64_t> live;
  std::unordered_set<uint64_t> condemned;
  uint64_t slots = 0;  // of a segment
  store_->impl()->log().ForEachSlot([&](Segment& segment, uint32_t, Slot& slot) {
    if (slot.state() == SlotState::kLive) live.insert(slot.tag());
    if (slot.state() == SlotState::kCondemned) condemned.insert(slot.tag());
    slots = std::max<uint64_t>(slots, segment.slot_count());
  });
  uint64_t gone = 0;
  for (auto& [name, state] : paths_) {
    for (size_t i = 0; i < state.pages.size(); ++i) {
      if (state.pages[i] < Promise::kAcknowledged || live.contains(state.tags[i])) continue;
      state.pages[i] = Promise::kNothing;
      gone += condemned.contains(state.tags[i]) ? 0 : 1;
    }
  }
  const StoreCounters& counters = store_->impl()->counters();
  const uint64_t evicted = counters.pages_evicted + slots * counters.segments_transferred;
  if (!disk_.crashed() && (!failures_ || reads_alone_)) CHECK(gone <= evicted - evicted_);
  evicted_ = evicted;
}

// A directory whose sync has failed has lost what was not synced before.
void ScriptedHistory::NoteLatched() {
  if (!failures_ || batch_) return;
  for (const auto& dir : store_->impl()->log().log_dirs())
    if (!dir->writable()) Weaken(Promise::kAcknowledged, Promise::kNothing);
}

void ScriptedHistory::Crash(SimulatedCrash kind) {
  if (!disk_.crashed()) disk_.Crash(kind);
  store_.reset();
  if (kind == SimulatedCrash::kPower) Weaken(Promise::kAcknowledged, Promise::kNothing);
  disk_.Restart();
}

void ScriptedHistory::LeaveOnDisk(uint64_t bytes) {
  constexpr uint64_t kPlenty = uint64_t{1} << 40;
  disk_.SetCapacity(kPlenty);
  disk_.SetCapacity(kPlenty - disk_.Attach()->Space("/store")->free_bytes + bytes);
}

void ScriptedHistory::ExpectNoMoreFailures() {
  failures_ = reads_alone_ = false;
  if (dead()) return;
  StateOf(kNeverPut, 8);
  TestPath path = Make(kNeverPut);
  ProbePages(*store_, path, 0, 8);
  RunBackground();
}

// ---- What is left -------------------------------------------------------------------------------

void ScriptedHistory::CheckPage(const PathName& name, size_t page, PageState state) {
  const Promise promise = paths_[name].pages[page];
  if (promise == Promise::kNothing) return;
  const PageState expected = promise == Promise::kAbsent ? PageState::kMiss : PageState::kOk;
  if (state == expected) return;
  FAIL_CHECK("page " << page << " of path " << name.number << " of root " << name.root << " is "
                     << (state == PageState::kOk ? "back" : "lost") << ", promise "
                     << static_cast<int>(promise));
}

void ScriptedHistory::CheckPromises() {
  for (const auto& [name, state] : paths_) {
    TestPath path = Make(name);
    const size_t pages = state.pages.size();
    std::vector<PageState> states;
    if (state.entries_only) {
      states = ProbePages(*store_, path, 0, pages);
    } else {
      GetOutcome got = GetPages(*store_, path, 0, pages, PageBytes(name));
      CHECK(got.wrong == 0);
      states = std::move(got.states);
    }
    for (size_t i = 0; i < pages; ++i) CheckPage(name, i, states[i]);
  }
}

// Of what is entries alone, a part is given payloads: they are not there, which a put may find out.
void ScriptedHistory::CheckRepair() {
  for (auto& [name, state] : paths_) {
    TestPath path = Make(name);
    if (state.entries_only) {
      state.pages.resize(std::min<size_t>(state.pages.size(), 40));
      state.entries_only = false;
      path = Make(name);
      GetPages(*store_, path, 0, state.pages.size(), PageBytes(name));
    }
    const size_t pages = state.pages.size();
    CHECK(CountOk(PutPages(*store_, path, 0, pages, PageBytes(name))) == pages);
    CHECK(CountOk(ProbePages(*store_, path, 0, pages)) == pages);
  }
}

// The front of each path can be put and got, though it costs others.
void ScriptedHistory::CheckRepairWhenFull() {
  constexpr size_t kFront = 4;
  std::vector<PathName> names;
  for (const auto& [name, state] : paths_) names.push_back(name);
  for (const PathName& name : names) {
    Put(name, 0, kFront);
    Get(name, 0, kFront);
  }
}

void ScriptedHistory::CheckAllThere() {
  for (const auto& [name, state] : paths_) {
    TestPath path = Make(name);
    const GetOutcome got = GetPages(*store_, path, 0, state.pages.size(), PageBytes(name));
    CHECK(CountOk(got.states) == state.pages.size());
    CHECK(got.wrong == 0);
  }
}

void ScriptedHistory::Check() {
  disk_.SetCapacity(UINT64_MAX);
  ExpectNoMoreFailures();
  if (store_ == nullptr) Open();
  if (store_ == nullptr) return;
  StateOf(kNeverPut, 8);
  CheckPromises();
  CheckNothingLeaks(*store_, *disk_.Attach(), "/store");
  NoteEvicted();
  CheckPromises();
  if (setup_.evicts) {
    CheckRepairWhenFull();
  } else {
    CheckRepair();
    CheckAllThere();
  }
  Flush();
  Crash(SimulatedCrash::kPower);
  Open();
  if (store_ == nullptr) return;
  if (setup_.evicts) {
    CheckPromises();
  } else {
    CheckAllThere();
  }
}

// ---- Everywhere ---------------------------------------------------------------------------------

void CrashAnywhere(SimulatedCrash kind, const HistorySetup& setup, const Script& script) {
  bool through = false;
  for (uint64_t n = 1; !through; n += CrashStep()) {
    CAPTURE(n, static_cast<int>(kind));
    SimulatedDisk disk(n);
    ScriptedHistory history(disk, setup);
    if (setup.prepare) setup.prepare(history);
    disk.SetCrashAt(n, kind);
    if (!setup.prepare) history.Open();
    script(history);
    history.Close();
    through = !disk.crashed();
    history.Crash(kind);
    history.Check();
  }
}

void FailAnyOperation(int error, SimulatedCrash then, const HistorySetup& setup,
                      const Script& script) {
  bool through = false;
  for (uint64_t n = 1; !through; n += CrashStep()) {
    CAPTURE(n, error, static_cast<int>(then));
    SimulatedDisk disk(n);
    ScriptedHistory history(disk, setup);
    Prepare(history, setup);
    const uint64_t before = disk.operations();
    history.ExpectFailures();
    disk.FailOperation(n, error);
    script(history);
    through = disk.operations() - before < n;
    disk.FailOperation(0, 0);
    // Once more without failures: what this promises includes what the last one failed to.
    history.Flush();
    history.Crash(then);
    history.Check();
  }
}

void FailAnyRead(const HistorySetup& setup, const Script& script) {
  bool through = false;
  for (uint64_t n = 1; !through; n += CrashStep()) {
    CAPTURE(n);
    SimulatedDisk disk(n);
    ScriptedHistory history(disk, setup);
    Prepare(history, setup);
    const uint64_t before = disk.counts().reads;
    history.ExpectFailedReads();
    disk.FailRead(n, EIO);
    script(history);
    through = disk.counts().reads - before < n;
    disk.FailRead(0, 0);
    history.Check();
  }
}

void CrashEachAnywhere(const std::vector<NamedHistory>& histories) {
  const SimulatedCrash kind = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  for (const NamedHistory& history : histories) {
    DYNAMIC_SECTION(history.name) { CrashAnywhere(kind, history.setup, history.script); }
  }
}

void FailAnyOperationOfEach(const std::vector<NamedHistory>& histories, int before_power_cut,
                            int before_kill) {
  const SimulatedCrash then = GENERATE(SimulatedCrash::kPower, SimulatedCrash::kProcess);
  const int error = then == SimulatedCrash::kPower ? before_power_cut : before_kill;
  for (const NamedHistory& history : histories) {
    DYNAMIC_SECTION(history.name) { FailAnyOperation(error, then, history.setup, history.script); }
  }
}

void FailAnyReadOfEach(const std::vector<NamedHistory>& histories) {
  for (const NamedHistory& history : histories) {
    DYNAMIC_SECTION(history.name) { FailAnyRead(history.setup, history.script); }
  }
}

}  // namespace lamina::testing
