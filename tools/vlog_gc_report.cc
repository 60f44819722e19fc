#include "tools/vlog_gc_report.h"

#include "tools/common_text.h"

namespace lamina::vlog_gc {

using tools::ExitCode;
using tools::Printable;
using tools::Record;

void Report::Print(const Record& record, std::string_view text) {
  if (options_.json) {
    out_.Write(record.ToJson());
    out_.Write("\n");
  } else {
    out_.Write(text);
  }
}

void Report::Damaged(const Record& record, std::string_view text) {
  ++damages_;
  Print(record, text);
}

void Report::DamagedFile(const std::string& file, std::string_view what) {
  Damaged(Record("damage").Text("file", file).Text("what", what),
          fmt::format("damage   {}: {}\n", Printable(file), Printable(what)));
}

void Report::Trouble(std::string_view message) {
  ++troubles_;
  out_.Flush();
  err_.Print("vlog-gc: {}\n", Printable(message));
  err_.Flush();
}

void Report::Note(std::string_view message) {
  out_.Flush();
  err_.Print("vlog-gc: note: {}\n", Printable(message));
  err_.Flush();
}

void Report::Failed(const std::string& file, const Status& status) {
  if (status.code() != StatusCode::kCorruption) return Trouble(status.message());
  // Messages of the library name the file themselves.
  std::string_view message = status.message();
  if (message.starts_with(file + ": ")) message.remove_prefix(file.size() + 2);
  DamagedFile(file, message);
}

std::string Report::Bytes(uint64_t bytes) const {
  return options_.raw ? std::to_string(bytes) + " bytes" : tools::HumanBytes(bytes);
}

std::string Report::Count(uint64_t count) const {
  return options_.raw ? std::to_string(count) : tools::HumanCount(count);
}

ExitCode Report::exit_code() const {
  if (damages_ > 0) return ExitCode::kDamage;
  if (troubles_ > 0 || stop_ || out_.error() != 0) return ExitCode::kTrouble;
  return ExitCode::kClean;
}

}  // namespace lamina::vlog_gc
