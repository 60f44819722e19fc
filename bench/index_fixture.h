// A store of entries without payloads, filled with paths, for measuring the index.
#ifndef LAMINA_BENCH_INDEX_FIXTURE_H_
#define LAMINA_BENCH_INDEX_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/store/store_impl.h"

namespace lamina::bench {

using IndexStore = Store::Impl;

// Pages of a path: four stems.
inline constexpr size_t kPathPages = 256;
inline constexpr size_t kStemPages = 64;
inline constexpr size_t kPageBytes = 65536;

// Ends the program with the message when a status is not Ok: benches do not go on.
void RequireOk(const Status& status, const char* what);

// Opens (or creates) a store whose segments hold nothing. `in_memory`: its files are, so that
// reading them takes no waiting.
std::unique_ptr<IndexStore> OpenIndexStore(const std::string& directory, const Options& options,
                                           StoreEnvironment environment = {},
                                           bool in_memory = false);

// A directory that goes when the program does: `<base>/<name>-XXXXXX`, with `base` made if missing;
// "." if it is empty.
class ScratchDirectory {
 public:
  ScratchDirectory(const std::string& base, const std::string& name);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Path number `number` (32 bits), unlike every other from its first page on. Numbers from
// kMissingPaths on are never put.
inline constexpr uint64_t kMissingPaths = uint64_t{1} << 31;
std::unique_ptr<Path::Impl> MakePath(IndexStore& store, uint64_t number);

// Puts paths [first, last) with `threads` threads.
void FillPaths(IndexStore& store, uint64_t first, uint64_t last, size_t threads);

// Flushes and waits until no compaction is due.
void Settle(IndexStore& store);

// What a probe costs in block reads, all of them, with nothing cached: of pages that are there and
// of pages that are not. Predicted: by the tuner's model, for the runs that exist and the measured
// rates of their filters.
struct LookupCosts {
  double measured_hit = 0;
  double measured_unused = 0;  // of these: fetched from runs that were then not asked
  double measured_miss = 0;
  double predicted_hit = 0;
  double predicted_miss = 0;
};
LookupCosts MeasureLookups(IndexStore& store, uint64_t paths, size_t samples, size_t pages,
                           uint64_t seed);

struct SpaceUse {
  double disk_bytes_per_entry = 0;  // data, index and properties, without filters
  double filter_bytes_per_entry = 0;
  double memory_bytes_per_entry = 0;  // slots, filters, top indexes
};
SpaceUse MeasureSpace(IndexStore& store, uint64_t entries);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_INDEX_FIXTURE_H_
