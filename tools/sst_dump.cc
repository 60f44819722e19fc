#include "tools/sst_dump.h"

#include <cstring>
#include <utility>

#include "engine/io/posix_file_system.h"
#include "engine/store/view.h"
#include "tools/common_text.h"
#include "tools/sst_dump_journal.h"
#include "tools/sst_dump_manifest.h"
#include "tools/sst_dump_options.h"
#include "tools/sst_dump_read_only.h"
#include "tools/sst_dump_recognise.h"
#include "tools/sst_dump_report.h"
#include "tools/sst_dump_slots.h"
#include "tools/sst_dump_store.h"
#include "tools/sst_dump_table.h"
#include "tools/sst_dump_tuner.h"

namespace lamina::sst_dump {
namespace {

using tools::ExitCode;
using tools::Output;

// Runs one command over the targets.
class Dump {
 public:
  Dump(FileSystem& fs, Report& report)
      : fs_(fs),
        report_(report),
        command_(report.options().command),
        left_(report.options().limit) {}

  void Target(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const auto kind = Recognise(fs_, path);
    if (!kind.ok()) return report_.Failed(path, kind.status());
    switch (*kind) {
      case Kind::kStore:
        return Store(path);
      case Kind::kDirectory:
        return Directory(path);
      case Kind::kUnknown:
        return report_.Trouble(path + ": is not recognised as a file of a store");
      case Kind::kHousekeeping:
        return report_.Trouble(path +
                               ": belongs to a store, but has nothing to show by itself; name the "
                               "directory of the store");
      default:
        return File(path, *kind);
    }
  }

 private:
  void Store(const std::string& directory) {
    report_.SetIfUnreadable(
        [&](const std::string& file) { return Vanished(fs_, directory, file, report_); });
    StoreCommand(directory);
    report_.SetIfUnreadable({});
  }

  void StoreCommand(const std::string& directory) {
    if (command_ == Command::kVerify) return StoreVerify(fs_, directory, report_);
    if (command_ == Command::kTuner) return TunerPrintDirectory(fs_, directory, report_);
    const auto loaded = LoadStore(fs_, directory);
    if (!loaded.ok()) return report_.Failed(directory, loaded.status());
    WarnIfOpen(directory, *loaded, report_);
    if (command_ == Command::kManifest)
      return ManifestDump(fs_, ManifestPath(directory, *loaded), report_);
    if (command_ == Command::kTree) return PrintTree(directory, *loaded, report_);
    for (const RunPtr& run : loaded->state.tree->RunsNewestFirst()) {
      for (const TableMeta& table : run->tables) {
        if (report_.done()) return;
        const std::string path = TablePath(directory, table.number);
        if (command_ == Command::kScan && !report_.json() && left_ > 0)
          report_.out().Print("==> {} <==\n", tools::Printable(path));
        Table(path);
      }
    }
  }

  // Files of a store in a directory that is none: each by itself.
  void Directory(const std::string& directory) {
    if (command_ == Command::kTuner) return TunerPrintDirectory(fs_, directory, report_);
    const auto names = fs_.List(directory);
    if (!names.ok()) return report_.Failed(directory, names.status());
    bool any = false;
    for (const std::string& name : *names) {
      const std::string path = directory + "/" + name;
      const auto kind = Recognise(fs_, path);
      if (!kind.ok()) {
        report_.Failed(path, kind.status());
      } else if (*kind == Kind::kTable || *kind == Kind::kManifest || *kind == Kind::kJournal ||
                 *kind == Kind::kSlotTable || *kind == Kind::kTunerJournal) {
        any = true;
        File(path, *kind);
      } else if (*kind != Kind::kHousekeeping) {
        report_.Unrecognised(path);
      }
    }
    if (!any) report_.Trouble(directory + ": holds no store and no file of one");
  }

  void File(const std::string& path, Kind kind) {
    switch (kind) {
      case Kind::kTable:
        return Table(path);
      case Kind::kManifest:
        return Manifest(path);
      case Kind::kJournal:
        return Journal(path);
      case Kind::kSlotTable:
        return SlotTable(path);
      default:
        return TunerJournal(path);
    }
  }

  void Table(const std::string& path) {
    switch (command_) {
      case Command::kProperties:
        return TableProperties(fs_, path, report_);
      case Command::kLayout:
        return TableLayout(fs_, path, report_);
      case Command::kScan:
        return TableScan(fs_, path, &left_, report_);
      case Command::kVerify:
        return TableVerify(fs_, path, nullptr, report_);
      default:
        return Refuse(path, Kind::kTable);
    }
  }

  void Manifest(const std::string& path) {
    switch (command_) {
      case Command::kProperties:
        return ManifestProperties(fs_, path, report_);
      case Command::kLayout:
        return ManifestLayout(fs_, path, report_);
      case Command::kManifest:
        return ManifestDump(fs_, path, report_);
      case Command::kVerify:
        ManifestVerify(fs_, path, report_);
        return;
      default:
        return Refuse(path, Kind::kManifest);
    }
  }

  void Journal(const std::string& path) {
    switch (command_) {
      case Command::kProperties:
        return JournalProperties(fs_, path, report_);
      case Command::kLayout:
        return JournalLayout(fs_, path, report_);
      case Command::kScan:
        return JournalScan(fs_, path, &left_, report_);
      case Command::kVerify:
        return JournalVerify(fs_, path, std::nullopt, report_);
      default:
        return Refuse(path, Kind::kJournal);
    }
  }

  void SlotTable(const std::string& path) {
    switch (command_) {
      case Command::kProperties:
        return SlotTableProperties(fs_, path, report_);
      case Command::kLayout:
        return SlotTableLayout(fs_, path, report_);
      case Command::kScan:
        return SlotTableScan(fs_, path, &left_, report_);
      case Command::kVerify:
        return SlotTableVerify(fs_, path, nullptr, report_);
      default:
        return Refuse(path, Kind::kSlotTable);
    }
  }

  void TunerJournal(const std::string& path) {
    if (command_ == Command::kTuner) return TunerPrint(fs_, path, report_);
    if (command_ == Command::kVerify) return TunerVerify(fs_, path, report_);
    Refuse(path, Kind::kTunerJournal);
  }

  void Refuse(const std::string& path, Kind kind) {
    report_.Trouble(path + ": is a " + KindName(kind) + "; this command does not apply to it");
  }

  FileSystem& fs_;
  Report& report_;
  const Command command_;
  uint64_t left_;
};

}  // namespace

ExitCode Run(std::vector<std::string> arguments, Output& out, Output& err) {
  DumpOptions options;
  if (const auto ended = ParseOptions(std::move(arguments), &options, out, err)) return *ended;
  PosixOptions io;
  io.io = Options::Io::kThreads;  // files are read one after the other
  const auto posix = PosixFileSystem::Create(io);
  if (!posix.ok()) {
    err.Print("sst-dump: {}\n", posix.status().message());
    return ExitCode::kTrouble;
  }
  ReadOnlyFileSystem fs(**posix);
  Report report(options, out, err);
  Dump dump(fs, report);
  for (const std::string& target : options.targets) {
    if (!report.done()) dump.Target(target);
  }
  if (options.command == Command::kVerify) report.EndVerify();
  out.Flush();
  if (out.error() != 0)
    err.Print("sst-dump: cannot write to standard output: {}\n", std::strerror(out.error()));
  return report.exit_code();
}

}  // namespace lamina::sst_dump
