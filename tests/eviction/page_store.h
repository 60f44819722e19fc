// A store as an eviction policy sees one: slots with heats and nothing in them, condemned pages
// that stay readable until their slot is taken, requests that are served as policy.h says.
//
// Every step checks what must hold of any policy: no page is condemned that is not live, of the
// pages that one request used last none goes before the one behind it, trimming ends exactly at the
// capacity, and what is put never costs its own path a page.
#ifndef LAMINA_TESTS_EVICTION_PAGE_STORE_H_
#define LAMINA_TESTS_EVICTION_PAGE_STORE_H_

#include <catch2/catch.hpp>
#include <unordered_map>
#include <vector>

#include "tensorlog/eviction/policy.h"

namespace lamina {

class PageStore final : public Residents {
 public:
  // `policy` outlives the store and may be replaced by another one, as at a restart.
  PageStore(EvictionPolicy* policy, uint32_t slots, uint64_t capacity_pages)
      : policy_(policy), slots_(slots), capacity_(capacity_pages) {}

  struct Outcome {
    size_t hits = 0;  // leading pages that were readable
    size_t written = 0;
    size_t rejected = 0;
  };

  // Probe, get and put of a path, or of independent pages.
  Outcome Serve(const std::vector<uint64_t>& keys, const RequestShape& shape = {},
                bool admit_all = false) {
    std::vector<RequestPage> pages = Ask(keys, shape);
    Outcome outcome;
    while (outcome.hits < keys.size() && pages[outcome.hits].readable) ++outcome.hits;
    std::vector<Heat> heats;
    std::vector<uint64_t> fresh;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (pages[i].readable) continue;
      heats.push_back(pages[i].heat);
      fresh.push_back(keys[i]);
    }
    outcome.written = Trim(heats, shape.flat ? std::vector<uint64_t>() : keys, admit_all);
    outcome.rejected = fresh.size() - outcome.written;
    for (size_t i = 0; i < outcome.written; ++i) Place(fresh[i], heats[i]);
    return outcome;
  }

  [[nodiscard]] bool readable(uint64_t key) const { return pages_.contains(key); }
  [[nodiscard]] bool live(uint64_t key) const {
    return readable(key) && slots_[pages_.at(key)].live;
  }
  [[nodiscard]] Heat heat(uint64_t key) const { return slots_[pages_.at(key)].heat; }
  void set_capacity(uint64_t pages) { capacity_ = pages; }
  void set_policy(EvictionPolicy* policy) { policy_ = policy; }
  // Keys in the order in which they were condemned.
  [[nodiscard]] const std::vector<uint64_t>& condemned() const { return condemned_; }

  // Condemns down to the capacity.
  void TrimAlone() { Trim({}, {}, false); }

  [[nodiscard]] uint32_t slot_count() const noexcept override {
    return static_cast<uint32_t>(slots_.size());
  }
  [[nodiscard]] uint64_t live_pages() const noexcept override { return live_; }
  [[nodiscard]] uint64_t capacity_pages() const noexcept override { return capacity_; }
  bool Live(PageHandle slot, Heat* heat) const noexcept override {
    if (slot >= slots_.size() || !slots_[slot].live) return false;
    *heat = slots_[slot].heat;
    return true;
  }
  [[nodiscard]] PageHandle LastChild(PageHandle slot) const noexcept override {
    const auto child = children_.find(slots_[slot].key);
    if (child == children_.end()) return kNoPage;
    const auto at = pages_.find(child->second);
    return at == pages_.end() ? kNoPage : at->second;
  }
  void SetHeat(PageHandle slot, const Heat& heat) noexcept override { slots_[slot].heat = heat; }
  void Condemn(PageHandle slot) noexcept override {
    REQUIRE(slots_[slot].live);
    const PageHandle child = LastChild(slot);
    if (child != kNoPage && slots_[child].live)
      REQUIRE(slots_[child].heat.tick != slots_[slot].heat.tick);
    slots_[slot].live = false;
    --live_;
    condemned_.push_back(slots_[slot].key);
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Heat heat;
    bool taken = false;
    bool live = false;
  };

  std::vector<RequestPage> Ask(const std::vector<uint64_t>& keys, const RequestShape& shape) {
    std::vector<RequestPage> pages(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      pages[i].key = keys[i];
      pages[i].readable = readable(keys[i]);
      if (pages[i].readable) pages[i].heat = heat(keys[i]);
    }
    policy_->OnRequest(shape, pages);
    for (size_t i = 0; i < keys.size(); ++i) {
      if (!shape.flat && i + 1 < keys.size()) children_[keys[i]] = keys[i + 1];
      if (!pages[i].readable) continue;
      Slot& slot = slots_[pages_.at(keys[i])];
      slot.heat = pages[i].heat;
      live_ += slot.live ? 0 : 1;
      slot.live = true;
    }
    Trim({}, {}, false);
    return pages;
  }

  size_t Trim(const std::vector<Heat>& newcomers, const std::vector<uint64_t>& path,
              bool admit_all) {
    std::vector<uint64_t> own;
    for (const uint64_t key : path)
      if (live(key)) own.push_back(key);
    const uint64_t before = live_ + newcomers.size();
    const size_t kept = TrimToCapacity(*policy_, *this, newcomers, admit_all);
    REQUIRE(kept <= newcomers.size());
    REQUIRE(live_ + kept == std::min(before, capacity_));
    if (kept > 0)
      for (const uint64_t key : own) REQUIRE(live(key));
    return kept;
  }

  void Place(uint64_t key, const Heat& heat) {
    while (slots_[cursor_].live) cursor_ = (cursor_ + 1) % slot_count();
    Slot& slot = slots_[cursor_];
    if (slot.taken) pages_.erase(slot.key);
    slot = {key, heat, true, true};
    pages_[key] = cursor_;
    ++live_;
  }

  EvictionPolicy* policy_;
  std::vector<Slot> slots_;
  uint64_t capacity_;
  uint64_t live_ = 0;
  uint32_t cursor_ = 0;
  std::unordered_map<uint64_t, PageHandle> pages_;
  std::unordered_map<uint64_t, uint64_t> children_;
  std::vector<uint64_t> condemned_;
};

}  // namespace lamina

#endif  // LAMINA_TESTS_EVICTION_PAGE_STORE_H_
