#include "tensorlog/eviction/s3fifo.h"

#include <algorithm>

#include "tensorlog/eviction/heat_bits.h"

namespace lamina {
namespace {

// The small queue's share of the pages is 1 in so many.
constexpr size_t kSmallShare = 10;
constexpr uint32_t kMaxFrequency = 3;
// Uses beyond the first that take a page from the small queue to the main one.
constexpr uint32_t kPromotionUses = 2;
// Second chances given in one search.
constexpr size_t kMaxChances = 64;

// The queue is in the field `turn`, the frequency in `uses`. The tick is when the page entered its
// queue, so the request that used it last is in `level` and `gap`: 13 bits of that request's tick.
bool IsMain(const HeatFields& heat) noexcept { return heat.turn != 0; }

void SetRequest(HeatFields* heat, uint64_t tick) noexcept {
  heat->level = tick % kLevels;
  heat->gap = tick / kLevels % 64;
}

// Of a page that another request used, seldom: every 8192nd looks the same.
bool SameRequest(const Heat& page, const Heat& newcomer) noexcept {
  const HeatFields a = Unpack(page.bits);
  const HeatFields b = Unpack(newcomer.bits);
  return a.level == b.level && a.gap == b.gap;
}

}  // namespace

void S3Fifo::OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept {
  if (pages.empty()) return;
  ++clock_;
  const size_t unit = std::max<uint32_t>(shape.pages_per_unit, 1);
  const size_t last_unit = (pages.size() - 1) / unit;
  for (size_t i = 0; i < pages.size(); ++i) {
    RequestPage& page = pages[i];
    const bool recent = recent_.Touch(page.key);
    HeatFields heat;
    if (page.readable) {
      heat = Unpack(page.heat.bits);
      heat.uses = std::min(heat.uses + 1, kMaxFrequency);
    } else {
      heat.turn = recent ? 1 : 0;
      page.heat.tick = static_cast<uint32_t>(clock_);
    }
    heat.tail = static_cast<uint32_t>(std::min<size_t>(last_unit - i / unit, kMaxTail));
    SetRequest(&heat, clock_);
    page.heat.bits = Pack(heat);
    page.seen = recent || page.readable;
  }
}

const Candidate& S3Fifo::Head(std::span<const Candidate> candidates) const noexcept {
  size_t small = 0;
  for (const Candidate& candidate : candidates)
    small += IsMain(Unpack(candidate.heat.bits)) ? 0 : 1;
  const bool from_main = small * kSmallShare < candidates.size();
  const auto newer = [&](const Candidate& a, const Candidate& b) {
    const bool a_out = IsMain(Unpack(a.heat.bits)) == from_main;
    const bool b_out = IsMain(Unpack(b.heat.bits)) == from_main;
    if (a_out != b_out) return b_out;
    return AgeOf(a.heat.tick) < AgeOf(b.heat.tick);
  };
  return *std::max_element(candidates.begin(), candidates.end(), newer);
}

bool S3Fifo::PutBack(Residents& residents, const Candidate& head, bool own) noexcept {
  HeatFields heat = Unpack(head.heat.bits);
  const bool earned = IsMain(heat) ? heat.uses > 0 : heat.uses >= kPromotionUses;
  if (!earned && !own) return false;
  if (earned) {
    heat.uses = IsMain(heat) ? heat.uses - 1 : 0;
    heat.turn = 1;
  }
  ++clock_;
  residents.SetHeat(head.slot, {static_cast<uint32_t>(clock_), Pack(heat)});
  return true;
}

void S3Fifo::PickVictims(Residents& residents, const Heat* newcomer, bool admit_all, size_t want,
                         std::vector<PageHandle>* victims) noexcept {
  if (want == 0) return;
  const VictimSearch::Spared spared = {admit_all ? newcomer : nullptr, SameRequest};
  for (size_t chance = 0;; ++chance) {
    VictimSearch::Candidates sample;
    const size_t count = VictimSearch::Gather(residents, random_, spared, &sample);
    if (count == 0) return;
    const Candidate& head = Head(std::span(sample.data(), count));
    const bool own = newcomer != nullptr && SameRequest(head.heat, *newcomer);
    if (chance < kMaxChances && PutBack(residents, head, own)) continue;
    if (!own) VictimSearch::FollowPath(residents, head, want, victims);
    return;
  }
}

// The main queue before the small one, then by chances left, then by age.
double S3Fifo::Worth(const Heat& heat) const noexcept {
  const HeatFields fields = Unpack(heat.bits);
  const double recency = 1.0 / (1.0 + AgeOf(heat.tick));
  return (IsMain(fields) ? kMaxFrequency + 1 : 0) + fields.uses + recency;
}

void S3Fifo::SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept {
  recent_.SetCapacity(capacity_pages, record_bytes);
}

uint64_t S3Fifo::memory_bytes() const noexcept {
  return sizeof *this + recent_.table().memory_bytes();
}

void S3Fifo::Save(std::string* out) noexcept {
  StateHeader header;
  header.kind = static_cast<uint32_t>(PolicyKind::kS3Fifo);
  header.clock = clock_;
  header.random = random_.state();
  AppendState(header, {}, recent_.table(), out);
}

Status S3Fifo::Load(std::string_view bytes) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const SavedState state, ParseState(bytes, PolicyKind::kS3Fifo));
  LAMINA_RETURN_IF_ERROR(recent_.Load(state));
  clock_ = state.header.clock;
  random_ = SplitMix(state.header.random);
  return Status::Ok();
}

Heat S3Fifo::UnknownHeat() const noexcept { return {static_cast<uint32_t>(clock_), Pack({})}; }

void S3Fifo::OnRecovered(const Heat& heat) noexcept {
  const auto ahead = static_cast<int32_t>(heat.tick - static_cast<uint32_t>(clock_));
  if (ahead > 0) clock_ += static_cast<uint32_t>(ahead);
}

std::string S3Fifo::Explain() const noexcept {
  return "{\"policy\": \"s3fifo\", \"clock\": " + std::to_string(clock_) +
         ", \"records\": " + std::to_string(recent_.table().size()) +
         ", \"records_limit\": " + std::to_string(recent_.table().limit()) + "}";
}

}  // namespace lamina
