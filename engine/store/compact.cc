// Compaction: what the picker says is next, carried out in the background, and installed.
#include <algorithm>
#include <map>
#include <utility>

#include "compaction/job.h"
#include "engine/store/filter_budget.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// Input bytes of one step: how long a flush may have to wait for a merge.
constexpr uint64_t kStepBytes = uint64_t{4} << 20;
constexpr uint32_t kDefaultSizeRatio = 10;
// Filters get so many bits per entry on average, and at most this share of the memory.
constexpr double kFilterBitsPerEntry = 10;
constexpr uint64_t kFilterMemoryShare = 4;

// Entries count only if their slots bear their tags.
class LogOracle final : public SlotOracle {
 public:
  explicit LogOracle(const TensorLog& log) noexcept : log_(log) {}
  [[nodiscard]] bool Bears(SlotRef slot, uint64_t tag) const noexcept override {
    return log_.Keeps(slot, tag);
  }

 private:
  const TensorLog& log_;
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

PickerOptions Store::Impl::PickOptions() const noexcept {
  PickerOptions options;
  options.batch_entries = static_cast<double>(memtable_entries_);
  return options;
}

double Store::Impl::FilterBitsFor(uint32_t level, uint64_t entries,
                                  std::span<const RunPtr> leaving) noexcept {
  FilterBudget budget;
  budget.fixed_bits_per_key = options_.filter_bits;
  budget.bits_per_entry = kFilterBitsPerEntry;
  budget.memory_bits = options_.memory_bytes / kFilterMemoryShare * 8;
  return FilterBitsForNewRun(budget, *CurrentView()->tree, TargetShape(),
                             PickOptions().batch_entries, level, entries, leaving);
}

// One job. Its inputs are claimed until it is destroyed.
class CompactionTask final : public BackgroundTask {
 public:
  CompactionTask(Store::Impl& store, Job job) noexcept
      : store_(store), oracle_(*store.log_), job_(std::move(job)) {
    if (job_.kind != Job::Kind::kMove) merge_ = std::make_unique<MergeJob>(job_, MergeOptions());
  }
  ~CompactionTask() override { Unclaim(); }

  Result<Progress> Step() noexcept override {
    if (merge_ != nullptr) {
      LAMINA_ASSIGN_OR_RETURN(const bool done, merge_->Step(kStepBytes));
      if (!done) return Progress::kMore;
    }
    LAMINA_RETURN_IF_ERROR(Install());
    return Progress::kDone;
  }

  void Cancel() noexcept override {
    if (merge_ != nullptr) merge_->Cancel();
    Unclaim();
  }

  [[nodiscard]] uint32_t rank() const noexcept override { return job_.target_level; }

 private:
  MergeJobOptions MergeOptions() noexcept {
    MergeJobOptions options;
    options.file_system = store_.fs_.get();
    options.directory = store_.directory_;
    options.new_table = [this] {
      std::lock_guard lock(store_.manifest_mutex_);
      const uint64_t number = store_.manifest_->TakeFileNumber();
      return MergeJobOptions::NewTable{number, TablePath(store_.directory_, number)};
    };
    options.open_table = [this](const TableMeta& meta) { return store_.tables_->Get(meta); };
    options.slots = &oracle_;
    options.table_bytes = store_.options_.table_bytes;
    options.filter_bits_per_key = [this] {
      std::vector<RunPtr> leaving;
      for (const JobInput& input : job_.inputs) leaving.push_back(input.run);
      return store_.FilterBitsFor(job_.target_level, job_.input_entries(), leaving);
    };
    options.store_id = store_.store_id_.high;
    options.shape = store_.TargetShape().ToString();
    options.on_damage = [this](const Status& damage) {
      StoreCounters::Add(store_.counters_.index_damage, 1);
      store_.NoteBackgroundError(damage);
    };
    return options;
  }

  Status Install() noexcept {
    std::vector<TableMeta> outputs;
    if (merge_ != nullptr) outputs = merge_->outputs();
    {
      std::lock_guard lock(store_.manifest_mutex_);
      ManifestEdit edit;
      const RunId run = store_.manifest_->state().next_run_id;
      edit.tree = EditFor(job_, run, outputs);
      edit.next_run_id = run + 1;
      if (merge_ != nullptr) merge_->Commit();  // once tried, the edit may be on disk
      LAMINA_RETURN_IF_ERROR(store_.manifest_->Commit(edit));
      store_.InstallTree();
      UnclaimLocked();
    }
    Count(outputs.size());
    if (merge_ != nullptr) RemoveInputs();
    store_.scheduler_->NotifyRoom();
    return Status::Ok();
  }

  void RemoveInputs() noexcept {
    for (const JobInput& input : job_.inputs) {
      for (const TableMeta& table : input.tables()) {
        const Status removed = store_.tables_->Remove(table.number);
        if (!removed.ok()) store_.NoteBackgroundError(removed);
      }
    }
  }

  void Count(size_t tables) noexcept {
    StoreCounters& counters = store_.counters_;
    if (merge_ == nullptr) {
      StoreCounters::Add(counters.compaction_moves, 1);
      return;
    }
    const MergeJobStats& stats = merge_->stats();
    StoreCounters::Add(counters.compactions, 1);
    StoreCounters::Add(counters.tables_written, tables);
    for (const auto& level : stats.bytes_read)
      StoreCounters::Add(counters.compaction_bytes_read, level.bytes);
    StoreCounters::Add(counters.compaction_bytes_written, stats.bytes_written);
    StoreCounters::Add(counters.compaction_entries_copied, stats.entries_written);
    StoreCounters::Add(counters.compaction_entries_dropped,
                       stats.entries_dead + stats.entries_duplicate);
  }

  void UnclaimLocked() noexcept {
    if (claimed_) store_.jobs_in_flight_.Remove(job_);
    claimed_ = false;
  }
  void Unclaim() noexcept {
    std::lock_guard lock(store_.manifest_mutex_);
    UnclaimLocked();
  }

  Store::Impl& store_;
  const LogOracle oracle_;
  const Job job_;
  std::unique_ptr<MergeJob> merge_;
  bool claimed_ = true;
};

// Under manifest_mutex_, after a commit that changed the tree.
void Store::Impl::InstallTree() noexcept {
  const TreePtr tree = manifest_->state().tree;
  auto runs = tables_->OpenRuns(*tree);
  InstallView([&](View* view) {
    view->tree = tree;
    view->runs = std::move(runs);
  });
}

// Reads every table and counts the entries whose slots have lost their tags, for the garbage
// picker.
class DeadCountTask final : public BackgroundTask {
 public:
  explicit DeadCountTask(Store::Impl& store) noexcept : store_(store), view_(store.CurrentView()) {}

  // A table a step.
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
    const TableMeta& meta = view_->runs[run_].run->tables[table_];
    const auto& table = view_->runs[run_].tables[table_++];
    dead_[meta.number] = table == nullptr ? meta.entry_count : CountDead(*table);
    return Progress::kMore;
  }
  void Cancel() noexcept override {}
  [[nodiscard]] uint32_t rank() const noexcept override { return UINT32_MAX; }

 private:
  [[nodiscard]] uint64_t CountDead(const Table& table) const noexcept {
    uint64_t dead = 0;
    TableIterateOptions how;
    how.on_damage = [](const Status&) {};
    const auto entries = table.NewIterator(how);
    for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
      const Entry& entry = entries->entry();
      if (!store_.log_->Keeps(entry.slot, entry.tag(entries->key().fingerprints.back()))) ++dead;
    }
    return dead;
  }

  Store::Impl& store_;
  const std::shared_ptr<const View> view_;
  size_t run_ = 0;
  size_t table_ = 0;
  std::map<uint64_t, uint64_t> dead_;
};

std::unique_ptr<BackgroundTask> Store::Impl::Claim(Job job) noexcept {
  jobs_in_flight_.Add(job);
  return std::make_unique<CompactionTask>(*this, std::move(job));
}

std::unique_ptr<BackgroundTask> Store::Impl::NextCompaction() noexcept {
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
  return NextGarbageJob(tree);
}

// Dead entries are dropped whenever they are merged; this is for trees that hardly merge any more
// while their slots are overwritten. Counting first, then rewriting what is emptiest, until it is
// enough.
std::unique_ptr<BackgroundTask> Store::Impl::NextGarbageJob(const Tree& tree) noexcept {
  constexpr uint64_t kWorthwhileEntries = 10000;
  uint64_t tagged = 0;
  for (const ClassStats& one : log_->Stats(false)) tagged += one.slots.live + one.slots.condemned;
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
