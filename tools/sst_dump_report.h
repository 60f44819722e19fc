// What one run of sst-dump prints and counts: data, damage and trouble.
//
// Data goes to standard output. Damage is data for verify, and in JSON; in the text of other
// commands it is a diagnostic. Everything else (trouble, notes) goes to standard error.
#ifndef LAMINA_TOOLS_SST_DUMP_REPORT_H_
#define LAMINA_TOOLS_SST_DUMP_REPORT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/status.h"
#include "engine/index/verify.h"
#include "tools/common_output.h"
#include "tools/common_record.h"
#include "tools/sst_dump_options.h"

namespace lamina::sst_dump {

// Bytes that are not what was written, as far as their place is known.
struct Damage {
  std::string file;
  std::string region;             // "data block", "record", "part", "file", ...
  std::optional<uint64_t> block;  // number of the block, record or part
  std::optional<uint64_t> offset;
  std::optional<uint64_t> length;  // bytes in doubt
  std::string what;
  std::string expected;
  std::string found;

  // "FILE: REGION N at offset O, L bytes: WHAT: expected E, found F", without what is not known.
  [[nodiscard]] std::string ToString() const;
};
Damage DamageOf(const TableDamage& damage);

class Report {
 public:
  Report(const DumpOptions& options, tools::Output& out, tools::Output& err)
      : options_(options), out_(out), err_(err) {}

  [[nodiscard]] const DumpOptions& options() const { return options_; }
  [[nodiscard]] bool json() const { return options_.json; }
  [[nodiscard]] tools::Output& out() { return out_; }
  // Nobody reads any more: a long walk that only prints may end.
  [[nodiscard]] bool done() const { return out_.closed(); }

  // Prints a record: a line of JSON, or `text`.
  void Print(const tools::Record& record, std::string_view text);
  // The same, with all of the record as text under a heading.
  void PrintTable(std::string_view heading, const tools::Record& record);

  void Damaged(const Damage& damage);
  // A file that as a whole is not what it should be.
  void DamagedFile(const std::string& file, std::string what, std::string expected,
                   std::string found);
  // Asked about a file that could not be read: true if it has dealt with it (the file has gone
  // meanwhile, and that was said). It must not call Failed.
  using IfUnreadable = std::function<bool(const std::string& file)>;
  void SetIfUnreadable(IfUnreadable ask) { if_unreadable_ = std::move(ask); }

  // An error of the library: damage if it is kCorruption (then of `file`), else trouble.
  void Failed(const std::string& file, const Status& status);
  void Trouble(std::string_view message);
  void Note(std::string_view message);

  // ---- For verify

  void StartFile() { damages_before_ = damages_; }
  // Of the file since StartFile. Prints its line; `details` and `values` say more of it.
  void EndFile(const std::string& file, std::string_view kind, uint64_t bytes,
               std::string_view details, const tools::Record& values);
  void TornBlocks(uint64_t blocks) { torn_blocks_ += blocks; }
  void Unrecognised(const std::string& path);
  // Prints the totals.
  void EndVerify();

  [[nodiscard]] uint64_t damages() const { return damages_; }
  [[nodiscard]] tools::ExitCode exit_code() const;

 private:
  const DumpOptions& options_;
  tools::Output& out_;
  tools::Output& err_;
  IfUnreadable if_unreadable_;
  uint64_t damages_ = 0;
  uint64_t damaged_bytes_ = 0;
  uint64_t damages_before_ = 0;
  std::set<std::string> damaged_files_;
  uint64_t files_ = 0;
  uint64_t file_bytes_ = 0;
  uint64_t torn_blocks_ = 0;
  uint64_t unrecognised_ = 0;
  uint64_t troubles_ = 0;
};

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_REPORT_H_
