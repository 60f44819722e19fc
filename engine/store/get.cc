// Get: locate, read into the caller's buffers, verify; what does not verify is a miss.
#include <algorithm>
#include <utility>

#include "engine/store/store_impl.h"

namespace lamina {

// One get call. Rounds: a page whose bytes are wrong is read once more (the device may have erred);
// if it is wrong again its slot is freed, and another slot that bears the page, if there is one, is
// tried.
class GetOperation {
 public:
  GetOperation(Store::Impl& store, Path::Impl& path, size_t first, size_t count,
               const GetBuffers& buffers, std::span<PageState> states) noexcept
      : store_(store),
        path_(path),
        first_(first),
        count_(count),
        buffers_(buffers),
        states_(states) {}

  Result<size_t> Run() noexcept {
    std::fill(states_.begin(), states_.end(), PageState::kPending);
    MakeFragments();
    std::vector<size_t> wanted(count_);
    for (size_t i = 0; i < count_; ++i) wanted[i] = i;
    failures_.assign(count_, 0);
    // A page has as many candidates as unclean shutdowns left it: few. The bound ends what a device
    // that lies in new ways every time would go on with.
    for (int round = 0; !wanted.empty() && round < kMaxRounds; ++round) wanted = Round(wanted);
    for (const size_t i : wanted) Miss(i, store_.counters_.misses_checksum);
    if (freed_) (void)store_.ScrubFreed();
    size_t leading = 0;
    while (leading < count_ && states_[leading] == PageState::kOk) ++leading;
    Count();
    return leading;
  }

 private:
  static constexpr int kMaxRounds = 16;

  void MakeFragments() noexcept {
    fragments_.reserve(buffers_.buffers.size());
    sizes_.assign(count_, 0);
    for (size_t i = 0; i < buffers_.buffers.size(); ++i) {
      fragments_.push_back({buffers_.buffers[i], buffers_.sizes[i]});
      sizes_[i / buffers_.buffers_per_page] += buffers_.sizes[i];
    }
  }

  // Reads the wanted pages (indexes into the call) once; returns those to be tried again.
  std::vector<size_t> Round(const std::vector<size_t>& wanted) noexcept {
    store_.Locate(path_, first_, count_, false);
    store_.NoteUse(path_, first_, count_);
    std::vector<PageRead> reads;
    std::vector<size_t> read_pages;
    for (const size_t i : wanted) {
      const Location& location = path_.locations[first_ + i];
      if (!location.found) {
        Miss(i,
             failures_[i] == 0 ? store_.counters_.misses_absent : store_.counters_.misses_checksum);
      } else if (location.entry.length != sizes_[i]) {
        Miss(i, store_.counters_.misses_wrong_size);
      } else {
        PageRead& read = reads.emplace_back();
        read.slot = location.entry.slot;
        read.fingerprint = path_.fingerprints[first_ + i];
        read.checksum = location.entry.checksum;
        read.length = location.entry.length;
        read.fragments =
            std::span(fragments_).subspan(i * buffers_.buffers_per_page, buffers_.buffers_per_page);
        read_pages.push_back(i);
      }
    }
    if (reads.empty()) return {};
    auto queue = store_.queues_->Acquire();
    if (!queue.ok()) {
      for (const size_t i : read_pages) Miss(i, store_.counters_.misses_io_error);
      return {};
    }
    IoTally tally;
    store_.log_->ReadPages(**queue, reads, store_.Limits(), nullptr, &tally);
    store_.CountTally(tally, false);
    std::vector<size_t> again;
    for (size_t k = 0; k < reads.size(); ++k) {
      if (!Settle(read_pages[k], reads[k])) again.push_back(read_pages[k]);
    }
    return again;
  }

  // Whether the page's outcome is final.
  bool Settle(size_t i, const PageRead& read) noexcept {
    StoreCounters& counters = store_.counters_;
    switch (read.outcome) {
      case ReadOutcome::kOk:
        states_[i] = PageState::kOk;
        if (failures_[i] % 2 == 1) StoreCounters::Add(counters.reread_successes, 1);
        return true;
      case ReadOutcome::kMismatch:
        StoreCounters::Add(counters.checksum_failures, 1);
        if (++failures_[i] % 2 != 0) return false;
        if (!IsWrongAnywhere(read)) {
          // The caller's buffers overlap, or were changed meanwhile: not the slot's fault.
          Miss(i, counters.misses_buffer);
          return true;
        }
        FreeSlot(i, read);
        return false;
      case ReadOutcome::kGone:
        // Overwritten or freed since it was located: another round looks for it elsewhere.
        path_.locations[first_ + i].found = false;
        StoreCounters::Add(counters.misses_gone, 1);
        return false;
      case ReadOutcome::kIoError:
        Miss(i, counters.misses_io_error);
        return true;
      case ReadOutcome::kWrongSize:
      case ReadOutcome::kPending:
      case ReadOutcome::kCancelled:
        break;
    }
    Miss(i, counters.misses_wrong_size);
    return true;
  }

  // Reads the page into memory that nobody else has, before its slot is given up.
  bool IsWrongAnywhere(const PageRead& failed) noexcept {
    auto queue = store_.queues_->Acquire();
    if (!queue.ok()) return false;
    AlignedBuffer own(failed.length);
    const iovec whole = {own.data(), failed.length};
    PageRead read = failed;
    read.fragments = std::span(&whole, 1);
    read.outcome = ReadOutcome::kPending;
    IoTally tally;
    store_.log_->ReadPages(**queue, std::span(&read, 1), store_.Limits(), nullptr, &tally);
    store_.CountTally(tally, false);
    return read.outcome == ReadOutcome::kMismatch;
  }

  void FreeSlot(size_t i, const PageRead& read) noexcept {
    freed_ |= store_.log_->Free(read.slot, read.tag());
    store_.dirty_.store(true, std::memory_order_release);
    path_.locations[first_ + i].found = false;
  }

  // Pages that were read and lie in runs of at least 256 KiB of the tensor log.
  size_t PagesInRuns() const noexcept {
    size_t in_runs = 0;
    size_t run = 0;
    uint64_t run_bytes = 0;
    for (size_t i = 0; i <= count_; ++i) {
      const bool read = i < count_ && states_[i] == PageState::kOk;
      const SlotRef slot = read ? path_.locations[first_ + i].entry.slot : SlotRef{};
      const bool goes_on = read && run > 0 && slot.segment == last_slot(i).segment &&
                           slot.slot == last_slot(i).slot + 1;
      if (!goes_on) {
        if (run_bytes >= kRunBytes) in_runs += run;
        run = 0;
        run_bytes = 0;
      }
      if (!read) continue;
      ++run;
      run_bytes += SlotBytesFor(sizes_[i]);
    }
    return in_runs;
  }
  SlotRef last_slot(size_t i) const noexcept { return path_.locations[first_ + i - 1].entry.slot; }

  void Miss(size_t i, StoreCounters::Counter& reason) noexcept {
    states_[i] = PageState::kMiss;
    StoreCounters::Add(reason, 1);
  }

  void Count() noexcept {
    uint64_t pages = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count_; ++i) {
      if (states_[i] != PageState::kOk) continue;
      ++pages;
      bytes += sizes_[i];
    }
    StoreCounters::Add(store_.counters_.restored_in_runs, PagesInRuns());
    StoreCounters::Add(store_.counters_.gets, 1);
    StoreCounters::Add(store_.counters_.pages_got, pages);
    StoreCounters::Add(store_.counters_.bytes_got, bytes);
    path_.root->pages_hit.fetch_add(pages, std::memory_order_relaxed);
    path_.root->bytes_got.fetch_add(bytes, std::memory_order_relaxed);
  }

  Store::Impl& store_;
  Path::Impl& path_;
  const size_t first_;
  const size_t count_;
  const GetBuffers& buffers_;
  const std::span<PageState> states_;
  std::vector<iovec> fragments_;
  std::vector<size_t> sizes_;  // of each page
  bool freed_ = false;         // a slot, which may have to be scrubbed
  std::vector<int> failures_;  // wrong reads of each page; every second one frees a slot
};

Result<size_t> Store::Impl::Get(Path::Impl& path, size_t first, size_t count,
                                const GetBuffers& buffers, std::span<PageState> states) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("get", path, first, count, states.size()));
  LAMINA_RETURN_IF_ERROR(
      CheckBuffers("get", count, buffers.buffers.size(), buffers.sizes, buffers.buffers_per_page));
  for (size_t i = 0; i < buffers.buffers.size(); ++i) {
    if (buffers.buffers[i] == nullptr)
      return Status::InvalidArgument("get: buffers[" + std::to_string(i) + "] is NULL");
  }
  path.CatchUpWithRoot();
  std::vector<PageState> own_states;
  if (states.empty()) {
    own_states.resize(count);
    states = own_states;
  }
  auto leading = GetOperation(*this, path, first, count, buffers, states).Run();
  NoteSlotsChanged();
  return leading;
}

}  // namespace lamina
