// The tuner's turn: what the store has counted goes in, and what it is to follow from now on comes
// out (index_tuner.h).
//
// A plan is followed lazily. The shape holds for the next flushes and compactions, each of which
// asks for it when it begins; a memtable of another size is the next one; filters are divided anew
// as runs are written. Only where the tuner has found waiting dearer are levels merged at once,
// when no other compaction is due.
#include <algorithm>
#include <utility>

#include "engine/store/device_probe.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

uint64_t Value(const StoreCounters::Counter& counter) noexcept {
  return counter.load(std::memory_order_relaxed);
}

// Decisions that lamina_explain prints.
constexpr size_t kExplainedDecisions = 16;

}  // namespace

// Measured when the tuner is first on, then kept in the manifest.
tuner::DeviceModel Store::Impl::DeviceModelFor(ManifestState* state) noexcept {
  if (environment_.device_model) {
    state->device_model = DeviceModelText(*environment_.device_model);
    return *environment_.device_model;
  }
  if (const auto known = ParseDeviceModel(state->device_model)) return *known;
  tuner::DeviceModel model;
  if (environment_.seed == 0) {
    const auto measured = MeasureDevice(*fs_, directory_);
    if (measured.ok()) {
      model = *measured;
    } else {
      recovery_notes_.push_back("the tuner takes a common drive's speed: " +
                                std::string(measured.status().message()));
    }
  }
  state->device_model = DeviceModelText(model);
  return model;
}

void Store::Impl::MakeTuner(const tuner::DeviceModel& device) noexcept {
  IndexTunerOptions how;
  how.observe_only = options_.tuner == Options::Tuner::kObserve;
  how.space = SearchSpaceOf(options_, most_memtable_bytes_);
  how.space.max_filter_bits_per_key = FilterBitsPerEntry();
  how.fixed_filter_bits = options_.filter_bits;
  if (environment_.tuner_window_operations != 0)
    how.window_operations = environment_.tuner_window_operations;
  how.random_seed = environment_.random_shapes_seed;
  how.journal_path = directory_ + "/" + kTunerJournalFileName;
  tuner_ = std::make_unique<IndexTuner>(*fs_, std::move(how), device, PresentPlan());
  if (std::string problem = tuner_->Restore(); !problem.empty())
    recovery_notes_.push_back(std::move(problem));
  if (options_.tuner == Options::Tuner::kOn)
    planned_memtable_bytes_ = tuner_->plan().memtable_bytes;
}

void Store::Impl::SetMemtable(uint64_t bytes) noexcept {
  const uint64_t most = most_memtable_bytes_;
  bytes = std::clamp(bytes, std::min(most, kLeastMemtableBytes), most);
  memtable_bytes_.store(bytes, std::memory_order_relaxed);
  memtable_entries_.store(bytes / kMemtableBytesPerEntry, std::memory_order_relaxed);
}

// Smaller memtables leave memory to filters, and get it back only as tables are written anew: until
// then they are as small as it takes. So too where the plan was lost with the journal.
void Store::Impl::FitMemtable(uint64_t available_bytes) noexcept {
  const uint64_t least = most_memtable_bytes_ / kLeastMemtableShare;
  SetMemtable(planned_memtable_bytes_);
  while (FixedMemoryBytes() > available_bytes && memtable_bytes_ / 2 >= least)
    SetMemtable(memtable_bytes_ / 2);
}

void Store::Impl::NoteIndexUse(uint64_t lookups) noexcept {
  if (tuner_ == nullptr || lookups == 0) return;
  // Puts count as well, and each of them has looked its page up.
  const uint64_t since = lookups_since_tuned_.fetch_add(lookups, std::memory_order_relaxed);
  if (since + lookups < tuner_->step_lookups()) return;
  lookups_since_tuned_.store(0, std::memory_order_relaxed);
  tuning_wanted_.store(true, std::memory_order_release);
  if (scheduler_ != nullptr) scheduler_->Wake(WorkClass::kCompaction);
}

class TuneTask final : public BackgroundTask {
 public:
  explicit TuneTask(Store::Impl& store) noexcept : store_(store) {}
  Result<Progress> Step() noexcept override {
    store_.Tune();
    return Progress::kDone;
  }
  void Cancel() noexcept override {}

 private:
  Store::Impl& store_;
};

std::unique_ptr<BackgroundTask> Store::Impl::NextTuning() noexcept {
  if (!tuning_wanted_.exchange(false, std::memory_order_acq_rel)) return nullptr;
  return std::make_unique<TuneTask>(*this);
}

void Store::Impl::Tune() noexcept {
  // Two windows may close at the same time.
  std::lock_guard tune_lock(tune_mutex_);
  IndexTuner::Sample sample;
  sample.use = UseOfIndex();
  sample.tree = CurrentView()->tree;
  sample.plan = PresentPlan();
  sample.device = TakeObservation();
  sample.live_entries = TaggedSlots();
  {
    std::lock_guard lock(memory_mutex_);
    sample.memory_bytes = kMemtables * memtable_bytes_ + FilterMemoryBytes();
  }
  const auto plan = tuner_->Step(sample);
  const Status adopted = plan ? Adopt(*plan) : Status::Ok();
  if (!adopted.ok()) NoteBackgroundError(adopted);
  tuner_->Conclude(adopted.ok());
}

Status Store::Impl::Adopt(const IndexPlan& plan) noexcept {
  if (!(plan.shape == TargetShape())) LAMINA_RETURN_IF_ERROR(AdoptShape(plan.shape));
  planned_memtable_bytes_ = plan.memtable_bytes;
  {
    std::lock_guard lock(manifest_mutex_);
    SizeCache();
  }
  eager_shape_wanted_ = plan.eager;
  scheduler_->Wake(WorkClass::kCompaction);
  return Status::Ok();
}

IndexPlan Store::Impl::PresentPlan() const noexcept {
  return {.shape = TargetShape(), .memtable_bytes = planned_memtable_bytes_};
}

IndexUse Store::Impl::UseOfIndex() const noexcept {
  IndexUse use;
  // What puts asked the index for is among the lookups.
  use.counters.puts_written = Value(counters_.pages_put);
  use.counters.puts_present = Value(counters_.pages_already_present);
  use.counters.lookups_missing = Value(counters_.lookups_missing);
  use.counters.lookups_existing = Value(counters_.lookups_existing);
  use.counters.stem_scans = Value(counters_.stem_scans);
  use.counters.stem_scan_entries = Value(counters_.stem_scan_pages);
  use.counters.missing_stems = Value(counters_.missing_stems);
  use.counters.missing_stem_entries = Value(counters_.missing_stem_pages);
  use.blocks_read = Value(index_counters_.block_reads_true) +
                    Value(index_counters_.block_reads_false_positive) +
                    Value(index_counters_.block_reads_unused);
  // Not the cache's own hits: calls find there what they have just fetched themselves.
  use.blocks_wanted = Value(counters_.blocks_wanted);
  use.blocks_cached = Value(counters_.blocks_cached);
  use.filter_checks = Value(index_counters_.filter_checks);
  use.page_bytes_put = Value(counters_.bytes_put);
  use.table_bytes_written =
      Value(counters_.table_bytes_written) + Value(counters_.compaction_bytes_written);
  use.table_bytes_read = Value(counters_.compaction_bytes_read);
  return use;
}

// Of what the store has seen the device do since the last call. Writes are not among it: they pass
// through so much else that their rate says little of the device.
tuner::DeviceObservation Store::Impl::TakeObservation() noexcept {
  tuner::DeviceObservation observed;
  if (environment_.device_model) return observed;  // given, whatever this machine's does
  const uint64_t fetches = Value(counters_.lone_fetches);
  const uint64_t ns = Value(counters_.lone_fetch_ns);
  observed.lone_reads = static_cast<double>(fetches - lone_fetches_taken_);
  observed.lone_read_latency_s = static_cast<double>(ns - lone_fetch_ns_taken_) * 1e-9;
  lone_fetches_taken_ = fetches;
  lone_fetch_ns_taken_ = ns;
  const LoadModel::Bandwidth bandwidth = load_model_.TakeBandwidth();
  if (bandwidth.bytes > 0) {
    observed.read_bytes = static_cast<double>(bandwidth.bytes);
    observed.read_busy_s = observed.read_bytes / bandwidth.bytes_per_us * 1e-6;
  }
  return observed;
}

std::string Store::Impl::ExplainTuner() const noexcept {
  return tuner_ == nullptr ? "{\"mode\":\"off\"}" : tuner_->ToJson(kExplainedDecisions);
}

}  // namespace lamina
