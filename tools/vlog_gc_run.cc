#include "tools/vlog_gc_run.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "engine/index/table.h"
#include "engine/store/policy_file.h"
#include "engine/store/store_impl.h"
#include "tensorlog/eviction/state_format.h"
#include "tools/common_text.h"
#include "tools/sst_dump_store.h"

namespace lamina::vlog_gc {
namespace {

using tools::Counted;
using tools::Record;

// The policy whose state the store has: opened with another, it would lose what was learned.
void KeepPolicy(FileSystem& fs, const std::string& directory, const ManifestState& manifest,
                Options* options) {
  if (manifest.policy_state.empty()) return;
  const auto file = fs.Open(directory + "/" + manifest.policy_state, {});
  StateHeader header;
  if (!file.ok() || !(*file)->Read(0, std::as_writable_bytes(std::span(&header, 1))).ok()) return;
  if (header.magic != kStateMagic || header.kind > static_cast<uint32_t>(PolicyKind::kS3Fifo))
    return;
  options->eviction = static_cast<Options::Eviction>(header.kind);
}

// Of a store's memory, for as many records of the eviction policy as it has saved: a store that has
// less saves fewer when it is closed, and they are what it would be warm by.
uint64_t PolicyMemoryFor(FileSystem& fs, const std::string& directory,
                         const ManifestState& manifest) {
  if (manifest.policy_state.empty()) return 0;
  const auto file = fs.Open(directory + "/" + manifest.policy_state, {});
  const auto size = file.ok() ? (*file)->Size() : Result<uint64_t>(file.status());
  if (!size.ok()) return 0;
  return kPolicyMemoryShare * kPolicyBytesPerRecord * (*size / kSavedRecordBytes);
}

// Slots and tables are in memory while the store is open, and so are those that are made before
// others go. As much again is for them and for reading the index.
uint64_t MemoryFor(const ManifestState& manifest) {
  constexpr uint64_t kFixedBytes = uint64_t{256} << 20;  // memtables and buffers
  uint64_t bytes = SegmentTable::kIndexBytes;
  for (const auto& [id, segment] : manifest.segments)
    bytes += SegmentMemory(segment.info.slot_count);
  for (const RunPtr& run : manifest.tree->RunsNewestFirst())
    for (const TableMeta& table : run->tables) bytes += sizeof(Table) + table.memory_bytes();
  return 2 * bytes + kFixedBytes;
}

void Print(const CollectReport& done, Report& report) {
  report.Print(
      Record("run")
          .Number("segments_freed", done.segments_freed)
          .Number("segments_made", done.segments_made)
          .Number("bytes_freed", done.bytes_freed)
          .Number("pages_moved", done.pages_moved)
          .Number("bytes_moved", done.bytes_moved)
          .Number("pages_condemned_dropped", done.pages_condemned_dropped)
          .Number("pages_bad", done.pages_bad)
          .Number("segments_kept", done.segments_kept)
          .Flag("stopped", done.stopped)
          .Real("seconds", done.seconds),
      fmt::format("{} given up, {} made: {} given back; {} ({}) moved, {} dropped; {:.1f} s{}\n",
                  Counted(done.segments_freed, "segment"), done.segments_made,
                  report.Bytes(done.bytes_freed), Counted(done.pages_moved, "page"),
                  report.Bytes(done.bytes_moved),
                  Counted(done.pages_condemned_dropped, "condemned page"), done.seconds,
                  done.stopped ? "; stopped before the end" : ""));
  for (const std::string& problem : done.problems) report.Trouble(problem);
  if (done.pages_bad > 0) {
    report.Damaged(
        Record("damage")
            .Text("what", "pages whose bytes were wrong, or could not be read, were freed")
            .Number("pages", done.pages_bad),
        fmt::format("damage   {} whose bytes were wrong, or could not be read: freed, not moved\n",
                    Counted(done.pages_bad, "page")));
  }
}

}  // namespace

Result<Options> OptionsFor(FileSystem& fs, Report& report, uint64_t memory_bytes) {
  const GcOptions& gc = report.options();
  LAMINA_ASSIGN_OR_RETURN(const LoadedManifest loaded, sst_dump::LoadStore(fs, gc.directory));
  if (gc.segment && !loaded.state.segments.contains(*gc.segment)) {
    return Status::InvalidArgument(gc.directory + ": has no segment " +
                                   std::to_string(*gc.segment));
  }
  LAMINA_ASSIGN_OR_RETURN(Options options, Options::Parse(gc.store_options));
  const auto given = [&](const char* option) {
    return gc.store_options.find(option) != std::string::npos;
  };
  options.create_if_missing = false;
  if (!given("eviction=")) KeepPolicy(fs, gc.directory, loaded.state, &options);
  // What is moved must not leave bytes behind that an erase of the store's own would not find.
  if (!given("erase=") && loaded.state.erase_physical) options.erase = Options::Erase::kPhysical;
  if (given("memory_bytes=")) return options;
  options.memory_bytes = std::max(
      memory_bytes, MemoryFor(loaded.state) + PolicyMemoryFor(fs, gc.directory, loaded.state));
  if (options.memory_bytes > memory_bytes) {
    report.Note(gc.directory + ": memory_bytes=" + std::to_string(options.memory_bytes) +
                ", for the slots, tables and records of the eviction policy that it has");
  }
  return options;
}

void Collect(FileSystem& fs, Report& report) {
  const GcOptions& gc = report.options();
  const auto options = OptionsFor(fs, report, Options{}.memory_bytes);
  if (!options.ok()) return report.Failed(gc.directory, options.status());
  auto store = Store::Open(gc.directory, *options);
  if (!store.ok()) return report.Failed(gc.directory, store.status());
  for (const auto& dir : (*store)->impl()->log().log_dirs())
    if (!dir->present()) report.Failed(dir->path(), dir->absence());
  CollectFrom(**store, report);
}

void CollectFrom(Store& store, Report& report) {
  const GcOptions& gc = report.options();
  CollectOptions collect;
  collect.target_bytes = gc.target_bytes;
  collect.segment = gc.segment;
  CollectReport done;
  const Status status = store.impl()->CollectGarbage(collect, &report.stop(), &done);
  Print(done, report);
  if (!status.ok()) report.Failed(gc.directory, status);
}

}  // namespace lamina::vlog_gc
