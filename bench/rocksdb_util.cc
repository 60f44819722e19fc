#include "bench/rocksdb_util.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "bench/meter.h"

namespace lamina::bench {
namespace {

constexpr size_t kBlockCacheBytes = size_t{256} << 20;
constexpr double kFilterBits = 10;
constexpr double kMaxAwaitSeconds = 60;

}  // namespace

Status FromRocksdb(const std::string& what, const rocksdb::Status& status) {
  if (status.ok()) return Status::Ok();
  const StatusCode code = status.IsNoSpace() ? StatusCode::kNoSpace : StatusCode::kIoError;
  return Status(code, "rocksdb: " + what + ": " + status.ToString());
}

RocksdbKeys::RocksdbKeys(std::span<const PageName> names) : bytes_(names.size()) {
  slices_.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    std::memcpy(bytes_[i].data(), &names[i].high, sizeof(uint64_t));
    std::memcpy(bytes_[i].data() + sizeof(uint64_t), &names[i].low, sizeof(uint64_t));
    slices_.emplace_back(bytes_[i].data(), bytes_[i].size());
  }
}

rocksdb::Options IndexOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.compression = rocksdb::kNoCompression;
  options.IncreaseParallelism(static_cast<int>(std::max(2u, std::thread::hardware_concurrency())));
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kFilterBits));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

Status MultiGet(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, const RocksdbKeys& keys,
                bool fill_cache, std::vector<rocksdb::PinnableSlice>* values,
                std::vector<bool>* found) {
  const size_t count = keys.slices().size();
  rocksdb::ReadOptions options;
  options.fill_cache = fill_cache;
  std::vector<rocksdb::Status> statuses(count);
  *values = std::vector<rocksdb::PinnableSlice>(count);
  db->MultiGet(options, family, count, keys.slices().data(), values->data(), statuses.data());
  found->assign(count, false);
  for (size_t i = 0; i < count; ++i) {
    if (!statuses[i].ok() && !statuses[i].IsNotFound()) {
      return FromRocksdb("cannot read", statuses[i]);
    }
    (*found)[i] = statuses[i].ok();
  }
  return Status::Ok();
}

void AwaitRocksdb(rocksdb::DB* db, std::span<rocksdb::ColumnFamilyHandle* const> families) {
  const auto busy = [&] {
    for (rocksdb::ColumnFamilyHandle* const family : families) {
      for (const std::string& property : {rocksdb::DB::Properties::kMemTableFlushPending,
                                          rocksdb::DB::Properties::kNumRunningFlushes,
                                          rocksdb::DB::Properties::kCompactionPending,
                                          rocksdb::DB::Properties::kNumRunningCompactions}) {
        uint64_t value = 0;
        if (db->GetIntProperty(family, property, &value) && value > 0) return true;
      }
    }
    return false;
  };
  const double give_up = NowSeconds() + kMaxAwaitSeconds;
  while (busy() && NowSeconds() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace lamina::bench
