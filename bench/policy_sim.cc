#include "bench/policy_sim.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "bench/page_name.h"
#include "bench/page_numbers.h"
#include "engine/base/status.h"

namespace lamina::bench {
namespace {

constexpr uint32_t kSegments = 64;
constexpr uint64_t kNothing = UINT64_MAX;

}  // namespace

class PolicySimulator::Store final : public Residents {
 public:
  explicit Store(const PolicySimOptions& options)
      : options_(options),
        capacity_(std::max<uint64_t>(
            1, static_cast<uint64_t>(
                   std::floor(options.logical_share * static_cast<double>(options.slots) + 1e-9)))),
        slots_(options.slots),
        segment_slots_((options.slots + kSegments - 1) / kSegments) {
    options_.policy.capacity_pages = capacity_;
    policy_ = MakePolicy(options_.policy);
  }

  void Step(const Request& request);
  void Restart(const std::string& policy_state);
  void ForgetCounts() { result_ = {}; }
  [[nodiscard]] const PolicySimResult& result() const { return result_; }
  [[nodiscard]] EvictionPolicy& policy() { return *policy_; }

  [[nodiscard]] uint32_t slot_count() const noexcept override {
    return static_cast<uint32_t>(slots_.size());
  }
  [[nodiscard]] uint64_t live_pages() const noexcept override { return live_; }
  [[nodiscard]] uint64_t capacity_pages() const noexcept override { return capacity_; }
  [[nodiscard]] bool Live(PageHandle slot, Heat* heat) const noexcept override;
  [[nodiscard]] PageHandle LastChild(PageHandle slot) const noexcept override;
  void SetHeat(PageHandle slot, const Heat& heat) noexcept override { slots_[slot].heat = heat; }
  void Condemn(PageHandle slot) noexcept override;

 private:
  struct Slot {
    uint64_t page = kNothing;  // dense number of the page
    Heat heat;
    PageHandle child = kNoPage;
    bool live = false;
  };
  struct Page {
    PageHandle slot = kNoPage;
    uint64_t child = kNothing;  // the page behind it on the path that used it last
  };

  void NumberPages(const Request& request);
  void CountHits();
  void Use();
  void PutRest();
  PageHandle TakeSlot(uint64_t rest);
  bool FindRun(uint64_t least, PageHandle* start);
  void Place(size_t i, PageHandle slot);
  [[nodiscard]] PageHandle SegmentEnd(PageHandle slot) const {
    return static_cast<PageHandle>(
        std::min<uint64_t>(slots_.size(), (slot / segment_slots_ + 1) * segment_slots_));
  }

  PolicySimOptions options_;
  uint64_t capacity_;
  std::unique_ptr<EvictionPolicy> policy_;
  std::vector<Slot> slots_;
  uint64_t segment_slots_;
  PageHandle cursor_ = 0;
  uint64_t run_left_ = 0;  // slots of the run at the cursor that are taken already
  uint64_t live_ = 0;
  std::vector<Page> pages_;
  PageNumbers numbers_;
  // Of the request at hand, by page of its path.
  std::vector<uint64_t> path_;
  std::vector<RequestPage> asked_;
  PolicySimResult result_;
};

bool PolicySimulator::Store::Live(PageHandle slot, Heat* heat) const noexcept {
  if (slot >= slots_.size() || !slots_[slot].live) return false;
  *heat = slots_[slot].heat;
  return true;
}

PageHandle PolicySimulator::Store::LastChild(PageHandle slot) const noexcept {
  switch (options_.links) {
    case ChildLinks::kLinked:
      return slots_[slot].child;
    case ChildLinks::kAdjacent:
      return slot + 1;
    case ChildLinks::kNone:
      break;
  }
  return kNoPage;
}

void PolicySimulator::Store::Condemn(PageHandle slot) noexcept {
  slots_[slot].live = false;
  --live_;
  ++result_.evictions;
  const uint64_t child = pages_[slots_[slot].page].child;
  if (child == kNothing || pages_[child].slot == kNoPage) return;
  if (slots_[pages_[child].slot].live) ++result_.stranded;
}

void PolicySimulator::Store::Step(const Request& request) {
  NumberPages(request);
  ++result_.requests;
  result_.pages += path_.size();
  CountHits();
  Use();
  PutRest();
  result_.max_live = std::max(result_.max_live, live_);
}

void PolicySimulator::Store::NumberPages(const Request& request) {
  path_ = numbers_.Of(request);
  pages_.resize(numbers_.count());
}

void PolicySimulator::Store::CountHits() {
  uint64_t run = 0;
  PageHandle before = kNoPage;
  const auto end_run = [&] {
    if (run >= options_.run_pages) result_.restored_in_runs += run;
    run = 0;
  };
  for (uint64_t page : path_) {
    const PageHandle slot = pages_[page].slot;
    if (slot == kNoPage) break;
    ++result_.hits;
    if (before == kNoPage || slot != before + 1 || slot % segment_slots_ == 0) end_run();
    ++run;
    before = slot;
  }
  end_run();
}

// Shows the request to the policy, and brings what was condemned and is used back to life.
void PolicySimulator::Store::Use() {
  asked_.assign(path_.size(), {});
  for (size_t i = 0; i < path_.size(); ++i) {
    asked_[i].key = Mix(path_[i]);
    const PageHandle slot = pages_[path_[i]].slot;
    if (slot == kNoPage) continue;
    asked_[i].readable = true;
    asked_[i].heat = slots_[slot].heat;
  }
  policy_->OnRequest({.flat = options_.flat, .pages_per_unit = options_.pages_per_unit}, asked_);
  PageHandle child = kNoPage;
  for (size_t i = path_.size(); i-- > 0;) {
    Page& page = pages_[path_[i]];
    if (i + 1 < path_.size()) page.child = path_[i + 1];
    if (page.slot != kNoPage) {
      Slot& slot = slots_[page.slot];
      slot.heat = asked_[i].heat;
      slot.child = child;
      if (!slot.live) {
        slot.live = true;
        ++live_;
        ++result_.condemned_hits;
      }
    }
    child = page.slot;
  }
  TrimToCapacity(*policy_, *this, {}, false);
}

void PolicySimulator::Store::PutRest() {
  std::vector<size_t> fresh;
  std::vector<Heat> heats;
  bool refused = false;
  for (size_t i = 0; i < path_.size(); ++i) {
    if (pages_[path_[i]].slot != kNoPage) continue;
    refused = refused ||
              (options_.admission == PolicySimOptions::Admission::kSecondUse && !asked_[i].seen);
    if (refused) {
      ++result_.rejected;
      continue;
    }
    fresh.push_back(i);
    heats.push_back(asked_[i].heat);
  }
  const bool admit_all = options_.admission != PolicySimOptions::Admission::kPolicy;
  const size_t kept = TrimToCapacity(*policy_, *this, heats, admit_all);
  result_.rejected += fresh.size() - kept;
  result_.written += kept;
  for (size_t i = 0; i < kept; ++i) Place(fresh[i], TakeSlot(kept - i));
  // The links of this path to the pages just placed.
  for (size_t i = 0; i + 1 < path_.size() && kept > 0; ++i) {
    const PageHandle slot = pages_[path_[i]].slot;
    if (slot != kNoPage) slots_[slot].child = pages_[path_[i + 1]].slot;
  }
  run_left_ = 0;
}

// The next slot to overwrite, of a run within one segment that is as long as what is left to write
// or as run_pages, or else of the longest run there is.
PageHandle PolicySimulator::Store::TakeSlot(uint64_t rest) {
  if (run_left_ == 0) {
    PageHandle start = cursor_;
    for (uint64_t least = std::min<uint64_t>(rest, options_.run_pages);; --least)
      if (FindRun(least, &start)) break;
    PageHandle end = start;
    while (end < SegmentEnd(start) && !slots_[end].live && end - start < rest) ++end;
    cursor_ = start;
    run_left_ = end - start;
  }
  --run_left_;
  const PageHandle slot = cursor_;
  cursor_ = static_cast<PageHandle>((cursor_ + 1) % slots_.size());
  return slot;
}

// A run of at least `least` slots that are not live, looking once around from the cursor.
bool PolicySimulator::Store::FindRun(uint64_t least, PageHandle* start) {
  PageHandle at = cursor_;
  for (uint64_t seen = 0; seen <= slots_.size();) {
    const PageHandle end = SegmentEnd(at);
    PageHandle stop = at;
    while (stop < end && !slots_[stop].live) ++stop;
    if (stop - at >= least) {
      *start = at;
      return true;
    }
    while (stop < end && slots_[stop].live) ++stop;
    seen += stop - at;
    at = static_cast<PageHandle>(stop % slots_.size());
  }
  return false;
}

void PolicySimulator::Store::Place(size_t i, PageHandle slot) {
  Slot& to = slots_[slot];
  if (to.page != kNothing) pages_[to.page].slot = kNoPage;
  to.page = path_[i];
  to.heat = asked_[i].heat;
  to.child = kNoPage;
  to.live = true;
  ++live_;
  pages_[path_[i]].slot = slot;
}

void PolicySimulator::Store::Restart(const std::string& policy_state) {
  policy_ = MakePolicy(options_.policy);
  if (!policy_state.empty()) LAMINA_CHECK(policy_->Load(policy_state).ok());
  for (const Slot& slot : slots_)
    if (slot.live) policy_->OnRecovered(slot.heat);
}

PolicySimulator::PolicySimulator(const PolicySimOptions& options)
    : store_(std::make_unique<Store>(options)) {}
PolicySimulator::~PolicySimulator() = default;
void PolicySimulator::Step(const Request& request) { store_->Step(request); }
void PolicySimulator::ForgetCounts() { store_->ForgetCounts(); }
void PolicySimulator::Restart(const std::string& state) { store_->Restart(state); }
const PolicySimResult& PolicySimulator::result() const { return store_->result(); }
EvictionPolicy& PolicySimulator::policy() { return store_->policy(); }

PolicySimResult SimulatePolicy(std::span<const Request> requests, const PolicySimOptions& options,
                               size_t first_counted) {
  PolicySimulator simulator(options);
  for (size_t r = 0; r < requests.size(); ++r) {
    if (r == first_counted) simulator.ForgetCounts();
    simulator.Step(requests[r]);
  }
  return simulator.result();
}

}  // namespace lamina::bench
