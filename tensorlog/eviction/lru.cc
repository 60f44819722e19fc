#include "tensorlog/eviction/lru.h"

#include "tensorlog/eviction/heat_bits.h"
#include "tensorlog/eviction/state_format.h"

namespace lamina {

void Lru::OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept {
  if (pages.empty()) return;
  ++clock_;
  const size_t unit = std::max<uint32_t>(shape.pages_per_unit, 1);
  const size_t last_unit = (pages.size() - 1) / unit;
  for (size_t i = 0; i < pages.size(); ++i) {
    HeatFields heat;
    heat.tail = static_cast<uint32_t>(std::min<size_t>(last_unit - i / unit, kMaxTail));
    pages[i].seen = recent_.Touch(pages[i].key) || pages[i].readable;
    pages[i].heat = {static_cast<uint32_t>(clock_), Pack(heat)};
  }
}

// In (0, 1], falling with age.
double Lru::Worth(const Heat& heat) const noexcept {
  return 1.0 / (1.0 + static_cast<uint32_t>(static_cast<uint32_t>(clock_) - heat.tick));
}

void Lru::SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept {
  recent_.SetCapacity(capacity_pages, record_bytes);
}

uint64_t Lru::memory_bytes() const noexcept {
  return sizeof *this + recent_.table().memory_bytes();
}

void Lru::Save(std::string* out) noexcept {
  StateHeader header;
  header.kind = static_cast<uint32_t>(PolicyKind::kLru);
  header.clock = clock_;
  header.random = random_.state();
  AppendState(header, {}, recent_.table(), out);
}

Status Lru::Load(std::string_view bytes) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const SavedState state, ParseState(bytes, PolicyKind::kLru));
  LAMINA_RETURN_IF_ERROR(recent_.Load(state));
  clock_ = state.header.clock;
  random_ = SplitMix(state.header.random);
  return Status::Ok();
}

Heat Lru::UnknownHeat() const noexcept { return {static_cast<uint32_t>(clock_), Pack({})}; }

void Lru::OnRecovered(const Heat& heat) noexcept {
  const auto ahead = static_cast<int32_t>(heat.tick - static_cast<uint32_t>(clock_));
  if (ahead > 0) clock_ += static_cast<uint32_t>(ahead);
}

std::string Lru::Explain() const noexcept {
  return "{\"policy\": \"lru\", \"clock_requests\": " + std::to_string(clock_) + "}";
}

}  // namespace lamina
