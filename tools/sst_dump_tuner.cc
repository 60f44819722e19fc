#include "tools/sst_dump_tuner.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "tools/common_text.h"
#include "tools/sst_dump_decision.h"
#include "tools/sst_dump_recognise.h"
#include "tuner/decision_record.h"
#include "tuner/journal.h"
#include "tuner/journal_format.h"

namespace lamina::sst_dump {
namespace {

using tools::Record;

// Far more than any number of decisions that is kept.
constexpr uint64_t kMaxTunerJournalBytes = uint64_t{64} << 20;

void PrintDecision(const std::string& path, const tuner::DecisionRecord& decision, Report& report) {
  if (!report.json()) {
    report.out().Print("{}", DecisionText(decision));
    return;
  }
  // The record is JSON already.
  std::string line = Record("decision").Text("file", path).ToJson();
  line.pop_back();
  report.out().Print("{},\"decision\":{}}}\n", line, tuner::ToJson(decision));
}

}  // namespace

void TunerPrint(FileSystem& fs, const std::string& path, Report& report) {
  const auto bytes = ReadWhole(fs, path, kMaxTunerJournalBytes);
  if (!bytes.ok()) return report.Failed(path, bytes.status());
  tuner::Journal journal(
      static_cast<uint32_t>(std::max<uint64_t>(1, bytes->size() / tuner::kJournalBlockBytes)));
  journal.Load(std::as_bytes(std::span(*bytes)));
  for (const tuner::DecisionRecord& decision : journal.records())
    PrintDecision(path, decision, report);
}

void TunerVerify(FileSystem& fs, const std::string& path, Report& report) {
  report.StartFile();
  const auto bytes = ReadWhole(fs, path, kMaxTunerJournalBytes);
  if (!bytes.ok()) return report.Failed(path, bytes.status());
  uint64_t records = 0;
  for (size_t at = 0; at < bytes->size(); at += tuner::kJournalBlockBytes) {
    const std::string_view block = std::string_view(*bytes).substr(at, tuner::kJournalBlockBytes);
    if (block.find_first_not_of('\0') == std::string_view::npos) continue;
    const auto decoded = tuner::DecodeBlock(std::as_bytes(std::span(block)));
    if (decoded.ok()) {
      ++records;
    } else if (decoded.status().code() == StatusCode::kNotSupported) {
      return report.Failed(path, decoded.status());
    } else {
      report.Damaged({path,
                      "block",
                      at / tuner::kJournalBlockBytes,
                      at,
                      block.size(),
                      std::string(decoded.status().message()),
                      {},
                      {}});
    }
  }
  report.EndFile(path, "tuner journal", bytes->size(), tools::Counted(records, "decision"),
                 Record("file").Number("decisions", records));
}

void TunerPrintDirectory(FileSystem& fs, const std::string& directory, Report& report) {
  const auto names = fs.List(directory);
  if (!names.ok()) return report.Failed(directory, names.status());
  bool any = false;
  for (const std::string& name : *names) {
    const std::string path = directory + "/" + name;
    const auto kind = Recognise(fs, path);
    if (!kind.ok() || *kind != Kind::kTunerJournal) continue;
    any = true;
    TunerPrint(fs, path, report);
  }
  if (!any) report.Note(directory + ": has no tuner journal yet");
}

}  // namespace lamina::sst_dump
