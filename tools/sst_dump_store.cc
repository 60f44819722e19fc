#include "tools/sst_dump_store.h"

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "engine/store/view.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/numbered_file.h"
#include "tensorlog/slot_table.h"
#include "tools/sst_dump_journal.h"
#include "tools/sst_dump_manifest.h"
#include "tools/sst_dump_recognise.h"
#include "tools/sst_dump_slots.h"
#include "tools/sst_dump_table.h"
#include "tools/sst_dump_tuner.h"

namespace lamina::sst_dump {
namespace {

// More switches than this while one manifest is read cannot be.
constexpr int kLoadAttempts = 5;

class StoreVerifier {
 public:
  StoreVerifier(FileSystem& fs, std::string directory, Report& report)
      : fs_(fs), directory_(std::move(directory)), report_(report) {}

  void Run() {
    auto loaded = LoadStore(fs_, directory_);
    if (!loaded.ok()) return RunWithoutManifest(loaded.status());
    WarnIfOpen(directory_, *loaded, report_);
    names_ = NamesIn(*loaded);
    manifest_ = std::move(*loaded);
    const std::string path = ManifestPath(directory_, *manifest_);
    if (!Gone(path)) {
      const uint64_t damages = report_.damages();
      ManifestVerify(fs_, path, report_);
      // The store's own reader had no objection. If this one has, say both.
      if (report_.damages() > damages) {
        report_.Note(path +
                     ": the store takes the damaged record for an append that was cut off, "
                     "and goes on without it");
      }
    }
    VerifyTables();
    VerifySegments();
    if (const std::string& name = manifest_->state.policy_state; !name.empty())
      (void)Gone(directory_ + "/" + name);
    VerifyRest();
  }

 private:
  // Everything by itself: what the manifest would have named is not known.
  void RunWithoutManifest(const Status& why) {
    if (why.code() == StatusCode::kNotSupported) return report_.Failed(directory_, why);
    report_.Note(directory_ + ": without its manifest, files are checked one by one");
    const uint64_t damages = report_.damages();
    for (const std::string& name : Names()) {
      uint64_t number = 0;
      if (ParseManifestFileName(name, &number))
        ManifestVerify(fs_, directory_ + "/" + name, report_);
    }
    if (report_.damages() == damages) ReportCurrent(why);
    VerifyRest();
  }

  // The manifests are whole, so what keeps the store from being read is CURRENT, or what it names.
  void ReportCurrent(const Status& why) {
    const std::string current = directory_ + "/" + kCurrentFileName;
    if (why.code() == StatusCode::kInvalidArgument) {
      report_.DamagedFile(current, "missing",
                          "the name of a manifest, since there are manifests here", "no file");
      return;
    }
    if (why.code() == StatusCode::kIoError) {
      const auto text = ReadWhole(fs_, current, kTableBlockBytes);
      const std::string named = text.ok() ? text->substr(0, text->find(' ')) : std::string();
      uint64_t number = 0;
      const auto exists = fs_.Exists(directory_ + "/" + named);
      if (ParseManifestFileName(named, &number) && exists.ok() && !*exists) {
        report_.DamagedFile(directory_ + "/" + named, "missing", "the manifest that CURRENT names",
                            "no file");
        return;
      }
    }
    report_.Failed(current, why);
  }

  std::vector<std::string> Names() {
    auto names = fs_.List(directory_);
    if (names.ok()) return std::move(*names);
    report_.Failed(directory_, names.status());
    return {};
  }

  [[nodiscard]] bool Gone(const std::string& path) {
    return Vanished(fs_, directory_, path, report_);
  }

  void VerifyTables() {
    for (const RunPtr& run : manifest_->state.tree->RunsNewestFirst()) {
      for (const TableMeta& meta : run->tables) {
        const std::string path = TablePath(directory_, meta.number);
        if (!Gone(path)) TableVerify(fs_, path, &meta, report_);
      }
    }
  }

  void VerifySegments() {
    std::map<uint32_t, std::unique_ptr<LogDir>> dirs;
    for (const auto& [index, path] : manifest_->state.log_dirs)
      dirs[index] = OpenLogDir(index, path);
    for (const auto& [id, segment] : manifest_->state.segments) {
      const auto dir = dirs.find(segment.info.log_dir);
      if (dir == dirs.end()) {
        report_.DamagedFile(ManifestPath(directory_, *manifest_), "segment " + std::to_string(id),
                            "a log directory of the manifest",
                            "number " + std::to_string(segment.info.log_dir));
      } else if (dir->second != nullptr) {
        VerifySegment(segment.info, *dir->second);
      }
      if (segment.slot_table != 0) VerifySlots(segment);
    }
  }

  // The directory as the manifest has it; or, if the store was moved, the one of that name in it.
  // Null, and reported, if there is none of this store.
  std::unique_ptr<LogDir> OpenLogDir(uint32_t index, const std::string& path) {
    const auto open = [&](const std::string& where) {
      return LogDir::Open(fs_, where, manifest_->store_id, index, LogDir::IfMissing::kMiss);
    };
    auto dir = open(path);
    if (dir.ok() && (*dir)->present()) return std::move(*dir);
    auto moved = open(directory_ + "/" + FileNameOf(path));
    if (moved.ok() && (*moved)->present()) return std::move(*moved);
    // It may be there, and whole.
    for (const auto* found : {&dir, &moved}) {
      if (!found->ok() || !(**found)->unreadable()) continue;
      report_.Failed((**found)->path(), (**found)->absence());
      return nullptr;
    }
    report_.DamagedFile(path, "log directory missing or not this store's",
                        "a directory with the marker of this store",
                        dir.ok() ? "none" : std::string(dir.status().message()));
    return nullptr;
  }

  void VerifySegment(const SegmentInfo& info, const LogDir& dir) {
    const std::string path = dir.SegmentPath(info.id);
    if (Gone(path)) return;
    const auto file = fs_.Open(path, {});
    const auto size = file.ok() ? (*file)->Size() : Result<uint64_t>(file.status());
    if (!size.ok()) return report_.Failed(path, size.status());
    if (*size < info.bytes()) {
      report_.Damaged({path,
                       "file",
                       {},
                       *size,
                       info.bytes() - *size,
                       "size",
                       std::to_string(info.bytes()),
                       std::to_string(*size)});
    }
  }

  void VerifySlots(const ManifestState::SegmentRecord& segment) {
    const std::string path = SlotTablePath(directory_, segment.info.id, segment.slot_table);
    if (Gone(path)) return;
    const ExpectedSlotTable expected = {manifest_->store_id, segment.info, segment.slot_table};
    SlotTableVerify(fs_, path, &expected, report_);
  }

  // Journal files, which the manifest does not name, and everything unknown. Without a manifest,
  // tables and slot tables too.
  void VerifyRest() {
    for (const std::string& name : Names()) {
      const std::string path = directory_ + "/" + name;
      const auto kind = Recognise(fs_, path);
      if (kind.ok()) {
        VerifyOther(path, name, *kind);
      } else {
        report_.Failed(path, kind.status());
      }
    }
  }

  void VerifyOther(const std::string& path, const std::string& name, Kind kind) {
    uint64_t number = 0;
    uint32_t segment = 0;
    // In a store, a file is what its name says.
    if (ParseJournalFileName(name, &number)) {
      JournalVerify(fs_, path, manifest_ ? std::optional(manifest_->store_id) : std::nullopt,
                    report_);
    } else if (ParseTableFileName(name, &number)) {
      manifest_ ? NoteIfUnnamed(path, name) : TableVerify(fs_, path, nullptr, report_);
    } else if (ParseSlotTableFileName(name, &segment, &number)) {
      manifest_ ? NoteIfUnnamed(path, name) : SlotTableVerify(fs_, path, nullptr, report_);
    } else if (ParseManifestFileName(name, &number)) {
      if (manifest_) NoteIfUnnamed(path, name);
    } else if (kind == Kind::kTunerJournal) {
      TunerVerify(fs_, path, report_);
    } else if (kind == Kind::kHousekeeping || IsLogDir(path, kind) || names_.contains(name)) {
      return;
    } else {
      report_.Unrecognised(path);
    }
  }

  [[nodiscard]] bool IsLogDir(const std::string& path, Kind kind) const {
    if (kind != Kind::kDirectory) return false;
    const auto marked = fs_.Exists(path + "/" + kLogDirMarkerName);
    return marked.ok() && *marked;
  }

  void NoteIfUnnamed(const std::string& path, const std::string& name) {
    if (names_.contains(name)) return;
    report_.Note(path +
                 ": the manifest does not name it: left by a job that was cut off, or being "
                 "written now");
  }

  FileSystem& fs_;
  const std::string directory_;
  Report& report_;
  std::optional<LoadedManifest> manifest_;
  std::set<std::string> names_;  // of the files that it names
};

}  // namespace

Result<LoadedManifest> LoadStore(FileSystem& fs, const std::string& directory) {
  for (int attempt = 1;; ++attempt) {
    auto loaded = LoadManifest(fs, directory);
    // The manifest that CURRENT named was removed before it could be opened.
    const bool raced = !loaded.ok() && loaded.status().code() == StatusCode::kIoError;
    if (!raced || attempt == kLoadAttempts) return loaded;
  }
}

void WarnIfOpen(const std::string& directory, const LoadedManifest& loaded, Report& report) {
  if (loaded.state.clean_close) return;
  report.Note(directory +
              ": the store was not closed. If a process has it open, what is printed "
              "may be inconsistent");
}

std::string ManifestPath(const std::string& directory, const LoadedManifest& loaded) {
  return directory + "/" + ManifestFileName(loaded.file_number);
}

std::set<std::string> NamesIn(const LoadedManifest& loaded) {
  std::set<std::string> names = {ManifestFileName(loaded.file_number)};
  for (const RunPtr& run : loaded.state.tree->RunsNewestFirst()) {
    for (const TableMeta& table : run->tables)
      names.insert(FileNameOf(TablePath("", table.number)));
  }
  for (const auto& [id, segment] : loaded.state.segments) {
    names.insert(TenDigits(id) + ".segment");
    if (segment.slot_table != 0)
      names.insert(FileNameOf(SlotTablePath("", id, segment.slot_table)));
  }
  if (!loaded.state.policy_state.empty()) names.insert(loaded.state.policy_state);
  return names;
}

bool Vanished(FileSystem& fs, const std::string& directory, const std::string& path,
              Report& report) {
  const auto exists = fs.Exists(path);
  if (!exists.ok() || *exists) return false;
  const auto now = LoadStore(fs, directory);
  if (now.ok() && !NamesIn(*now).contains(FileNameOf(path))) {
    report.Note(path + ": was removed by the process that has the store open");
  } else {
    report.DamagedFile(path, "missing", "a file that the manifest names", "no file");
  }
  return true;
}

void StoreVerify(FileSystem& fs, const std::string& directory, Report& report) {
  StoreVerifier(fs, directory, report).Run();
}

}  // namespace lamina::sst_dump
