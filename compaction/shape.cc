#include "compaction/shape.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace lamina {
namespace {

// A decimal number up to 2^32 - 1 that takes up all of `text`.
std::optional<uint32_t> ParseNumber(std::string_view text) noexcept {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Cuts `text` at the first `separator` and returns what stands before it; all of it, leaving
// nothing, when there is none.
std::string_view TakeUntil(std::string_view* text, char separator) noexcept {
  const size_t at = text->find(separator);
  const std::string_view head = text->substr(0, at);
  *text = at == std::string_view::npos ? std::string_view() : text->substr(at + 1);
  return head;
}

Status BadText(std::string_view text) noexcept {
  return Status::InvalidArgument(
      "cannot read '" + std::string(text) +
      "' as a shape; write leveling:T, tiering:T, lazy:T or custom:T:K1,K2,...[/Z]");
}

}  // namespace

Shape Shape::Leveling(uint32_t size_ratio) noexcept {
  return {.size_ratio = size_ratio, .run_caps = {1}, .last_run_cap = 0};
}

Shape Shape::Tiering(uint32_t size_ratio) noexcept {
  return {.size_ratio = size_ratio, .run_caps = {size_ratio - 1}, .last_run_cap = 0};
}

Shape Shape::Lazy(uint32_t size_ratio) noexcept {
  return {.size_ratio = size_ratio, .run_caps = {size_ratio - 1}, .last_run_cap = 1};
}

Status Shape::Validate() const noexcept {
  if (size_ratio < kMinSizeRatio || size_ratio > kMaxSizeRatio) {
    return Status::InvalidArgument("size ratio " + std::to_string(size_ratio) +
                                   " is not within 2 to 64");
  }
  const std::string range =
      " is not within 1 to " + std::to_string(size_ratio - 1) + " (the size ratio less one)";
  if (run_caps.empty() || run_caps.size() > kMaxLevels) {
    return Status::InvalidArgument("a shape names the run caps of 1 to " +
                                   std::to_string(kMaxLevels) + " levels, not of " +
                                   std::to_string(run_caps.size()));
  }
  for (size_t i = 0; i < run_caps.size(); ++i) {
    if (run_caps[i] < 1 || run_caps[i] >= size_ratio) {
      return Status::InvalidArgument("run cap " + std::to_string(run_caps[i]) + " of level " +
                                     std::to_string(i + 1) + range);
    }
  }
  if (last_run_cap >= size_ratio) {
    return Status::InvalidArgument("run cap " + std::to_string(last_run_cap) +
                                   " of the last level" + range);
  }
  return Status::Ok();
}

uint32_t Shape::RunCap(uint32_t level, uint32_t last_level) const noexcept {
  LAMINA_CHECK(level >= 1);
  if (level >= last_level && last_run_cap != 0) return last_run_cap;
  return run_caps[std::min<size_t>(level, run_caps.size()) - 1];
}

double Shape::BatchEntries(uint32_t level, double batch_entries) const noexcept {
  double result = batch_entries;
  for (uint32_t i = 1; i < level; ++i) result *= size_ratio;
  return result;
}

double Shape::CapacityEntries(uint32_t level, double batch_entries) const noexcept {
  return (size_ratio - 1) * BatchEntries(level, batch_entries);
}

uint32_t Shape::LevelFor(double entries, double batch_entries) const noexcept {
  uint32_t level = 1;
  while (level < kMaxLevels && CapacityEntries(level, batch_entries) < entries) ++level;
  return level;
}

std::string Shape::ToString() const noexcept {
  const std::string ratio = std::to_string(size_ratio);
  if (*this == Leveling(size_ratio)) return "leveling:" + ratio;
  if (*this == Tiering(size_ratio)) return "tiering:" + ratio;
  if (*this == Lazy(size_ratio)) return "lazy:" + ratio;
  std::string text = "custom:" + ratio + ":";
  for (size_t i = 0; i < run_caps.size(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(run_caps[i]);
  }
  if (last_run_cap != 0) text += "/" + std::to_string(last_run_cap);
  return text;
}

Result<Shape> Shape::Parse(std::string_view text) noexcept {
  std::string_view rest = text;
  const std::string_view name = TakeUntil(&rest, ':');
  const bool custom = name == "custom";
  const std::optional<uint32_t> ratio = ParseNumber(custom ? TakeUntil(&rest, ':') : rest);
  if (!ratio) return BadText(text);
  Shape shape;
  if (name == "leveling") {
    shape = Leveling(*ratio);
  } else if (name == "tiering") {
    shape = Tiering(*ratio);
  } else if (name == "lazy") {
    shape = Lazy(*ratio);
  } else if (custom) {
    shape = {.size_ratio = *ratio, .run_caps = {}, .last_run_cap = 0};
    const bool has_last = rest.find('/') != std::string_view::npos;
    std::string_view caps = TakeUntil(&rest, '/');
    if (caps.ends_with(',')) return BadText(text);
    do {
      const std::optional<uint32_t> cap = ParseNumber(TakeUntil(&caps, ','));
      if (!cap || shape.run_caps.size() == kMaxLevels) return BadText(text);
      shape.run_caps.push_back(*cap);
    } while (!caps.empty());
    if (has_last) {
      const std::optional<uint32_t> cap = ParseNumber(rest);
      if (!cap || *cap == 0) return BadText(text);
      shape.last_run_cap = *cap;
    }
  } else {
    return BadText(text);
  }
  LAMINA_RETURN_IF_ERROR(shape.Validate());
  return shape;
}

bool operator==(const Shape& a, const Shape& b) noexcept {
  if (a.size_ratio != b.size_ratio || a.last_run_cap != b.last_run_cap) return false;
  if (a.run_caps.empty() || b.run_caps.empty()) return a.run_caps.empty() == b.run_caps.empty();
  const size_t levels = std::max(a.run_caps.size(), b.run_caps.size());
  for (size_t i = 0; i < levels; ++i) {
    const auto cap = [i](const Shape& s) { return s.run_caps[std::min(i, s.run_caps.size() - 1)]; };
    if (cap(a) != cap(b)) return false;
  }
  return true;
}

uint32_t CumulativeQuota(uint32_t size_ratio, uint32_t run_cap, uint32_t runs) noexcept {
  const uint32_t batches = size_ratio - 1;
  if (runs >= run_cap) return batches;
  return runs * (batches / run_cap) + std::min(runs, batches % run_cap);
}

}  // namespace lamina
