// What one run of vlog-gc prints and counts. Data goes to standard output, damage among it;
// everything else (trouble, notes) goes to standard error.
#ifndef LAMINA_TOOLS_VLOG_GC_REPORT_H_
#define LAMINA_TOOLS_VLOG_GC_REPORT_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "tools/common_output.h"
#include "tools/common_record.h"
#include "tools/vlog_gc_options.h"

namespace lamina::vlog_gc {

class Report {
 public:
  // `stop` is set from outside when the process was told to end.
  Report(const GcOptions& options, const std::atomic<bool>& stop, tools::Output& out,
         tools::Output& err)
      : options_(options), stop_(stop), out_(out), err_(err) {}

  [[nodiscard]] const GcOptions& options() const { return options_; }
  [[nodiscard]] const std::atomic<bool>& stop() const { return stop_; }
  // Told to end, or nobody reads any more: a long walk that only prints may end.
  [[nodiscard]] bool done() const { return stop_ || out_.closed(); }

  // A record: a line of JSON, or `text`.
  void Print(const tools::Record& record, std::string_view text);
  // The same, and one damage more.
  void Damaged(const tools::Record& record, std::string_view text);
  // A file that is not what it should be as a whole.
  void DamagedFile(const std::string& file, std::string_view what);
  void Trouble(std::string_view message);
  void Note(std::string_view message);
  // Damage if it is kCorruption (then of `file`), else trouble.
  void Failed(const std::string& file, const Status& status);

  [[nodiscard]] uint64_t damages() const { return damages_; }
  [[nodiscard]] uint64_t troubles() const { return troubles_; }
  [[nodiscard]] std::string Bytes(uint64_t bytes) const;
  [[nodiscard]] std::string Count(uint64_t count) const;
  [[nodiscard]] tools::ExitCode exit_code() const;

 private:
  const GcOptions& options_;
  const std::atomic<bool>& stop_;
  tools::Output& out_;
  tools::Output& err_;
  uint64_t damages_ = 0;
  uint64_t troubles_ = 0;
};

}  // namespace lamina::vlog_gc

#endif  // LAMINA_TOOLS_VLOG_GC_REPORT_H_
