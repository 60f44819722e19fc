// Opening and closing the store, crashes and recoveries, and what the disk does to it.
#include <cerrno>
#include <utility>

#include "tests/simulation/history.h"
#include "tests/simulation/history_batch.h"

namespace lamina::simulation {

void History::Open(Random* random, const std::string& more_options) {
  options_ = plan_.DrawOptions(random) + ";" + more_options;
  // Some openings meet an error, as long as there is another try; the last one does not, since what
  // it latches would stay.
  const bool last = step_ >= plan_.steps.size();
  if (!last && plan_.trouble >= Trouble::kErrors && random->Below(6) == 0) {
    FailOne(random, random->Below(3) == 0);
    const bool opened = TryOpen(options_);
    // A slot table that cannot be read costs its segment's pages, whose slots are used again; what
    // of that has become durable is not known.
    oracle_.Suspect();
    if (opened && !crashed()) {
      faulty_open_ = true;
      EndFaults(random);
      return;
    }
    EndFaults(random);
  }
  faulty_open_ = faults_on_;
  const bool opened = TryOpen(options_);
  if (faults_on_) oracle_.Suspect();
  if (!opened) {
    // With faults on, until there are none.
    if (!faults_on_) {
      outcome_.gave_up = true;
      return;
    }
    EndFaults(random);
    faulty_open_ = false;
    if (!TryOpen(options_)) outcome_.gave_up = true;
  }
}

bool History::TryOpen(const std::string& options) {
  StoreEnvironment environment;
  environment.file_system = disk_.Restart();
  if (crash_in_open_ != 0) disk_.SetCrashAt(std::exchange(crash_in_open_, 0), crash_kind_);
  environment.seed = plan_.seed + 1;
  environment.capacity_bytes = capacity_bytes_;
  environment.single_threaded = true;
  environment.retry_after = std::chrono::milliseconds(0);
  auto parsed = Options::Parse(options);
  if (!parsed.ok()) Fail(parsed.status().ToString());
  batch_ = parsed->durability == Options::Durability::kBatch;
  auto opened = Store::Impl::Open("/store", *parsed, std::move(environment));
  Answer(static_cast<uint64_t>(opened.status().code()));
  evicted_ = damage_ = 0;
  if (opened.ok()) oracle_.Opened();
  NoteFailedSyncs();
  if (opened.ok()) {
    store_ = std::make_unique<Store>(std::move(*opened));
    if (trace_) Trace("opened: " + options);
    return true;
  }
  if (trace_) Trace("not opened: " + opened.status().ToString());
  if (crashed() || faults_on_) return false;
  if (!lied_) Fail("cannot be opened: " + opened.status().ToString());
  if (opened.status().message().find('/') == std::string_view::npos)
    Fail("an open that fails names no file: " + opened.status().ToString());
  return false;
}

// As a process that ends; the calls that it has submitted end with it.
void History::Close(bool detach) {
  for (auto& call : submitted_) {
    if (detach) (void)call->pending.Detach();
    call->pending = Pending();
  }
  store_.reset();
  NoteFailedSyncs();
  for (auto& call : submitted_) {
    for (size_t i = 0; i < call->range.count; ++i) {
      if (call->states[i] == PageState::kPending) Fail("a page of a closed store is pending");
      if (call->put) oracle_.Served(call->range.page(i), call->versions[i]);
    }
  }
  submitted_.clear();
}

void History::Reopen(Random* random) {
  Close(random->Coin());
  if (crashed()) return;  // AfterStep recovers
  Open(random);
}

void History::CrashNow(Random* random) {
  crash_kind_ = random->Coin() ? SimulatedCrash::kPower : SimulatedCrash::kProcess;
  disk_.Crash(crash_kind_);
}

// Opens what a crash has left; that may crash as well, several times.
void History::Recover(Random* random) {
  ++outcome_.crashes;
  if (trace_) Trace(crash_kind_ == SimulatedCrash::kPower ? "POWER CUT" : "KILLED");
  if (store_ != nullptr) Close(random->Coin());
  EndFaultsOfDisk();
  if (crash_kind_ == SimulatedCrash::kPower) oracle_.PowerCut();
  for (uint64_t again = random->Below(3) == 0 ? 1 + random->Below(3) : 0; again > 0; --again) {
    crash_kind_ = random->Coin() ? SimulatedCrash::kPower : SimulatedCrash::kProcess;
    crash_in_open_ = 1 + random->Below(random->Coin() ? 10 : 60);
    options_ = plan_.DrawOptions(random);
    const bool opened = TryOpen(options_);
    if (!crashed()) disk_.SetCrashAt(0, crash_kind_);
    if (!opened && !crashed()) {
      outcome_.gave_up = true;
      return;
    }
    if (opened && !crashed()) {
      LookAtSlots();
      disk_.Crash(crash_kind_);
    }
    if (opened) Close(false);
    if (crash_kind_ == SimulatedCrash::kPower) oracle_.PowerCut();
    ++outcome_.crashes;
  }
  Open(random);
  if (outcome_.gave_up || crashed()) return;
  LookAtSlots();
  if (random->Coin()) CheckAllPages();
}

// ---- Faults -------------------------------------------------------------------------------------

void History::BeginFaults(Random* random) {
  const SimulatedFaults faults = plan_.DrawFaults(random);
  const bool silent = faults.flip_on_read > 0 || faults.misdirected_read > 0 ||
                      faults.stale_read > 0 || faults.lost_write > 0 ||
                      faults.misdirected_write > 0;
  if (silent) NoteSilentDamage();
  disk_.SetFaults(faults);
  faults_on_ = faulty_open_ = true;
  silent_damage_ = silent_damage_ || silent;
}

void History::NoteSilentDamage() {
  oracle_.Suspect();
  if (plan_.trouble != Trouble::kAnything) return;
  lied_ = true;
  oracle_.TrustNothing();
}

void History::EndFaultsOfDisk() {
  // Of pages that were put meanwhile, too.
  if (silent_damage_) NoteSilentDamage();
  disk_.SetFaults(plan_.always);
  disk_.FailOperation(0, 0);
  disk_.FailRead(0, 0);
  disk_.SetCapacity(UINT64_MAX);
  faults_on_ = silent_damage_ = false;
}

void History::EndFaults(Random* random) {
  const bool were_on = faults_on_;
  if (!were_on) return;
  if (store_ != nullptr && !crashed()) LookAtSlots();
  EndFaultsOfDisk();
  if (store_ == nullptr || crashed()) return;
  // A look-up finds that tables are missing, and the background opens them.
  const Range range = DrawRange(random, 4);
  std::vector<PageState> states(range.count);
  (void)store_->Probe(*World::Open(*store_, *range.spec), range.first, range.count, states);
  RunBackground();
}

void History::FailOne(Random* random, bool read) {
  constexpr int kErrors[] = {EIO, ENOSPC, EDQUOT, ENOMEM};
  const int error = kErrors[random->Below(4)];
  const uint64_t at = 1 + random->Below(random->Coin() ? 8 : 60);
  const uint64_t count = random->Below(4) == 0 ? 1 + random->Below(20) : 1;
  if (trace_) {
    Trace("fails " + std::string(read ? "read " : "operation ") + std::to_string(at) + " and " +
          std::to_string(count - 1) + " more, errno " + std::to_string(error));
  }
  if (read) {
    disk_.FailRead(at, EIO, count);
  } else {
    disk_.FailOperation(at, error, count);
  }
  faults_on_ = faulty_open_ = true;
}

void History::FillDisk(Random* random) {
  const auto space = disk_.Attach()->Space("/");
  if (!space.ok()) return;
  const uint64_t used = UINT64_MAX - space->free_bytes;
  if (space->total_bytes == UINT64_MAX) disk_.SetCapacity(used + random->Below(256 << 10));
  faults_on_ = faulty_open_ = true;
}

void History::Decay(Random* random) {
  std::vector<std::string> files;
  for (const std::string& file : disk_.Files())
    if (plan_.trouble == Trouble::kAnything || file.ends_with(".segment")) files.push_back(file);
  if (files.empty()) return;
  const std::string& file = files[random->Below(files.size())];
  const auto opened = disk_.Attach()->Open(file, {});
  const auto size = opened.ok() ? (*opened)->Size() : Result<uint64_t>(opened.status());
  if (!size.ok() || *size == 0) return;
  NoteSilentDamage();
  faulty_open_ = true;
  const uint64_t at = random->Below(*size);
  switch (random->Below(3)) {
    case 0:
      (void)disk_.FlipBit(file, at * 8 + random->Below(8));
      return;
    case 1: {
      const std::vector<std::byte> zeros(std::min<uint64_t>(*size - at, 1 + random->Below(8192)));
      (void)disk_.Overwrite(file, at, zeros);
      return;
    }
    default:
      unreadable_ = true;
      (void)disk_.MakeUnreadable(file, at, 1);
  }
}

}  // namespace lamina::simulation
