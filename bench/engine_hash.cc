// The `hash` engine: the store's own tensor log, checksums and all, with a hash table in memory
// where the store has its index, journal and eviction policy. What the store takes longer than this
// is what those cost; what it keeps over this is a restart. Its keys are chained over the path as
// the store's are, since whoever indexes prefixes has to make them from what the caller has.
//
// Where it is bounded, the oldest pages go first, in the order in which the log overwrites.
#include <algorithm>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "bench/directory.h"
#include "bench/engine.h"
#include "bench/file_io.h"
#include "engine/base/buffer.h"
#include "engine/base/keys.h"
#include "engine/io/posix_file_system.h"
#include "engine/io/queue_pool.h"
#include "tensorlog/tensor_log.h"

namespace lamina::bench {
namespace {

// As the store's defaults.
constexpr size_t kRequestBytes = size_t{1} << 20;
constexpr size_t kBounceBytes = size_t{64} << 20;
constexpr size_t kDepth = 32;
constexpr size_t kIdleQueues = 16;
// Of the slots this share holds no page that counts, so that the log finds runs to overwrite.
constexpr uint64_t kSlackDivisor = 16;

// Gives out segments up to a number of slots; 0: without bound.
class BoundedSegments final : public SegmentSource {
 public:
  explicit BoundedSegments(uint64_t slots) : bounded_(slots > 0), slots_left_(slots) {}

  Result<uint32_t> ReserveSegment(uint32_t, uint32_t, uint32_t* slot_count) noexcept override {
    const std::lock_guard lock(mutex_);
    if (bounded_ && slots_left_ < kMinSegmentSlots) return Status::NoSpace("hash: full");
    if (bounded_) {
      *slot_count = static_cast<uint32_t>(std::min<uint64_t>(*slot_count, slots_left_));
      slots_left_ -= *slot_count;
    }
    return next_id_++;
  }
  // Nothing is kept for a restart.
  Status SegmentCreated(const SegmentInfo&) noexcept override { return Status::Ok(); }
  void SegmentFailed(const SegmentInfo& info, const Status&) noexcept override {
    const std::lock_guard lock(mutex_);
    slots_left_ += info.slot_count;
  }

 private:
  const bool bounded_;
  std::mutex mutex_;
  uint64_t slots_left_;
  uint32_t next_id_ = 1;
};

// Nobody attacks a bench, but XXH3 wants a secret that looks like one.
Secret BenchSecret() noexcept {
  Secret secret;
  for (size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<uint8_t>(Mix(i));
  return secret;
}

Fingerprint FingerprintOf(const PageName& name) { return name.high == 0 ? 1 : name.high; }

class HashEngine final : public Engine {
 public:
  explicit HashEngine(const EngineConfig& config)
      : config_(config),
        segments_(config.ring_pages + config.ring_pages / kSlackDivisor),
        bounce_(kRequestBytes, kBounceBytes) {}

  Status Prepare() {
    Result<std::unique_ptr<PosixFileSystem>> fs = PosixFileSystem::Create({});
    if (!fs.ok()) return fs.status();
    fs_ = std::move(*fs);
    queues_ = std::make_unique<QueuePool>(fs_.get(), kDepth, kIdleQueues);
    TensorLogOptions options;
    options.store_id = {1, 1};
    options.log_dirs = {config_.dir + "/log"};
    options.slot_table_dir = config_.dir + "/slots";
    const uint64_t page_bytes = config_.page_bytes;
    if (config_.ring_pages > 0)
      options.capacity_bytes = CapacityFor(config_.ring_pages, page_bytes);
    Status status = MakeDirectory(options.slot_table_dir);
    if (!status.ok()) return status;
    Result<std::unique_ptr<TensorLog>> log =
        TensorLog::Open(*fs_, bounce_, options, {false}, segments_);
    if (!log.ok()) return log.status();
    log_ = std::move(*log);
    log_->FinishReplay();
    return Status::Ok();
  }

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override;

  Status Flush() override { return log_->SyncPayloads(); }

  size_t Leading(std::span<const PageName> names) {
    const std::shared_lock lock(mutex_);
    size_t leading = 0;
    while (leading < names.size() && pages_.contains(names[leading])) ++leading;
    return leading;
  }

  Result<size_t> Read(std::span<const PageName> names, std::span<const iovec> fragments) {
    std::vector<PageRead> reads;
    reads.reserve(names.size());
    {
      const std::shared_lock lock(mutex_);
      for (size_t i = 0; i < names.size(); ++i) {
        const auto page = pages_.find(names[i]);
        if (page == pages_.end()) break;
        PageRead& read = reads.emplace_back();
        read.slot = page->second.slot;
        read.fingerprint = FingerprintOf(names[i]);
        read.checksum = page->second.checksum;
        read.length = static_cast<uint32_t>(config_.page_bytes);
        read.fragments = fragments.subspan(i * config_.fragments, config_.fragments);
      }
    }
    if (reads.empty()) return size_t{0};
    Result<QueuePool::Lease> queue = queues_->Acquire();
    if (!queue.ok()) return queue.status();
    IoTally tally;
    log_->ReadPages(**queue, reads, {}, nullptr, &tally);
    const auto failed = std::find_if(reads.begin(), reads.end(), [](const PageRead& read) {
      return read.outcome != ReadOutcome::kOk;
    });
    return static_cast<size_t>(failed - reads.begin());
  }

  // Puts pages that are not there; the result is how many leading ones got slots.
  Result<size_t> Write(std::span<const PageName> names, std::span<const iovec> fragments) {
    Result<std::vector<PageWrite>> writes = TakeSlots(names, fragments);
    if (!writes.ok()) return writes.status();
    if (writes->empty()) return size_t{0};
    Result<QueuePool::Lease> queue = queues_->Acquire();
    Status status = queue.status();
    IoTally tally;
    if (status.ok()) status = log_->WritePages(**queue, *writes, {}, false, &tally);
    if (!status.ok()) {
      for (const PageWrite& write : *writes) log_->Release(write.slot);
      return status;
    }
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < writes->size(); ++i) {
      const PageWrite& write = (*writes)[i];
      const bool first = pages_.try_emplace(names[i], write.slot, write.checksum).second;
      if (!first) {
        log_->Release(write.slot);
        continue;
      }
      log_->Publish(write.slot, TagOf(write.fingerprint, write.checksum), 0, {1, 0});
      if (config_.ring_pages > 0) ring_.push_back(names[i]);
    }
    return writes->size();
  }

  [[nodiscard]] const EngineConfig& config() const { return config_; }
  [[nodiscard]] const Secret& secret() const { return secret_; }

 private:
  struct Page {
    Page(SlotRef at, uint64_t sum) : slot(at), checksum(sum) {}
    SlotRef slot;
    uint64_t checksum;
  };

  Result<std::vector<PageWrite>> TakeSlots(std::span<const PageName> names,
                                           std::span<const iovec> fragments) {
    MakeRoom(names.size());
    std::vector<PageWrite> writes;
    writes.reserve(names.size());
    while (writes.size() < names.size()) {
      Result<std::vector<SlotRun>> runs =
          log_->Take(config_.page_bytes, names.size() - writes.size());
      if (!runs.ok() && runs.status().code() != StatusCode::kNoSpace) return runs.status();
      if (!runs.ok() || runs->empty()) break;
      for (const SlotRun& run : *runs) {
        for (uint32_t k = 0; k < run.count; ++k) {
          const size_t i = writes.size();
          PageWrite& write = writes.emplace_back();
          write.slot = run.slot(k);
          write.fingerprint = FingerprintOf(names[i]);
          write.fragments = fragments.subspan(i * config_.fragments, config_.fragments);
        }
      }
    }
    return writes;
  }

  void MakeRoom(size_t count) {
    if (config_.ring_pages == 0) return;
    const std::lock_guard lock(mutex_);
    while (!ring_.empty() && ring_.size() + count > config_.ring_pages) {
      const auto oldest = pages_.find(ring_.front());
      const Page& page = oldest->second;
      (void)log_->Free(page.slot, TagOf(FingerprintOf(oldest->first), page.checksum));
      pages_.erase(oldest);
      ring_.pop_front();
    }
  }

  const EngineConfig config_;
  const Secret secret_ = BenchSecret();
  BoundedSegments segments_;
  BufferPool bounce_;
  std::unique_ptr<PosixFileSystem> fs_;
  std::unique_ptr<QueuePool> queues_;
  std::unique_ptr<TensorLog> log_;

  std::shared_mutex mutex_;
  std::unordered_map<PageName, Page, PageNameHash> pages_;
  std::deque<PageName> ring_;  // where bounded: the oldest page first
};

// Keys of the pages, each over all that lie before it.
std::vector<PageName> ChainedNames(const Secret& secret, std::string_view root,
                                   std::span<const PageName> names) {
  const std::vector<uint8_t> digests = DigestsOf(names);
  Digest parent = RootDigest(secret, PathKind::kDigests, 0, root);
  std::vector<PageName> chained;
  chained.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const auto page = std::span(digests).subspan(i * kNameDigestBytes, kNameDigestBytes);
    parent = ChildDigest(secret, parent, PathKind::kDigests, std::as_bytes(page));
    chained.push_back({parent.high, parent.low});
  }
  return chained;
}

class HashRequest final : public EngineRequest {
 public:
  HashRequest(HashEngine* engine, std::span<const PageName> names)
      : engine_(*engine), given_names_(names) {}

  Result<size_t> Probe() override { return engine_.Leading(Names()); }

  Result<size_t> Get(size_t first_page, std::span<std::byte* const> fragments) override {
    return engine_.Read(NamesFrom(first_page, fragments), Pieces(fragments));
  }

  Result<size_t> Put(size_t first_page, std::span<std::byte* const> fragments) override {
    const std::span<const PageName> names = NamesFrom(first_page, fragments);
    const size_t present = engine_.Leading(names);
    if (present == names.size()) return present;
    // A path's pages are there up to one and missing from there on.
    const Result<size_t> put = engine_.Write(
        names.subspan(present), Pieces(fragments.subspan(present * engine_.config().fragments)));
    if (!put.ok()) return put.status();
    return present + *put;
  }

 private:
  [[nodiscard]] std::span<const PageName> NamesFrom(size_t first_page,
                                                    std::span<std::byte* const> fragments) {
    return Names().subspan(first_page, fragments.size() / engine_.config().fragments);
  }
  [[nodiscard]] std::vector<iovec> Pieces(std::span<std::byte* const> fragments) const {
    return PiecesOf(fragments, engine_.config().page_bytes / engine_.config().fragments);
  }

  // The keys, made by the first call, as the store makes its path.
  [[nodiscard]] std::span<const PageName> Names() {
    if (names_.empty())
      names_ = ChainedNames(engine_.secret(), engine_.config().root, given_names_);
    return names_;
  }

  HashEngine& engine_;
  const std::span<const PageName> given_names_;
  std::vector<PageName> names_;
};

std::unique_ptr<EngineRequest> HashEngine::Begin(std::span<const PageName> names) {
  return std::make_unique<HashRequest>(this, names);
}

}  // namespace

Result<std::unique_ptr<Engine>> OpenHashEngine(const EngineConfig& config) {
  Status status = RequireEmptyDirectory("hash", config.dir);
  if (!status.ok()) return status;
  auto engine = std::make_unique<HashEngine>(config);
  status = engine->Prepare();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace lamina::bench
