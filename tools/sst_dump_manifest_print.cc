#include <algorithm>

#include "tools/common_text.h"
#include "tools/sst_dump_manifest.h"

namespace lamina::sst_dump {
namespace {

using tools::HexOf64;
using tools::Printable;
using tools::Record;
using tools::Unit;

std::string DigestHex(Digest digest) { return HexOf64(digest.high) + HexOf64(digest.low); }

std::string DescribeSegment(const SegmentInfo& segment) {
  return fmt::format("segment {}: {} of {} bytes in log directory {}", segment.id,
                     tools::Counted(segment.slot_count, "slot"), segment.slot_bytes,
                     segment.log_dir);
}

std::string DescribeTables(const std::vector<TableMeta>& tables) {
  std::string text = tables.size() == 1 ? "table" : "tables";
  for (const TableMeta& table : tables) text += " " + std::to_string(table.number);
  return text;
}

template <class T>
void Say(std::vector<std::string>* out, const char* what, const std::optional<T>& value) {
  if (value) out->push_back(fmt::format("{} {}", what, *value));
}

void DescribeTree(const TreeEdit& edit, std::vector<std::string>* out) {
  for (const RunId run : edit.remove_runs) out->push_back(fmt::format("remove run {}", run));
  for (const Run& run : edit.add_runs) {
    out->push_back(fmt::format("add run {} to level {}, flushes {} to {}: {}", run.id, run.level,
                               run.oldest_flush, run.newest_flush, DescribeTables(run.tables)));
  }
  for (const TreeEdit::TableChange& change : edit.change_runs) {
    std::string removed;
    for (const TableNumber table : change.remove) removed += " " + std::to_string(table);
    out->push_back(fmt::format("in run {}: remove tables{}, add {}", change.run, removed,
                               DescribeTables(change.add)));
  }
}

void PrintTree(const std::string& path, const Tree& tree, Report& report) {
  for (const RunPtr& run : tree.RunsNewestFirst()) {
    for (const TableMeta& table : run->tables) {
      report.Print(Record("manifest_table")
                       .Text("file", path)
                       .Number("level", uint64_t{run->level})
                       .Number("run", run->id)
                       .Number("table", table.number)
                       .Number("file_bytes", table.file_bytes)
                       .Number("entries", table.entry_count)
                       .Text("smallest_key", DigestHex(table.smallest.anchor))
                       .Text("largest_key", DigestHex(table.largest.anchor)),
                   fmt::format("  table {}: level {}, run {}, {} bytes, {}\n", table.number,
                               run->level, run->id, table.file_bytes,
                               tools::Counted(table.entry_count, "entry", "entries")));
    }
  }
}

void PrintLists(const std::string& path, const ManifestState& state, Report& report) {
  for (const auto& [index, directory] : state.log_dirs) {
    report.Print(Record("log_dir")
                     .Text("file", path)
                     .Number("index", uint64_t{index})
                     .Text("path", directory),
                 fmt::format("  log directory {}: {}\n", index, Printable(directory)));
  }
  for (const auto& [name, root] : state.roots) {
    report.Print(Record("root")
                     .Text("file", path)
                     .Number("number", uint64_t{root.number})
                     .Number("epoch", root.epoch)
                     .Text("name", DigestHex(name))
                     .Text("text", root.text),
                 fmt::format("  root {}: epoch {}, name {}, \"{}\"\n", root.number, root.epoch,
                             DigestHex(name), Printable(root.text)));
  }
  for (const auto& [id, segment] : state.segments) {
    report.Print(Record("segment")
                     .Text("file", path)
                     .Number("segment", uint64_t{id})
                     .Number("log_dir", uint64_t{segment.info.log_dir})
                     .Number("slot_bytes", uint64_t{segment.info.slot_bytes})
                     .Number("slots", uint64_t{segment.info.slot_count})
                     .Number("slot_table", segment.slot_table),
                 fmt::format("  {}, slot table of generation {}\n", DescribeSegment(segment.info),
                             segment.slot_table));
  }
}

// The secret is not shown: whoever has it can forge keys.
void PrintState(const std::string& path, const ManifestFile& file, Report& report) {
  const ManifestState& state = file.state;
  report.PrintTable("state of " + Printable(path),
                    Record("state")
                        .Text("file", path)
                        .Text("store", HexOf64(file.store_id.high) + HexOf64(file.store_id.low))
                        .Number("stem_pages", uint64_t{state.creation.stem_pages})
                        .Number("open_epoch", state.open_epoch)
                        .Flag("clean_close", state.clean_close)
                        .Text("shape", state.shape)
                        .Number("checkpoint_epoch", state.checkpoint.epoch)
                        .Number("checkpoint_sequence", state.checkpoint.sequence)
                        .Number("next_file_number", state.next_file_number)
                        .Number("next_segment_id", uint64_t{state.next_segment_id})
                        .Number("next_run_id", state.next_run_id)
                        .Number("next_flush", state.next_flush)
                        .Number("epoch_counter", state.epoch_counter)
                        .Number("device_model_bytes", state.device_model.size(), Unit::kBytes)
                        .Text("policy_state", state.policy_state)
                        .Flag("erase_physical", state.erase_physical)
                        .Number("levels", state.tree->levels().size())
                        .Number("runs", state.tree->run_count())
                        .Number("tables", state.tree->table_count())
                        .Number("table_bytes", state.tree->bytes(), Unit::kBytes)
                        .Number("entries", state.tree->entries(), Unit::kCount)
                        .Number("cut_off_bytes", file.tail_bytes, Unit::kBytes));
  PrintLists(path, state, report);
  PrintTree(path, *state.tree, report);
}

}  // namespace

std::vector<std::string> DescribeEdit(const ManifestEdit& edit) {
  std::vector<std::string> out;
  if (edit.creation) {
    out.push_back(fmt::format("stem pages {}, a secret of {} bytes", edit.creation->stem_pages,
                              kSecretBytes));
  }
  Say(&out, "open epoch", edit.open_epoch);
  Say(&out, "next file number", edit.next_file_number);
  Say(&out, "next segment id", edit.next_segment_id);
  Say(&out, "next run id", edit.next_run_id);
  Say(&out, "next flush", edit.next_flush);
  Say(&out, "epoch counter", edit.epoch_counter);
  for (const RootRecord& root : edit.roots) {
    out.push_back(fmt::format("root {}: epoch {}, name {}, \"{}\"", root.number, root.epoch,
                              DigestHex(root.name), root.text));
  }
  for (const auto& [index, path] : edit.log_dirs)
    out.push_back(fmt::format("log directory {}: {}", index, path));
  for (const SegmentInfo& segment : edit.add_segments)
    out.push_back("add " + DescribeSegment(segment));
  for (const uint32_t segment : edit.drop_segments)
    out.push_back(fmt::format("drop segment {}", segment));
  for (const auto& [segment, generation] : edit.slot_tables)
    out.push_back(fmt::format("slot table of segment {}: generation {}", segment, generation));
  DescribeTree(edit.tree, &out);
  if (edit.checkpoint) {
    out.push_back(fmt::format("checkpoint at journal epoch {}, block {}", edit.checkpoint->epoch,
                              edit.checkpoint->sequence));
  }
  Say(&out, "shape", edit.shape);
  if (edit.clean_close) out.push_back(*edit.clean_close ? "closed" : "open");
  if (edit.device_model)
    out.push_back(fmt::format("device model of {} bytes", edit.device_model->size()));
  if (edit.policy_state)
    out.push_back(edit.policy_state->empty() ? "no policy state"
                                             : "policy state " + *edit.policy_state);
  if (edit.write_level) {
    out.push_back(fmt::format("write_bytes_per_day leaves {} bytes at Unix time {}",
                              edit.write_level->bytes, edit.write_level->unix_seconds));
  }
  if (edit.erase_physical) out.push_back(*edit.erase_physical ? "physical erase" : "logical erase");
  return out;
}

void ManifestDump(FileSystem& fs, const std::string& path, Report& report) {
  if (!report.json()) report.out().Print("edits of {}\n", Printable(path));
  const auto file = ReadManifestFile(fs, path, report, [&](const ManifestRecord& record) {
    std::vector<std::string> changes = DescribeEdit(record.edit);
    std::string text =
        fmt::format("  {} at offset {}, {} bytes\n", record.number, record.offset, record.length);
    for (const std::string& change : changes) text += "    " + Printable(change) + "\n";
    report.Print(Record("edit")
                     .Text("file", path)
                     .Number("number", record.number)
                     .Number("offset", record.offset)
                     .Number("length", record.length)
                     .List("changes", std::move(changes)),
                 text);
  });
  if (!file.ok()) return report.Failed(path, file.status());
  PrintState(path, *file, report);
}

}  // namespace lamina::sst_dump
