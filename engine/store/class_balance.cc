// Between classes: which segment is given up for a class that is short of slots.
//
// Within a class the policy decides page by page. Between classes space moves by segments: each
// time a class has evicted, or turned away, an eighth of a segment's pages, the mean worth of these
// is compared, per byte, with the segments of least worth of all other classes. A margin keeps
// segments from going back and forth.
#include <algorithm>
#include <limits>
#include <utility>

#include "engine/store/evictor.h"

namespace lamina {
namespace {

// Worth of the segment to be given up over that of what it would save, at most.
constexpr double kTransferMargin = 0.9;
constexpr uint32_t kSamples = 32;
// Segments that pass at once: they share a checkpoint.
constexpr uint64_t kMostAtOnce = 16;

}  // namespace

void Evictor::NoteShort(uint32_t slot_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  demands_[slot_bytes].no_slots = true;
}

// Pages that a class loses before a transfer is weighed.
uint64_t Evictor::LossDue(const ClassResidents& residents) noexcept {
  return residents.parts().front().segment->slot_count() / 8;
}

void Evictor::NoteLost(ClassResidents& residents, std::span<const Heat> rejected) noexcept {
  Demand& demand = demands_[residents.slot_bytes()];
  const auto lose = [&](const Heat& heat) {
    ++demand.pages;
    demand.worth += policy_->Worth(heat);
  };
  for (const Heat& heat : residents.TakeVictims()) lose(heat);
  for (const Heat& heat : rejected) lose(heat);
  if (classes_.size() > 1 && !residents.parts().empty() && demand.pages >= LossDue(residents))
    transfer_due_.store(true, std::memory_order_relaxed);
}

// Of a segment, per byte: the mean over its slots; those that hold nothing live count as nothing.
double Evictor::SegmentWorth(const Segment& segment) noexcept {
  double sum = 0;
  for (uint32_t i = 0; i < kSamples; ++i) {
    const uint32_t at = sampler_.Below(segment.slot_count());
    const Slot& slot = segment.slot(at);
    if (slot.state() == SlotState::kLive) sum += policy_->Worth(HeatOf(slot.heat(0)));
  }
  return sum / kSamples / segment.slot_bytes();
}

std::optional<Evictor::Transfer> Evictor::NextTransfer() noexcept {
  transfer_due_.store(false, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  std::vector<uint32_t> sizes;
  for (const ClassStats& one : log_.Stats(false)) sizes.push_back(one.slot_bytes);
  for (auto& [slot_bytes, demand] : demands_) {
    if (!demand.no_slots && demand.pages == 0) continue;
    if (options_.growable(slot_bytes) > 0) {
      demand = {};
      continue;
    }
    ClassResidents& needy = ClassOf(slot_bytes);
    const ClassResidents::Session session(needy, 0);
    const bool has_none = needy.usable_slots() == 0;
    const uint64_t due = has_none ? 0 : LossDue(needy);
    if (has_none ? !demand.no_slots : demand.pages < due) continue;
    const uint64_t wanted = has_none ? 1 : std::min(demand.pages / due, kMostAtOnce);
    const double lost = demand.worth / std::max<double>(1, static_cast<double>(demand.pages));
    const double bound =
        has_none ? std::numeric_limits<double>::infinity() : kTransferMargin * lost / slot_bytes;
    demand = {};
    Transfer transfer = {LeastWorth(sizes, slot_bytes, bound, wanted), slot_bytes};
    if (!transfer.segments.empty()) return transfer;
  }
  return std::nullopt;
}

// Up to `count` segments of other classes that are worth less than `bound` per byte.
std::vector<uint32_t> Evictor::LeastWorth(const std::vector<uint32_t>& sizes, uint32_t except,
                                          double bound, uint64_t count) noexcept {
  std::vector<std::pair<double, uint32_t>> candidates;
  for (const uint32_t slot_bytes : sizes) {
    if (slot_bytes == except) continue;
    ClassResidents& donor = ClassOf(slot_bytes);
    const ClassResidents::Session session(donor, 0);
    for (const ClassResidents::Part& part : donor.parts()) {
      if (part.segment->draining()) continue;
      const double worth = SegmentWorth(*part.segment);
      if (worth < bound) candidates.emplace_back(worth, part.segment->id());
    }
  }
  std::sort(candidates.begin(), candidates.end());
  candidates.resize(std::min<size_t>(candidates.size(), count));
  std::vector<uint32_t> ids;
  for (const auto& [worth, id] : candidates) ids.push_back(id);
  return ids;
}

std::vector<uint32_t> Evictor::SegmentsByLiveBytes() noexcept {
  struct Candidate {
    uint64_t live_bytes;
    uint32_t id;
  };
  std::vector<Candidate> candidates;
  const SegmentTable::ReadSection section(log_.table());
  for (const Segment* segment : log_.table().All()) {
    // What is not there gives nothing back, and may come back with its pages.
    if (segment->draining() || segment->absent()) continue;
    candidates.push_back({uint64_t{segment->counts().live} * segment->slot_bytes(), segment->id()});
  }
  // Of equals the newest: the log stays packed at its beginning.
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.live_bytes != b.live_bytes ? a.live_bytes < b.live_bytes : a.id > b.id;
  });
  std::vector<uint32_t> ids;
  for (const Candidate& one : candidates) ids.push_back(one.id);
  return ids;
}

}  // namespace lamina
