// Replays the journal after a crash, and follows it while another process writes it.
//
// Whatever the files hold, reading them is safe: blocks are checked as a whole and records are
// parsed within bounds. Gaps and torn blocks are skipped.
#ifndef LAMINA_TENSORLOG_JOURNAL_READER_H_
#define LAMINA_TENSORLOG_JOURNAL_READER_H_

#include <cstdint>
#include <string>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/journal_position.h"

namespace lamina {

// Gets every record, in (epoch, sequence) order and in the order of records within a block. What a
// record's spans refer to lives until the call returns.
class JournalVisitor {
 public:
  virtual ~JournalVisitor() = default;
  virtual void OnPut(JournalPosition at, const PutRecord& put) noexcept = 0;
  virtual void OnMove(JournalPosition at, const MoveRecord& move) noexcept = 0;
  virtual void OnSegmentStarted(JournalPosition at, const SegmentInfo& segment) noexcept = 0;
};

struct JournalReplay {
  uint64_t files = 0;
  uint64_t blocks = 0;
  uint64_t invalid_blocks = 0;  // torn or lost ones before the end of a file's blocks
  uint64_t records = 0;
  uint64_t damaged_records = 0;    // in valid blocks: did not parse, or of an unknown type
  uint64_t unreadable_blocks = 0;  // the device failed; invalid blocks count them too
  uint64_t max_epoch = 0;          // of any valid block in the directory, below `from` too
  JournalPosition next;            // above every block seen; `from` when there was none
  Status first_problem;            // the first unreadable block or file
};

// Replays all blocks at or above `from`. Errors: kNotSupported for a valid block of an unknown
// version (names the file), kIoError when the directory cannot be listed.
Result<JournalReplay> ReplayJournal(FileSystem& fs, const std::string& directory,
                                    const StoreId& store_id, JournalPosition from,
                                    JournalVisitor& visitor) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_JOURNAL_READER_H_
