#include "bench/capacity.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "bench/run.h"

namespace lamina::bench {
namespace {

// The most pages whose CapacityFor fits in `bytes`.
uint64_t PagesWithin(uint64_t bytes, uint64_t page_bytes) {
  uint64_t least = 0;
  uint64_t most = bytes / page_bytes;
  while (least < most) {
    const uint64_t middle = least + (most - least + 1) / 2;
    if (CapacityFor(middle, page_bytes) <= bytes) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  return least;
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
  CapacityPlan plan;
  if (choice.percent > 0) {
    plan.slots = static_cast<uint64_t>(
        std::floor(choice.percent / 100 * static_cast<double>(distinct_pages) + 1e-9));
    plan.capacity_bytes = CapacityFor(plan.slots, page_bytes);
  } else {
    plan.slots = PagesWithin(choice.bytes, page_bytes);
    plan.capacity_bytes = choice.bytes;
  }
  if (plan.slots > 0) return plan;
  return Status::InvalidArgument("--capacity has no room for a single page");
}

}  // namespace lamina::bench
