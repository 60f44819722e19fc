// Get: locate, read into the caller's buffers, verify; what does not verify is a miss.
#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "engine/store/store_impl.h"

namespace lamina {

// One get call. Rounds: a page whose bytes are wrong is read once more (the device may have erred);
// if it is wrong again its slot is freed, and another slot that bears the page, if there is one, is
// tried. One that the device cannot read keeps its slot, and another one is tried as well.
class GetOperation {
 public:
  GetOperation(Store::Impl& store, Path::Impl& path, size_t first, size_t count,
               const GetBuffers& buffers, std::span<PageState> states,
               const Store::Impl::AsyncGet& async) noexcept
      : store_(store),
        path_(path),
        first_(first),
        count_(count),
        buffers_(buffers),
        states_(states),
        async_(async),
        session_(store.governor_, async.io_class) {}

  size_t Run() noexcept {
    const auto began = std::chrono::steady_clock::now();
    std::fill(states_.begin(), states_.end(), PageState::kPending);
    MakeFragments();
    const uint64_t bytes = std::accumulate(sizes_.begin(), sizes_.end(), uint64_t{0});
    const LoadModel::Running running(store_.load_model_, bytes);
    const bool beside_writes = store_.governor_.writers() > 0;
    SayReads(bytes);
    std::vector<size_t> wanted(count_);
    for (size_t i = 0; i < count_; ++i) wanted[i] = i;
    failures_.assign(count_, 0);
    io_errors_.assign(count_, false);
    // A page has as many candidates as unclean shutdowns left it: few. The bound ends what a device
    // that lies in new ways every time would go on with.
    for (int round = 0; !wanted.empty() && round < kMaxRounds; ++round) {
      wanted = Round(wanted);
      ++rounds_;
    }
    for (const size_t i : wanted)
      Miss(i, io_errors_[i] ? store_.counters_.misses_io_error : store_.counters_.misses_checksum);
    if (freed_) (void)store_.ScrubFreed();
    size_t leading = 0;
    while (leading < count_ && states_[leading] == PageState::kOk) ++leading;
    Count();
    // One that missed pages or read twice says nothing of the next.
    if (rounds_ == 1 && leading == count_) {
      const std::chrono::duration<double, std::micro> us = std::chrono::steady_clock::now() - began;
      store_.load_model_.Observe({bytes, requests_, running.ahead(), beside_writes}, us.count());
    }
    return leading;
  }

 private:
  static constexpr int kMaxRounds = 16;

  // To the governor: a page of its own is more requests than its bytes need, but small ones.
  void SayReads(uint64_t bytes) noexcept {
    const uint64_t whole = store_.options_.request_bytes;
    const uint64_t requests =
        std::clamp<uint64_t>((bytes + whole - 1) / whole, 1, store_.options_.io_depth);
    session_.SetReads(static_cast<uint32_t>(requests));
  }

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
    store_.Locate(path_, first_, count_, false, unreadable_);
    store_.NoteUse(path_, first_, count_);
    std::vector<size_t> read_pages;
    for (const size_t i : wanted) {
      const Location& location = path_.locations[first_ + i];
      if (!location.found) {
        Miss(i, WhyAbsent(i));
      } else if (location.entry.length != sizes_[i]) {
        Miss(i, store_.counters_.misses_wrong_size);
      } else {
        read_pages.push_back(i);
      }
    }
    if (read_pages.empty()) return {};
    if (async_.backward) TurnAround(&read_pages);
    std::vector<PageRead> reads = ReadsOf(read_pages);
    auto queue = store_.queues_->Acquire();
    if (!queue.ok()) {
      for (const size_t i : read_pages) Miss(i, store_.counters_.misses_io_error);
      return {};
    }
    IoTally tally;
    Observer observer(*this, read_pages, reads);
    store_.log_->ReadPages(**queue, reads, {store_.options_.request_bytes, &session_},
                           async_.watch == nullptr ? nullptr : &observer, &tally);
    store_.CountTally(tally, false);
    requests_ += tally.requests;
    std::vector<size_t> again;
    for (size_t k = 0; k < reads.size(); ++k) {
      if (!Settle(read_pages[k], reads[k])) again.push_back(read_pages[k]);
    }
    return again;
  }

  [[nodiscard]] std::vector<PageRead> ReadsOf(std::span<const size_t> pages) const noexcept {
    std::vector<PageRead> reads(pages.size());
    for (size_t k = 0; k < pages.size(); ++k) {
      const size_t i = pages[k];
      const Entry& entry = path_.locations[first_ + i].entry;
      reads[k].slot = entry.slot;
      reads[k].fingerprint = path_.fingerprints[first_ + i];
      reads[k].checksum = entry.checksum;
      reads[k].length = entry.length;
      reads[k].fragments =
          std::span(fragments_).subspan(i * buffers_.buffers_per_page, buffers_.buffers_per_page);
    }
    return reads;
  }

  // The last pages first, but in groups that go into one request, which are read as they lie.
  void TurnAround(std::vector<size_t>* pages) const noexcept {
    std::vector<size_t> turned;
    turned.reserve(pages->size());
    for (size_t end = pages->size(); end > 0;) {
      size_t begin = end - 1;
      uint64_t bytes = SlotBytesFor(sizes_[(*pages)[begin]]);
      while (begin > 0) {
        bytes += SlotBytesFor(sizes_[(*pages)[begin - 1]]);
        if (bytes > store_.options_.request_bytes) break;
        --begin;
      }
      turned.insert(turned.end(), pages->begin() + static_cast<ptrdiff_t>(begin),
                    pages->begin() + static_cast<ptrdiff_t>(end));
      end = begin;
    }
    *pages = std::move(turned);
  }

  // Tells the ticket of an asynchronous call how far its pages are.
  class Observer final : public ReadObserver {
   public:
    Observer(GetOperation& get, std::span<const size_t> pages,
             std::span<const PageRead> reads) noexcept
        : get_(get), pages_(pages), reads_(reads) {}
    bool Wanted(size_t k) noexcept override { return get_.async_.watch->Begin(pages_[k]); }
    void Done(size_t k) noexcept override {
      // Those that are right are so for good, and whoever polls may go on with them.
      if (reads_[k].outcome == ReadOutcome::kOk) {
        get_.Decide(pages_[k], PageState::kOk);
      } else {
        get_.async_.watch->End(pages_[k]);
      }
    }

   private:
    GetOperation& get_;
    const std::span<const size_t> pages_;
    const std::span<const PageRead> reads_;
  };

  // Whether the page's outcome is final.
  bool Settle(size_t i, const PageRead& read) noexcept {
    StoreCounters& counters = store_.counters_;
    switch (read.outcome) {
      case ReadOutcome::kOk:
        Decide(i, PageState::kOk);
        if (failures_[i] % 2 == 1) StoreCounters::Add(counters.reread_successes, 1);
        return true;
      case ReadOutcome::kMismatch:
        StoreCounters::Add(counters.checksum_failures, 1);
        if (++failures_[i] % 2 != 0) return false;
        return SettleMismatch(i, read);
      case ReadOutcome::kGone:
        // Overwritten or freed since it was located: another round looks for it elsewhere.
        path_.locations[first_ + i].found = false;
        StoreCounters::Add(counters.misses_gone, 1);
        return false;
      case ReadOutcome::kIoError:
        Avoid(i, read);
        return false;
      case ReadOutcome::kCancelled:
        StoreCounters::Add(counters.pages_cancelled, 1);
        Decide(i, PageState::kCancelled);
        return true;
      case ReadOutcome::kWrongSize:
      case ReadOutcome::kPending:
        break;
    }
    Miss(i, counters.misses_wrong_size);
    return true;
  }

  // Wrong twice. As Settle.
  bool SettleMismatch(size_t i, const PageRead& read) noexcept {
    switch (ReadAlone(read)) {
      case ReadOutcome::kMismatch:
        FreeSlot(i, read);
        return false;
      case ReadOutcome::kGone:
        // Another get, or this one for the same page, was faster: there may be another copy.
        path_.locations[first_ + i].found = false;
        return false;
      case ReadOutcome::kOk:
        // The caller's buffers overlap, or were changed meanwhile: not the slot's fault.
        Miss(i, store_.counters_.misses_buffer);
        return true;
      default:
        Avoid(i, read);
        return false;
    }
  }

  // By this call: the slot may be read later.
  void Avoid(size_t i, const PageRead& read) noexcept {
    unreadable_.push_back(read.slot);
    io_errors_[i] = true;
    path_.locations[first_ + i].found = false;
  }

  StoreCounters::Counter& WhyAbsent(size_t i) const noexcept {
    if (io_errors_[i]) return store_.counters_.misses_io_error;
    return failures_[i] == 0 ? store_.counters_.misses_absent : store_.counters_.misses_checksum;
  }

  // Reads the page into memory that nobody else has, before its slot is given up.
  ReadOutcome ReadAlone(const PageRead& failed) noexcept {
    auto queue = store_.queues_->Acquire();
    if (!queue.ok()) return ReadOutcome::kIoError;
    AlignedBuffer own(failed.length);
    const iovec whole = {own.data(), failed.length};
    PageRead read = failed;
    read.fragments = std::span(&whole, 1);
    read.outcome = ReadOutcome::kPending;
    IoTally tally;
    store_.log_->ReadPages(**queue, std::span(&read, 1), {store_.options_.request_bytes}, nullptr,
                           &tally);
    store_.CountTally(tally, false);
    return read.outcome;
  }

  void FreeSlot(size_t i, const PageRead& read) noexcept {
    if (store_.log_->Unproven(read.slot, read.tag()))
      StoreCounters::Add(store_.counters_.unproven_torn, 1);
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
    Decide(i, PageState::kMiss);
    StoreCounters::Add(reason, 1);
  }
  void Decide(size_t i, PageState state) noexcept {
    if (states_[i] != PageState::kPending) return;
    states_[i] = state;
    if (async_.watch != nullptr) async_.watch->Decided(i, state);
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
  const Store::Impl::AsyncGet async_;
  IoGovernor::Session session_;
  std::vector<iovec> fragments_;
  std::vector<size_t> sizes_;        // of each page
  bool freed_ = false;               // a slot, which may have to be scrubbed
  std::vector<int> failures_;        // wrong reads of each page; every second one frees a slot
  std::vector<bool> io_errors_;      // by page: a slot of it could not be read
  std::vector<SlotRef> unreadable_;  // those slots
  int rounds_ = 0;
  uint64_t requests_ = 0;  // to the device
};

Result<size_t> Store::Impl::Get(Path::Impl& path, size_t first, size_t count,
                                const GetBuffers& buffers, std::span<PageState> states) noexcept {
  const Call call(*this);
  LAMINA_RETURN_IF_ERROR(call.status());
  LAMINA_RETURN_IF_ERROR(CheckRange("get", path, first, count, states.size()));
  LAMINA_RETURN_IF_ERROR(
      CheckBuffers("get", count, buffers.buffers, buffers.sizes, buffers.buffers_per_page));
  std::vector<PageState> own_states;
  if (states.empty()) {
    own_states.resize(count);
    states = own_states;
  }
  return RunGet(path, first, count, buffers, states, {});
}

// Arguments are right, and a call or a ticket keeps the store open.
size_t Store::Impl::RunGet(Path::Impl& path, size_t first, size_t count, const GetBuffers& buffers,
                           std::span<PageState> states, const AsyncGet& async) noexcept {
  path.CatchUpWithRoot();
  const size_t leading = GetOperation(*this, path, first, count, buffers, states, async).Run();
  NoteSlotsChanged();
  return leading;
}

}  // namespace lamina
