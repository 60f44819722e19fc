// Carries out a merge: entries of the input tables in, the tables of one new run out.
//
// What is kept: an entry stays if and only if its slot bears its tag. A page may thus keep several
// entries, newest first, when several of its slots bear their tags: after an unclean shutdown,
// until the page is verified, and between the copy and the release of a moved page. Keeping the
// newest alone would be wrong twice over: a get whose newest candidate fails its checksum tries the
// next one, and an erase clears the slots that it finds through the index, so that a tagged slot
// that no entry reaches would keep its bytes. They cost next to nothing, since all but one
// lose their tags soon. Of entries for the same page in the same slot with the same checksum only
// the newest is kept.
//
// A damaged block of an input is skipped, counted and reported, and the rest goes on; a table that
// cannot be opened for damage likewise. An input that cannot be *read* (kIoError) ends the job,
// since the entries are still there and a later attempt may get them, until its owner gives it up:
// then it counts as damaged.
//
// Work is done in bounded steps, so that more urgent work comes between them. Outputs are
// complete, synced files when Step says that it is done; until Commit they are the job's, and its
// destructor removes them.
#ifndef LAMINA_COMPACTION_JOB_H_
#define LAMINA_COMPACTION_JOB_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compaction/levels.h"
#include "compaction/picker.h"
#include "compaction/run_iterator.h"
#include "engine/base/status.h"
#include "engine/index/entry.h"
#include "engine/index/merging_iterator.h"
#include "engine/index/table_builder.h"
#include "engine/io/file_system.h"

namespace lamina {

struct MergeJobOptions {
  FileSystem* file_system = nullptr;
  // Directory of the outputs, synced once they are complete.
  std::string directory;
  // Number and path of the next output; each number is given once in a store's life.
  struct NewTable {
    uint64_t number = 0;
    std::string path;
  };
  std::function<NewTable()> new_table;
  TableOpener open_table;
  // Says which entries are alive. nullptr keeps all: while slot tables are still being loaded or
  // the journal replayed, and while a log directory is missing.
  const SlotOracle* slots = nullptr;
  // An output is cut once its data blocks have reached this many bytes: between stems, or between
  // paths of a stem that have no page in common, or, since the first stem of a root may hold most
  // of the index and its paths share a system prompt, at forks the deeper the further it is beyond
  // the size. At twice the size it is cut between any two pages.
  uint64_t table_bytes = uint64_t{64} << 20;
  // Asked when an output begins: what the filter allocation gives the target run now.
  std::function<double()> filter_bits_per_key;
  // Bytes of one read request.
  size_t readahead_bytes = size_t{256} << 10;
  // Into the outputs' properties.
  uint64_t store_id = 0;
  uint64_t job_id = 0;
  std::string shape;
  // For the I/O governor: called before each write request.
  std::function<void(size_t bytes)> before_write;
  // Called for each damaged block or table.
  std::function<void(const Status&)> on_damage;
  // Asked for a table that, or a block of which, cannot be read: whether it is to count as damaged
  // from now on. If empty, never.
  std::function<bool(TableNumber table, const Status& why)> give_up;
};

struct MergeJobStats {
  struct LevelBytes {
    uint32_t level = 0;
    uint64_t bytes = 0;
  };
  uint64_t entries_read = 0;
  uint64_t entries_written = 0;    // copies
  uint64_t entries_dead = 0;       // dropped: their slots did not bear their tags
  uint64_t entries_duplicate = 0;  // dropped: the same page in the same slot
  uint64_t entries_lost = 0;       // in damaged tables; those in damaged blocks are not known
  uint64_t damaged_blocks = 0;
  uint64_t damaged_tables = 0;
  std::vector<LevelBytes> bytes_read;  // files opened, by the level they lay in
  uint64_t bytes_written = 0;          // complete outputs, into the target level
  uint64_t tables_written = 0;
};

// Used by one thread at a time.
class MergeJob {
 public:
  // `job` is a kMerge or kRewrite.
  MergeJob(Job job, MergeJobOptions options) noexcept;
  // Removes what was not committed.
  ~MergeJob();
  MergeJob(const MergeJob&) = delete;
  MergeJob& operator=(const MergeJob&) = delete;

  // Works through about `max_bytes` of input. True when all is done. An error is final: the
  // outputs are gone by then.
  Result<bool> Step(uint64_t max_bytes) noexcept;

  // Removes all outputs; no Step may follow.
  void Cancel() noexcept;

  // The outputs belong to the caller from here on: for when the edit that names them is durable.
  void Commit() noexcept;

  // The tables written, ascending: for EditFor. Complete once Step has said so; empty if every
  // entry was dead.
  [[nodiscard]] const std::vector<TableMeta>& outputs() const noexcept { return outputs_; }
  [[nodiscard]] const Job& job() const noexcept { return job_; }
  [[nodiscard]] const MergeJobStats& stats() const noexcept { return stats_; }

 private:
  void OpenInputs() noexcept;
  Status CopyEntries(uint64_t count) noexcept;
  Status CopyEntry(const StemKey& key, const Entry& entry) noexcept;
  // Whether what is being written ends before this key, by its size.
  [[nodiscard]] bool CutsBefore(const StemKey& key) const noexcept;
  Status StartOutput() noexcept;
  Status FinishOutput() noexcept;
  void CountTable(uint32_t level, const TableMeta& table) noexcept;
  void CountDamage(const Status& damage) noexcept;

  Job job_;
  MergeJobOptions options_;
  MergeJobStats stats_;
  double entry_bytes_ = 1;  // of the inputs, on average
  std::unique_ptr<MergingIterator> merged_;
  std::unique_ptr<TableBuilder> builder_;
  std::vector<TableMeta> outputs_;
  std::vector<std::string> output_paths_;
  // The page that the last entry was for, and its entries that were kept.
  PageKey page_;
  std::vector<Entry> kept_;
  // The last key written, kept while the output is of a size to be cut.
  OwnedStemKey last_written_;
  uint64_t dropped_ = 0;  // dead entries since the last output began
  bool done_ = false;
};

}  // namespace lamina

#endif  // LAMINA_COMPACTION_JOB_H_
