// The store's side of the tuner: turns what the store has counted into the controller's input, its
// target into a plan that the store can follow, and keeps its journal file.
//
// Step is driven by operation counts: the store calls it several times a window. It reads no
// clock, so that a history of calls gives the same decisions each time, the device model's
// refreshment aside. The journal is memory for the tuner and a record for people: a file that is
// missing, damaged or cannot be written costs history and nothing else.
//
// Thread-safe: steps take turns, and reading the journal does not wait for them.
#ifndef LAMINA_ENGINE_STORE_INDEX_TUNER_H_
#define LAMINA_ENGINE_STORE_INDEX_TUNER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "compaction/levels.h"
#include "compaction/shape.h"
#include "engine/io/file_system.h"
#include "engine/lamina.h"
#include "tuner/controller.h"
#include "tuner/journal.h"

namespace lamina {

inline constexpr char kTunerJournalFileName[] = "TUNER-JOURNAL";

// Memory of one full memtable per entry: a node, a candidate, and its share of a hash table that is
// a power of two.
inline constexpr uint64_t kMemtableBytesPerEntry = 104;
// Memtables that memory is kept for: the active one and those that are being flushed.
inline constexpr uint64_t kMemtables = 3;
// Whatever options and tuner say, a memtable is no smaller.
inline constexpr uint64_t kLeastMemtableBytes = uint64_t{64} << 10;
// For the sake of filters the tuner may make a memtable smaller than the options say, down to one
// part in so many.
inline constexpr uint64_t kLeastMemtableShare = 4;

// What the store follows.
struct IndexPlan {
  Shape shape;
  uint64_t memtable_bytes = 0;  // of one
  // The levels concerned are worth merging now, instead of with the next batches into them.
  bool eager = false;
};

// What has been counted since the store was opened; only grows.
struct IndexUse {
  tuner::WorkloadCounters counters;
  uint64_t blocks_read = 0;  // by lookups
  // Blocks that lookups called for, of those that say how well the cache does, and how many of them
  // were cached.
  uint64_t blocks_wanted = 0;
  uint64_t blocks_cached = 0;
  uint64_t filter_checks = 0;
  uint64_t page_bytes_put = 0;
  uint64_t table_bytes_written = 0;  // by flushes and merges
  uint64_t table_bytes_read = 0;     // by merges
};

// The options that the tuner goes by.
struct IndexTunerOptions {
  bool observe_only = false;
  tuner::SearchSpace space;
  uint64_t window_operations = 10000;
  double fixed_filter_bits = -1;  // StoreFacts::fixed_filter_bits
  // Not 0: each window takes a shape at random instead of deciding. For tests and controls.
  uint64_t random_seed = 0;
  std::string journal_path;
  uint32_t journal_blocks = tuner::Journal::kDefaultBlocks;
};

class IndexTuner {
 public:
  // `reference`: the device as measured when the store was created.
  IndexTuner(FileSystem& fs, IndexTunerOptions options, const tuner::DeviceModel& reference,
             const IndexPlan& initial) noexcept;

  // Reads the journal, and goes on where it left off if the store has the shape that it left.
  // Returns what was wrong with the file; empty if nothing.
  std::string Restore() noexcept;

  struct Sample {
    IndexUse use;
    TreePtr tree;
    IndexPlan plan;             // that the store follows now
    uint64_t memory_bytes = 0;  // for memtables and filters
    tuner::DeviceObservation device;
    uint64_t live_entries = 0;  // slots that bear a tag
  };
  // A plan when the store is to follow another one. Journals nothing yet: a plan that the store
  // could not adopt was none. Followed by Conclude, by the same thread.
  std::optional<IndexPlan> Step(const Sample& sample) noexcept;
  // Journals what Step has decided. `adopted`: the store follows the plan that it gave.
  void Conclude(bool adopted) noexcept;
  // The store is closing: writes what the journal's file does not have yet.
  void Close() noexcept;

  // The plan that the controller is at: after Restore that of the journal.
  [[nodiscard]] IndexPlan plan() const noexcept;
  // Lookups between two steps: the tree changes within a window.
  [[nodiscard]] uint64_t step_lookups() const noexcept {
    constexpr uint64_t kStepsPerWindow = 8;
    return options_.window_operations / kStepsPerWindow + 1;
  }
  // {"mode": ..., "shape": ..., "device": ..., "decisions": [...]}, the newest `limit` of them.
  [[nodiscard]] std::string ToJson(size_t limit) const noexcept;
  struct Summary {
    uint64_t windows = 0;
    uint64_t searches = 0;
    uint64_t switches = 0;
    uint64_t journal_failures = 0;  // writes
    tuner::DeviceModel device;
    tuner::StoreFacts facts;  // of the last step
  };
  [[nodiscard]] Summary summary() const noexcept;

 private:
  tuner::Controller::Input InputOf(const Sample& sample) noexcept;
  void FollowStore(const IndexPlan& plan) noexcept;
  IndexPlan RandomPlan(const IndexPlan& present) noexcept;
  void Write(const tuner::Journal::Write& write) noexcept;

  FileSystem& fs_;
  const IndexTunerOptions options_;
  const tuner::DeviceModel reference_;

  std::mutex step_mutex_;  // before mutex_
  tuner::Controller controller_;
  IndexUse last_;              // of the step before
  double live_entries_ = 0;    // of the last step with puts, in memtables too
  double entry_bytes_ = 0;     // smoothed over a quarter of a turnover
  double deaths_per_put_ = 0;  // likewise
  double cache_hit_ratio_ = 0;
  tuner::WorkloadWindow random_window_;
  uint64_t random_state_;
  std::optional<tuner::DecisionRecord> decided_;  // and not concluded

  mutable std::mutex mutex_;  // what follows
  tuner::Journal journal_;
  std::unique_ptr<File> file_;
  IndexPlan plan_;
  Summary summary_;
};

// The shape of a plan as the tuner has it, and the reverse.
tuner::TreeShape TreeShapeOf(const IndexPlan& plan) noexcept;
IndexPlan PlanOf(const tuner::TreeShape& shape) noexcept;

// What `options` leave to the tuner. `memtable_bytes`: the largest that a memtable may be.
tuner::SearchSpace SearchSpaceOf(const Options& options, uint64_t memtable_bytes) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_INDEX_TUNER_H_
