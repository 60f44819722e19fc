// Lamina: an embedded storage engine for the KV-cache tensors of large language models.
//
// This is the whole C++ interface. It is self-contained: a program that embeds Lamina includes
// this header and links liblamina.a (pkg-config name: lamina). The same in C is in lamina_c.h.
//
// Words: a *page* is the KV tensors of `page_tokens` consecutive tokens, opaque bytes that are
// given and returned as fragments. A *root* is a string that names everything that must match
// before two prefixes may share pages (model and weights, dtype, layout, page size, rank, tenant).
// A *path* is the pages of one token sequence under a root; a page is identified by the whole path
// up to it.
//
// The contract: a miss is always legal, a wrong tensor never is. Every page handed back was checked
// against a checksum keyed by the identity of the page that was asked for. Damaged, torn, stale or
// recycled data is a miss (and a counter), and the next put of that page repairs it.
//
// Errors: no function throws. Functions return Status or Result<T>; the message says what was
// tried, on what, and what to do. Memory exhaustion ends the process (std::terminate).
//
// Thread-safety: a Store may be used from any number of threads. A Path is used by one thread at a
// time. A Status, a Result and Options are plain values.
#ifndef LAMINA_LAMINA_H_
#define LAMINA_LAMINA_H_

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lamina {

// ------------------------------------------------------------------------------------------------
// Results

// The values are part of the C interface (LAMINA_OK, ...): append only.
enum class StatusCode : uint8_t {
  kOk = 0,
  kInvalidArgument = 1,  // the caller's mistake; the message names the argument
  kIoError = 2,          // the operating system refused; the message names file and errno
  kCorruption = 3,       // bytes on disk are not what was written; the message names the place
  kNoSpace = 4,
  kBusy = 5,  // another process holds the directory; the message names its pid
  kNotSupported = 6,
  kClosed = 7,
  kTimedOut = 8,
};

// Success, or an error code with a message. Success costs one null pointer.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(StatusCode code, std::string message) noexcept
      : rep_(std::make_unique<Rep>(Rep{code, std::move(message)})) {
    assert(code != StatusCode::kOk);
  }
  Status(const Status& other) noexcept
      : rep_(other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr) {}
  Status(Status&&) noexcept = default;
  Status& operator=(const Status& other) noexcept {
    if (this != &other) rep_ = other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr;
    return *this;
  }
  Status& operator=(Status&&) noexcept = default;

  static Status Ok() noexcept { return Status(); }
  static Status InvalidArgument(std::string m) noexcept {
    return Status(StatusCode::kInvalidArgument, std::move(m));
  }
  static Status IoError(std::string m) noexcept {
    return Status(StatusCode::kIoError, std::move(m));
  }
  static Status Corruption(std::string m) noexcept {
    return Status(StatusCode::kCorruption, std::move(m));
  }
  static Status NoSpace(std::string m) noexcept {
    return Status(StatusCode::kNoSpace, std::move(m));
  }
  static Status Busy(std::string m) noexcept { return Status(StatusCode::kBusy, std::move(m)); }
  static Status NotSupported(std::string m) noexcept {
    return Status(StatusCode::kNotSupported, std::move(m));
  }
  static Status Closed(std::string m) noexcept { return Status(StatusCode::kClosed, std::move(m)); }
  static Status TimedOut(std::string m) noexcept {
    return Status(StatusCode::kTimedOut, std::move(m));
  }

  [[nodiscard]] bool ok() const noexcept { return rep_ == nullptr; }
  [[nodiscard]] StatusCode code() const noexcept { return rep_ ? rep_->code : StatusCode::kOk; }
  // Empty when ok(). Lives as long as this Status.
  [[nodiscard]] std::string_view message() const noexcept {
    return rep_ ? std::string_view(rep_->message) : std::string_view();
  }
  // "IO_ERROR: cannot open ..." for logs; "OK" when ok().
  [[nodiscard]] std::string ToString() const noexcept;

 private:
  struct Rep {
    StatusCode code;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

// "OK", "INVALID_ARGUMENT", ...
const char* StatusCodeName(StatusCode code) noexcept;

// A value, or the Status that says why there is none. Reading the value of an error ends the
// process.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept : state_(std::in_place_index<0>, std::move(value)) {}        // NOLINT
  Result(Status status) noexcept : state_(std::in_place_index<1>, std::move(status)) {  // NOLINT
    assert(!std::get<1>(state_).ok());
  }

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  [[nodiscard]] Status status() const noexcept {
    return ok() ? Status() : *std::get_if<1>(&state_);
  }
  [[nodiscard]] T& value() & noexcept { return *Get(); }
  [[nodiscard]] const T& value() const& noexcept { return *const_cast<Result*>(this)->Get(); }
  [[nodiscard]] T&& value() && noexcept { return std::move(*Get()); }
  T& operator*() & noexcept { return *Get(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*Get()); }
  T* operator->() noexcept { return Get(); }
  const T* operator->() const noexcept { return &value(); }

 private:
  T* Get() noexcept {
    T* value = std::get_if<0>(&state_);
    if (value == nullptr) std::terminate();
    return value;
  }
  std::variant<T, Status> state_;
};

// What became of one page of a call.
enum class PageState : uint8_t {
  kPending = 0,
  kOk = 1,
  kMiss = 2,
  kRejected = 3,   // put: not stored; Stats counts why
  kCancelled = 4,  // get: not read (cancelled, or past its deadline)
};

// ------------------------------------------------------------------------------------------------
// Options

// How a store behaves. Every field has a text form, `name=value`; several are joined by ';'.
// Parse() reads it, ToString() writes it, and unknown names and values out of range are errors that
// name the option and its range. Sizes take the suffixes K, M, G, T (powers of 1024).
struct Options {
  // ---- Behaviour -----------------------------------------------------------------------------

  // Create the directory when there is no store in it. A directory that holds anything else is
  // refused either way.
  bool create_if_missing = true;
  // Upper bound, bytes, on everything in the store's directories. 0: bounded by min_free_bytes
  // alone. At least 64 MiB otherwise. 16 MiB and 400 bytes a page of it are kept for index, journal
  // and what else is not tensors (CapacityFor). When the rest is full, pages make way for others as
  // `eviction` and `admission` say. Changes at run time: Store::SetCapacity.
  uint64_t capacity_bytes = 0;
  // Space on the file system that is left to others, bytes. Puts are rejected before it is used.
  uint64_t min_free_bytes = uint64_t{1} << 30;
  // Bound on the store's own memory, bytes: slot tables, memtables, filters, block cache, pools.
  // Less makes probes read blocks from disk.
  uint64_t memory_bytes = uint64_t{1} << 30;
  // Directories for the tensor log, separated by ',' in the text form. Empty: `<dir>/log`.
  std::vector<std::string> log_dirs;
  // none: a process crash loses nothing acknowledged; a power cut may lose what was not flushed.
  // batch: every acknowledged put survives a power cut; costs a device flush per put or group.
  enum class Durability : uint8_t { kNone, kBatch } durability = Durability::kNone;
  // Which pages go first when the store is full: those of least predicted worth (kPrhd, which
  // learns from the requests), the least recently used, or S3-FIFO.
  enum class Eviction : uint8_t { kPrhd, kLru, kS3Fifo } eviction = Eviction::kPrhd;
  // Which new pages are written at all: what the eviction policy would keep, all, or pages that
  // were asked for before.
  enum class Admission : uint8_t { kPolicy, kAll, kSecondUse } admission = Admission::kPolicy;
  // Tokens of a page of paths that do not say (by digests, by keys), 1 to 1048576: the eviction
  // policy counts a path's length in units of 512 tokens.
  uint32_t page_tokens = 512;
  // Bound on tensor bytes written per day, for the flash's sake; an hour's worth at once. 0: none.
  uint64_t write_bytes_per_day = 0;
  // What a freed slot's bytes become. logical: overwritten when the slot is used again.
  // physical: punched out or zeroed before the call returns, and whatever is free at every open.
  enum class Erase : uint8_t { kLogical, kPhysical } erase = Erase::kLogical;
  // Pages in a stem, the unit that keeps keys short; 1 to 64. Fixed when the store is created.
  uint32_t stem_pages = 64;
  // Shape of the index. kAuto is the tuner's choice.
  enum class Compaction : uint8_t {
    kAuto,
    kLeveling,
    kTiering,
    kLazy
  } compaction = Compaction::kAuto;
  // Capacity ratio of neighbouring levels, 2 to 64. 0: the tuner's choice.
  uint32_t size_ratio = 0;
  // Filter bits per index entry, 0 to 32, fractions allowed. Negative ("auto"): allocated over the
  // runs from the memory budget.
  double filter_bits = -1;
  // Fits the shape of the index to what the store is asked to do, where `compaction` and
  // `size_ratio` leave it open, and divides memory between memtables and filters. on: decides and
  // acts. observe: decides and journals, changes nothing. off: neither. Worth having for indexes
  // that memory does not hold; see the README.
  enum class Tuner : uint8_t { kOff, kObserve, kOn } tuner = Tuner::kOff;

  // ---- Performance ---------------------------------------------------------------------------

  // Kernel interface: io_uring, a pread/pwrite thread pool, or the first that works (Stats says
  // which and why).
  enum class Io : uint8_t { kAuto, kUring, kThreads } io = Io::kAuto;
  // Open fails when io_uring cannot be used, instead of falling back.
  bool require_io_uring = false;
  // Requests in flight of one call, 1 to 1024. More does not help one device past its queue depth.
  uint32_t io_depth = 32;
  // Threads of the io=threads backend, 1 to 256.
  uint32_t io_threads = 16;
  // Threads that serve submitted calls, 1 to 64; started when needed. Each serves one at a time.
  uint32_t submit_threads = 4;
  // Requests in flight of all writers together for every 32 that readers have, 1 to 1024: fewer
  // for steadier reads, more for faster puts beside them; writers always have one. 0: no limit, and
  // prefetches do not give way to demand either.
  uint32_t writes_beside_reads = 15;
  // Largest single device request, bytes, 256 KiB to 1 MiB. Larger requests delay concurrent reads.
  uint32_t request_bytes = 1u << 20;
  // Size of a memtable, bytes, 64 KiB to 1 GiB. Larger means fewer, larger tables and a longer
  // replay.
  uint64_t memtable_bytes = uint64_t{32} << 20;
  // Size at which compaction cuts its output tables, bytes, 64 KiB to 4 GiB.
  uint64_t table_bytes = uint64_t{64} << 20;
  // A checkpoint (flush) is made at the latest after so many bytes of log, or after so many seconds
  // with changes. 0 bytes: min(16 GiB, capacity_bytes / 16). 0 seconds: none by time.
  uint64_t checkpoint_bytes = 0;
  uint32_t checkpoint_seconds = 60;

  // Reads the text form; fields that are not named keep their defaults.
  static Result<Options> Parse(std::string_view text) noexcept;
  // The fields that differ from the defaults, in the text form.
  [[nodiscard]] std::string ToString() const noexcept;
  // kInvalidArgument naming the first field out of range.
  [[nodiscard]] Status Validate() const noexcept;
};

// ------------------------------------------------------------------------------------------------
// Paths

class Store;

// The pages of one token sequence under a root. Made by a Store and good for that store only
// (others refuse it); may outlive it. Remembers where its pages were found, so reuse it from probe
// to get. One thread at a time.
class Path {
 public:
  ~Path();
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;
  // Whole pages only: a partial tail of the tokens is left out.
  [[nodiscard]] size_t pages() const noexcept;

  struct Impl;
  Impl* impl() noexcept { return impl_.get(); }

 private:
  friend class Store;
  explicit Path(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

// Fragments of consecutive pages: page p's are [p * buffers_per_page, (p + 1) * buffers_per_page)
// of both arrays. Sizes are bytes, 1 to 1 GiB each, and 1 GiB a page at most. Buffers that are
// aligned as the device wants (4096 always suffices), in address and size, are not copied.
struct PutBuffers {
  std::span<const void* const> buffers;
  std::span<const size_t> sizes;
  size_t buffers_per_page = 1;
};
struct GetBuffers {
  std::span<void* const> buffers;
  std::span<const size_t> sizes;
  size_t buffers_per_page = 1;
};

// The capacity_bytes of a store that holds `pages` pages of `page_bytes` each when it is full:
// their slots, and what is kept for everything else.
uint64_t CapacityFor(uint64_t pages, uint64_t page_bytes) noexcept;

// How an asynchronous call is to be scheduled.
struct IoHints {
  // 0 demand, 1 prefetch: gives way to demand.
  uint32_t priority = 0;
  // Last page first, in steps of one device request. Of gets; a put begins at its head.
  bool backward = false;
  // From submission, microseconds; 0 none. What the device has not been asked for by then is
  // kCancelled; what it has is waited for and stays.
  uint64_t deadline_us = 0;
};

// What restoring some pages is predicted to take.
struct LoadEstimate {
  uint64_t bytes = 0;
  uint64_t requests = 0;
  uint64_t queued_bytes_ahead = 0;
  double us_p50 = 0;
  double us_p95 = 0;
};

// Compute from the front, load from the back: the first page to load, when computing n pages costs
// a*n + b*n*n us. Pure.
size_t PlanRestore(const LoadEstimate& estimate, size_t page_count, double a, double b) noexcept;

// A submitted call, as an object: destroying it cancels what is not done, and returns when the
// call's buffers are no longer touched. Move-only; used by one thread at a time; goes before its
// store does.
class Pending {
 public:
  Pending() noexcept = default;
  ~Pending() { Abandon(); }
  Pending(Pending&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)), ticket_(std::exchange(other.ticket_, 0)) {}
  Pending& operator=(Pending&& other) noexcept;
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  // Whether there is a call to wait for.
  explicit operator bool() const noexcept { return store_ != nullptr; }
  [[nodiscard]] uint64_t ticket() const noexcept { return ticket_; }
  // As Store::Wait and Store::Cancel. A wait that does not time out leaves this empty.
  Result<size_t> Wait(uint64_t timeout_us = UINT64_MAX) noexcept;
  Status Cancel(size_t first, size_t count) noexcept;
  // Leaves the ticket to Store::Wait, and this empty.
  uint64_t Detach() noexcept {
    store_ = nullptr;
    return std::exchange(ticket_, 0);
  }

 private:
  friend class Store;
  Pending(Store* store, uint64_t ticket) noexcept : store_(store), ticket_(ticket) {}
  void Abandon() noexcept;
  Store* store_ = nullptr;
  uint64_t ticket_ = 0;
};

// ------------------------------------------------------------------------------------------------
// Store

class Store {
 public:
  // Opens the store in `dir`, creating it if there is none (Options::create_if_missing). One
  // process at a time has a directory open for writing; kBusy names the other's pid.
  static Result<std::unique_ptr<Store>> Open(const std::string& dir,
                                             const Options& options) noexcept;
  // A read-only follower of a store that another process may be writing.
  static Result<std::unique_ptr<Store>> OpenReadOnly(const std::string& dir,
                                                     const Options& options) noexcept;
  // Waits for calls in progress, makes a checkpoint, and closes.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // A path by tokens: `page_tokens` (at least 1) of them make a page. The tokens are copied.
  Result<std::unique_ptr<Path>> PathFromTokens(std::string_view root,
                                               std::span<const uint32_t> tokens,
                                               uint32_t page_tokens) noexcept;
  // A path by 32-byte digests, one a page; digest i must stand for the whole prefix up to page i.
  Result<std::unique_ptr<Path>> PathFromDigests(std::string_view root,
                                                std::span<const uint8_t> digests32) noexcept;
  // Pages named by one 32-byte key each, without a common prefix.
  Result<std::unique_ptr<Path>> PathFromKeys(std::string_view root,
                                             std::span<const uint8_t> keys32) noexcept;

  // In all calls below: pages [first_page, first_page + page_count) of the path, page_count at
  // least 1; `states`, where given, has page_count elements. The result is the number of leading
  // pages, from first_page on, that are kOk.

  // Which pages are stored. Empty `states`: stops at the first miss. No tensor I/O.
  Result<size_t> Probe(Path& path, size_t first_page, size_t page_count,
                       std::span<PageState> states) noexcept;
  // Stores the pages that are not there yet. Missing ancestors are legal. At the first page that
  // cannot be stored the rest is kRejected, so a prefix has no hole at its head.
  Result<size_t> Put(Path& path, size_t first_page, size_t page_count, const PutBuffers& buffers,
                     std::span<PageState> states) noexcept;
  // Reads pages. Sizes that do not add up to what is stored are a miss; buffers of pages that are
  // not kOk have undefined content. Read errors are misses and counters.
  Result<size_t> Get(Path& path, size_t first_page, size_t page_count, const GetBuffers& buffers,
                     std::span<PageState> states) noexcept;

  // Asynchronous: the same, served by threads of the store. `states` are not optional: the store
  // sets each (std::atomic_ref, release) when that page is done, so progress can be read at any
  // time. Buffers and states are the store's until the call was waited for or cancelled; the arrays
  // that name them are copied, and the path may be used or freed at once. Calls do not wait for
  // each other: a get finds what was put before it when that put has finished. A put is made in
  // steps of 32 MiB: each is one put as far as crashes and rejections go.
  Result<Pending> SubmitGet(Path& path, size_t first_page, size_t page_count,
                            const GetBuffers& buffers, std::span<PageState> states,
                            const IoHints& hints = {}) noexcept;
  Result<Pending> SubmitPut(Path& path, size_t first_page, size_t page_count,
                            const PutBuffers& buffers, std::span<PageState> states,
                            const IoHints& hints = {}) noexcept;
  // A descriptor that is readable while Poll has something to give. Owned by the store; for
  // poll(2), not for reading. -1 when there is none.
  int EventFd() noexcept;
  // Tickets that have finished since the last call, oldest first; how many. They are still to be
  // waited for.
  size_t Poll(std::span<uint64_t> tickets) noexcept;
  // Waits for a ticket, so long at most (0: not at all), and releases it; the leading pages that
  // are kOk. kTimedOut: not finished, not released. kInvalidArgument: there is no such ticket.
  Result<size_t> Wait(uint64_t ticket, uint64_t timeout_us) noexcept;
  // Gives up pages of a call, counted from its first: what is not done becomes kCancelled. Returns
  // when their buffers are no longer touched. The ticket stays to be waited for.
  Status Cancel(uint64_t ticket, size_t first, size_t count) noexcept;
  // What getting these pages now is predicted to take, from how long gets took lately and what was
  // submitted before. Of the pages that are stored; no tensor I/O.
  Result<LoadEstimate> Estimate(Path& path, size_t first_page, size_t page_count) noexcept;

  // These pages were used elsewhere (host memory): keep them warm.
  Status Touch(Path& path, size_t first_page, size_t page_count) noexcept;
  // Removes these pages. Durable on return.
  Status Erase(Path& path, size_t first_page, size_t page_count) noexcept;
  // Removes all pages of a root, of all three kinds of path. Durable on return. Paths made before
  // it find nothing of what was erased and may be put again.
  Status EraseRoot(std::string_view root) noexcept;
  // Everything acknowledged so far survives a power cut.
  Status Flush() noexcept;

  // Changes Options::capacity_bytes until the store is closed; the same range. Less: pages are
  // evicted, what is worth keeping is moved together, and the files that are then empty are gone on
  // return. kBusy when readers or writers hold too much of it: call again; the background goes on.
  Status SetCapacity(uint64_t capacity_bytes) noexcept;

  // Gives disk space back to the file system now: the sparsest segments are given up, what is live
  // in them is moved together, path by path, and what is condemned goes. `options` is empty, or
  // "target_bytes=N" (K, M, G, T as elsewhere): how much to give back, as much as is worthwhile
  // otherwise. The result is a report as one JSON object: segments_freed, segments_made,
  // bytes_freed, pages_moved, bytes_moved, pages_condemned_dropped, pages_bad, segments_kept,
  // stopped, seconds, problems. Takes long; puts and gets go on meanwhile.
  Result<std::string> CollectGarbage(std::string_view options) noexcept;

  // Everything the store counts, as one JSON object.
  std::string StatsJson() noexcept;
  // The same numbers in the Prometheus text format, a name and a value a line: `lamina_pages_put
  // 5`.
  std::string MetricsText() noexcept;
  // Why the store decides as it does, in numbers, as one JSON object: what the eviction policy has
  // learned.
  std::string Explain() noexcept;

  // For the project's own tests and benches.
  class Impl;
  Impl* impl() noexcept { return impl_.get(); }
  explicit Store(std::unique_ptr<Impl> impl) noexcept;

 private:
  friend class Pending;
  void Abandon(uint64_t ticket) noexcept;
  std::unique_ptr<Impl> impl_;
};

// "0.1.0"
const char* Version() noexcept;

}  // namespace lamina

#endif  // LAMINA_LAMINA_H_
