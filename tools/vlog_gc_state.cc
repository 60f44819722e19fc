#include "tools/vlog_gc_state.h"

#include <algorithm>
#include <set>

#include "compaction/run_iterator.h"
#include "engine/index/merging_iterator.h"
#include "engine/store/recovery.h"
#include "tools/sst_dump_recognise.h"
#include "tools/sst_dump_store.h"

namespace lamina::vlog_gc {
namespace {

// A writer that is slow to be read (a debugger, a sanitizer) changes much meanwhile.
constexpr int kLoadAttempts = 20;
constexpr size_t kBounceBytes = size_t{1} << 20;
constexpr size_t kBounceBuffers = 16;

}  // namespace

class StoreState::NoSegments final : public SegmentSource {
 public:
  Result<uint32_t> ReserveSegment(uint32_t, uint32_t, uint32_t*) noexcept override {
    return Status::NotSupported("this tool changes nothing");
  }
  Status SegmentCreated(const SegmentInfo&) noexcept override { return Status::Ok(); }
  void SegmentFailed(const SegmentInfo&, const Status&) noexcept override {}
};

StoreState::StoreState(FileSystem& fs, std::string directory)
    : fs_(fs),
      directory_(std::move(directory)),
      bounce_(kBounceBytes, kBounceBytes * kBounceBuffers),
      no_segments_(std::make_unique<NoSegments>()) {}
StoreState::~StoreState() = default;

Result<std::unique_ptr<StoreState>> StoreState::Load(FileSystem& fs, const std::string& directory) {
  for (int attempt = 1;; ++attempt) {
    auto state = LoadOnce(fs, directory);
    const auto now = sst_dump::LoadStore(fs, directory);
    const bool same = state.ok() && now.ok() && now->file_number == (*state)->loaded_.file_number &&
                      now->edits == (*state)->loaded_.edits;
    if (same || attempt == kLoadAttempts) {
      if (state.ok() && !same) (*state)->ChangedMeanwhile(now);
      return state;
    }
    // Not for a manifest that cannot be read at all.
    if (!state.ok() && !now.ok()) return state;
  }
}

// What was missing because the writer has removed it since is no damage.
void StoreState::ChangedMeanwhile(const Result<LoadedManifest>& now) {
  changed_meanwhile_ = true;
  if (!now.ok()) return;
  const std::set<std::string> names = sst_dump::NamesIn(*now);
  std::erase_if(problems_, [&](const auto& problem) {
    return problem.second.code() == StatusCode::kCorruption &&
           !names.contains(sst_dump::FileNameOf(problem.first));
  });
}

Result<std::unique_ptr<StoreState>> StoreState::LoadOnce(FileSystem& fs,
                                                         const std::string& directory) {
  std::unique_ptr<StoreState> state(new StoreState(fs, directory));
  LAMINA_ASSIGN_OR_RETURN(state->loaded_, sst_dump::LoadStore(fs, directory));
  LAMINA_RETURN_IF_ERROR(state->LoadLog());
  LAMINA_RETURN_IF_ERROR(state->Replay());
  state->LoadTables();
  return state;
}

// As the manifest has it; relative names lie within the store, and if the store was moved, so may
// others.
std::string StoreState::PathOfLogDir(const std::string& recorded) const {
  if (!recorded.starts_with('/')) return directory_ + "/" + recorded;
  const auto exists = fs_.Exists(recorded);
  const std::string moved = directory_ + "/" + sst_dump::FileNameOf(recorded);
  const auto moved_exists = fs_.Exists(moved);
  const bool use_moved = exists.ok() && !*exists && moved_exists.ok() && *moved_exists;
  return use_moved ? moved : recorded;
}

Status StoreState::LoadLog() {
  TensorLogOptions options;
  options.store_id = loaded_.store_id;
  options.slot_table_dir = directory_;
  options.read_only = true;
  for (const auto& [index, path] : manifest().log_dirs)
    options.log_dirs.push_back(PathOfLogDir(path));
  if (options.log_dirs.empty()) options.log_dirs.push_back(directory_ + "/log");
  LAMINA_ASSIGN_OR_RETURN(
      log_, TensorLog::Open(fs_, bounce_, options, std::vector<bool>(options.log_dirs.size(), true),
                            *no_segments_));
  for (const auto& dir : log_->log_dirs()) {
    if (!dir->present()) {
      problems_.emplace_back(dir->path(), Status::IoError(std::string(dir->absence().message()) +
                                                          ": its pages are misses"));
    }
  }
  for (const auto& [id, segment] : manifest().segments) {
    LAMINA_ASSIGN_OR_RETURN(const auto added, log_->AddSegment(segment.info, segment.slot_table));
    if (added.problem.ok()) continue;
    if (log_->log_dirs()[segment.info.log_dir]->present()) NoteProblem(segment, added.problem);
  }
  return Status::Ok();
}

// What the manifest names and is not there, or is too short, is not what was written; a file that
// is there and cannot be read may be whole.
void StoreState::NoteProblem(const ManifestState::SegmentRecord& segment, const Status& problem) {
  const bool absent = SegmentTable::ReadSection(log_->table()).Find(segment.info.id)->absent();
  const std::string path = absent ? SegmentPath(segment.info)
                                  : SlotTablePath(directory_, segment.info.id, segment.slot_table);
  const auto exists = fs_.Exists(path);
  const bool missing = exists.ok() && !*exists;
  const auto file = fs_.Open(path, {});
  const bool short_segment = absent && file.ok() && (*file)->Size().ok();
  if (missing || short_segment) {
    problems_.emplace_back(path, Status::Corruption(std::string(problem.message())));
  } else {
    problems_.emplace_back(path, problem);
  }
}

std::string StoreState::SegmentPath(const SegmentInfo& info) const {
  return log_->log_dirs()[info.log_dir]->SegmentPath(info.id);
}

Status StoreState::Replay() {
  for (const auto& [name, root] : manifest().roots) roots_.Restore(root);
  replayed_ = std::make_shared<Memtable>();
  Recovery recovery(*log_, roots_, *replayed_);
  LAMINA_ASSIGN_OR_RETURN(
      const JournalReplay replay,
      ReplayJournal(fs_, directory_, loaded_.store_id, manifest().checkpoint, recovery));
  if (!replay.first_problem.ok()) problems_.emplace_back(directory_, replay.first_problem);
  log_->FinishReplay();
  replayed_->Freeze();
  return Status::Ok();
}

void StoreState::LoadTables() {
  tables_ = std::make_unique<OpenTables>(fs_, directory_, nullptr, nullptr);
  runs_ = tables_->OpenRuns(*manifest().tree);
  for (const OpenRun& run : runs_) {
    for (size_t i = 0; i < run.tables.size(); ++i) {
      if (run.tables[i] != nullptr) continue;
      const TableMeta& meta = run.run->tables[i];
      problems_.emplace_back(TablePath(directory_, meta.number), tables_->Get(meta).status());
    }
  }
}

std::string StoreState::RootText(uint32_t number) const {
  for (const RootRecord& root : roots_.Records()) {
    if (root.number == number && !root.text.empty()) return root.text;
  }
  return "root " + std::to_string(number);
}

std::unique_ptr<EntryIterator> StoreState::Entries(std::vector<Status>* damage) const {
  std::vector<std::unique_ptr<EntryIterator>> sources;
  sources.push_back(replayed_->NewIterator());
  for (const OpenRun& run : runs_) {
    RunIterator::Options options;
    options.open = [this](const TableMeta& meta) { return tables_->Get(meta); };
    options.table.on_damage = [damage](const Status& what) { damage->push_back(what); };
    options.on_lost_table = [](const TableMeta&, const Status&) {};
    sources.push_back(std::make_unique<RunIterator>(run.run->tables, std::move(options)));
  }
  return std::make_unique<MergingIterator>(std::move(sources));
}

}  // namespace lamina::vlog_gc
