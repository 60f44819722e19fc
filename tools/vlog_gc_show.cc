#include "tools/vlog_gc_show.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/store/class_residents.h"
#include "engine/store/collect_plan.h"
#include "tensorlog/geometry.h"
#include "tools/common_text.h"

namespace lamina::vlog_gc {
namespace {

using tools::Counted;
using tools::Record;
using tools::Unit;

// Slots in a row that are alike: live ones, or such as can be written.
struct Runs {
  uint64_t slots = 0;
  uint64_t runs = 0;
  uint64_t longest = 0;
  uint64_t in_long = 0;  // slots in runs of 256 KiB and more
  void Add(uint64_t length, uint32_t long_run) {
    if (length == 0) return;
    slots += length;
    ++runs;
    longest = std::max(longest, length);
    if (length >= long_run) in_long += length;
  }
  void Add(const Runs& other) {
    slots += other.slots;
    runs += other.runs;
    longest = std::max(longest, other.longest);
    in_long += other.in_long;
  }
  [[nodiscard]] double mean() const {
    return runs == 0 ? 0 : static_cast<double>(slots) / static_cast<double>(runs);
  }
};

struct SegmentView {
  SegmentInfo info;
  bool absent = false;
  SlotCounts slots;
  uint64_t unproven = 0;
  Runs live;
  Runs holes;
  std::vector<uint32_t> ticks;  // of live pages: when each was used last, on the policy's clock
};

SegmentView Look(const Segment& segment) {
  SegmentView view;
  view.info = segment.info();
  view.absent = segment.absent();
  view.slots = segment.counts();
  const uint32_t long_run = MinRunSlots(segment.slot_bytes());
  uint64_t live_run = 0;
  uint64_t hole_run = 0;
  for (uint32_t i = 0; i < segment.slot_count(); ++i) {
    const Slot& slot = segment.slot(i);
    const bool live = slot.state() == SlotState::kLive;
    (live ? view.holes : view.live).Add(std::exchange(live ? hole_run : live_run, 0), long_run);
    ++(live ? live_run : hole_run);
    if (live) view.ticks.push_back(HeatOf(slot.heat(0)).tick);
    view.unproven += slot.unproven() ? 1 : 0;
  }
  view.live.Add(live_run, long_run);
  view.holes.Add(hole_run, long_run);
  return view;
}

// Since the file was written last.
std::optional<uint64_t> AgeSeconds(const std::string& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  if (error) return std::nullopt;
  const auto age = std::filesystem::file_time_type::clock::now() - written;
  return static_cast<uint64_t>(
      std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(age).count()));
}

std::string AgeText(std::optional<uint64_t> seconds) {
  if (!seconds) return "-";
  constexpr std::pair<uint64_t, char> kUnits[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
  for (const auto& [unit, letter] : kUnits) {
    if (*seconds >= 2 * unit) return std::to_string(*seconds / unit) + letter;
  }
  return std::to_string(*seconds) + "s";
}

double Share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

class Display {
 public:
  Display(const StoreState& state, Report& report) : state_(state), report_(report) {
    const SegmentTable::ReadSection section(state.log().table());
    for (const Segment* segment : state.log().table().All()) views_.push_back(Look(*segment));
    for (const SegmentView& view : views_) {
      for (const uint32_t tick : view.ticks) now_ = std::max(now_, tick);
    }
    MakePlan();
  }

  void Run() {
    std::set<uint32_t> classes;
    for (const SegmentView& view : views_) {
      if (Shown(view)) classes.insert(view.info.slot_bytes);
    }
    for (const uint32_t slot_bytes : classes) {
      PrintClass(slot_bytes);
      for (const SegmentView& view : views_) {
        if (report_.done()) return;
        if (Shown(view) && view.info.slot_bytes == slot_bytes) PrintSegment(view);
      }
    }
    PrintPlan();
  }

 private:
  [[nodiscard]] bool Shown(const SegmentView& view) const {
    return !report_.options().segment || *report_.options().segment == view.info.id;
  }

  void MakePlan() {
    std::vector<SegmentUse> uses;
    uint64_t log_bytes = 0;
    for (const SegmentView& view : views_) {
      if (view.absent) continue;
      log_bytes += view.info.bytes();
      if (Shown(view)) uses.push_back({view.info, view.slots});
    }
    plan_ = PlanCollection(uses, report_.options().target_bytes, CollectionStepBytes(log_bytes));
    for (const CollectionStep& step : plan_)
      leaving_.insert(step.segments.begin(), step.segments.end());
  }

  // What --run would do with the segment, or why not.
  [[nodiscard]] std::string Decision(const SegmentView& view) const {
    if (view.absent) return "kept: its file is not there";
    if (leaving_.contains(view.info.id)) {
      return view.slots.live == 0 ? "dropped" : "moved and dropped";
    }
    if (!WorthCollecting({view.info, view.slots})) return "kept: too much of it is live";
    return report_.options().target_bytes == UINT64_MAX ? "kept: nothing would be gained"
                                                        : "kept: the target is reached before";
  }

  // How many requests ago live pages were used last: the one used last, and the median.
  [[nodiscard]] std::pair<std::optional<uint64_t>, std::optional<uint64_t>> UsedAgo(
      std::vector<uint32_t> ticks) const {
    if (ticks.empty()) return {};
    const auto middle = ticks.begin() + static_cast<ptrdiff_t>(ticks.size() / 2);
    std::nth_element(ticks.begin(), middle, ticks.end());
    const uint32_t newest = *std::max_element(middle, ticks.end());
    return {now_ - newest, now_ - *middle};
  }

  // What nobody has open has no readers. What is open has them in another process.
  [[nodiscard]] std::optional<uint64_t> Pinned() const {
    return state_.closed() ? std::optional<uint64_t>(0) : std::nullopt;
  }

  void PrintClass(uint32_t slot_bytes) {
    SlotCounts slots;
    uint64_t segments = 0;
    uint64_t bytes = 0;
    uint64_t unproven = 0;
    Runs live;
    Runs holes;
    for (const SegmentView& view : views_) {
      if (view.info.slot_bytes != slot_bytes || !Shown(view)) continue;
      ++segments;
      bytes += view.absent ? 0 : view.info.bytes();
      slots.free += view.slots.free;
      slots.live += view.slots.live;
      slots.condemned += view.slots.condemned;
      unproven += view.unproven;
      live.Add(view.live);
      holes.Add(view.holes);
    }
    Record record("class");
    record.Number("slot_bytes", uint64_t{slot_bytes})
        .Number("segments", segments)
        .Number("bytes", bytes)
        .Number("live", slots.live)
        .Number("condemned", slots.condemned)
        .Number("free", slots.free)
        .Number("pinned", Pinned())
        .Number("unproven", unproven)
        .Real("live_share", Share(slots.live, slots.total()))
        .Real("mean_live_run", live.mean())
        .Real("mean_hole_run", holes.mean())
        .Real("holes_in_long_runs_share", Share(holes.in_long, holes.slots));
    report_.Print(
        record,
        fmt::format("slots of {}: {}, {}: {} live, {} condemned, {} free, {}\n"
                    "{:>10} {:>7} {:>7} {:>9} {:>7} {:>6} {:>9} {:>9} {:>13} {:>7}  with --run\n",
                    report_.Bytes(slot_bytes), Counted(segments, "segment"), report_.Bytes(bytes),
                    report_.Count(slots.live), report_.Count(slots.condemned),
                    report_.Count(slots.free), Pinned() ? "none pinned" : "pinned not known",
                    "segment", "slots", "live", "condemned", "free", "live %", "live runs",
                    "hole runs", "used ago", "written"));
  }

  void PrintSegment(const SegmentView& view) {
    const auto [newest, median] = UsedAgo(view.ticks);
    const auto age = view.absent ? std::nullopt : AgeSeconds(state_.SegmentPath(view.info));
    const std::string decision = Decision(view);
    Record record("segment");
    record.Number("segment", uint64_t{view.info.id})
        .Text("file", state_.SegmentPath(view.info))
        .Number("slot_bytes", uint64_t{view.info.slot_bytes})
        .Number("slots", uint64_t{view.info.slot_count})
        .Number("bytes", view.absent ? 0 : view.info.bytes())
        .Number("live", view.slots.live)
        .Number("condemned", view.slots.condemned)
        .Number("free", view.slots.free)
        .Number("pinned", Pinned())
        .Number("unproven", view.unproven)
        .Real("live_share", Share(view.slots.live, view.info.slot_count))
        .Number("live_runs", view.live.runs)
        .Number("longest_live_run", view.live.longest)
        .Number("hole_runs", view.holes.runs)
        .Number("longest_hole_run", view.holes.longest)
        .Number("requests_since_newest_use", newest)
        .Number("requests_since_median_use", median)
        .Number("age_seconds", age)
        .Flag("would_go", leaving_.contains(view.info.id))
        .Text("with_run", decision);
    const std::string used =
        newest ? std::to_string(*newest) + ".." + std::to_string(*median) : std::string("-");
    report_.Print(
        record,
        fmt::format("{:>10} {:>7} {:>7} {:>9} {:>7} {:>6.1f} {:>9.1f} {:>9.1f} {:>13} "
                    "{:>7}  {}\n",
                    view.info.id, view.info.slot_count, view.slots.live, view.slots.condemned,
                    view.slots.free, 100 * Share(view.slots.live, view.info.slot_count),
                    view.live.mean(), view.holes.mean(), used, AgeText(age), decision));
  }

  void PrintPlan() {
    uint64_t bytes = 0;
    uint64_t made = 0;
    uint64_t pages = 0;
    uint64_t copied = 0;
    uint64_t condemned = 0;
    uint64_t gained = 0;
    for (const CollectionStep& step : plan_) {
      bytes += step.bytes;
      made += step.new_segments.size();
      pages += step.pages;
      copied += step.copied_bytes();
      condemned += step.condemned;
      gained += step.gained_bytes();
    }
    Record record("plan");
    record.Number("steps", plan_.size())
        .Number("segments", leaving_.size())
        .Number("segments_to_make", made)
        .Number("pages_to_move", pages)
        .Number("bytes_to_move", copied)
        .Number("pages_condemned_to_drop", condemned)
        .Number("bytes_unlinked", bytes)
        .Number("bytes_to_free", gained);
    if (leaving_.empty()) return report_.Print(record, "with --run: nothing to gain\n");
    report_.Print(
        record,
        fmt::format("with --run: {} of {} given up: {} ({}) moved into {}, {} dropped, {} given "
                    "back\n",
                    leaving_.size(), Counted(views_.size(), "segment"), Counted(pages, "page"),
                    report_.Bytes(copied), Counted(made, "new segment"),
                    Counted(condemned, "condemned page"), report_.Bytes(gained)));
  }

  const StoreState& state_;
  Report& report_;
  std::vector<SegmentView> views_;
  uint32_t now_ = 0;  // the latest use of any page
  std::vector<CollectionStep> plan_;
  std::set<uint32_t> leaving_;
};

}  // namespace

void Show(const StoreState& state, Report& report) { Display(state, report).Run(); }

}  // namespace lamina::vlog_gc
