// Submitted calls: they wait until the plan serves them, and may be cancelled or closed over.
#include <utility>

#include "tests/simulation/history.h"
#include "tests/simulation/history_batch.h"

namespace lamina::simulation {

void History::Submit(Random* random, bool put) {
  const Range range = DrawRange(random, 16);
  auto call = std::make_unique<Submitted>(put, range, Batch(world_, range, random));
  for (size_t i = 0; put && i < range.count; ++i) {
    const PageId id = range.page(i);
    call->versions.push_back(oracle_.page(id).next_version);
    World::Fill(id, call->versions.back(), call->batch.pages[i]);
    oracle_.Submitted(id);
  }
  const auto path = World::Open(*store_, *range.spec);
  if (random->Coin()) (void)store_->Probe(*path, range.first, range.count, {});
  IoHints hints;
  hints.priority = static_cast<uint32_t>(random->Below(2));
  hints.backward = random->Coin();
  auto pending = put ? store_->SubmitPut(*path, range.first, range.count, call->batch.ToPut(),
                                         call->states, hints)
                     : store_->SubmitGet(*path, range.first, range.count, call->batch.ToGet(),
                                         call->states, hints);
  if (!pending.ok()) Fail("submit: " + pending.status().ToString());
  call->pending = std::move(*pending);
  submitted_.push_back(std::move(call));
}

void History::Serve(Random* random) {
  (void)impl().ServeOne(random->Below(UINT64_MAX));
  Collect();
}

void History::Cancel(Random* random) {
  if (submitted_.empty()) return;
  auto call = submitted_.begin();
  std::advance(call, static_cast<ptrdiff_t>(random->Below(submitted_.size())));
  const size_t first = random->Below((*call)->range.count);
  const size_t count = 1 + random->Below((*call)->range.count - first);
  const Status status = (*call)->pending.Cancel(first, count);
  if (!status.ok()) Fail("cancel: " + status.ToString());
  Collect();
}

// One call after the other, so that each is held against what was known when it was served.
void History::Wait(Random*) {
  if (submitted_.empty()) return;
  const Submitted* const last = submitted_.back().get();
  while (!submitted_.empty() && submitted_.back().get() == last) {
    if (!impl().ServeOne(0)) Fail("a submitted call is neither done nor to be served");
    Collect();
    LookAtSlots();
  }
}

// Those that are done.
void History::Collect() {
  for (auto call = submitted_.begin(); call != submitted_.end();) {
    bool done = true;
    for (const PageState state : (*call)->states) done = done && state != PageState::kPending;
    if (!done) {
      ++call;
      continue;
    }
    Settle(**call);
    call = submitted_.erase(call);
  }
}

void History::Settle(Submitted& call) {
  Answer(call.states);
  const auto leading = call.pending.Wait(0);
  if (!leading.ok()) Fail("wait: " + leading.status().ToString());
  if (!call.put) return CheckGot(call.range, call.batch, call.states, !faults_on_ && !lied_);
  for (size_t i = 0; i < call.range.count; ++i)
    oracle_.Served(call.range.page(i), call.versions[i]);
  if (crashed()) return;
  // Where the pages lie; one may have had to go for another meanwhile.
  const auto path = World::Open(*store_, *call.range.spec);
  std::vector<PageState> states(call.range.count);
  if (!store_->Probe(*path, call.range.first, call.range.count, states).ok()) return;
  AcknowledgePages(call.range, call.states, *path, false);
}

}  // namespace lamina::simulation
