#include "compaction/picker.h"

#include <algorithm>
#include <utility>

namespace lamina {
namespace {

// The runs that a job is to take.
class Batch {
 public:
  void Take(const RunPtr& run) noexcept {
    runs_.push_back(run);
    entries_ += static_cast<double>(run->entries);
    oldest_ = std::min(oldest_, run->oldest_flush);
    newest_ = std::max(newest_, run->newest_flush);
  }
  void TakeAll(const std::vector<RunPtr>& runs) noexcept {
    for (const RunPtr& run : runs) Take(run);
  }
  [[nodiscard]] bool Has(const RunPtr& run) const noexcept {
    return std::find(runs_.begin(), runs_.end(), run) != runs_.end();
  }
  [[nodiscard]] size_t size() const noexcept { return runs_.size(); }
  [[nodiscard]] double entries() const noexcept { return entries_; }
  [[nodiscard]] uint64_t oldest() const noexcept { return oldest_; }

  // Whether a run that is not taken lies between the flushes of those that are.
  [[nodiscard]] bool Straddles(const Tree& tree) const noexcept {
    const std::vector<RunPtr> all = tree.RunsNewestFirst();
    return std::any_of(all.begin(), all.end(), [this](const RunPtr& run) {
      return run->oldest_flush > oldest_ && run->newest_flush < newest_ && !Has(run);
    });
  }

  [[nodiscard]] Job MakeJob(Job::Reason reason, uint32_t target_level) const noexcept {
    Job job;
    job.reason = reason;
    job.target_level = target_level;
    for (const RunPtr& run : runs_) {
      job.inputs.push_back({run, 0, run->tables.size()});
      job.merges_target |= run->level == target_level;
    }
    std::sort(job.inputs.begin(), job.inputs.end(), [](const JobInput& a, const JobInput& b) {
      return a.run->newest_flush > b.run->newest_flush;
    });
    // One run that need not be merged with anything keeps its bytes.
    if (runs_.size() == 1 && !job.merges_target) job.kind = Job::Kind::kMove;
    return job;
  }

 private:
  std::vector<RunPtr> runs_;
  double entries_ = 0;
  uint64_t oldest_ = UINT64_MAX;
  uint64_t newest_ = 0;
};

// The runs of a level that no job is taking away, newest first.
std::vector<RunPtr> RunsThatStay(const Tree& tree, uint32_t level,
                                 const JobsInFlight& in_flight) noexcept {
  std::vector<RunPtr> runs;
  for (const RunPtr& run : tree.level(level).runs) {
    if (!in_flight.Claims(run->id)) runs.push_back(run);
  }
  return runs;
}

double EntriesOf(const std::vector<RunPtr>& runs) noexcept {
  double entries = 0;
  for (const RunPtr& run : runs) entries += static_cast<double>(run->entries);
  return entries;
}

// The deepest level at or below `from` with a run that stays and is newer than `flush`; 0 when
// there is none, as there is not unless a job has failed.
uint32_t DeepestNewerThan(uint64_t flush, const Tree& tree, uint32_t from,
                          const JobsInFlight& in_flight) noexcept {
  for (uint32_t level = tree.last_level(); level >= from && level > 0; --level) {
    const std::vector<RunPtr> staying = RunsThatStay(tree, level, in_flight);
    if (!staying.empty() && staying.front()->newest_flush > flush) return level;
  }
  return 0;
}

// How many of a level's newest runs a batch merges with. `staying` is newest first.
size_t RunsToMergeWith(const Shape& shape, uint32_t run_cap, double weight_after, uint64_t oldest,
                       const std::vector<RunPtr>& staying) noexcept {
  if (staying.empty()) return 0;
  const size_t count = staying.size();
  const auto runs = static_cast<uint32_t>(std::min<size_t>(count, run_cap));
  const double quota = CumulativeQuota(shape.size_ratio, run_cap, runs) + 0.5;
  const size_t merged = weight_after <= quota ? 1 : 0;
  const size_t beyond_cap = count + 1 > run_cap ? count + 1 - run_cap : 0;
  const auto newer =
      static_cast<size_t>(std::count_if(staying.begin(), staying.end(), [=](const RunPtr& run) {
        return run->newest_flush > oldest;
      }));
  return std::max({merged, beyond_cap, newer});
}

// Lets a batch walk down from `level` to where it stays. None when a level on its way is closed.
std::optional<Job> Walk(const Tree& tree, const Shape& shape, const PickerOptions& options,
                        const JobsInFlight& in_flight, Batch batch, uint32_t level,
                        Job::Reason reason) noexcept {
  const uint32_t last = std::max(tree.last_level(), in_flight.deepest_target());
  for (; level <= kMaxLevels; ++level) {
    if (in_flight.Targets(level)) return std::nullopt;
    const std::vector<RunPtr> staying = RunsThatStay(tree, level, in_flight);
    const double batch_size = shape.BatchEntries(level, options.batch_entries);
    const double weight_after = (EntriesOf(staying) + batch.entries()) / batch_size;
    Batch with_target = batch;
    if (weight_after <= shape.size_ratio - 0.5 || level == kMaxLevels) {
      const size_t merged = RunsToMergeWith(shape, shape.RunCap(level, std::max(last, level)),
                                            weight_after, batch.oldest(), staying);
      with_target.TakeAll({staying.begin(), staying.begin() + static_cast<ptrdiff_t>(merged)});
      if (DeepestNewerThan(with_target.oldest(), tree, level + 1, in_flight) == 0) {
        // Runs between its flushes are on their way down, claimed: wait for them.
        if (with_target.Straddles(tree)) return std::nullopt;
        return with_target.MakeJob(reason, level);
      }
    }
    batch.TakeAll(staying);
    if (reason == Job::Reason::kBatch) reason = Job::Reason::kSpill;
  }
  return std::nullopt;
}

double DeadShare(const TableMeta& table, const DeadEntries& dead_entries) noexcept {
  if (table.entry_count == 0) return 0;
  return static_cast<double>(dead_entries(table)) / static_cast<double>(table.entry_count);
}

}  // namespace

uint64_t Job::input_entries() const noexcept {
  uint64_t sum = 0;
  for (const JobInput& input : inputs) {
    for (const TableMeta& table : input.tables()) sum += table.entry_count;
  }
  return sum;
}

uint64_t Job::input_bytes() const noexcept {
  uint64_t sum = 0;
  for (const JobInput& input : inputs) {
    for (const TableMeta& table : input.tables()) sum += table.file_bytes;
  }
  return sum;
}

std::string Job::ToString() const noexcept {
  const char* verb = kind == Kind::kMove ? "move" : kind == Kind::kMerge ? "merge" : "rewrite";
  std::string text = std::string(ReasonName(reason)) + ": " + verb + " " +
                     std::to_string(inputs.size()) + (inputs.size() == 1 ? " run" : " runs") +
                     " of levels " + std::to_string(inputs.front().run->level) + " to " +
                     std::to_string(inputs.back().run->level) + " (" +
                     std::to_string(input_entries()) + " entries, " +
                     std::to_string(input_bytes()) + " bytes) into level " +
                     std::to_string(target_level);
  return text;
}

const char* ReasonName(Job::Reason reason) noexcept {
  switch (reason) {
    case Job::Reason::kBatch:
      return "batch";
    case Job::Reason::kSpill:
      return "spill";
    case Job::Reason::kSmallFlushes:
      return "small flushes";
    case Job::Reason::kRunCap:
      return "run cap";
    case Job::Reason::kCapacity:
      return "capacity";
    case Job::Reason::kFull:
      return "full";
    case Job::Reason::kGarbage:
      return "garbage";
    case Job::Reason::kLift:
      return "lift";
  }
  return "unknown";
}

void JobsInFlight::Add(const Job& job) noexcept {
  for (const JobInput& input : job.inputs) claimed_.push_back(input.run->id);
  targets_.push_back(job.target_level);
}

void JobsInFlight::Remove(const Job& job) noexcept {
  for (const JobInput& input : job.inputs) {
    LAMINA_CHECK(std::erase(claimed_, input.run->id) == 1);
  }
  const auto target = std::find(targets_.begin(), targets_.end(), job.target_level);
  LAMINA_CHECK(target != targets_.end());
  targets_.erase(target);
}

bool JobsInFlight::Claims(RunId run) const noexcept {
  return std::find(claimed_.begin(), claimed_.end(), run) != claimed_.end();
}

bool JobsInFlight::Targets(uint32_t level) const noexcept {
  return std::find(targets_.begin(), targets_.end(), level) != targets_.end();
}

uint32_t JobsInFlight::deepest_target() const noexcept {
  return targets_.empty() ? 0 : *std::max_element(targets_.begin(), targets_.end());
}

std::optional<Job> PickCompaction(const Tree& tree, const Shape& shape,
                                  const PickerOptions& options,
                                  const JobsInFlight& in_flight) noexcept {
  LAMINA_CHECK(options.batch_entries > 0 && options.max_small_runs >= 2);
  if (in_flight.Targets(0)) return std::nullopt;
  Batch batch;
  batch.TakeAll(RunsThatStay(tree, 0, in_flight));
  if (batch.entries() < 0.5 * options.batch_entries) {
    if (batch.size() < options.max_small_runs) return std::nullopt;
    if (!batch.Straddles(tree)) return batch.MakeJob(Job::Reason::kSmallFlushes, 0);
  }
  return Walk(tree, shape, options, in_flight, std::move(batch), 1, Job::Reason::kBatch);
}

namespace {

// A run that is moved up takes no more of its level, so that it does not come down again with the
// next batch.
constexpr double kMostFill = 0.8;

// All runs from the level up that has room for what is alive, into one run there; none where the
// last level may have several runs, or is that level.
std::optional<Job> PickFold(const Tree& tree, const Shape& shape, const PickerOptions& options,
                            const JobsInFlight& in_flight) noexcept {
  const uint32_t last = tree.last_level();
  if (options.live_entries == 0 || !in_flight.empty()) return std::nullopt;
  const auto live = static_cast<double>(options.live_entries);
  uint32_t target = 1;
  while (target < last && live > kMostFill * shape.CapacityEntries(target, options.batch_entries))
    ++target;
  if (target >= last || shape.RunCap(target, target) != 1) return std::nullopt;
  Batch batch;
  for (uint32_t level = target; level <= last; ++level) {
    batch.TakeAll(RunsThatStay(tree, level, in_flight));
  }
  if (batch.Straddles(tree)) return std::nullopt;
  return batch.MakeJob(Job::Reason::kCapacity, target);
}

}  // namespace

std::optional<Job> PickEager(const Tree& tree, const Shape& shape, const PickerOptions& options,
                             const JobsInFlight& in_flight) noexcept {
  if (auto job = PickFold(tree, shape, options, in_flight)) return job;
  const uint32_t last = std::max(tree.last_level(), in_flight.deepest_target());
  for (uint32_t level = 1; level <= tree.last_level(); ++level) {
    if (in_flight.Targets(level)) continue;
    std::vector<RunPtr> staying = RunsThatStay(tree, level, in_flight);
    const double batch_size = shape.BatchEntries(level, options.batch_entries);
    const uint32_t cap = shape.RunCap(level, last);
    Batch batch;
    std::optional<Job> job;
    if (EntriesOf(staying) / batch_size > shape.size_ratio - 0.5 && level < kMaxLevels) {
      batch.TakeAll(staying);
      job = Walk(tree, shape, options, in_flight, std::move(batch), level + 1,
                 Job::Reason::kCapacity);
    } else if (staying.size() > cap) {
      staying.resize(staying.size() - cap + 1);
      batch.TakeAll(staying);
      if (!batch.Straddles(tree)) job = batch.MakeJob(Job::Reason::kRunCap, level);
    }
    if (job) return job;
  }
  return std::nullopt;
}

std::optional<Job> PickLift(const Tree& tree, const Shape& shape, const PickerOptions& options,
                            const JobsInFlight& in_flight) noexcept {
  const uint32_t last = tree.last_level();
  if (last < 2 || !in_flight.empty() || tree.level(last).runs.size() != 1) return std::nullopt;
  const RunPtr& run = tree.level(last).runs.front();
  const auto entries = static_cast<double>(run->entries);
  const auto fits = [&](uint32_t level) {
    return entries <= kMostFill * shape.CapacityEntries(level, options.batch_entries);
  };
  uint32_t target = last;
  while (target > 1 && tree.level(target - 1).runs.empty() && fits(target - 1)) --target;
  if (target == last || shape.RunCap(target, target) != 1) return std::nullopt;
  Batch batch;
  batch.Take(run);
  return batch.MakeJob(Job::Reason::kLift, target);
}

std::optional<Job> PickFull(const Tree& tree, const Shape& shape, const PickerOptions& options,
                            const JobsInFlight& in_flight) noexcept {
  if (!in_flight.empty() || tree.run_count() == 0) return std::nullopt;
  const uint32_t level = shape.LevelFor(static_cast<double>(tree.entries()), options.batch_entries);
  Batch batch;
  batch.TakeAll(tree.RunsNewestFirst());
  Job job = batch.MakeJob(Job::Reason::kFull, level);
  job.kind = Job::Kind::kMerge;  // even of one run: dead entries are to go
  return job;
}

std::optional<Job> PickGarbage(const Tree& tree, uint64_t tagged_slots,
                               const DeadEntries& dead_entries, const PickerOptions& options,
                               const JobsInFlight& in_flight) noexcept {
  if (static_cast<double>(tree.entries()) <= 1.5 * static_cast<double>(tagged_slots)) {
    return std::nullopt;
  }
  JobInput emptiest;
  double most = 0.1;
  for (const RunPtr& run : tree.RunsNewestFirst()) {
    // Elsewhere the level is about to change anyway.
    if (in_flight.Claims(run->id) || in_flight.Targets(run->level)) continue;
    for (size_t i = 0; i < run->tables.size(); ++i) {
      const double share = DeadShare(run->tables[i], dead_entries);
      if (share < most || (share == most && emptiest.run != nullptr)) continue;
      most = share;
      emptiest = {run, i, 1};
    }
  }
  if (emptiest.run == nullptr) return std::nullopt;

  const std::vector<TableMeta>& tables = emptiest.run->tables;
  uint64_t bytes = tables[emptiest.first_table].file_bytes;
  const auto joins = [&](size_t i) {
    if (bytes + tables[i].file_bytes > options.garbage_bytes) return false;
    if (DeadShare(tables[i], dead_entries) < most / 2) return false;
    bytes += tables[i].file_bytes;
    return true;
  };
  while (emptiest.first_table + emptiest.table_count < tables.size() &&
         joins(emptiest.first_table + emptiest.table_count)) {
    ++emptiest.table_count;
  }
  while (emptiest.first_table > 0 && joins(emptiest.first_table - 1)) {
    --emptiest.first_table;
    ++emptiest.table_count;
  }
  Job job;
  job.kind = Job::Kind::kRewrite;
  job.reason = Job::Reason::kGarbage;
  job.target_level = emptiest.run->level;
  job.merges_target = true;
  job.inputs.push_back(std::move(emptiest));
  return job;
}

TreeEdit EditFor(const Job& job, RunId run, std::vector<TableMeta> outputs) noexcept {
  TreeEdit edit;
  if (job.kind == Job::Kind::kRewrite) {
    TreeEdit::TableChange change;
    change.run = job.inputs.front().run->id;
    for (const TableMeta& table : job.inputs.front().tables())
      change.remove.push_back(table.number);
    change.add = std::move(outputs);
    edit.change_runs.push_back(std::move(change));
    return edit;
  }
  for (const JobInput& input : job.inputs) edit.remove_runs.push_back(input.run->id);
  Run result;
  if (job.kind == Job::Kind::kMove) {
    result = *job.inputs.front().run;
  } else {
    result.id = run;
    result.oldest_flush = job.oldest_flush();
    result.newest_flush = job.newest_flush();
    result.tables = std::move(outputs);
    result.Summarize();
  }
  result.level = job.target_level;
  edit.add_runs.push_back(std::move(result));
  return edit;
}

}  // namespace lamina
