// What the engines on RocksDB share. The only header here that includes RocksDB's, which are heavy.
#ifndef LAMINA_BENCH_ROCKSDB_UTIL_H_
#define LAMINA_BENCH_ROCKSDB_UTIL_H_

#include <rocksdb/db.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/page_name.h"
#include "engine/lamina.h"

namespace lamina::bench {

// `what` was tried; the message goes on with RocksDB's own.
Status FromRocksdb(const std::string& what, const rocksdb::Status& status);

// The keys of pages, 16 bytes each, and slices of them.
class RocksdbKeys {
 public:
  explicit RocksdbKeys(std::span<const PageName> names);
  [[nodiscard]] const std::vector<rocksdb::Slice>& slices() const { return slices_; }

 private:
  std::vector<std::array<char, 16>> bytes_;
  std::vector<rocksdb::Slice> slices_;
};

// Options for a small index that is to stay in memory: Bloom filters, a block cache, the machine's
// cores for background work.
rocksdb::Options IndexOptions();

// Values of `keys`, each with its status, in one call. Only kNotFound is no error.
Status MultiGet(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, const RocksdbKeys& keys,
                bool fill_cache, std::vector<rocksdb::PinnableSlice>* values,
                std::vector<bool>* found);

// Returns when neither flushes nor compactions run or are pending, or after a minute.
void AwaitRocksdb(rocksdb::DB* db, std::span<rocksdb::ColumnFamilyHandle* const> families);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_ROCKSDB_UTIL_H_
