// A store as its files have it, read from outside: the manifest's segments with their slots, the
// journal replayed over them, and the index. Nothing is written or locked.
//
// Of a store that is open this is what was true at the last checkpoint, and what the journal says
// since: a page that was condemned or freed meanwhile still counts, and pins are not known.
#ifndef LAMINA_TOOLS_VLOG_GC_STATE_H_
#define LAMINA_TOOLS_VLOG_GC_STATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/index/memtable.h"
#include "engine/io/file_system.h"
#include "engine/store/manifest.h"
#include "engine/store/root_table.h"
#include "engine/store/view.h"
#include "tensorlog/tensor_log.h"
#include "tools/sst_dump_read_only.h"

namespace lamina::vlog_gc {

// Reading through queues is allowed: files are open for reading only, so a queue cannot write.
class QueueingReadOnlyFileSystem final : public sst_dump::ReadOnlyFileSystem {
 public:
  explicit QueueingReadOnlyFileSystem(FileSystem& base) noexcept
      : ReadOnlyFileSystem(base), base_(base) {}
  Result<std::unique_ptr<IoQueue>> NewQueue(size_t depth) noexcept override {
    return base_.NewQueue(depth);
  }

 private:
  FileSystem& base_;
};

class StoreState {
 public:
  // Reads again when a writer has changed the manifest meanwhile; changed_meanwhile() if it did so
  // every time, and then what it has removed since is missing here and no problem. Errors: those of
  // the manifest; kNotSupported for formats that are not known.
  static Result<std::unique_ptr<StoreState>> Load(FileSystem& fs, const std::string& directory);
  ~StoreState();

  [[nodiscard]] const ManifestState& manifest() const { return loaded_.state; }
  // False: a process has it open, or has died with it open.
  [[nodiscard]] bool closed() const { return loaded_.state.clean_close; }
  [[nodiscard]] bool changed_meanwhile() const { return changed_meanwhile_; }
  [[nodiscard]] TensorLog& log() const { return *log_; }
  [[nodiscard]] std::string SegmentPath(const SegmentInfo& info) const;
  // The text of a root; "root N" where it is not known.
  [[nodiscard]] std::string RootText(uint32_t number) const;
  // What is wrong with files, by file: damage if kCorruption.
  [[nodiscard]] const std::vector<std::pair<std::string, Status>>& problems() const {
    return problems_;
  }
  // All entries, in key order. Damaged blocks are appended to `damage` and skipped; so are lost
  // tables, which problems() has. Outlived by this.
  std::unique_ptr<EntryIterator> Entries(std::vector<Status>* damage) const;

 private:
  class NoSegments;
  StoreState(FileSystem& fs, std::string directory);
  static Result<std::unique_ptr<StoreState>> LoadOnce(FileSystem& fs, const std::string& directory);
  void ChangedMeanwhile(const Result<LoadedManifest>& now);
  Status LoadLog();
  void NoteProblem(const ManifestState::SegmentRecord& segment, const Status& problem);
  Status Replay();
  void LoadTables();
  [[nodiscard]] std::string PathOfLogDir(const std::string& recorded) const;

  FileSystem& fs_;
  const std::string directory_;
  LoadedManifest loaded_;
  bool changed_meanwhile_ = false;
  BufferPool bounce_;
  std::unique_ptr<SegmentSource> no_segments_;
  std::unique_ptr<TensorLog> log_;
  RootTable roots_;
  std::shared_ptr<Memtable> replayed_;
  std::unique_ptr<OpenTables> tables_;
  std::vector<OpenRun> runs_;
  std::vector<std::pair<std::string, Status>> problems_;
};

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_STATE_H_
