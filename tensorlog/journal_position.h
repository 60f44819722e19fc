// A place in the journal: blocks are ordered by (epoch, sequence).
#ifndef LAMINA_TENSORLOG_JOURNAL_POSITION_H_
#define LAMINA_TENSORLOG_JOURNAL_POSITION_H_

#include <compare>
#include <cstdint>

namespace lamina {

// Every open for writing has its own epoch; within one, blocks count from 0.
struct JournalPosition {
  uint64_t epoch = 0;
  uint64_t sequence = 0;
  friend auto operator<=>(const JournalPosition&, const JournalPosition&) = default;
};

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_JOURNAL_POSITION_H_
