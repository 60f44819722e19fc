// Brings back what was acknowledged after the last checkpoint, from the journal.
#ifndef LAMINA_ENGINE_STORE_RECOVERY_H_
#define LAMINA_ENGINE_STORE_RECOVERY_H_

#include <cstdint>
#include <vector>

#include "engine/index/memtable.h"
#include "engine/store/root_table.h"
#include "tensorlog/journal_reader.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

// Puts every journaled page into the memtable and its tag into its slot, where it is unproven until
// its payload has been verified. Records of a root's earlier epochs are skipped: the root was
// erased since.
class Recovery final : public JournalVisitor {
 public:
  Recovery(TensorLog& log, RootTable& roots, Memtable& memtable) noexcept
      : log_(log), roots_(roots), memtable_(memtable) {}

  void OnPut(JournalPosition at, const PutRecord& put) noexcept override;
  // The copy wins: the original's slot is freed, if it still bears the page.
  void OnMove(JournalPosition at, const MoveRecord& move) noexcept override;
  void OnSegmentStarted(JournalPosition, const SegmentInfo&) noexcept override {}

  [[nodiscard]] uint64_t pages() const noexcept { return pages_; }
  // That they took to write, for write_bytes_per_day.
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint64_t pages_of_erased_roots() const noexcept { return stale_; }
  [[nodiscard]] uint64_t pages_of_missing_segments() const noexcept { return lost_; }

 private:
  bool Replay(JournalPosition at, const PutRecord& put, bool synced) noexcept;

  TensorLog& log_;
  RootTable& roots_;
  Memtable& memtable_;
  std::vector<Entry> entries_;
  uint64_t pages_ = 0;
  uint64_t bytes_ = 0;
  uint64_t stale_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_RECOVERY_H_
