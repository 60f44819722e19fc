#include "engine/store/recovery.h"

#include "engine/base/mutation.h"
#include "tensorlog/geometry.h"

namespace lamina {

bool Recovery::Replay(JournalPosition at, const PutRecord& put, bool synced) noexcept {
  const auto root = roots_.Hold(put.root_name, {});
  roots_.Register(root);
  if (put.root_epoch != root->epoch.load(std::memory_order_relaxed)) {
    stale_ += put.pages.size();
    return false;
  }
  if (Mutated(Mutation::kReplayFirstPutOnly) &&
      memtable_.Lookup({put.anchor, put.fingerprints[put.first_page]}) != nullptr)
    return false;
  entries_.clear();
  for (size_t i = 0; i < put.pages.size(); ++i) {
    const JournalPage& page = put.pages[i];
    const Entry entry = {page.slot, page.length, page.guard, page.checksum};
    const Fingerprint f = put.fingerprints[put.first_page + i];
    if (!log_.Replay(at, page.slot, entry.tag(f), root->number, synced)) ++lost_;
    entries_.push_back(entry);
    bytes_ += SlotBytesFor(page.length);
  }
  // Pages whose segment is gone go in too: their entries count for nothing and leave with the
  // flush.
  memtable_.Insert(put.anchor, put.fingerprints, put.first_page, entries_, at.sequence);
  pages_ += put.pages.size();
  return true;
}

void Recovery::OnPut(JournalPosition at, const PutRecord& put) noexcept {
  Replay(at, put, /*synced=*/false);
}

// A copy is synced before its record is written, so no sync that fails now concerns it.
void Recovery::OnMove(JournalPosition at, const MoveRecord& move) noexcept {
  if (!Replay(at, move.put, /*synced=*/true)) return;
  for (size_t i = 0; i < move.from.size(); ++i) {
    const Fingerprint f = move.put.fingerprints[move.put.first_page + i];
    log_.ReplayMoved(move.from[i], entries_[i].tag(f));
  }
}

}  // namespace lamina
