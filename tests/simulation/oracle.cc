#include "tests/simulation/oracle.h"

#include <algorithm>
#include <unordered_map>

namespace lamina::simulation {
namespace {

void AddOnce(std::vector<uint32_t>* versions, uint32_t version) {
  if (std::find(versions->begin(), versions->end(), version) == versions->end())
    versions->push_back(version);
}

}  // namespace

void Oracle::Putting(PageId id) {
  Page& page = pages_[id];
  AddOnce(&page.may, page.next_version);
}

void Oracle::Submitted(PageId id) {
  Putting(id);
  pages_[id].on_their_way.push_back(pages_[id].next_version);
}

void Oracle::Served(PageId id, uint32_t version) {
  std::vector<uint32_t>& versions = pages_[id].on_their_way;
  versions.erase(std::find(versions.begin(), versions.end(), version));
}

void Oracle::Acknowledged(PageId id, const Answer& answer) {
  Page& page = pages_[id];
  if (answer.read) page.suspect = false;
  // A put skips what is present, without reading it.
  if (page.suspect || page.doubtful) return;
  page.promised = true;
  // A copy that cannot be read is given up for the new one, which is as durable as its put.
  if (answer.may_be_new && answer.slot != page.slot) page.durable = false;
  page.durable = page.durable || (answer.durable && !page.sync_failed);
  page.tag = answer.tag;
  page.slot = answer.slot;
}

void Oracle::Erasing(PageId id) {
  Page& page = pages_[id];
  page.promised = page.durable = false;
  page.doubtful = true;
  ++page.next_version;
}

void Oracle::Erased(PageId id) {
  if (trust_nothing_) return;
  Page& page = pages_[id];
  // A put that is served later may store what it was given before.
  page.may = page.on_their_way;
  page.doubtful = page.sync_failed = false;
}

void Oracle::Flushed() {
  for (auto& [id, page] : pages_) page.durable = page.promised && !page.sync_failed;
}

void Oracle::SyncFailed(bool lossy) {
  for (auto& [id, page] : pages_) {
    if (page.may.empty() || page.durable) continue;
    page.promised = false;
    page.doubtful = true;
    page.sync_failed = page.sync_failed || lossy;
  }
}

void Oracle::PromiseNothing() {
  for (auto& [id, page] : pages_) page.promised = page.durable = false;
}

void Oracle::Opened() {
  for (auto& [id, page] : pages_) page.doubtful = false;
}

void Oracle::Suspect() {
  PromiseNothing();
  for (auto& [id, page] : pages_) page.suspect = true;
}

void Oracle::PowerCut() {
  // What is there now, is there for good.
  for (auto& [id, page] : pages_) {
    page.promised = page.durable;
    page.sync_failed = false;
  }
}

std::string Oracle::CheckBytes(PageId id, std::span<const std::byte> bytes) const {
  const auto found = pages_.find(id);
  if (found == pages_.end()) return "was never put";
  const Page& page = found->second;
  for (const uint32_t version : page.may)
    if (World::Holds(id, version, bytes)) return {};
  for (uint32_t version = 0; version <= page.next_version; ++version) {
    if (World::Holds(id, version, bytes))
      return "was erased, and is back: version " + std::to_string(version) +
             ", the next put's is " + std::to_string(page.next_version);
  }
  for (const auto& [other, unused] : pages_)
    if (World::Holds(other, pages_.at(other).next_version, bytes))
      return "has the bytes of another page";
  return "has bytes that no page was given";
}

bool Oracle::Promised(PageId id) const {
  const auto found = pages_.find(id);
  return found != pages_.end() && found->second.promised;
}

bool Oracle::May(PageId id) const {
  const auto found = pages_.find(id);
  return found != pages_.end() && !found->second.may.empty();
}

void Oracle::TrustNothing() {
  trust_nothing_ = true;
  PromiseNothing();
  for (auto& [id, page] : pages_)
    for (uint32_t version = 0; version < page.next_version; ++version) AddOnce(&page.may, version);
}

Oracle::Seen Oracle::Look(const TensorLog& log, bool may_vanish) {
  struct Held {
    SlotRef expected;
    bool there = false;   // in any slot
    bool live = false;    // in one that is not condemned:
    bool own = false;     // in the expected one
    bool proven = false;  // in one whose bytes are known to be right
    SlotRef slot;
  };
  std::unordered_map<uint64_t, Held> tags;
  for (auto& [id, page] : pages_)
    if (page.promised) tags[page.tag].expected = page.slot;
  log.ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
    const auto found = tags.find(slot.tag());
    if (found == tags.end()) return;
    Held& held = found->second;
    held.there = true;
    if (slot.state() != SlotState::kLive) return;
    const SlotRef at = {segment.id(), number};
    held.live = true;
    held.own |= at == held.expected;
    if (!held.proven) held.slot = at;
    held.proven |= !slot.unproven();
  });
  Seen seen;
  for (auto& [id, page] : pages_) {
    if (!page.promised) continue;
    const Held& held = tags[page.tag];
    // After a crash the journal may give a page's tag to a slot that its put gave back, and that
    // has other bytes by now. Where the page itself was evicted, that one is not in its place.
    if (held.live && (held.own || held.proven || !may_vanish)) {
      if (!held.own) page.slot = held.slot;
      continue;
    }
    ++(held.there ? seen.condemned : seen.vanished);
    if (held.there || may_vanish) page.promised = page.durable = false;
  }
  return seen;
}

}  // namespace lamina::simulation
