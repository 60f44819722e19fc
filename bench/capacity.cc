#include "bench/capacity.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "bench/buffers.h"
#include "bench/run.h"

namespace lamina::bench {
namespace {

// What the store keeps of its capacity for everything that is not a segment.
constexpr uint64_t kBesideSegmentsBytes = uint64_t{16} << 20;
constexpr uint64_t kBesideSlotBytes = 400;

// A slot is whole 4 KiB blocks, with at most four significant bits.
uint64_t SlotBytesOf(uint64_t page_bytes) {
  const uint64_t blocks = RoundUp(page_bytes, kDirectIoBytes) / kDirectIoBytes;
  const auto bits = static_cast<unsigned>(std::bit_width(blocks));
  const unsigned dropped = bits > 4 ? bits - 4 : 0;
  return ((blocks + (uint64_t{1} << dropped) - 1) >> dropped << dropped) * kDirectIoBytes;
}

}  // namespace

Result<CapacityChoice> ParseCapacity(std::string_view text) {
  CapacityChoice choice;
  if (!text.ends_with('%')) {
    const Result<uint64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) return bytes.status();
    if (*bytes == 0) return Status::InvalidArgument("a capacity is more than 0");
    choice.bytes = *bytes;
    return choice;
  }
  const char* const end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, choice.percent);
  if (error != std::errc() || stop != end || !(choice.percent > 0 && choice.percent <= 100)) {
    return Status::InvalidArgument(fmt::format(
        "\"{}\" is not a share of the distinct pages (more than 0%, at most 100%)", text));
  }
  return choice;
}

Result<CapacityPlan> PlanCapacity(const CapacityChoice& choice, uint64_t distinct_pages,
                                  uint64_t page_bytes) {
  const uint64_t with_metadata = SlotBytesOf(page_bytes) + kBesideSlotBytes;
  CapacityPlan plan;
  if (choice.percent > 0) {
    plan.slots = static_cast<uint64_t>(
        std::floor(choice.percent / 100 * static_cast<double>(distinct_pages) + 1e-9));
    plan.capacity_bytes = plan.slots * with_metadata + kBesideSegmentsBytes;
  } else {
    plan.slots = (choice.bytes - std::min(choice.bytes, kBesideSegmentsBytes)) / with_metadata;
    plan.capacity_bytes = choice.bytes;
  }
  if (plan.slots > 0) return plan;
  return Status::InvalidArgument("--capacity has no room for a single page");
}

}  // namespace lamina::bench
