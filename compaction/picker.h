// Which compaction is next: pure functions of the tree, the target shape and the jobs under way.
//
// The rule ("Rule B" of K-LSM cost models; shape.h has the words). Runs flushed into level 0 are a
// batch for level 1 once they amount to half a memtable; until then, small ones are merged among
// themselves when there are too many. A batch walks down from level 1:
//   - A level that would hold more than T - 1 batches (and a half, for batches that are not all of
//     one size) takes no part: all its runs join the batch and the walk goes on below. So the T-th
//     batch into level i is merged straight through, with what level i held, and is one batch for
//     level i + 1.
//   - Else the batch stays here: it merges with the newest run while that run's share of the T - 1
//     batches lasts (CumulativeQuota), and else begins a new run. One input and nothing to merge
//     with is a *move*: no bytes are read or written.
// With batches of one size each entry is thus copied at level i
//     x_i = ((T-1)/T) * sum_j m_j (m_j + 1) / (2 (T-1))       (m_j: batches per run, sum T - 1)
// times on average, and a level has ((T-1)/T)(K_i+1)/2 runs on average when K_i divides T - 1. A
// level 1 run that began as a move was written once, by its flush; every batch that level 1 merges
// is written by its flush as well, so that index bytes written per byte flushed are
// 1 - K_1/T + sum x_i.
//
// The shape may change between any two jobs. It is applied lazily: a level is brought within its
// new K and capacity by the next batch that comes into it, which merges with as many of its newest
// runs as that takes. So the runs of a level are at most max(K_old, K_new), and at most K_new after
// one batch. PickEager does not wait for that batch.
//
// Jobs run at the same time when they do not get in each other's way: runs that a job takes away
// from a level are treated as gone, a level into which a job writes (its target) is closed to other
// jobs until it ends. While a job empties a level, that level may therefore hold up to K new runs
// beside up to K that are leaving: the transitional bound. When a job fails (or the process dies),
// its runs are back, perhaps above newer ones; the next job that takes one of them takes along
// all that is newer and lies deeper, so that runs never come to hold flushes from around another
// run's.
//
// Callers pick and claim under one lock: job = Pick...(tree, ..., in_flight); in_flight.Add(job);
// and, when it ends, apply EditFor(job, outputs) and in_flight.Remove(job) under that lock again.
#ifndef LAMINA_COMPACTION_PICKER_H_
#define LAMINA_COMPACTION_PICKER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compaction/levels.h"
#include "compaction/shape.h"

namespace lamina {

struct PickerOptions {
  // Entries of one full memtable: the unit of level capacities. Above 0; may change at any time.
  double batch_entries = 1;
  // Runs in level 0 that are together less than half a batch are merged when there are so many.
  // At least 2.
  uint32_t max_small_runs = 4;
  // For PickEager: how many entries are alive; not known where it is 0.
  uint64_t live_entries = 0;
  // A garbage job takes neighbouring tables up to this many bytes, so that it ends soon.
  uint64_t garbage_bytes = uint64_t{256} << 20;
};

// Some neighbouring tables of a run; all of them, except in garbage jobs.
struct JobInput {
  RunPtr run;
  size_t first_table = 0;
  size_t table_count = 0;

  [[nodiscard]] std::span<const TableMeta> tables() const noexcept {
    return std::span(run->tables).subspan(first_table, table_count);
  }
};

struct Job {
  enum class Kind : uint8_t {
    kMove,     // one run, to another level as it is
    kMerge,    // runs become one run of target_level
    kRewrite,  // some tables of a run are rewritten in place
  };
  enum class Reason : uint8_t {
    kBatch,         // a batch came into its level
    kSpill,         // a batch took along one or more full levels
    kSmallFlushes,  // level 0 holds many small runs
    kRunCap,        // eager: more runs than the shape allows
    kCapacity,      // eager: more entries than the shape allows
    kFull,          // full compaction was asked for
    kGarbage,       // dead entries
    kLift,          // the last level's run has room further up
  };
  Kind kind = Kind::kMerge;
  Reason reason = Reason::kBatch;
  std::vector<JobInput> inputs;  // newest first; never empty
  uint32_t target_level = 0;
  // An input is a run of the target level (as opposed to a new run beginning there).
  bool merges_target = false;

  [[nodiscard]] uint64_t input_entries() const noexcept;
  [[nodiscard]] uint64_t input_bytes() const noexcept;
  [[nodiscard]] uint64_t oldest_flush() const noexcept { return inputs.back().run->oldest_flush; }
  [[nodiscard]] uint64_t newest_flush() const noexcept { return inputs.front().run->newest_flush; }
  // "spill: levels 0+1 (3 runs, 1200 entries) -> level 2, with 1 run there"; for logs.
  [[nodiscard]] std::string ToString() const noexcept;
};
const char* ReasonName(Job::Reason reason) noexcept;

// What the jobs under way have claimed. A plain value, guarded by whoever guards the tree.
class JobsInFlight {
 public:
  void Add(const Job& job) noexcept;
  void Remove(const Job& job) noexcept;
  [[nodiscard]] bool empty() const noexcept { return targets_.empty(); }
  [[nodiscard]] size_t size() const noexcept { return targets_.size(); }
  // Whether a job has this run among its inputs.
  [[nodiscard]] bool Claims(RunId run) const noexcept;
  // Whether a job writes into this level.
  [[nodiscard]] bool Targets(uint32_t level) const noexcept;
  [[nodiscard]] uint32_t deepest_target() const noexcept;

 private:
  std::vector<RunId> claimed_;
  std::vector<uint32_t> targets_;
};

// The next job that the shape calls for; none when the tree is in shape or other jobs have to end
// first (ask again when one has).
[[nodiscard]] std::optional<Job> PickCompaction(const Tree& tree, const Shape& shape,
                                                const PickerOptions& options,
                                                const JobsInFlight& in_flight) noexcept;

// The next job that brings a level within a shape that was lowered, upper levels first; none when
// all levels are within K_i and C_i. A tree that is deeper than its live entries need, as one is
// after T was raised, is merged from the level up that holds them in one run. For when reads pay
// for the wait (PickCompaction comes first).
[[nodiscard]] std::optional<Job> PickEager(const Tree& tree, const Shape& shape,
                                           const PickerOptions& options,
                                           const JobsInFlight& in_flight) noexcept;

// Moves the last level's run up, without reading or writing it, where a shape that was widened, or
// the death of what lay above, has left the levels above it empty and one of them has room for it
// and more. Only a last level of one run: batches merge with it up there as they would below. None
// while jobs are in flight.
[[nodiscard]] std::optional<Job> PickLift(const Tree& tree, const Shape& shape,
                                          const PickerOptions& options,
                                          const JobsInFlight& in_flight) noexcept;

// Everything into one run of the smallest level that holds it, even if it is one run already: its
// dead entries go. None when the tree is empty or jobs are in flight: pick nothing else until they
// end, then ask again.
[[nodiscard]] std::optional<Job> PickFull(const Tree& tree, const Shape& shape,
                                          const PickerOptions& options,
                                          const JobsInFlight& in_flight) noexcept;

// How many dead entries a table is thought to have. Must fall to what is known (0) for new ids, or
// garbage jobs would repeat themselves.
using DeadEntries = std::function<uint64_t(const TableMeta&)>;

// When the tree holds more than 1.5 times `tagged_slots` entries: the table with the largest dead
// share, with its neighbours while they are at least half as dead; none when no table is thought to
// be at least a tenth dead.
[[nodiscard]] std::optional<Job> PickGarbage(const Tree& tree, uint64_t tagged_slots,
                                             const DeadEntries& dead_entries,
                                             const PickerOptions& options,
                                             const JobsInFlight& in_flight) noexcept;

// The edit that installs a job's outcome. `outputs` are the tables written, ascending (none for a
// move); `run` is the id that a merge's new run gets.
[[nodiscard]] TreeEdit EditFor(const Job& job, RunId run, std::vector<TableMeta> outputs) noexcept;

}  // namespace lamina

#endif  // LAMINA_COMPACTION_PICKER_H_
