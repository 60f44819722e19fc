// What a lookup sees: the memtables and the tables of every run, newest first. Immutable and
// shared, so that lookups need no lock while flushes and compactions replace it.
#ifndef LAMINA_ENGINE_STORE_VIEW_H_
#define LAMINA_ENGINE_STORE_VIEW_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "compaction/levels.h"
#include "engine/index/block_cache.h"
#include "engine/index/counters.h"
#include "engine/index/memtable.h"
#include "engine/index/table.h"
#include "engine/io/file_system.h"

namespace lamina {

struct OpenRun {
  RunPtr run;
  // One for each of run->tables. Null for a table that is lost, or could not be opened for now: its
  // pages are misses.
  std::vector<std::shared_ptr<Table>> tables;

  // The table whose key range may hold `key`, as an index into `tables`; tables.size() when none
  // does.
  [[nodiscard]] size_t IndexFor(const StemKey& key) const noexcept;
  // That table; null when there is none, or when it could not be opened.
  [[nodiscard]] const Table* TableFor(const StemKey& key) const noexcept {
    const size_t index = IndexFor(key);
    return index == tables.size() ? nullptr : tables[index].get();
  }
};

struct View {
  std::shared_ptr<Memtable> active;
  std::vector<std::shared_ptr<Memtable>> frozen;  // newest first
  TreePtr tree;
  std::vector<OpenRun> runs;  // newest first
};

// `<directory>/NNNNNNNNNN.sst`
std::string TablePath(const std::string& directory, uint64_t number) noexcept;
bool ParseTableFileName(std::string_view name, uint64_t* number) noexcept;

// The tables that are open. Thread-safe.
class OpenTables {
 public:
  OpenTables(FileSystem& fs, std::string directory, BlockCache* cache,
             IndexCounters* counters) noexcept;

  // Opens it when it is not. The error is the reader's, or kCorruption for a file that is missing.
  // Corruption is given again at every call without trying again; other errors may pass.
  Result<std::shared_ptr<Table>> Get(const TableMeta& meta) noexcept;
  // The runs of a tree with their tables. Those that cannot be had are null.
  std::vector<OpenRun> OpenRuns(const Tree& tree) noexcept;
  // Closes a table that left the tree (readers keep theirs), drops its blocks, and unlinks its
  // file.
  Status Remove(uint64_t number) noexcept;

  // Tables for which there was no memory, no file descriptor or the like: to be tried again.
  [[nodiscard]] uint64_t unopened() const noexcept {
    return unopened_count_.load(std::memory_order_relaxed);
  }
  // Tables that are damaged or gone.
  [[nodiscard]] uint64_t lost() const noexcept;
  [[nodiscard]] bool IsLost(uint64_t number) const noexcept;
  // Times that a table could not be opened, for whatever reason.
  [[nodiscard]] uint64_t open_failures() const noexcept {
    return open_failures_.load(std::memory_order_relaxed);
  }
  // "path: what is wrong", of the tables that are lost or could not be opened.
  [[nodiscard]] std::vector<std::string> problems() const noexcept;
  [[nodiscard]] uint64_t memory_bytes() const noexcept;
  // Of that, all but the filters.
  [[nodiscard]] uint64_t index_bytes() const noexcept;

 private:
  void NoteFailure(uint64_t number, const Status& why) noexcept;
  void NoteOpened(uint64_t number) noexcept;

  FileSystem& fs_;
  const std::string directory_;
  BlockCache* const cache_;
  IndexCounters* const counters_;
  mutable std::mutex mutex_;
  std::map<uint64_t, std::shared_ptr<Table>> tables_;
  std::map<uint64_t, Status> lost_;
  std::map<uint64_t, Status> unopened_;
  std::atomic<uint64_t> unopened_count_{0};
  std::atomic<uint64_t> open_failures_{0};
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_VIEW_H_
