// Moves pages from segments that are to be given up to slots elsewhere.
//
// A batch at a time: payloads are read and checked, written to slots that were taken for them and
// synced, then journaled as moves and the journal synced; only then do the copies count and the
// originals cease to, in one step under publish_mutex_. So whatever is lost afterwards (power, the
// original's bytes, its entry in a compaction), the copy is there; and whatever is lost before, the
// original is. A page that was freed, condemned or erased meanwhile is not moved.
//
// The pages' keys, which slots do not know, come from one walk over the index for all segments
// together. It goes in key order, so that the pages of a stem come one after the other, and their
// copies lie so.
#ifndef LAMINA_ENGINE_STORE_MOVE_H_
#define LAMINA_ENGINE_STORE_MOVE_H_

#include <sys/uio.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/index/iterator.h"
#include "engine/index/stem_key.h"
#include "engine/store/store_impl.h"

namespace lamina {

// Used by one thread, under retire_mutex_.
class PageMover {
 public:
  // `from` is draining, and nothing is being written there. `store`, `how` and `report` outlive
  // the mover.
  PageMover(Store::Impl& store, std::span<const uint32_t> from, const Store::Impl::RetireHow& how,
            Store::Impl::RetireReport* report) noexcept;

  // Moves what is live in `from` now, as far as it can be read and there is room. Pages whose bytes
  // are wrong, those that could not be read time and again (read_tries.h), and those that no entry
  // reaches, are freed. Errors: kNoSpace; kBusy when it was told to stop; kIoError when pages, or
  // the index, could not be read (the others were moved), or written.
  Status Run() noexcept;

 private:
  struct Page {
    OwnedStemKey key;
    Entry entry;
    uint32_t root = 0;
    size_t offset = 0;  // in scratch_
    iovec fragment{};   // there
    SlotRef to;
    [[nodiscard]] Fingerprint fingerprint() const noexcept { return key.fingerprints.back(); }
    [[nodiscard]] uint64_t tag() const noexcept { return entry.tag(fingerprint()); }
  };

  void CollectWanted() noexcept;
  Status Walk() noexcept;
  std::unique_ptr<EntryIterator> AllEntries() noexcept;
  Status Consider(const StemKey& key, const Entry& entry) noexcept;
  void FreeUnreached() noexcept;

  Status MoveBatch() noexcept;
  Status MakeRoom() noexcept;
  Status ReadBatch() noexcept;
  void FreeBad(const Page& page, bool torn) noexcept;
  void MeetUnreadable(const Page& page) noexcept;
  Status TakeSlots() noexcept;
  Result<std::vector<SlotRun>> TakeRuns(uint64_t page_bytes, size_t count) noexcept;
  Status WriteBatch() noexcept;
  void DropGone() noexcept;
  Status JournalAndPublish() noexcept;
  Status Journal(const JournalWriter::Guard& guard) noexcept;
  void Publish(JournalPosition position) noexcept;
  void PublishStretch(size_t begin, size_t end, JournalPosition position) noexcept;
  [[nodiscard]] size_t StretchEnd(size_t begin) const noexcept;
  void DropPages(const std::vector<bool>& drop) noexcept;

  Store::Impl& store_;
  const std::span<const uint32_t> from_;
  const Store::Impl::RetireHow& how_;
  Store::Impl::RetireReport* const report_;

  std::shared_ptr<const View> view_;
  std::map<uint32_t, std::vector<uint64_t>> wanted_;  // by segment: a slot's tag, or 0
  uint64_t wanted_left_ = 0;
  bool unreached_known_ = true;  // what the walk did not meet is reached by no entry
  std::map<uint32_t, std::shared_ptr<RootState>> roots_;  // by number

  AlignedBuffer scratch_;
  size_t scratch_used_ = 0;
  std::vector<Page> batch_;  // in key order
  Status unreadable_;        // the first page that could not be read
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_MOVE_H_
