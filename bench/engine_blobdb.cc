// The `blobdb` engines: pages as values of RocksDB with integrated blob files.
//
// Set up as RocksDB's own notes advise for large values that are not compacted: every value in a
// blob file, no compression, direct I/O for reads, flushes and compactions, large write buffers,
// blob files of several write buffers' size, garbage collection on. `blobdb` writes RocksDB's log,
// so that a crash of the process loses nothing, as with the other engines: payloads go to the
// device twice. `blobdb-nowal` does without and loses in a crash what was not flushed.
//
// A column family of its own, with empty values, says which pages there are: RocksDB cannot tell
// without reading their blobs.
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "bench/directory.h"
#include "bench/engine.h"
#include "bench/rocksdb_util.h"

namespace lamina::bench {
namespace {

constexpr char kMarker[] = "ROCKSDB_BLOBS";
constexpr char kPresenceFamily[] = "present";
constexpr size_t kWriteBufferBytes = size_t{128} << 20;
constexpr int kWriteBuffers = 4;
constexpr uint64_t kBlobFileBytes = uint64_t{256} << 20;
constexpr uint64_t kReadaheadBytes = uint64_t{2} << 20;

class BlobdbEngine final : public Engine {
 public:
  BlobdbEngine(const EngineConfig& config, bool write_ahead_log) : config_(config) {
    write_options_.disableWAL = !write_ahead_log;
  }

  ~BlobdbEngine() override {
    for (rocksdb::ColumnFamilyHandle* const family : families_) {
      (void)db_->DestroyColumnFamilyHandle(family);
    }
  }

  Status Prepare() {
    rocksdb::Options options = IndexOptions();
    options.use_direct_reads = true;
    options.use_direct_io_for_flush_and_compaction = true;
    // Without a log nothing else keeps pages and their presence together.
    options.atomic_flush = write_options_.disableWAL;
    rocksdb::ColumnFamilyOptions blobs = options;
    blobs.enable_blob_files = true;
    blobs.min_blob_size = 0;
    blobs.blob_file_size = kBlobFileBytes;
    blobs.blob_compression_type = rocksdb::kNoCompression;
    blobs.enable_blob_garbage_collection = true;
    blobs.blob_compaction_readahead_size = kReadaheadBytes;
    blobs.write_buffer_size = kWriteBufferBytes;
    blobs.max_write_buffer_number = kWriteBuffers;
    const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
        {rocksdb::kDefaultColumnFamilyName, blobs}, {kPresenceFamily, options}};
    rocksdb::DB* db = nullptr;
    const Status status =
        FromRocksdb("cannot open " + config_.dir + "/db",
                    rocksdb::DB::Open(options, config_.dir + "/db", families, &families_, &db));
    db_.reset(db);
    return status;
  }

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override;

  // Everything into tables and blob files: what stayed in memory would be restored from there.
  Status Flush() override {
    return FromRocksdb("cannot flush", db_->Flush(rocksdb::FlushOptions(), families_));
  }

  void AwaitBackground() override { AwaitRocksdb(db_.get(), families_); }

  Status WhichAreThere(std::span<const PageName> names, std::vector<bool>* found) {
    std::vector<rocksdb::PinnableSlice> values;
    return MultiGet(db_.get(), families_[1], RocksdbKeys(names), true, &values, found);
  }

  Status Read(std::span<const PageName> names, std::vector<rocksdb::PinnableSlice>* values,
              std::vector<bool>* found) {
    return MultiGet(db_.get(), families_[0], RocksdbKeys(names), false, values, found);
  }

  // `present[i]`: is there already.
  Status Write(std::span<const PageName> names, const std::vector<bool>& present,
               std::span<std::byte* const> fragments) {
    const RocksdbKeys keys(names);
    rocksdb::WriteBatch batch;
    std::vector<rocksdb::Slice> pieces(config_.fragments);
    rocksdb::Status status;
    for (size_t i = 0; i < names.size() && status.ok(); ++i) {
      if (present[i]) continue;
      for (size_t f = 0; f < config_.fragments; ++f) {
        pieces[f] = {reinterpret_cast<const char*>(fragments[i * config_.fragments + f]),
                     config_.page_bytes / config_.fragments};
      }
      const rocksdb::Slice key = keys.slices()[i];
      status = batch.Put(families_[0], rocksdb::SliceParts(&key, 1),
                         rocksdb::SliceParts(pieces.data(), static_cast<int>(pieces.size())));
      if (status.ok()) status = batch.Put(families_[1], key, rocksdb::Slice());
    }
    if (status.ok()) status = db_->Write(write_options_, &batch);
    return FromRocksdb("cannot write", status);
  }

  [[nodiscard]] const EngineConfig& config() const { return config_; }

 private:
  const EngineConfig config_;
  rocksdb::WriteOptions write_options_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;  // blobs, presence
};

class BlobdbRequest final : public EngineRequest {
 public:
  BlobdbRequest(BlobdbEngine* engine, std::span<const PageName> names)
      : engine_(*engine), names_(names) {}

  Result<size_t> Probe() override {
    std::vector<bool> found;
    const Status status = engine_.WhichAreThere(names_, &found);
    if (!status.ok()) return status;
    return Leading(found);
  }

  Result<size_t> Get(size_t first_page, std::span<std::byte* const> fragments) override {
    const size_t per_page = engine_.config().fragments;
    const size_t page_bytes = engine_.config().page_bytes;
    std::vector<rocksdb::PinnableSlice> values;
    std::vector<bool> found;
    const Status status =
        engine_.Read(names_.subspan(first_page, fragments.size() / per_page), &values, &found);
    if (!status.ok()) return status;
    const size_t leading = Leading(found);
    for (size_t i = 0; i < leading; ++i) {
      if (values[i].size() != page_bytes) return i;
      const size_t bytes = page_bytes / per_page;
      for (size_t f = 0; f < per_page; ++f) {
        std::memcpy(fragments[i * per_page + f], values[i].data() + f * bytes, bytes);
      }
    }
    return leading;
  }

  Result<size_t> Put(size_t first_page, std::span<std::byte* const> fragments) override {
    const std::span<const PageName> names =
        names_.subspan(first_page, fragments.size() / engine_.config().fragments);
    std::vector<bool> found;
    Status status = engine_.WhichAreThere(names, &found);
    if (!status.ok()) return status;
    status = engine_.Write(names, found, fragments);
    if (status.code() == StatusCode::kNoSpace) return Leading(found);
    if (!status.ok()) return status;
    return names.size();
  }

 private:
  static size_t Leading(const std::vector<bool>& found) {
    return static_cast<size_t>(std::find(found.begin(), found.end(), false) - found.begin());
  }

  BlobdbEngine& engine_;
  const std::span<const PageName> names_;
};

std::unique_ptr<EngineRequest> BlobdbEngine::Begin(std::span<const PageName> names) {
  return std::make_unique<BlobdbRequest>(this, names);
}

}  // namespace

Result<std::unique_ptr<Engine>> OpenBlobdbEngine(const EngineConfig& config, bool write_ahead_log) {
  Status status = ClaimDirectory(config.dir, kMarker);
  if (!status.ok()) return status;
  auto engine = std::make_unique<BlobdbEngine>(config, write_ahead_log);
  status = engine->Prepare();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace lamina::bench
