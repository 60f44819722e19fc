#include "tests/crash/scripted_history.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <utility>

#include "tests/crash/leaks.h"

namespace lamina::testing {
namespace {

// A path of which no page is put before the end.
const PathName kNeverPut = {"never put", 0};

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

void ScriptedHistory::Open() {
  auto opened =
      OpenSimulatedStore(disk_.Attach(), setup_.options, 0, {}, [&](StoreEnvironment* environment) {
        environment->single_threaded = true;
        if (setup_.arrange) setup_.arrange(environment);
      });
  open_status_ = opened.status();
  Expect("open", open_status_);
  if (opened.ok()) store_ = std::move(*opened);
  // As with a flush that fails so.
  if (failures_ && !batch_ && open_status_.message().find("sync") != std::string_view::npos)
    Weaken(Promise::kAcknowledged, Promise::kNothing);
}

ScriptedHistory::PathState& ScriptedHistory::StateOf(const PathName& name, size_t pages) {
  PathState& state = paths_[name];
  if (state.pages.size() < pages) state.pages.resize(pages, Promise::kAbsent);
  return state;
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
                                   const std::vector<PageState>& states) {
  if (disk_.crashed()) return;
  const Promise made = batch_ ? Promise::kDurable : Promise::kAcknowledged;
  for (size_t i = 0; i < states.size(); ++i) {
    Promise& promise = paths_[name].pages[first + i];
    if (states[i] == PageState::kOk) promise = std::max(promise, made);
  }
  if (CountOk(states) != states.size())
    Expect("put", Status::NoSpace(TextOf(store_->StatsJson(), "last_rejection")));
  NoteLatched();
}

void ScriptedHistory::Put(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  Begun(name, first, count);
  TestPath path = Make(name);
  Acknowledged(name, first, PutPages(*store_, path, first, count, setup_.page_bytes));
}

void ScriptedHistory::PutEntries(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  Begun(name, first, count);
  paths_[name].entries_only = true;
  TestPath path = Make(name);
  const auto put = store_->impl()->PutEntries(*path.path->impl(), first, count, setup_.page_bytes);
  const size_t stored = put.ok() ? *put : 0;
  std::vector<PageState> states(count, PageState::kRejected);
  std::fill_n(states.begin(), stored, PageState::kOk);
  Acknowledged(name, first, states);
}

void ScriptedHistory::Get(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  StateOf(name, first + count);
  TestPath path = Make(name);
  const GetOutcome got = GetPages(*store_, path, first, count, setup_.page_bytes);
  CHECK(got.wrong == 0);
  if (failures_ || disk_.crashed()) return;
  for (size_t i = 0; i < count; ++i) CheckPage(name, first + i, got.states[i]);
}

void ScriptedHistory::Erase(const PathName& name, size_t first, size_t count) {
  if (dead()) return;
  std::vector<Promise>& pages = StateOf(name, first + count).pages;
  for (size_t i = first; i < first + count; ++i) pages[i] = std::min(pages[i], Promise::kNothing);
  TestPath path = Make(name);
  const Status erased = store_->Erase(*path.path, first, count);
  Expect("erase", erased);
  if (!erased.ok() || disk_.crashed()) return;
  for (size_t i = first; i < first + count; ++i) pages[i] = Promise::kAbsent;
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
}

void ScriptedHistory::Flush() {
  if (dead()) return;
  const Status flushed = store_->Flush();
  Expect("flush", flushed);
  NoteLatched();
  if (flushed.ok() && !disk_.crashed()) Weaken(Promise::kAcknowledged, Promise::kDurable);
}

void ScriptedHistory::CompactAll() {
  if (dead()) return;
  Expect("compact", store_->impl()->CompactAll());
  NoteLatched();
}

void ScriptedHistory::SetShape(const Shape& shape) {
  if (!dead()) Expect("set_shape", store_->impl()->SetShape(shape));
}

void ScriptedHistory::RunBackground() {
  while (!dead() && store_->impl()->scheduler().RunOne()) {
  }
  if (!dead()) NoteLatched();
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

void ScriptedHistory::ExpectNoMoreFailures() {
  failures_ = false;
  if (dead()) return;
  StateOf(kNeverPut, 8);
  TestPath path = Make(kNeverPut);
  ProbePages(*store_, path, 0, 8);
  RunBackground();
}

void ScriptedHistory::Excuse() {
  if (store_ == nullptr) return;
  if (store_->StatsJson().find("\"recovery_notes\":[]") != std::string::npos) return;
  Weaken(Promise::kAcknowledged, Promise::kNothing);
  Weaken(Promise::kDurable, Promise::kNothing);
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
      GetOutcome got = GetPages(*store_, path, 0, pages, setup_.page_bytes);
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
      GetPages(*store_, path, 0, state.pages.size(), setup_.page_bytes);
    }
    const size_t pages = state.pages.size();
    CHECK(CountOk(PutPages(*store_, path, 0, pages, setup_.page_bytes)) == pages);
    CHECK(CountOk(ProbePages(*store_, path, 0, pages)) == pages);
  }
}

void ScriptedHistory::CheckAllThere() {
  for (const auto& [name, state] : paths_) {
    TestPath path = Make(name);
    const GetOutcome got = GetPages(*store_, path, 0, state.pages.size(), setup_.page_bytes);
    CHECK(CountOk(got.states) == state.pages.size());
    CHECK(got.wrong == 0);
  }
}

void ScriptedHistory::Check() {
  ExpectNoMoreFailures();
  if (store_ == nullptr) Open();
  if (store_ == nullptr) return;
  StateOf(kNeverPut, 8);
  CheckPromises();
  CheckNothingLeaks(*store_, *disk_.Attach(), "/store");
  CheckPromises();
  CheckRepair();
  CheckAllThere();
  CHECK(store_->Flush().ok());
  Crash(SimulatedCrash::kPower);
  Open();
  if (store_ != nullptr) CheckAllThere();
}

// ---- Everywhere ---------------------------------------------------------------------------------

void CrashAnywhere(SimulatedCrash kind, const HistorySetup& setup, const Script& script) {
  bool through = false;
  for (uint64_t n = 1; !through; n += CrashStep()) {
    CAPTURE(n, static_cast<int>(kind));
    SimulatedDisk disk(n);
    ScriptedHistory history(disk, setup);
    disk.SetCrashAt(n, kind);
    history.Open();
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
    history.Open();
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
    history.Open();
    const uint64_t before = disk.counts().reads;
    history.ExpectFailures();
    disk.FailRead(n, EIO);
    script(history);
    through = disk.counts().reads - before < n;
    disk.FailRead(0, 0);
    history.Check();
  }
}

}  // namespace lamina::testing
