#include "tools/vlog_gc_run.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>

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
  const auto state = ReadPolicyFile(fs, directory + "/" + manifest.policy_state);
  StateHeader header;
  if (!state.ok() || state->size() < sizeof header) return;
  std::memcpy(&header, state->data(), sizeof header);
  if (header.magic != kStateMagic || header.kind > static_cast<uint32_t>(PolicyKind::kS3Fifo))
    return;
  options->eviction = static_cast<Options::Eviction>(header.kind);
}

Result<Options> OptionsFor(FileSystem& fs, const GcOptions& gc) {
  LAMINA_ASSIGN_OR_RETURN(const LoadedManifest loaded, sst_dump::LoadStore(fs, gc.directory));
  if (gc.segment && !loaded.state.segments.contains(*gc.segment)) {
    return Status::InvalidArgument(gc.directory + ": has no segment " +
                                   std::to_string(*gc.segment));
  }
  LAMINA_ASSIGN_OR_RETURN(Options options, Options::Parse(gc.store_options));
  options.create_if_missing = false;
  if (gc.store_options.find("eviction=") == std::string::npos)
    KeepPolicy(fs, gc.directory, loaded.state, &options);
  // What is moved must not leave bytes behind that an erase of the store's own would not find.
  if (gc.store_options.find("erase=") == std::string::npos && loaded.state.erase_physical)
    options.erase = Options::Erase::kPhysical;
  return options;
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

void Collect(FileSystem& fs, Report& report) {
  const GcOptions& gc = report.options();
  const auto options = OptionsFor(fs, gc);
  if (!options.ok()) return report.Failed(gc.directory, options.status());
  auto store = Store::Open(gc.directory, *options);
  if (!store.ok()) return report.Failed(gc.directory, store.status());
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
