// The `rocksdb` engine: pages in files, one a batch, with buffered I/O, and an index of them in
// RocksDB. It is the published prototype of an LSM store for KV caches, without the lossy
// compression that it has: a stored page comes back as it was put.
//
//   db/         page -> (file, offset)
//   batches/N   the pages of one put, one behind the other
//
// A put writes its file, then the index: an entry never names bytes that were not written. Neither
// is synced before Flush, but RocksDB's log is written, so a crash of the process loses nothing.
#include <fcntl.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "bench/directory.h"
#include "bench/engine.h"
#include "bench/file_io.h"
#include "bench/rocksdb_util.h"

namespace lamina::bench {
namespace {

constexpr char kMarker[] = "ROCKSDB_INDEX";

// The value of an index entry.
struct Place {
  uint64_t file = 0;
  uint64_t offset = 0;
};

class RocksdbEngine final : public Engine {
 public:
  explicit RocksdbEngine(const EngineConfig& config) : config_(config) {}

  Status Prepare() {
    Status status = MakeDirectory(BatchesDir());
    if (!status.ok()) return status;
    // Behind what earlier runs left.
    for (const auto& entry : std::filesystem::directory_iterator(BatchesDir())) {
      next_file_ = std::max<uint64_t>(next_file_, std::stoull(entry.path().filename()) + 1);
    }
    rocksdb::DB* db = nullptr;
    status = FromRocksdb("cannot open " + config_.dir + "/db",
                         rocksdb::DB::Open(IndexOptions(), config_.dir + "/db", &db));
    db_.reset(db);
    return status;
  }

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override;

  Status Flush() override {
    Status status = FromRocksdb("cannot sync the log", db_->FlushWAL(true));
    if (!status.ok()) return status;
    return SyncFileSystem(config_.dir);
  }

  void AwaitBackground() override {
    rocksdb::ColumnFamilyHandle* const family = db_->DefaultColumnFamily();
    AwaitRocksdb(db_.get(), std::span(&family, 1));
  }

  Status Locate(std::span<const PageName> names, std::vector<Place>* places,
                std::vector<bool>* found) {
    std::vector<rocksdb::PinnableSlice> values;
    Status status =
        MultiGet(db_.get(), db_->DefaultColumnFamily(), RocksdbKeys(names), true, &values, found);
    if (!status.ok()) return status;
    places->resize(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      if (!(*found)[i]) continue;
      if (values[i].size() != sizeof(Place)) return Status::Corruption("rocksdb: a strange entry");
      std::memcpy(&(*places)[i], values[i].data(), sizeof(Place));
    }
    return Status::Ok();
  }

  Status Write(std::span<const PageName> names, std::vector<iovec> pieces) {
    const uint64_t number = next_file_.fetch_add(1);
    const std::string path = PathOf(number);
    FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    int error = file.get() < 0 ? errno : WritePieces(file.get(), 0, std::move(pieces));
    if (error == 0 && !file.Close()) error = errno;
    if (error != 0) {
      unlink(path.c_str());
      return Status(error == ENOSPC ? StatusCode::kNoSpace : StatusCode::kIoError,
                    "cannot write " + path + ": " + std::strerror(error));
    }
    rocksdb::WriteBatch batch;
    const RocksdbKeys keys(names);
    for (size_t i = 0; i < names.size(); ++i) {
      const Place place = {number, i * config_.page_bytes};
      const rocksdb::Slice value(reinterpret_cast<const char*>(&place), sizeof place);
      const Status status = FromRocksdb("cannot put", batch.Put(keys.slices()[i], value));
      if (!status.ok()) return status;
    }
    return FromRocksdb("cannot write", db_->Write(rocksdb::WriteOptions(), &batch));
  }

  [[nodiscard]] std::string PathOf(uint64_t file) const {
    return BatchesDir() + "/" + std::to_string(file);
  }
  [[nodiscard]] const EngineConfig& config() const { return config_; }

 private:
  [[nodiscard]] std::string BatchesDir() const { return config_.dir + "/batches"; }

  const EngineConfig config_;
  std::atomic<uint64_t> next_file_{0};
  std::unique_ptr<rocksdb::DB> db_;
};

class RocksdbRequest final : public EngineRequest {
 public:
  RocksdbRequest(RocksdbEngine* engine, std::span<const PageName> names)
      : engine_(*engine), names_(names) {}

  Result<size_t> Probe() override {
    const Status status = engine_.Locate(names_, &places_, &found_);
    if (!status.ok()) return status;
    return Leading(0);
  }

  // Pages that are neighbours in a file are read by one call.
  Result<size_t> Get(size_t first_page, std::span<std::byte* const> fragments) override {
    const size_t per_page = engine_.config().fragments;
    const std::span<const PageName> names = names_.subspan(first_page, fragments.size() / per_page);
    const Status status = engine_.Locate(names, &places_, &found_);
    if (!status.ok()) return status;
    const size_t leading = Leading(0);
    for (size_t begin = 0; begin < leading;) {
      const size_t end = RunEnd(begin, leading);
      const int error =
          Read(places_[begin], fragments.subspan(begin * per_page, (end - begin) * per_page));
      if (error == ENOENT || error == ENODATA) return begin;
      if (error != 0) {
        return Status::IoError("cannot read " + engine_.PathOf(places_[begin].file) + ": " +
                               std::strerror(error));
      }
      begin = end;
    }
    return leading;
  }

  Result<size_t> Put(size_t first_page, std::span<std::byte* const> fragments) override {
    const size_t per_page = engine_.config().fragments;
    const std::span<const PageName> names = names_.subspan(first_page, fragments.size() / per_page);
    Status status = engine_.Locate(names, &places_, &found_);
    if (!status.ok()) return status;
    std::vector<PageName> missing;
    std::vector<iovec> pieces;
    for (size_t i = 0; i < names.size(); ++i) {
      if (found_[i]) continue;
      missing.push_back(names[i]);
      const std::vector<iovec> of_page =
          PiecesOf(fragments.subspan(i * per_page, per_page), FragmentBytes());
      pieces.insert(pieces.end(), of_page.begin(), of_page.end());
    }
    if (missing.empty()) return names.size();
    status = engine_.Write(missing, std::move(pieces));
    if (status.code() == StatusCode::kNoSpace) return Leading(0);
    if (!status.ok()) return status;
    return names.size();
  }

  void DropPageCache(size_t page_count) override {
    if (!engine_.Locate(names_.first(page_count), &places_, &found_).ok()) return;
    const size_t leading = Leading(0);
    for (size_t i = 0; i < leading; ++i) {
      if (i > 0 && places_[i].file == places_[i - 1].file) continue;
      DropFromPageCache(engine_.PathOf(places_[i].file));
    }
  }

 private:
  [[nodiscard]] size_t FragmentBytes() const {
    return engine_.config().page_bytes / engine_.config().fragments;
  }

  [[nodiscard]] size_t Leading(size_t from) const {
    size_t leading = from;
    while (leading < found_.size() && found_[leading]) ++leading;
    return leading;
  }

  // One past the last page that lies behind those from `begin` on.
  [[nodiscard]] size_t RunEnd(size_t begin, size_t limit) const {
    size_t end = begin + 1;
    while (end < limit && places_[end].file == places_[begin].file &&
           places_[end].offset == places_[end - 1].offset + engine_.config().page_bytes) {
      ++end;
    }
    return end;
  }

  int Read(Place place, std::span<std::byte* const> fragments) const {
    const FileDescriptor file(open(engine_.PathOf(place.file).c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return errno;
    return ReadPieces(file.get(), place.offset, PiecesOf(fragments, FragmentBytes()));
  }

  RocksdbEngine& engine_;
  const std::span<const PageName> names_;
  std::vector<Place> places_;
  std::vector<bool> found_;
};

std::unique_ptr<EngineRequest> RocksdbEngine::Begin(std::span<const PageName> names) {
  return std::make_unique<RocksdbRequest>(this, names);
}

}  // namespace

Result<std::unique_ptr<Engine>> OpenRocksdbEngine(const EngineConfig& config) {
  Status status = ClaimDirectory(config.dir, kMarker);
  if (!status.ok()) return status;
  auto engine = std::make_unique<RocksdbEngine>(config);
  status = engine->Prepare();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace lamina::bench
