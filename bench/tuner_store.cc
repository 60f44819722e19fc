#include "bench/tuner_store.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace lamina::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Mode = TunerStoreSettings::Mode;

// So large that segments have few slots: a checkpoint saves the tables of those that have changed.
constexpr size_t kPutBytes = size_t{1} << 20;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Options OptionsOf(const TunerStoreSettings& settings) {
  const bool tunes = settings.mode == Mode::kTuner || settings.mode == Mode::kRandom;
  auto options = Options::Parse(fmt::format(
      "capacity_bytes=0;min_free_bytes=0;checkpoint_seconds=0;memory_bytes=512M;memtable_bytes={};"
      "filter_bits={};{}",
      settings.memtable_bytes,
      settings.shared_filter_bits ? "auto" : std::to_string(settings.filter_bits),
      tunes
          ? std::string("tuner=on")
          : fmt::format("compaction={};size_ratio={};tuner={}", settings.shape, settings.size_ratio,
                        settings.mode == Mode::kObserve ? "observe" : "off")));
  RequireOk(options.status(), "options");
  return *options;
}

}  // namespace

TunerStoreUse TunerStoreUse::operator-(const TunerStoreUse& before) const {
  return {.operations = operations - before.operations,
          .blocks_read = blocks_read - before.blocks_read,
          .filter_checks = filter_checks - before.filter_checks,
          .bytes_written = bytes_written - before.bytes_written,
          .bytes_read = bytes_read - before.bytes_read,
          .eager_bytes = eager_bytes - before.eager_bytes,
          .switches = switches - before.switches,
          .wall_s = wall_s - before.wall_s};
}

double TunerStoreUse::DeviceSeconds(const tuner::DeviceModel& device) const {
  return static_cast<double>(blocks_read) * device.read_device_s +
         static_cast<double>(bytes_written) / device.write_bytes_per_s +
         static_cast<double>(bytes_read) / device.read_bytes_per_s;
}

TunerStore::TunerStore(const TunerStoreSettings& settings)
    : settings_(settings), random_(settings.seed) {
  StoreEnvironment environment;
  environment.background_threads = 0;
  environment.device_model = settings.device;
  environment.tuner_window_operations = settings.window_operations;
  if (settings.shared_filter_bits) environment.filter_bits_per_entry = settings.filter_bits;
  if (settings.mode == Mode::kRandom) environment.random_shapes_seed = settings.seed;
  store_ = OpenIndexStore(settings.directory, OptionsOf(settings), std::move(environment), true);
  // Every block that a lookup needs is read.
  store_->block_cache().SetCapacity(0);
}

std::unique_ptr<Path::Impl> TunerStore::PathOf(uint64_t number, size_t pages) {
  std::vector<uint32_t> tokens(pages);
  for (size_t i = 1; i < pages; ++i) tokens[i] = static_cast<uint32_t>(i);
  tokens[0] = static_cast<uint32_t>(number);
  auto path = store_->PathFromTokens("tuner-bench", tokens, 1);
  RequireOk(path.status(), "path");
  // As if the eviction policy had been shown it: it would look for the pages before as well.
  (*path)->request = std::make_shared<ShownRequest>();
  (*path)->request->noted = true;
  return std::move(*path);
}

void TunerStore::Work() {
  while (store_->scheduler().RunOne()) {
  }
  // What has changed the tables, a put's flush or new segment included, has given the cache what
  // memory they leave.
  store_->block_cache().SetCapacity(0);
}

// One stem lives from here on, and the oldest one no more.
void TunerStore::PutStem() {
  const auto path = PathOf(next_path_++, kStemPages);
  const auto start = Clock::now();
  const auto put = store_->PutEntries(*path, 0, kStemPages, kPutBytes);
  // The store would do so as the next put begins, and that one's entries would go along: nothing
  // beside a memtable of common size, a tenth of these.
  const bool full =
      static_cast<double>(store_->CurrentView()->active->entry_count()) >= store_->batch_entries();
  if (full) RequireOk(store_->Flush(), "flush");
  Work();
  put_us_.push_back(SecondsSince(start) * 1e6);
  RequireOk(put.status(), "put");
  if (*put != kStemPages) RequireOk(Status::NoSpace(store_->StatsJson()), "put was rejected");
  std::vector<LivePage>& pages = live_.emplace_back();
  for (size_t page = 0; page < kStemPages; ++page) {
    const Entry& entry = path->locations[page].entry;
    pages.push_back({entry.slot, entry.tag(path->fingerprints[page])});
  }
  if (live_.size() * kStemPages <= settings_.live_entries) return;
  for (const LivePage& page : live_.front()) (void)store_->log().Free(page.slot, page.tag);
  live_.pop_front();
  ++first_path_;
}

void TunerStore::LookUp(bool present, size_t first, size_t pages) {
  const uint64_t number = present ? first_path_ + random_.Below(live_.size())
                                  : kMissingPaths + random_.Below(kMissingPaths);
  const auto path = PathOf(number, first + pages);
  const auto found = store_->Probe(*path, first, pages, {});
  RequireOk(found.status(), "probe");
  if (*found != (present ? pages : 0))
    RequireOk(Status::Corruption(fmt::format("path {}: found {}", number, *found)), "lookup");
}

void TunerStore::Fill() {
  const uint64_t paths = settings_.live_entries / kStemPages;
  while (next_path_ < paths) PutStem();
  RequireOk(store_->Flush(), "flush");
  Work();
}

void TunerStore::Run(const OperationMix& mix, uint64_t operations) {
  const auto start = Clock::now();
  const uint64_t end = operations_ + operations;
  // A put is of a whole stem, so one in so many draws is one.
  const double put_chance =
      mix.puts / (mix.puts + kStemPages * (mix.missing + mix.existing + mix.stems));
  const double lookups = mix.missing + mix.existing + mix.stems;
  while (operations_ < end) {
    if (random_.Chance(put_chance)) {
      PutStem();
      operations_ += kStemPages;
      continue;
    }
    const double kind = random_.Uniform() * lookups;
    if (kind < mix.missing) {
      LookUp(false, 0, 1);
    } else if (kind < mix.missing + mix.existing) {
      LookUp(true, random_.Below(kStemPages), 1);
    } else {
      LookUp(true, 0, kStemPages);
    }
    ++operations_;
    // The tuner's turn, when a window has closed, and what it has brought.
    Work();
  }
  wall_s_ += SecondsSince(start);
}

TunerStoreUse TunerStore::Use() const {
  const StoreCounters& counters = store_->counters();
  const IndexCounters& index = store_->index_counters();
  TunerStoreUse use;
  use.operations = operations_;
  use.blocks_read =
      index.block_reads_true + index.block_reads_false_positive + index.block_reads_unused;
  use.filter_checks = index.filter_checks;
  use.bytes_written = counters.table_bytes_written + counters.compaction_bytes_written;
  use.bytes_read = counters.compaction_bytes_read;
  use.eager_bytes = counters.compaction_eager_bytes;
  if (store_->tuner() != nullptr) use.switches = store_->tuner()->summary().switches;
  use.wall_s = wall_s_;
  return use;
}

}  // namespace lamina::bench
