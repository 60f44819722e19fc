// The `raw` engine: what the device can do. It moves the same bytes with io_uring and O_DIRECT at a
// queue depth, in requests of up to 1 MiB over preallocated files, and keeps nothing but a map in
// memory from page to place: no index on disk, no checksum, no recovery. Where it is bounded, new
// pages are written over the oldest, in a circle.
//
// Neighbouring pages of a call that are neighbours on disk share a request, up to its size, since a
// store would do the same. A page that is put twice at the same time takes two places; the later
// one counts.
#include <fcntl.h>
#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "bench/buffers.h"
#include "bench/directory.h"
#include "bench/engine.h"

namespace lamina::bench {
namespace {

constexpr size_t kRequestBytes = size_t{1} << 20;
constexpr uint64_t kFileBytes = uint64_t{1} << 30;

// Where a page begins. Files are numbered from 0.
struct Place {
  size_t file = 0;
  uint64_t offset = 0;
};

// One request: bytes of a file from or into pieces of memory.
struct Transfer {
  int fd = -1;
  uint64_t offset = 0;
  size_t bytes = 0;
  std::vector<iovec> pieces;
};

Status UringError(const char* what, int error) {
  return Status::IoError(std::string("raw: ") + what + ": " + std::strerror(error));
}

// A ring of one caller.
class Ring {
 public:
  static Result<std::unique_ptr<Ring>> Make(unsigned depth) {
    std::unique_ptr<Ring> ring(new Ring(depth));
    const int made = io_uring_queue_init(depth, &ring->ring_, 0);
    if (made < 0) {
      ring->depth_ = 0;
      return UringError("cannot set up io_uring", -made);
    }
    return ring;
  }
  ~Ring() {
    if (depth_ > 0) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Keeps up to the depth of requests in flight until all are done. Buffers stay in use until it
  // returns, with or without an error.
  Status Run(std::span<const Transfer> transfers, bool write) {
    Status status;
    size_t submitted = 0;
    size_t finished = 0;
    size_t in_flight = 0;
    while (finished < submitted || (status.ok() && submitted < transfers.size())) {
      while (status.ok() && submitted < transfers.size() && in_flight < depth_) {
        Queue(transfers[submitted++], write);
        ++in_flight;
      }
      const int entered = io_uring_submit_and_wait(&ring_, 1);
      // Interrupted: what was queued stays queued.
      if (entered < 0 && entered != -EINTR) return UringError("io_uring_enter", -entered);
      const size_t reaped = Reap(&status);
      finished += reaped;
      in_flight -= reaped;
    }
    return status;
  }

 private:
  explicit Ring(unsigned depth) : depth_(depth) {}

  void Queue(const Transfer& transfer, bool write) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    const auto pieces = static_cast<unsigned>(transfer.pieces.size());
    if (write) {
      io_uring_prep_writev(sqe, transfer.fd, transfer.pieces.data(), pieces, transfer.offset);
    } else {
      io_uring_prep_readv(sqe, transfer.fd, transfer.pieces.data(), pieces, transfer.offset);
    }
    io_uring_sqe_set_data64(sqe, transfer.bytes);
  }

  // Takes what has completed; the first failure goes to `status`. A short transfer of whole,
  // preallocated blocks is a failure here.
  size_t Reap(Status* status) {
    io_uring_cqe* cqe = nullptr;
    unsigned head = 0;
    unsigned reaped = 0;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++reaped;
      if (!status->ok()) continue;
      if (cqe->res < 0) {
        *status = UringError("a request failed", -cqe->res);
      } else if (static_cast<uint64_t>(cqe->res) != cqe->user_data) {
        *status = UringError("a request was cut short", EIO);
      }
    }
    io_uring_cq_advance(&ring_, reaped);
    return reaped;
  }

  unsigned depth_;
  io_uring ring_{};
};

class RawEngine final : public Engine {
 public:
  explicit RawEngine(const EngineConfig& config)
      : dir_(config.dir),
        depth_(config.raw_depth),
        ring_pages_(config.ring_pages),
        slot_bytes_(RoundUp(config.page_bytes, kDirectIoBytes)) {}

  ~RawEngine() override {
    for (const int fd : files_) close(fd);
  }

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override;

  // So that a refusal is told at open, not in the middle of a run.
  Status Prepare() {
    Result<std::unique_ptr<Ring>> ring = TakeRing();
    if (!ring.ok()) return ring.status();
    GiveRing(std::move(*ring));
    const std::lock_guard lock(mutex_);
    return AddFile();
  }

  Status Flush() override {
    const std::shared_lock lock(mutex_);
    for (const int fd : files_) {
      if (fdatasync(fd) != 0) return UringError("cannot sync", errno);
    }
    return Status::Ok();
  }

  size_t Leading(std::span<const PageName> names) {
    const std::shared_lock lock(mutex_);
    size_t leading = 0;
    while (leading < names.size() && places_.contains(names[leading])) ++leading;
    return leading;
  }

  Result<size_t> Read(std::span<const PageName> names, std::span<std::byte* const> pages) {
    std::vector<Transfer> transfers;
    size_t found = 0;
    {
      const std::shared_lock lock(mutex_);
      for (; found < names.size(); ++found) {
        const auto place = places_.find(names[found]);
        if (place == places_.end()) break;
        AddPage(place->second, pages[found], &transfers);
      }
    }
    Status status = Run(transfers, false);
    if (!status.ok()) return status;
    return found;
  }

  Result<size_t> Write(std::span<const PageName> names, std::span<std::byte* const> pages) {
    std::vector<Transfer> transfers;
    std::vector<std::pair<PageName, Place>> placed;
    bool full = false;
    {
      const std::lock_guard lock(mutex_);
      for (size_t i = 0; i < names.size() && !full; ++i) {
        if (places_.contains(names[i])) continue;
        Place place;
        Status status = TakePlace(&place);
        full = status.code() == StatusCode::kNoSpace;
        if (!status.ok() && !full) return status;
        if (full) break;
        if (ring_pages_ > 0) ring_.push_back({names[i], place});
        placed.emplace_back(names[i], place);
        AddPage(place, pages[i], &transfers);
      }
    }
    Status status = Run(transfers, true);
    if (!status.ok()) return status;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [name, place] : placed) places_.insert_or_assign(name, place);
    }
    return full ? Leading(names) : names.size();
  }

 private:
  // The next slot; a new file when the last one is full. Under the mutex.
  Status TakePlace(Place* place) {
    if (ring_pages_ > 0 && ring_.size() >= ring_pages_) {
      *place = ring_.front().second;
      places_.erase(ring_.front().first);
      ring_.pop_front();
      return Status::Ok();
    }
    if (used_in_last_file_ + slot_bytes_ > file_bytes()) {
      Status status = AddFile();
      if (!status.ok()) return status;
    }
    *place = {files_.size() - 1, used_in_last_file_};
    used_in_last_file_ += slot_bytes_;
    return Status::Ok();
  }

  [[nodiscard]] uint64_t file_bytes() const { return std::max<uint64_t>(kFileBytes, slot_bytes_); }

  Status AddFile() {
    const std::string path = dir_ + "/" + std::to_string(files_.size()) + ".raw";
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0644);
    if (fd < 0) {
      return Status::IoError("raw: cannot create " + path +
                             " for direct I/O: " + std::strerror(errno));
    }
    if (fallocate(fd, 0, 0, static_cast<off_t>(file_bytes())) != 0) {
      const int error = errno;
      close(fd);
      unlink(path.c_str());
      return Status(error == ENOSPC ? StatusCode::kNoSpace : StatusCode::kIoError,
                    "raw: cannot preallocate " + path + ": " + std::strerror(error));
    }
    files_.push_back(fd);
    used_in_last_file_ = 0;
    return Status::Ok();
  }

  // Adds a slot's bytes to the transfers, into the last one while that has room and ends where this
  // begins. Under the mutex.
  void AddPage(Place place, std::byte* page, std::vector<Transfer>* transfers) {
    const int fd = files_[place.file];
    for (size_t done = 0; done < slot_bytes_;) {
      const uint64_t offset = place.offset + done;
      const bool follows = !transfers->empty() && transfers->back().fd == fd &&
                           transfers->back().offset + transfers->back().bytes == offset;
      const size_t room = follows ? kRequestBytes - transfers->back().bytes : 0;
      if (room == 0) transfers->push_back({fd, offset, 0, {}});
      Transfer& transfer = transfers->back();
      const size_t bytes = std::min(slot_bytes_ - done, kRequestBytes - transfer.bytes);
      transfer.pieces.push_back({page + done, bytes});
      transfer.bytes += bytes;
      done += bytes;
    }
  }

  Status Run(std::span<const Transfer> transfers, bool write) {
    if (transfers.empty()) return Status::Ok();
    Result<std::unique_ptr<Ring>> ring = TakeRing();
    if (!ring.ok()) return ring.status();
    Status status = (*ring)->Run(transfers, write);
    if (status.ok()) GiveRing(std::move(*ring));
    return status;
  }

  Result<std::unique_ptr<Ring>> TakeRing() {
    {
      const std::lock_guard lock(rings_mutex_);
      if (!rings_.empty()) {
        std::unique_ptr<Ring> ring = std::move(rings_.back());
        rings_.pop_back();
        return ring;
      }
    }
    return Ring::Make(depth_);
  }

  void GiveRing(std::unique_ptr<Ring> ring) {
    const std::lock_guard lock(rings_mutex_);
    rings_.push_back(std::move(ring));
  }

  const std::string dir_;
  const unsigned depth_;
  const uint64_t ring_pages_;
  const size_t slot_bytes_;

  std::shared_mutex mutex_;
  std::vector<int> files_;
  uint64_t used_in_last_file_ = 0;
  std::unordered_map<PageName, Place, PageNameHash> places_;
  std::deque<std::pair<PageName, Place>> ring_;  // where bounded: the oldest page first

  std::mutex rings_mutex_;
  std::vector<std::unique_ptr<Ring>> rings_;
};

class RawRequest final : public EngineRequest {
 public:
  RawRequest(RawEngine* engine, std::span<const PageName> names)
      : engine_(*engine), names_(names) {}

  Result<size_t> Probe() override { return engine_.Leading(names_); }
  Result<size_t> Get(size_t first_page, std::span<std::byte* const> pages) override {
    return engine_.Read(names_.subspan(first_page, pages.size()), pages);
  }
  Result<size_t> Put(size_t first_page, std::span<std::byte* const> pages) override {
    return engine_.Write(names_.subspan(first_page, pages.size()), pages);
  }

 private:
  RawEngine& engine_;
  const std::span<const PageName> names_;
};

std::unique_ptr<EngineRequest> RawEngine::Begin(std::span<const PageName> names) {
  return std::make_unique<RawRequest>(this, names);
}

}  // namespace

Result<std::unique_ptr<Engine>> OpenRawEngine(const EngineConfig& config) {
  Status status = RequireEmptyDirectory("raw", config.dir);
  if (!status.ok()) return status;
  auto engine = std::make_unique<RawEngine>(config);
  status = engine->Prepare();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace lamina::bench
