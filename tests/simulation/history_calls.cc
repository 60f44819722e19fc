// The calls of a history, and what is expected of their answers.
#include <utility>

#include "tests/simulation/history.h"
#include "tests/simulation/history_batch.h"

namespace lamina::simulation {
namespace {

std::string PageText(const PathSpec& spec, size_t page) {
  return "page " + std::to_string(page) + " of a path of " + std::to_string(spec.pages.size()) +
         " under root " + std::to_string(spec.root);
}

}  // namespace

History::Range History::DrawRange(Random* random, size_t most) {
  const auto paths = world_.paths();
  Range range;
  range.spec = &paths[random->Below(paths.size())];
  const size_t pages = range.spec->pages.size();
  range.first = random->Below(3) == 0 ? random->Below(pages) : 0;
  range.count = 1 + random->Below(std::min(most, pages - range.first));
  return range;
}

// A call that fails has met something that failed.
void History::CheckStatus(const char* call, const Status& status) {
  Answer(static_cast<uint64_t>(status.code()));
  if (trace_ && !status.ok()) Trace(std::string(call) + ": " + status.ToString());
  if (status.ok() || crashed() || faulty_open_ || lied_) return;
  Fail(std::string(call) + ": " + status.ToString());
}

void History::AcknowledgePages(const Range& range, std::span<const PageState> states, Path& path,
                               bool read) {
  NoteFailedSyncs();
  if (crashed() || silent_damage_ || lied_) return;
  const Path::Impl& keys = *path.impl();
  for (size_t i = 0; i < range.count; ++i) {
    const size_t page = range.first + i;
    if (states[i] != PageState::kOk || !keys.locations[page].found) continue;
    const Entry& entry = keys.locations[page].entry;
    oracle_.Acknowledged(range.page(i), {.tag = entry.tag(keys.fingerprints[page]),
                                         .slot = entry.slot,
                                         .durable = batch_ && !read,
                                         .read = read,
                                         .may_be_new = !read && faults_on_});
  }
}

// ---- Put, get, probe ----------------------------------------------------------------------------

void History::Put(Random* random) {
  const Range range = DrawRange(random, 24);
  // With room for everything nothing may be rejected.
  const bool roomy =
      plan_.capacity_bytes == 0 && options_.find("admission=all") != std::string::npos;
  PutRange(random, range, roomy && !faulty_open_ && !lied_);
}

void History::PutRange(Random* random, const Range& range, bool must_succeed) {
  Batch batch(world_, range, random);
  for (size_t i = 0; i < range.count; ++i) {
    const PageId id = range.page(i);
    World::Fill(id, oracle_.page(id).next_version, batch.pages[i]);
    oracle_.Putting(id);
  }
  const auto path = World::Open(*store_, *range.spec);
  if (random->Below(3) == 0) (void)store_->Probe(*path, range.first, range.count, {});
  std::vector<PageState> states(range.count, PageState::kPending);
  const auto put = store_->Put(*path, range.first, range.count, batch.ToPut(), states);
  if (!put.ok()) Fail("put: " + put.status().ToString());
  Answer(states);
  size_t leading = 0;
  while (leading < range.count && states[leading] == PageState::kOk) ++leading;
  if (leading != *put) Fail("a put counts its leading pages wrong");
  for (size_t i = 0; i < range.count; ++i) {
    if (states[i] != PageState::kOk && states[i] != PageState::kRejected)
      Fail("a put leaves a page that is neither stored nor rejected");
    if (states[i] == PageState::kOk || !must_succeed || crashed()) continue;
    Fail("a put is rejected though there is room: " + PageText(*range.spec, range.first + i) +
         "; " + store_->StatsJson());
  }
  AcknowledgePages(range, states, *path, false);
}

void History::Get(Random* random) { GetRange(random, DrawRange(random, 24), true); }

void History::GetRange(Random* random, const Range& range, bool odd_sizes) {
  Batch batch(world_, range, random);
  const auto path = World::Open(*store_, *range.spec);
  const size_t asked =
      odd_sizes && random->Below(12) == 0 ? random->Below(batch.sizes.size()) : SIZE_MAX;
  // A size that is not the page's is a miss.
  if (asked != SIZE_MAX && batch.sizes[asked] > 1) --batch.sizes[asked];
  const size_t other = asked == SIZE_MAX ? SIZE_MAX : asked / batch.per_page;
  std::vector<PageState> states(range.count, PageState::kPending);
  const auto got = store_->Get(*path, range.first, range.count, batch.ToGet(), states);
  if (!got.ok()) Fail("get: " + got.status().ToString());
  Answer(states);
  if (other != SIZE_MAX && batch.sizes[asked] != batch.bytes[other] &&
      states[other] == PageState::kOk && batch.per_page == 1)
    Fail("a page of another size is found");
  if (other != SIZE_MAX) return;
  CheckGot(range, batch, states, !faults_on_ && !lied_);
  AcknowledgePages(range, states, *path, true);
}

void History::CheckGot(const Range& range, const Batch& batch, std::span<const PageState> states,
                       bool must_find_promised) {
  for (size_t i = 0; i < range.count; ++i) {
    const PageId id = range.page(i);
    ++outcome_.pages_checked;
    if (states[i] == PageState::kPending) Fail("a get leaves a page pending");
    if (states[i] == PageState::kOk) {
      const std::string wrong = oracle_.CheckBytes(id, batch.pages[i]);
      if (!wrong.empty()) Fail(PageText(*range.spec, range.first + i) + " " + wrong);
    } else if (states[i] == PageState::kMiss && must_find_promised && !crashed() &&
               oracle_.Promised(id)) {
      Fail(PageText(*range.spec, range.first + i) + " is lost; " + store_->StatsJson());
    }
  }
}

void History::Probe(Random* random) {
  const Range range = DrawRange(random, 40);
  const auto path = World::Open(*store_, *range.spec);
  if (plan_.steps[step_].act == Act::kTouch)
    return CheckStatus("touch", store_->Touch(*path, range.first, range.count));
  std::vector<PageState> states(range.count, PageState::kPending);
  const auto found = store_->Probe(*path, range.first, range.count, states);
  if (!found.ok()) Fail("probe: " + found.status().ToString());
  Answer(states);
  const auto again = store_->Probe(*path, range.first, range.count, {});
  if (!faults_on_ && !crashed() && !lied_ && *again != *found)
    Fail("a probe that stops at the first miss finds other leading pages");
  for (size_t i = 0; i < range.count; ++i) {
    const PageId id = range.page(i);
    const bool ok = states[i] == PageState::kOk;
    if (ok && !oracle_.May(id))
      Fail(PageText(*range.spec, range.first + i) + " is present, which was erased or never put");
    if (!ok && oracle_.Promised(id) && !faults_on_ && !crashed() && !lied_)
      Fail(PageText(*range.spec, range.first + i) + " is not present; " + store_->StatsJson());
  }
}

// ---- Erase --------------------------------------------------------------------------------------

void History::Erase(Random* random) {
  const Range range = DrawRange(random, 8);
  const auto path = World::Open(*store_, *range.spec);
  // As a caller that has looked at the path before.
  if (random->Coin()) (void)store_->Probe(*path, range.first, range.count, {});
  for (size_t i = 0; i < range.count; ++i) oracle_.Erasing(range.page(i));
  const Status status = store_->Erase(*path, range.first, range.count);
  CheckStatus("erase", status);
  for (size_t i = 0; status.ok() && !crashed() && i < range.count; ++i)
    oracle_.Erased(range.page(i));
}

void History::EraseRoot(Random* random) {
  const auto root = static_cast<uint8_t>(random->Below(plan_.sizes.of_root.size()));
  const auto each_page = [&](auto each) {
    for (const PathSpec& spec : world_.paths()) {
      if (spec.root != root) continue;
      for (const PageId id : spec.pages) each(id);
    }
  };
  each_page([&](PageId id) { oracle_.Erasing(id); });
  const Status status = store_->EraseRoot(kRoots[root]);
  CheckStatus("erase_root", status);
  if (status.ok() && !crashed()) each_page([&](PageId id) { oracle_.Erased(id); });
}

// ---- Upkeep -------------------------------------------------------------------------------------

void History::Maintain(Act act, Random* random) {
  if (act == Act::kCompactAll) return CompactAll();
  if (act == Act::kFlush) {
    const Status status = store_->Flush();
    CheckStatus("flush", status);
    if (status.ok() && !crashed()) {
      LookAtSlots();
      oracle_.Flushed();
    }
    return;
  }
  const std::string target =
      random->Coin() ? "" : "target_bytes=" + std::to_string(1 + random->Below(1 << 20));
  CheckStatus("collect_garbage", store_->CollectGarbage(target).status());
}

// With what the background does on the way: a segment that is given up may hold a page that the
// disk cannot read, which is tried some times before it goes.
void History::CompactAll() {
  Status status = impl().CompactAll();
  for (uint32_t again = 2 * ReadTries::kTries; again > 0 && unreadable_ && !crashed(); --again) {
    if (status.code() != StatusCode::kIoError) break;
    status = impl().CompactAll();
  }
  CheckStatus("compact", status);
}

void History::Background(Random* random) {
  const uint64_t steps = random->Below(4) == 0 ? 100 : random->Below(10);
  for (uint64_t i = 0; i < steps; ++i) {
    if (!impl().scheduler().RunOne(random->Below(UINT64_MAX))) return;
  }
}

void History::SetCapacity(Random* random) {
  if (plan_.capacity_bytes == 0) return;
  // Quarters of what it was at first, but room for a segment of the largest pages.
  constexpr uint64_t kLeast = uint64_t{1} << 20;
  capacity_bytes_ = std::max(kLeast, plan_.capacity_bytes * (2 + random->Below(5)) / 4);
  const Status status = store_->SetCapacity(capacity_bytes_);
  // What cannot go now goes in the background.
  if (status.code() == StatusCode::kBusy || status.code() == StatusCode::kNoSpace ||
      (unreadable_ && status.code() == StatusCode::kIoError))
    return Answer(static_cast<uint64_t>(status.code()));
  CheckStatus("set_capacity", status);
  if (status.ok() && !crashed() && impl().budget().OverBytes() > 0)
    Fail("set_capacity has left the store above its capacity");
}

void History::SetShape(Random* random) {
  static constexpr const char* kShapes[] = {"leveling:2", "tiering:3", "lazy:4",
                                            "custom:4:2,3,1/1"};
  const auto shape = Shape::Parse(kShapes[random->Below(4)]);
  if (!shape.ok()) Fail(shape.status().ToString());
  CheckStatus("set_shape", impl().SetShape(*shape));
}

}  // namespace lamina::simulation
