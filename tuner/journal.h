// The tuner's memory: its last decisions, bounded, in a form that a store can persist.
//
// A journal of n records lives in a file of n blocks (journal_format.h): record s goes to block
// (s - 1) mod n, whole and with a checksum, so a torn write costs one record and nothing else. The
// store does the I/O; this only makes and reads bytes. A window is worth a record when something
// happened: a search was made, the verdict changed, or the shape did.
//
// Not thread-safe.
#ifndef LAMINA_TUNER_JOURNAL_H_
#define LAMINA_TUNER_JOURNAL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "tuner/decision_record.h"

namespace lamina::tuner {

class Journal {
 public:
  static constexpr uint32_t kDefaultBlocks = 128;

  explicit Journal(uint32_t blocks = kDefaultBlocks) noexcept : blocks_(blocks) {}

  // Reads a file's bytes. Blocks that are damaged, zero or of a foreign version are left out and
  // counted; any bytes are legal. The journal keeps the newest consecutive-by-number records that
  // fit.
  struct LoadReport {
    uint32_t records = 0;
    uint32_t damaged_blocks = 0;
    uint32_t empty_blocks = 0;
  };
  LoadReport Load(std::span<const std::byte> file) noexcept;

  // What to write where: one block of kJournalBlockBytes.
  struct Write {
    uint64_t file_offset = 0;
    std::string block;
  };
  // Numbers the record, keeps it, and says what to write.
  Write Append(DecisionRecord record) noexcept;

  // A window has closed: adds what was measured to what happened after the last record, and appends
  // the window when it is news. The last record is written anew when that ends it, and when twice
  // as many windows have followed it as when it was written before.
  std::vector<Write> Note(const DecisionRecord& window) noexcept;
  // The last record as it is by now; none when it was written so, or when there is none.
  std::optional<Write> Finish() noexcept;

  // Whether this window says anything that the last record does not.
  [[nodiscard]] bool IsNews(const DecisionRecord& record) const noexcept;

  [[nodiscard]] const std::deque<DecisionRecord>& records() const noexcept { return records_; }
  // Null when empty.
  [[nodiscard]] const DecisionRecord* last() const noexcept {
    return records_.empty() ? nullptr : &records_.back();
  }
  [[nodiscard]] uint64_t file_bytes() const noexcept;

  // {"decisions": [...]}, newest first, at most `limit` of them.
  [[nodiscard]] std::string ToJson(size_t limit = SIZE_MAX) const noexcept;

 private:
  [[nodiscard]] Write WriteOf(const DecisionRecord& record) const noexcept;

  uint32_t blocks_;
  uint64_t next_sequence_ = 1;
  std::deque<DecisionRecord> records_;
  uint64_t windows_written_ = 0;  // Aftermath::windows of the last record, as on disk
};

// One block of the file, checksum included.
std::string EncodeBlock(const DecisionRecord& record) noexcept;
// kCorruption says what is wrong with the block; kNotSupported names a later format version.
Result<DecisionRecord> DecodeBlock(std::span<const std::byte> block) noexcept;

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_JOURNAL_H_
