#include "tests/simulation/history.h"

#include <cstdio>
#include <utility>

#include "tests/simulation/history_batch.h"

namespace lamina::simulation {

History::History(const Plan& plan, bool trace)
    : plan_(plan),
      trace_(trace),
      world_random_(plan.seed + 17),
      world_(&world_random_, plan.sizes, plan.paths, plan.longest_path),
      disk_(plan.seed, plan.disk),
      capacity_bytes_(plan.capacity_bytes) {
  disk_.SetFaults(plan_.always);
}

History::~History() {
  // A violation may have left calls behind.
  for (auto& call : submitted_) (void)call->pending.Detach();
  store_.reset();
}

Outcome History::Run() {
  try {
    Random random(plan_.seed + 29);
    Open(&random);
    for (; step_ < plan_.steps.size() && !outcome_.gave_up; ++step_) {
      Do(plan_.steps[step_]);
      AfterStep();
    }
    if (!outcome_.gave_up) Finish();
  } catch (const Violation& violation) {
    outcome_.violation = violation.what();
  }
  outcome_.step = step_;
  outcome_.faults = disk_.counts().faults;
  Answer(disk_.operations());
  return outcome_;
}

void History::Do(const Step& step) {
  Random random(step.seed);
  if (trace_) Trace(NameOf(step.act));
  switch (step.act) {
    case Act::kPut:
      return Put(&random);
    case Act::kGet:
      return Get(&random);
    case Act::kProbe:
    case Act::kTouch:
      return Probe(&random);
    case Act::kErase:
      return Erase(&random);
    case Act::kEraseRoot:
      return EraseRoot(&random);
    case Act::kFlush:
    case Act::kCompactAll:
    case Act::kCollectGarbage:
      return Maintain(step.act, &random);
    case Act::kSetCapacity:
      return SetCapacity(&random);
    case Act::kSetShape:
      return SetShape(&random);
    case Act::kBackground:
      return Background(&random);
    case Act::kSubmitPut:
      return Submit(&random, true);
    case Act::kSubmitGet:
      return Submit(&random, false);
    case Act::kServe:
      return Serve(&random);
    case Act::kCancel:
      return Cancel(&random);
    case Act::kWait:
      return Wait(&random);
    case Act::kReopen:
      return Reopen(&random);
    case Act::kCrash:
      return CrashNow(&random);
    case Act::kCrashLater:
      crash_kind_ = random.Coin() ? SimulatedCrash::kPower : SimulatedCrash::kProcess;
      return disk_.SetCrashAt(1 + random.Below(random.Coin() ? 12 : 120), crash_kind_);
    case Act::kFaultsBegin:
      return BeginFaults(&random);
    case Act::kFaultsEnd:
      return EndFaults(&random);
    case Act::kFailOperation:
      return FailOne(&random, false);
    case Act::kFailRead:
      return FailOne(&random, true);
    case Act::kFillDisk:
      return FillDisk(&random);
    case Act::kDecay:
      return Decay(&random);
    case Act::kQuiesce:
      return Quiesce();
  }
}

void History::AfterStep() {
  const uint64_t seed = step_ < plan_.steps.size() ? plan_.steps[step_].seed : plan_.seed;
  Random random(seed + 1);
  if (store_ != nullptr && !crashed()) {
    LookAtSlots();
    const uint64_t steps = random.Coin() ? 0 : random.Below(4);
    for (uint64_t i = 0; i < steps; ++i) (void)impl().scheduler().RunOne(random.Below(UINT64_MAX));
  }
  if (store_ != nullptr) LookAtSlots();
  if (crashed()) Recover(&random);
}

// What the slots say of the pages that are promised. Pages go as the store condemns them; of those
// whose slots hold something else by now it must have condemned some.
void History::LookAtSlots() {
  NoteFailedSyncs();
  const StoreCounters& counters = impl().counters();
  const uint64_t evicted = counters.pages_evicted;
  const uint64_t damage = counters.index_damage + counters.index_given_up;
  if (damage != damage_) {
    if (!faulty_open_ && !lied_ && !crashed()) Fail("a part of the index is damaged");
    oracle_.PromiseNothing();
  }
  const bool evicts = evicted != evicted_;
  // A dead process may forget what the disk still has.
  const bool excused = evicts || (!crashed() && (faults_on_ || lied_));
  const Oracle::Seen seen = oracle_.Look(impl().log(), excused);
  if (seen.vanished > 0 && !excused && !crashed())
    Fail(std::to_string(seen.vanished) + " promised pages have left their slots");
  damage_ = damage;
  evicted_ = evicted;
}

void History::NoteFailedSyncs() {
  const SimulatedFailedSyncs now = disk_.FailedSyncs(".segment");
  const SimulatedFailedSyncs before = std::exchange(failed_syncs_, now);
  if (now != before) oracle_.SyncFailed(now.lossy != before.lossy);
}

// At the end nothing fails any more; a store that works is left, with all that was promised.
void History::Finish() {
  Random random(plan_.seed + 43);
  if (faults_on_) EndFaults(&random);
  LookAtSlots();
  Close(random.Coin());
  if (plan_.trouble != Trouble::kNone && !crashed() && random.Coin()) {
    crash_kind_ = SimulatedCrash::kPower;
    disk_.Crash(crash_kind_);
    if (trace_) Trace("POWER CUT");
  }
  if (crashed() && crash_kind_ == SimulatedCrash::kPower) oracle_.PowerCut();
  capacity_bytes_ = plan_.capacity_bytes;  // room for a page again, if it was little
  Open(&random, "admission=all");
  if (outcome_.gave_up) return;
  CheckAllPages();
  Quiesce();
  CheckRepair();
  CheckAllPages();
  Close(false);
}

void History::Trace(const std::string& what) const {
  std::fprintf(stderr, "  %3zu  op %6llu  %s\n", step_,
               static_cast<unsigned long long>(disk_.operations()), what.c_str());
}

void History::Fail(const std::string& what) const {
  const std::string act = step_ < plan_.steps.size() ? NameOf(plan_.steps[step_].act) : "the end";
  throw Violation("step " + std::to_string(step_) + " (" + act + "): " + what +
                  "\n  options: " + options_);
}

void History::Answer(uint64_t word) {
  outcome_.digest = (outcome_.digest ^ word) * 0x9E3779B97F4A7C15u;
  outcome_.digest ^= outcome_.digest >> 29;
}

void History::Answer(std::span<const PageState> states) {
  for (const PageState state : states) Answer(static_cast<uint64_t>(state));
}

}  // namespace lamina::simulation
