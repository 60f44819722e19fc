// A store of entries without payloads that lives in a steady state: as many pages die as are put.
// What it asks of a device is counted and priced, so that runs repeat and need no particular drive.
#ifndef LAMINA_BENCH_TUNER_STORE_H_
#define LAMINA_BENCH_TUNER_STORE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "bench/index_fixture.h"
#include "bench/random.h"
#include "tuner/device_model.h"

namespace lamina::bench {

// Shares of the operations; their sum is 1.
struct OperationMix {
  double puts = 0;
  double missing = 0;   // lookups of one page that is not there
  double existing = 0;  // of one that is
  double stems = 0;     // of all pages of a stem that are there
};

struct TunerStoreSettings {
  std::string directory;
  std::string shape = "lazy";  // leveling, lazy, tiering: where it begins, or stays
  uint32_t size_ratio = 10;
  // kObserve: static, and the tuner decides without effect.
  enum class Mode { kStatic, kObserve, kTuner, kRandom } mode = Mode::kStatic;
  uint64_t live_entries = 60000;
  std::string memtable_bytes = "64K";
  // Bits per entry: of every run alike, or (`shared`) divided over the runs to the best effect.
  double filter_bits = 2;
  bool shared_filter_bits = true;
  uint64_t window_operations = 2000;
  tuner::DeviceModel device;
  uint64_t seed = 1;
};

// What has been counted since the store was opened.
struct TunerStoreUse {
  uint64_t operations = 0;
  uint64_t blocks_read = 0;  // by lookups
  uint64_t filter_checks = 0;
  uint64_t bytes_written = 0;  // by flushes and merges
  uint64_t bytes_read = 0;     // by merges
  uint64_t eager_bytes = 0;    // of both, merges for the sake of a switch
  uint64_t switches = 0;
  double wall_s = 0;

  TunerStoreUse operator-(const TunerStoreUse& before) const;
  // Of the device, for reads of blocks and of tables and writes of tables.
  [[nodiscard]] double DeviceSeconds(const tuner::DeviceModel& device) const;
};

class TunerStore {
 public:
  explicit TunerStore(const TunerStoreSettings& settings);

  // Puts as many entries as shall live, and lets compaction finish.
  void Fill();
  // Draws `operations` from the mix.
  void Run(const OperationMix& mix, uint64_t operations);
  [[nodiscard]] TunerStoreUse Use() const;
  // Microseconds of each put of a stem with the background work that it brought, since the last
  // call.
  std::vector<double> TakePutTimes() { return std::exchange(put_us_, {}); }
  [[nodiscard]] IndexStore& store() const { return *store_; }

 private:
  struct LivePage {
    SlotRef slot;
    uint64_t tag = 0;
  };
  std::unique_ptr<Path::Impl> PathOf(uint64_t number, size_t pages);
  void PutStem();
  void LookUp(bool present, size_t first, size_t pages);
  void Work();

  const TunerStoreSettings settings_;
  std::unique_ptr<IndexStore> store_;
  Random random_;
  uint64_t operations_ = 0;
  uint64_t first_path_ = 0;  // that lives
  uint64_t next_path_ = 0;
  std::deque<std::vector<LivePage>> live_;
  std::vector<double> put_us_;
  double wall_s_ = 0;
};

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_TUNER_STORE_H_
