// Compaction: what the picker says is next, carried out in the background, and installed.
#include <algorithm>
#include <map>
#include <utility>

#include "compaction/compaction_task.h"
#include "compaction/garbage.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// Input bytes of one step: how long a flush may have to wait for a merge.
constexpr uint64_t kStepBytes = uint64_t{4} << 20;
constexpr uint32_t kDefaultSizeRatio = 10;

// A task whose steps count as writers.
class GovernedTask final : public BackgroundTask {
 public:
  GovernedTask(IoGovernor& governor, std::unique_ptr<BackgroundTask> task) noexcept
      : governor_(governor), task_(std::move(task)) {}
  Result<Progress> Step() noexcept override {
    const IoGovernor::Session session(governor_, IoClass::kCompaction);
    return task_->Step();
  }
  void Cancel() noexcept override { task_->Cancel(); }
  [[nodiscard]] uint32_t rank() const noexcept override { return task_->rank(); }

 private:
  IoGovernor& governor_;
  const std::unique_ptr<BackgroundTask> task_;
};

}  // namespace

// What the options say; where they leave it open, what the manifest has.
Shape Store::Impl::InitialShape(const std::string& recorded) const noexcept {
  const uint32_t ratio = options_.size_ratio == 0 ? kDefaultSizeRatio : options_.size_ratio;
  switch (options_.compaction) {
    case Options::Compaction::kLeveling:
      return Shape::Leveling(ratio);
    case Options::Compaction::kTiering:
      return Shape::Tiering(ratio);
    case Options::Compaction::kLazy:
      return Shape::Lazy(ratio);
    case Options::Compaction::kAuto:
      break;
  }
  auto shape = Shape::Parse(recorded);
  if (shape.ok() && (options_.size_ratio == 0 || shape->size_ratio == options_.size_ratio))
    return std::move(*shape);
  return Shape::Lazy(ratio);
}

Shape Store::Impl::TargetShape() const noexcept {
  std::lock_guard lock(view_mutex_);
  return shape_;
}

Status Store::Impl::SetShape(const Shape& shape) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  return AdoptShape(shape);
}

// Followed once it is durable, so that a crash leaves either the old shape or the new one.
Status Store::Impl::AdoptShape(const Shape& shape) noexcept {
  LAMINA_RETURN_IF_ERROR(shape.Validate());
  {
    std::lock_guard lock(manifest_mutex_);
    ManifestEdit edit;
    edit.shape = shape.ToString();
    LAMINA_RETURN_IF_ERROR(manifest_->Commit(edit));
    std::lock_guard view_lock(view_mutex_);
    shape_ = shape;
  }
  scheduler_->Wake(WorkClass::kCompaction);
  return Status::Ok();
}

uint64_t Store::Impl::TaggedSlots() const noexcept {
  uint64_t tagged = 0;
  for (const ClassStats& one : log_->Stats(false)) {
    tagged += one.slots.live + one.slots.condemned;
    tagged += one.absent.live + one.absent.condemned;
  }
  return tagged;
}

PickerOptions Store::Impl::PickOptions() const noexcept {
  PickerOptions options;
  options.batch_entries = static_cast<double>(memtable_entries_);
  return options;
}

MergeJobOptions Store::Impl::MergeOptions(const Job& job, uint64_t writer) noexcept {
  MergeJobOptions options;
  options.file_system = fs_.get();
  options.directory = directory_;
  options.new_table = [this] {
    std::lock_guard lock(manifest_mutex_);
    const uint64_t number = manifest_->TakeFileNumber();
    return MergeJobOptions::NewTable{number, TablePath(directory_, number)};
  };
  options.open_table = [this](const TableMeta& meta) { return tables_->Get(meta); };
  options.slots = oracle_.get();
  options.table_bytes = options_.table_bytes;
  std::vector<RunPtr> leaving;
  for (const JobInput& input : job.inputs) {
    // A rewrite leaves the run in the tree, and most of its tables.
    if (job.kind != Job::Kind::kRewrite) leaving.push_back(input.run);
  }
  options.filter_bits_per_key = [this, writer, leaving, level = job.target_level,
                                 entries = job.input_entries()] {
    return FilterBitsFor(writer, level, entries, leaving);
  };
  options.store_id = store_id_.high;
  options.shape = TargetShape().ToString();
  options.on_damage = [this](const Status& damage) {
    StoreCounters::Add(counters_.index_damage, 1);
    NoteBackgroundError(damage);
    // What the damaged block named may have lost its only entries.
    orphan_walk_owed_ = walk_orphans_ = true;
    scheduler_->Wake(WorkClass::kVerify);
  };
  options.give_up = [this](TableNumber table, const Status& why) {
    return GiveUpReading(table, why);
  };
  return options;
}

bool Store::Impl::GiveUpReading(TableNumber table, const Status& why) noexcept {
  if (why.code() != StatusCode::kIoError) return false;
  if (!read_tries_.GiveUp(*fs_, table, TablePath(directory_, table))) return false;
  StoreCounters::Add(counters_.index_given_up, 1);
  return true;
}

Status Store::Impl::InstallJob(const Job& job, const std::vector<TableMeta>& outputs) noexcept {
  {
    std::lock_guard lock(manifest_mutex_);
    ManifestEdit edit;
    const RunId run = manifest_->state().next_run_id;
    StoreCounters::Add(counters_.tables_written, outputs.size());
    edit.tree = EditFor(job, run, outputs);
    edit.next_run_id = run + 1;
    if (Status status = manifest_->Commit(edit); !status.ok()) {
      // Where the edit may have reached the disk they stay.
      const bool unknown = !manifest_->status().ok();
      for (const TableMeta& table : unknown ? std::vector<TableMeta>() : outputs)
        (void)tables_->Remove(table.number);
      return status;
    }
    InstallTree();
    SizeCache();
  }
  scheduler_->NotifyRoom();
  if (job.kind == Job::Kind::kMove) return Status::Ok();
  for (const JobInput& input : job.inputs) {
    for (const TableMeta& table : input.tables()) {
      read_tries_.Forget(table.number);
      const Status removed = tables_->Remove(table.number);
      if (!removed.ok()) NoteBackgroundError(removed);
    }
  }
  return Status::Ok();
}

void Store::Impl::CountJob(const Job& job, const MergeJobStats& stats) noexcept {
  if (job.kind == Job::Kind::kMove) {
    StoreCounters::Add(counters_.compaction_moves, 1);
    return;
  }
  StoreCounters::Add(counters_.compactions, 1);
  const bool eager = job.reason == Job::Reason::kRunCap || job.reason == Job::Reason::kCapacity;
  if (eager) StoreCounters::Add(counters_.compaction_eager_bytes, stats.bytes_written);
  for (const auto& level : stats.bytes_read) {
    if (eager) StoreCounters::Add(counters_.compaction_eager_bytes, level.bytes);
    StoreCounters::Add(counters_.compaction_bytes_read, level.bytes);
    StoreCounters::Add(counters_.compaction_levels[level.level].bytes_read, level.bytes);
  }
  auto& target = counters_.compaction_levels[job.target_level];
  StoreCounters::Add(target.bytes_written, stats.bytes_written);
  StoreCounters::Add(target.entries_copied, stats.entries_written);
  StoreCounters::Add(counters_.compaction_bytes_written, stats.bytes_written);
  StoreCounters::Add(counters_.compaction_entries_copied, stats.entries_written);
  StoreCounters::Add(counters_.compaction_entries_dropped,
                     stats.entries_dead + stats.entries_duplicate);
}

// Under manifest_mutex_, after a commit that changed the tree.
void Store::Impl::InstallTree() noexcept {
  const TreePtr tree = manifest_->state().tree;
  auto runs = tables_->OpenRuns(*tree);
  InstallView([&](View* view) {
    view->tree = tree;
    view->runs = std::move(runs);
  });
}

// Samples how dead every table is, a table a step, for the garbage picker.
class DeadCountTask final : public BackgroundTask {
 public:
  explicit DeadCountTask(Store::Impl& store) noexcept : store_(store), view_(store.CurrentView()) {}

  Result<Progress> Step() noexcept override {
    while (run_ < view_->runs.size() && table_ == view_->runs[run_].tables.size()) {
      ++run_;
      table_ = 0;
    }
    if (run_ == view_->runs.size()) {
      std::lock_guard lock(store_.manifest_mutex_);
      store_.dead_entries_ = std::move(dead_);
      return Progress::kDone;
    }
    constexpr uint32_t kSampledBlocks = 16;
    const TableMeta& meta = view_->runs[run_].run->tables[table_];
    const auto& table = view_->runs[run_].tables[table_++];
    // A table that cannot be opened or read now counts as alive: sampling it must not stop
    // compaction.
    if (table == nullptr) {
      dead_[meta.number] = store_.tables_->IsLost(meta.number) ? meta.entry_count : 0;
      return Progress::kMore;
    }
    const auto dead = EstimateDeadEntries(*table, *store_.oracle_, kSampledBlocks);
    dead_[meta.number] = dead.ok() ? *dead : 0;
    return Progress::kMore;
  }
  void Cancel() noexcept override {}
  [[nodiscard]] uint32_t rank() const noexcept override { return UINT32_MAX; }

 private:
  Store::Impl& store_;
  const std::shared_ptr<const View> view_;
  size_t run_ = 0;
  size_t table_ = 0;
  std::map<uint64_t, uint64_t> dead_;
};

// Under manifest_mutex_.
std::unique_ptr<BackgroundTask> Store::Impl::Claim(Job job) noexcept {
  jobs_in_flight_.Add(job);
  const uint64_t writer = ++last_job_;
  CompactionHooks hooks;
  hooks.install = [this](const Job& done, const std::vector<TableMeta>& outputs) {
    return InstallJob(done, outputs);
  };
  hooks.release = [this, writer](const Job& over, const MergeJobStats& stats) {
    CountJob(over, stats);
    ForgetFilters(writer);
    std::lock_guard lock(manifest_mutex_);
    jobs_in_flight_.Remove(over);
  };
  MergeJobOptions options = MergeOptions(job, writer);
  return std::make_unique<GovernedTask>(
      governor_, std::make_unique<CompactionTask>(std::move(job), std::move(options), kStepBytes,
                                                  std::move(hooks)));
}

std::unique_ptr<BackgroundTask> Store::Impl::NextCompaction() noexcept {
  if (auto tuning = NextTuning()) return tuning;
  std::lock_guard lock(manifest_mutex_);
  if (!manifest_->status().ok()) return nullptr;
  const Tree& tree = *manifest_->state().tree;
  const Shape shape = TargetShape();
  if (full_compaction_wanted_) {
    auto job = PickFull(tree, shape, PickOptions(), jobs_in_flight_);
    if (!job) return nullptr;
    full_compaction_wanted_ = false;
    return Claim(std::move(*job));
  }
  if (auto job = PickCompaction(tree, shape, PickOptions(), jobs_in_flight_))
    return Claim(std::move(*job));
  if (eager_shape_wanted_) {
    PickerOptions options = PickOptions();
    options.live_entries = TaggedSlots();
    if (auto job = PickEager(tree, shape, options, jobs_in_flight_)) return Claim(std::move(*job));
    if (jobs_in_flight_.empty()) eager_shape_wanted_ = false;
  }
  if (auto job = PickLift(tree, shape, PickOptions(), jobs_in_flight_))
    return Claim(std::move(*job));
  return NextGarbageJob(tree);
}

// Dead entries are dropped whenever they are merged; this is for trees that hardly merge any more
// while their slots are overwritten. Counting first, then rewriting what is emptiest, until it is
// enough.
std::unique_ptr<BackgroundTask> Store::Impl::NextGarbageJob(const Tree& tree) noexcept {
  constexpr uint64_t kWorthwhileEntries = 10000;
  const uint64_t tagged = TaggedSlots();
  if (!jobs_in_flight_.empty() || tree.entries() < kWorthwhileEntries ||
      tree.entries() <= tagged + tagged / 2)
    return nullptr;
  if (dead_entries_.empty()) return std::make_unique<DeadCountTask>(*this);
  const auto dead = [&](const TableMeta& table) {
    const auto found = dead_entries_.find(table.number);
    return found == dead_entries_.end() ? uint64_t{0} : found->second;
  };
  auto job = PickGarbage(tree, tagged, dead, PickOptions(), jobs_in_flight_);
  if (!job) {
    dead_entries_.clear();  // old counts; more will have died when this is asked again
    return nullptr;
  }
  return Claim(std::move(*job));
}

Status Store::Impl::CompactAll() noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(Checkpoint(false));
  constexpr auto kPatience = std::chrono::hours(24);
  {
    std::lock_guard lock(manifest_mutex_);
    full_compaction_wanted_ = manifest_->state().tree->run_count() > 0;
  }
  scheduler_->Wake(WorkClass::kCompaction);
  return scheduler_->WaitIdle(Scheduler::Clock::now() + kPatience);
}

void Store::Impl::NoteBackgroundError(const Status& status) noexcept {
  std::lock_guard lock(notes_mutex_);
  last_background_error_ = status.ToString();
}

}  // namespace lamina
