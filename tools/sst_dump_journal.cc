#include "tools/sst_dump_journal.h"

#include <utility>

#include "tensorlog/journal_format.h"
#include "tensorlog/journal_reader.h"
#include "tools/common_text.h"
#include "tools/sst_dump_journal_file.h"
#include "tools/sst_dump_read_only.h"
#include "tools/sst_dump_recognise.h"
#include "tools/sst_dump_table.h"

namespace lamina::sst_dump {
namespace {

using tools::HexOf64;
using tools::Record;
using tools::Unit;

// Nothing if it could not be read; that was said then.
std::optional<JournalFileInfo> Read(FileSystem& fs, const std::string& path,
                                    std::optional<StoreId> store_id, Report& report) {
  auto info = ReadJournalFile(fs, path, store_id);
  if (info.ok()) return std::move(*info);
  report.Failed(path, info.status());
  return std::nullopt;
}

// Replays the records of one file, whatever its name.
Result<JournalReplay> Replay(FileSystem& fs, const std::string& path, const JournalFileInfo& info,
                             JournalVisitor& visitor) {
  SingleFileView view(fs, path, FileNameOf(JournalPath("", info.number)));
  return ReplayJournal(view, "", info.store_id, {}, visitor);
}

class IgnoreRecords final : public JournalVisitor {
 public:
  void OnPut(JournalPosition, const PutRecord&) noexcept override {}
  void OnMove(JournalPosition, const MoveRecord&) noexcept override {}
  void OnSegmentStarted(JournalPosition, const SegmentInfo&) noexcept override {}
};

class PrintRecords final : public JournalVisitor {
 public:
  PrintRecords(std::string path, uint64_t* left, Report& report)
      : path_(std::move(path)), left_(left), report_(report) {}

  void OnPut(JournalPosition at, const PutRecord& put) noexcept override {
    PrintPages("put", at, put, {});
  }
  void OnMove(JournalPosition at, const MoveRecord& move) noexcept override {
    PrintPages("move", at, move.put, move.from);
  }
  void OnSegmentStarted(JournalPosition at, const SegmentInfo& segment) noexcept override {
    if (!Take()) return;
    report_.Print(
        Start("segment_started", at)
            .Number("segment", uint64_t{segment.id})
            .Number("log_dir", uint64_t{segment.log_dir})
            .Number("slot_bytes", uint64_t{segment.slot_bytes})
            .Number("slots", uint64_t{segment.slot_count}),
        fmt::format("{}/{}  segment {} started: {} of {} bytes in log directory {}\n", at.epoch,
                    at.sequence, segment.id, tools::Counted(segment.slot_count, "slot"),
                    segment.slot_bytes, segment.log_dir));
  }

 private:
  bool Take() {
    if (*left_ == 0 || report_.done()) return false;
    --*left_;
    return true;
  }

  [[nodiscard]] Record Start(const char* type, JournalPosition at) const {
    Record record(type);
    record.Text("file", path_).Number("epoch", at.epoch).Number("sequence", at.sequence);
    return record;
  }

  void PrintPages(const char* type, JournalPosition at, const PutRecord& put,
                  std::span<const SlotRef> from) {
    for (size_t i = 0; i < put.pages.size() && Take(); ++i) {
      const JournalPage& page = put.pages[i];
      const StemKey key = {put.anchor, put.fingerprints.first(put.first_page + i + 1)};
      const Entry entry = {page.slot, page.length, page.guard, page.checksum};
      Record record = Start(type, at);
      record.Text("root", HexOf64(put.root_name.high) + HexOf64(put.root_name.low))
          .Number("root_epoch", put.root_epoch);
      AddEntry(&record, key, entry);
      std::string moved;
      if (!from.empty()) {
        record.Number("from_segment", uint64_t{from[i].segment})
            .Number("from_slot", uint64_t{from[i].slot});
        moved = fmt::format("  from segment {} slot {}", from[i].segment, from[i].slot);
      }
      report_.Print(record, fmt::format("{}/{}  {}  {}{}\n", at.epoch, at.sequence, type,
                                        EntryText(key, entry), moved));
    }
  }

  const std::string path_;
  uint64_t* const left_;
  Report& report_;
};

void ReportBlocks(const std::string& path, const JournalFileInfo& info, Report& report) {
  size_t reason = 0;
  for (size_t i = 0; i < info.blocks.size(); ++i) {
    if (info.blocks[i] != BlockState::kDamaged) continue;
    report.Damaged({path, "journal block", i, i * kJournalBlockBytes, kJournalBlockBytes, "content",
                    "a block of this file", info.reasons[reason++]});
  }
  const uint64_t whole = info.blocks.size() * kJournalBlockBytes;
  if (info.file_bytes != whole) {
    report.Damaged({path,
                    "file",
                    {},
                    whole,
                    info.file_bytes - whole,
                    "size",
                    "whole blocks of 4096",
                    std::to_string(info.file_bytes)});
  }
}

}  // namespace

void JournalProperties(FileSystem& fs, const std::string& path, Report& report) {
  const auto info = Read(fs, path, std::nullopt, report);
  if (!info) return;
  ReportBlocks(path, *info, report);
  const auto known = [&](uint64_t value) {
    return info->identified ? std::optional<uint64_t>(value) : std::nullopt;
  };
  Record record("properties");
  record.Text("file", path)
      .Text("kind", "journal")
      .Number("number", known(info->number))
      .Number("format_version", known(info->version))
      .Number("file_bytes", info->file_bytes, Unit::kBytes)
      .Number("epoch", known(info->epoch))
      .Number("first_sequence", known(info->first_sequence))
      .Number("blocks", info->blocks.size(), Unit::kCount)
      .Number("whole_blocks", info->Count(BlockState::kWhole), Unit::kCount)
      .Number("torn_blocks", info->Count(BlockState::kTorn), Unit::kCount)
      .Number("damaged_blocks", info->Count(BlockState::kDamaged), Unit::kCount)
      .Number("unwritten_blocks", info->Count(BlockState::kUnwritten), Unit::kCount)
      .Text("store", HexOf64(info->store_id.high) + HexOf64(info->store_id.low));
  report.PrintTable(tools::Printable(path), record);
}

void JournalLayout(FileSystem& fs, const std::string& path, Report& report) {
  const auto info = Read(fs, path, std::nullopt, report);
  if (!info) return;
  ReportBlocks(path, *info, report);
  if (!report.json())
    report.out().Print("{}\n{:>12} {:>9}  region\n", tools::Printable(path), "offset", "length");
  for (size_t first = 0; first < info->blocks.size();) {
    const BlockState state = info->blocks[first];
    size_t end = first;
    while (end < info->blocks.size() && info->blocks[end] == state) ++end;
    const uint64_t offset = first * kJournalBlockBytes;
    const uint64_t length = (end - first) * kJournalBlockBytes;
    report.Print(Record("region")
                     .Text("file", path)
                     .Text("region", fmt::format("{} journal blocks", BlockStateName(state)))
                     .Number("block", first)
                     .Number("offset", offset)
                     .Number("length", length)
                     .Flag("whole", state != BlockState::kDamaged),
                 fmt::format("{:>12} {:>9}  {}, {}\n", offset, length,
                             tools::Counted(end - first, "journal block"), BlockStateName(state)));
    first = end;
  }
}

void JournalScan(FileSystem& fs, const std::string& path, uint64_t* left, Report& report) {
  const auto info = Read(fs, path, std::nullopt, report);
  if (!info) return;
  ReportBlocks(path, *info, report);
  if (!info->identified) return;
  PrintRecords printer(path, left, report);
  const auto replay = Replay(fs, path, *info, printer);
  if (!replay.ok()) report.Failed(path, replay.status());
}

void JournalVerify(FileSystem& fs, const std::string& path, std::optional<StoreId> store_id,
                   Report& report) {
  report.StartFile();
  const auto info = Read(fs, path, store_id, report);
  if (!info) return;
  ReportBlocks(path, *info, report);
  uint64_t records = 0;
  if (info->identified) {
    IgnoreRecords ignore;
    const auto replay = Replay(fs, path, *info, ignore);
    if (!replay.ok()) return report.Failed(path, replay.status());
    records = replay->records;
    if (replay->damaged_records > 0) {
      report.Damaged({path,
                      "records",
                      {},
                      {},
                      {},
                      "content",
                      "records that parse",
                      tools::Counted(replay->damaged_records, "record") + " that do not"});
    }
  }
  const uint64_t torn = info->Count(BlockState::kTorn);
  report.TornBlocks(torn);
  const uint64_t whole = info->Count(BlockState::kWhole);
  std::string details = tools::Counted(whole, "block") + ", " + tools::Counted(records, "record");
  if (torn > 0) details += ", a torn tail of " + tools::Counted(torn, "block");
  report.EndFile(path, "journal", info->file_bytes, details,
                 Record("file")
                     .Number("blocks", whole)
                     .Number("records", records)
                     .Number("torn_blocks", torn));
}

}  // namespace lamina::sst_dump
