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

void Oracle::Acknowledged(PageId id, uint64_t tag, bool durable, bool read) {
  Page& page = pages_[id];
  if (read) page.suspect = false;
  // A put skips what is present, without reading it.
  if (page.suspect || page.doubtful) return;
  page.promised = true;
  page.durable = page.durable || durable;
  page.tag = tag;
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
  page.doubtful = false;
}

void Oracle::Flushed() {
  for (auto& [id, page] : pages_) page.durable = page.promised;
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
  for (auto& [id, page] : pages_) page.promised = page.durable;
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
  std::unordered_map<uint64_t, bool> live;  // by tag: whether a slot that is not condemned has it
  log.ForEachSlot([&](Segment&, uint32_t, Slot& slot) {
    if (slot.tag() != 0) live[slot.tag()] |= slot.state() == SlotState::kLive;
  });
  Seen seen;
  for (auto& [id, page] : pages_) {
    if (!page.promised) continue;
    const auto found = live.find(page.tag);
    if (found != live.end() && found->second) continue;
    const bool condemned = found != live.end();
    ++(condemned ? seen.condemned : seen.vanished);
    if (condemned || may_vanish) page.promised = page.durable = false;
  }
  return seen;
}

}  // namespace lamina::simulation
