#include "tools/sst_dump_report.h"

#include "tools/common_text.h"

namespace lamina::sst_dump {

using tools::Counted;
using tools::ExitCode;
using tools::Printable;
using tools::Record;
using tools::Unit;

std::string Damage::ToString() const {
  std::string text = Printable(file) + ": " + region;
  if (block) text += " " + std::to_string(*block);
  if (offset) text += " at offset " + std::to_string(*offset);
  if (length) text += ", " + std::to_string(*length) + " bytes";
  text += ": " + Printable(what);
  if (!expected.empty()) text += ": expected " + Printable(expected);
  if (!found.empty()) text += ", found " + Printable(found);
  return text;
}

Damage DamageOf(const TableDamage& damage) {
  return {damage.file,   damage.region, damage.block,    damage.offset,
          damage.length, damage.what,   damage.expected, damage.found};
}

void Report::Print(const Record& record, std::string_view text) {
  if (json()) {
    out_.Write(record.ToJson());
    out_.Write("\n");
  } else {
    out_.Write(text);
  }
}

void Report::PrintTable(std::string_view heading, const Record& record) {
  Print(record,
        json() ? std::string() : fmt::format("{}\n{}", heading, record.ToText(options_.raw)));
}

void Report::Damaged(const Damage& damage) {
  ++damages_;
  damaged_bytes_ += damage.length.value_or(0);
  damaged_files_.insert(damage.file);
  const std::string text = "damage   " + damage.ToString() + "\n";
  if (!json() && options_.command != Command::kVerify) {
    out_.Flush();
    err_.Write("sst-dump: " + text);
    err_.Flush();
    return;
  }
  Print(Record("damage")
            .Text("file", damage.file)
            .Text("region", damage.region)
            .Number("block", damage.block)
            .Number("offset", damage.offset)
            .Number("length", damage.length)
            .Text("what", damage.what)
            .Text("expected", damage.expected)
            .Text("found", damage.found),
        text);
}

void Report::DamagedFile(const std::string& file, std::string what, std::string expected,
                         std::string found) {
  Damaged({file, "file", {}, {}, {}, std::move(what), std::move(expected), std::move(found)});
}

void Report::Failed(const std::string& file, const Status& status) {
  if (status.code() == StatusCode::kCorruption) {
    // Messages of the library name the file themselves.
    std::string_view message = status.message();
    if (message.starts_with(file + ": ")) message.remove_prefix(file.size() + 2);
    DamagedFile(file, std::string(message), {}, {});
    return;
  }
  const bool unreadable = status.code() == StatusCode::kIoError;
  if (unreadable && if_unreadable_ && if_unreadable_(file)) return;
  Trouble(status.message());
}

void Report::Trouble(std::string_view message) {
  ++troubles_;
  out_.Flush();
  err_.Print("sst-dump: {}\n", Printable(message));
  err_.Flush();
}

void Report::Note(std::string_view message) {
  out_.Flush();
  err_.Print("sst-dump: note: {}\n", Printable(message));
  err_.Flush();
}

void Report::EndFile(const std::string& file, std::string_view kind, uint64_t bytes,
                     std::string_view details, const Record& values) {
  const uint64_t damages = damages_ - damages_before_;
  ++files_;
  file_bytes_ += bytes;
  Record record("file");
  record.Text("file", file)
      .Text("kind", kind)
      .Number("bytes", bytes)
      .Number("damages", damages)
      .Flag("whole", damages == 0)
      .Append(values);
  const std::string size =
      options_.raw ? std::to_string(bytes) + " bytes" : tools::HumanBytes(bytes);
  Print(record,
        fmt::format("{:8} {}: {}, {}, {}{}\n", damages == 0 ? "whole" : "DAMAGED", Printable(file),
                    kind, size, details, damages == 0 ? "" : ": " + Counted(damages, "damage")));
}

void Report::Unrecognised(const std::string& path) {
  ++unrecognised_;
  Note(path + ": is not recognised as a file of a store, and was not checked");
}

void Report::EndVerify() {
  Print(Record("total")
            .Number("files", files_)
            .Number("file_bytes", file_bytes_)
            .Number("damaged_files", damaged_files_.size())
            .Number("damages", damages_)
            .Number("damaged_bytes", damaged_bytes_)
            .Number("torn_journal_blocks", torn_blocks_)
            .Number("unrecognised_files", unrecognised_)
            .Number("unreadable", troubles_),
        fmt::format(
            "total    {}, {}: {} in {}, {} in doubt; {} in torn tails; {} not recognised; "
            "{}\n",
            Counted(files_, "file"),
            options_.raw ? std::to_string(file_bytes_) + " bytes" : tools::HumanBytes(file_bytes_),
            Counted(damages_, "damage"), Counted(damaged_files_.size(), "file"),
            Counted(damaged_bytes_, "byte"), Counted(torn_blocks_, "journal block"),
            Counted(unrecognised_, "file"), Counted(troubles_, "error")));
}

ExitCode Report::exit_code() const {
  if (damages_ > 0) return ExitCode::kDamage;
  if (troubles_ > 0 || out_.error() != 0) return ExitCode::kTrouble;
  return ExitCode::kClean;
}

}  // namespace lamina::sst_dump
