#include "tests/tools/sst_dump_fixture.h"

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "engine/io/posix_file_system.h"
#include "engine/store/view.h"
#include "tensorlog/journal_writer.h"
#include "tensorlog/log_dir.h"
#include "tensorlog/segment.h"
#include "tensorlog/slot_table.h"
#include "tools/sst_dump.h"

namespace lamina::testing {
namespace {

constexpr Digest kRoot = {0xAAAA, 0xBBBB};
constexpr SegmentInfo kSegment = {.id = 1, .log_dir = 0, .slot_bytes = 4096, .slot_count = 64};
constexpr uint64_t kJournalBlocks = 16;

void Check(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

template <class T>
T Value(Result<T> result) {
  Check(result.status());
  return std::move(*result);
}

}  // namespace

DumpResult Dump(const std::vector<std::string>& arguments) {
  DumpResult result;
  {
    tools::Output out(&result.out);
    tools::Output err(&result.err);
    result.code = sst_dump::Run(arguments, out, err);
  }
  return result;
}

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::stringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

void FlipByte(const std::string& path, uint64_t offset, unsigned char bits) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  char byte = 0;
  file.seekg(static_cast<std::streamoff>(offset)).get(byte);
  byte = static_cast<char>(static_cast<unsigned char>(byte) ^ bits);
  file.seekp(static_cast<std::streamoff>(offset)).put(byte);
  if (!file.flush()) throw std::runtime_error("cannot change " + path);
}

TableMeta WriteSmallTable(FileSystem& fs, const std::string& path, const TableBuilderOptions& how,
                          uint64_t stems, uint64_t pages) {
  auto builder = Value(TableBuilder::Create(&fs, path, how));
  for (uint64_t stem = 1; stem <= stems; ++stem) {
    std::vector<Fingerprint> path_so_far;
    for (uint64_t page = 1; page <= pages; ++page) {
      path_so_far.push_back(how.number << 32 | stem << 16 | page);
      Entry entry;
      entry.slot = {1, static_cast<uint32_t>((stem - 1) * pages + page)};
      entry.length = 4096;
      entry.guard = static_cast<uint32_t>(page);
      entry.checksum = stem << 8 | page;
      Check(builder->Add({Digest{stem, how.number}, path_so_far}, entry));
    }
  }
  return Value(builder->Finish());
}

SmallStore::SmallStore() : directory_(temporary_ / "store") {
  PosixOptions io;
  io.io = Options::Io::kThreads;
  fs_ = Value(PosixFileSystem::Create(io));
  Check(fs_->MakeDirectory(directory_));
  TableBuilderOptions how;
  how.number = 2;
  how.store_id = kId.high;
  how.job_id = 5;
  how.shape = "tiering:4";
  how.single_level_index_bytes = 0;  // two levels
  old_table_ = WriteSmallTable(*fs_, TablePath(directory_, how.number), how, 6, 40);
  how.number = 3;
  how.filter_bits_per_key = 6.5;
  new_table_ = WriteSmallTable(*fs_, TablePath(directory_, how.number), how, 2, 3);
  WriteLog();
  WriteJournal();
  WriteManifest();
  WriteFile(File("LOCK"), "");
}

void SmallStore::WriteLog() {
  const auto dir =
      Value(LogDir::Open(*fs_, directory_ + "/log", kId, 0, LogDir::IfMissing::kCreate));
  const auto segment = Value(Segment::Create(*fs_, *dir, kSegment));
  for (uint32_t slot = 0; slot < 5; ++slot) {
    if (!segment->Take(slot)) throw std::runtime_error("a slot of a new segment is taken");
    segment->Publish(slot, 0x1000 + slot, 1, {1, 0});
    segment->slot(slot).set_heat(0, 7 + slot);
  }
  segment->Condemn(4, 0x1004);
  Check(
      SaveSlotTable(*fs_, SlotTablePath(directory_, kSegment.id, 4), kId, 4, {1, 2}, 5, *segment));
}

void SmallStore::WriteJournal() {
  JournalWriterOptions how;
  how.directory = directory_;
  how.store_id = kId;
  how.epoch = 1;
  how.file_bytes = kJournalBlocks * kJournalBlockBytes;
  const auto writer = Value(JournalWriter::Open(*fs_, how));
  for (uint32_t block = 0; block < 3; ++block) {
    JournalRecords records;
    if (block == 0) records.AddSegmentStarted(kSegment);
    const std::vector<Fingerprint> path = {0x11, 0x22};
    const std::vector<JournalPage> pages = {{{1, 6 + block}, 4096, 0xB1, 0xC1 + block}};
    const PutRecord put = {kRoot, 0, {0, 0xA}, path, 1, pages};
    const std::vector<SlotRef> from = {{1, 5 + block}};
    if (block < 2) {
      records.AddPut(put);
    } else {
      records.AddMove({put, from});
    }
    const auto guard = writer->Begin();
    Check(writer->Append(guard, records).status());
  }
}

void SmallStore::WriteManifest() {
  ManifestState state;
  for (size_t i = 0; i < state.creation.secret.size(); ++i)
    state.creation.secret[i] = static_cast<uint8_t>(i);
  state.open_epoch = 1;
  state.next_file_number = 10;
  state.next_segment_id = 2;
  state.shape = "tiering:4";
  // As after a move, and so that the manifest's bytes are the same everywhere.
  state.log_dirs[0] = "/not-there/log";
  state.segments[kSegment.id] = {kSegment, 0};
  const auto manifest = Value(Manifest::Start(*fs_, directory_, kId, std::move(state)));
  const auto add = [&](uint64_t run, uint32_t level, const TableMeta& table, bool last) {
    ManifestEdit edit;
    lamina::Run& added = edit.tree.add_runs.emplace_back();
    added.id = run;
    added.level = level;
    added.oldest_flush = added.newest_flush = run;
    added.tables = {table};
    added.Summarize();
    edit.next_run_id = run + 1;
    edit.next_flush = run + 1;
    edit.checkpoint = JournalPosition{1, run};
    if (last) {
      edit.roots.push_back({kRoot, "model-a\n", 1, 0});
      edit.slot_tables.emplace_back(kSegment.id, 4);
      edit.clean_close = true;
    }
    Check(manifest->Commit(edit));
  };
  add(1, 1, old_table_, false);
  add(2, 0, new_table_, true);
}

DumpResult SmallStore::Run(std::vector<std::string> arguments) const {
  DumpResult result = Dump(arguments);
  result.out = Replaced(result.out, directory_, "DIR");
  result.err = Replaced(result.err, directory_, "DIR");
  return result;
}

}  // namespace lamina::testing
