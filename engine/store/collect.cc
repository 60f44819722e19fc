#include "engine/store/collect.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "engine/base/json_writer.h"
#include "engine/base/size_text.h"
#include "engine/store/collect_plan.h"
#include "engine/store/store_impl.h"

namespace lamina {

Result<CollectOptions> CollectOptions::Parse(std::string_view text) noexcept {
  constexpr std::string_view kTarget = "target_bytes=";
  CollectOptions options;
  while (text.ends_with(';')) text.remove_suffix(1);
  if (text.empty()) return options;
  if (!text.starts_with(kTarget)) {
    return Status::InvalidArgument("collect garbage: unknown option '" + std::string(text) +
                                   "'; the only one is target_bytes=N");
  }
  text.remove_prefix(kTarget.size());
  if (!ParseSize(text, &options.target_bytes) || options.target_bytes == 0) {
    return Status::InvalidArgument("collect garbage: option target_bytes: '" + std::string(text) +
                                   "' is not a size or number from 1 to 2^64-1");
  }
  return options;
}

std::string CollectReport::ToJson() const noexcept {
  JsonWriter json;
  json.BeginObject()
      .Field("segments_freed", segments_freed)
      .Field("segments_made", segments_made)
      .Field("bytes_freed", bytes_freed)
      .Field("pages_moved", pages_moved)
      .Field("bytes_moved", bytes_moved)
      .Field("pages_condemned_dropped", pages_condemned_dropped)
      .Field("pages_bad", pages_bad)
      .Field("segments_kept", segments_kept)
      .Field("stopped", stopped)
      .Field("seconds", seconds);
  json.Key("problems").BeginArray();
  for (const std::string& problem : problems) json.Value(problem);
  json.End().End();
  return json.Take();
}

// One run. Plans anew after each step, since puts and gets go on: segments that could not be given
// up, and those that were made, are left out from then on, so it ends.
class GarbageCollector {
 public:
  GarbageCollector(Store::Impl& store, const CollectOptions& options, const std::atomic<bool>* stop,
                   CollectReport* report) noexcept
      : store_(store), log_(*store.log_), options_(options), report_(report) {
    how_.stop = stop;
  }

  Status Run() noexcept {
    const auto began = std::chrono::steady_clock::now();
    Status status;
    while (status.ok() && gained() < options_.target_bytes && !store_.Stopped(how_)) {
      const auto plan = PlanCollection(Uses(), options_.target_bytes - gained(), StepBytes());
      if (plan.empty()) break;
      Take(plan.front());
      status = store_.WritableStatus();
    }
    report_->stopped = store_.Stopped(how_);
    report_->segments_freed = retired_.segments;
    report_->bytes_freed = gained();
    report_->pages_moved = retired_.pages_moved;
    report_->bytes_moved = retired_.bytes_moved;
    report_->pages_condemned_dropped = retired_.pages_condemned;
    report_->pages_bad = retired_.pages_bad;
    report_->seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return status;
  }

 private:
  [[nodiscard]] uint64_t gained() const noexcept {
    return retired_.bytes_freed > made_bytes_ ? retired_.bytes_freed - made_bytes_ : 0;
  }

  // What was gained may be used as well. Less where there was no room for that. Each step walks the
  // whole index: steps that grow with what is given back are few, however little room there was.
  [[nodiscard]] uint64_t StepBytes() const noexcept {
    return std::min(CollectionStepBytes(log_bytes_) + gained(), room_);
  }

  [[nodiscard]] std::vector<SegmentUse> Uses() const noexcept {
    std::vector<SegmentUse> uses;
    const SegmentTable::ReadSection section(log_.table());
    for (const Segment* segment : log_.table().All()) {
      if (segment->absent() || segment->draining() || done_with_.contains(segment->id())) continue;
      if (options_.segment && *options_.segment != segment->id()) continue;
      uses.push_back({segment->info(), segment->counts()});
    }
    return uses;
  }

  void Problem(const Status& status) noexcept {
    constexpr size_t kMostProblems = 100;
    if (report_->problems.size() < kMostProblems) report_->problems.push_back(status.ToString());
  }

  // Into new segments. Where there is no room for those, a step of what there is room for is tried;
  // in the end one segment's pages go to what is free or condemned in others.
  void Take(const CollectionStep& step) noexcept {
    const uint64_t gained_before = gained();
    std::vector<uint32_t> made;
    uint64_t made_bytes = 0;
    Status status;
    for (const uint32_t slots : step.new_segments) {
      auto id = log_.AddEmptySegment(step.log_dir, step.slot_bytes, slots);
      status = id.status();
      if (!status.ok()) break;
      made.push_back(*id);
      made_bytes += uint64_t{slots} * step.slot_bytes;
      done_with_.insert(*id);
    }
    if (status.ok()) {
      how_.into = made;
      GiveUp(step.segments);
      how_.into = {};
    }
    OpenNew(made);
    if (!status.ok() && status.code() != StatusCode::kNoSpace) {
      Problem(status);
      Keep(step.segments);
    } else if (!status.ok()) {
      const bool smaller = made_bytes > 0 && made_bytes < room_;
      room_ = std::min(room_, made_bytes / 2);
      if (!smaller) Squeeze(step.segments.front(), step.slot_bytes);
    }
    // The other half is for what moves leave behind: journal, tables, slot tables.
    if (room_ != UINT64_MAX && gained() > gained_before) room_ += (gained() - gained_before) / 2;
  }

  // What cannot be read is tried again at once, until its pages are given up: a process that does
  // nothing else has no later time. What cannot be written is not: its directory is latched.
  void GiveUp(std::vector<uint32_t> segments) noexcept {
    done_with_.insert(segments.begin(), segments.end());
    Status status;
    for (uint32_t attempt = 0; attempt < ReadTries::kTries; ++attempt) {
      status = store_.Retire(segments, how_, &retired_);
      if (status.ok() || store_.Stopped(how_)) return;
      std::erase_if(segments, [this](uint32_t id) {
        return SegmentTable::ReadSection(log_.table()).Find(id) == nullptr;
      });
      if (status.code() != StatusCode::kIoError || !store_.WritableStatus().ok()) break;
    }
    Problem(status);
    report_->segments_kept += segments.size();
  }

  void Keep(std::span<const uint32_t> segments) noexcept {
    done_with_.insert(segments.begin(), segments.end());
    report_->segments_kept += segments.size();
  }

  void Squeeze(uint32_t id, uint32_t slot_bytes) noexcept {
    uint64_t live = 0;
    uint64_t room = 0;
    {
      const SegmentTable::ReadSection section(log_.table());
      for (const Segment* segment : log_.table().All()) {
        if (segment->slot_bytes() != slot_bytes || segment->absent()) continue;
        if (segment->id() == id) {
          live = segment->counts().live;
        } else if (!segment->draining()) {
          room += segment->reusable();
        }
      }
    }
    if (room >= live) return GiveUp({id});
    Problem(Status::NoSpace("segment " + std::to_string(id) + " holds " + std::to_string(live) +
                            " live pages; elsewhere there is room for " + std::to_string(room) +
                            ", and no segment may be added"));
    Keep(std::span(&id, 1));
  }

  // What was made takes new pages from now on, or goes again if it got none.
  void OpenNew(std::span<const uint32_t> made) noexcept {
    std::vector<uint32_t> unused;
    for (const uint32_t id : made) {
      bool used = false;
      {
        const SegmentTable::ReadSection section(log_.table());
        const Segment& segment = *section.Find(id);
        made_bytes_ += segment.info().bytes();
        used = segment.reusable() < segment.slot_count();
      }
      if (used) {
        (void)log_.SetDraining(id, false);
      } else {
        unused.push_back(id);
      }
    }
    report_->segments_made += made.size();
    if (unused.empty()) return;
    // They hold nothing, so this neither moves nor waits; without it they are open for puts.
    Store::Impl::RetireReport gone;
    (void)store_.Retire(unused, {}, &gone);
    made_bytes_ -= gone.bytes_freed;
    report_->segments_made -= gone.segments;
  }

  Store::Impl& store_;
  TensorLog& log_;
  const uint64_t log_bytes_ = log_.file_bytes();
  // Bytes of new segments that fit, beside as much of everything else; no bound until one did not.
  uint64_t room_ = UINT64_MAX;
  const CollectOptions& options_;
  CollectReport* const report_;
  Store::Impl::RetireHow how_;
  Store::Impl::RetireReport retired_;
  uint64_t made_bytes_ = 0;
  std::set<uint32_t> done_with_;
};

Status Store::Impl::WritableStatus() noexcept {
  {
    std::lock_guard lock(manifest_mutex_);
    LAMINA_RETURN_IF_ERROR(manifest_->status());
  }
  return journal_->status();
}

Status Store::Impl::CollectGarbage(const CollectOptions& options, const std::atomic<bool>* stop,
                                   CollectReport* report) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(GarbageCollector(*this, options, stop, report).Run());
  return call.status();
}

Result<std::string> Store::CollectGarbage(std::string_view options) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const CollectOptions parsed, CollectOptions::Parse(options));
  CollectReport report;
  LAMINA_RETURN_IF_ERROR(impl_->CollectGarbage(parsed, nullptr, &report));
  return report.ToJson();
}

}  // namespace lamina
