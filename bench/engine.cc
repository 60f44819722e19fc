#include "bench/engine.h"

#include <algorithm>

#include "bench/buffers.h"

namespace lamina::bench {
namespace {

// What file systems and engines keep beside the payloads: inodes, directories, index, journal.
constexpr uint64_t kMetadataBytes = uint64_t{64} << 20;
constexpr uint64_t kMetadataBytesPerPage = 1024;

struct Entry {
  const char* name;
  Result<std::unique_ptr<Engine>> (*open)(const EngineConfig& config);
};

constexpr Entry kEngines[] = {
    {"lamina", OpenLaminaEngine},
    {"file", OpenFileEngine},
#ifdef LAMINA_BENCH_HAS_ROCKSDB
    {"rocksdb", OpenRocksdbEngine},
    {"blobdb", [](const EngineConfig& config) { return OpenBlobdbEngine(config, true); }},
    {"blobdb-nowal", [](const EngineConfig& config) { return OpenBlobdbEngine(config, false); }},
#endif
    {"hash", OpenHashEngine},
    {"raw", OpenRawEngine},
};

// Those that a build may be without.
constexpr std::string_view kOptional[] = {"rocksdb", "blobdb", "blobdb-nowal"};

}  // namespace

Status CheckEngineName(std::string_view name) {
  const auto named = [&](const Entry& entry) { return entry.name == name; };
  if (std::any_of(std::begin(kEngines), std::end(kEngines), named)) return Status::Ok();
  if (std::find(std::begin(kOptional), std::end(kOptional), name) != std::end(kOptional)) {
    return Status::NotSupported("engine \"" + std::string(name) +
                                "\" is not in this build: install librocksdb-dev and configure "
                                "with -Dpeers=enabled");
  }
  std::string known;
  for (const Entry& entry : kEngines) known += std::string(known.empty() ? "" : ", ") + entry.name;
  return Status::InvalidArgument("unknown engine \"" + std::string(name) + "\" (known: " + known +
                                 ")");
}

std::vector<std::string> EngineNames() {
  std::vector<std::string> names;
  for (const Entry& entry : kEngines) names.emplace_back(entry.name);
  return names;
}

Result<std::unique_ptr<Engine>> OpenEngine(std::string_view name, const EngineConfig& config) {
  const Status known = CheckEngineName(name);
  if (!known.ok()) return known;
  const auto named = [&](const Entry& entry) { return entry.name == name; };
  return std::find_if(std::begin(kEngines), std::end(kEngines), named)->open(config);
}

Result<uint64_t> EstimateDiskBytes(std::string_view name, const EngineConfig& config,
                                   uint64_t pages) {
  const Status known = CheckEngineName(name);
  if (!known.ok()) return known;
  const uint64_t page_bytes = RoundUp(config.page_bytes, kDirectIoBytes) + kMetadataBytesPerPage;
  const uint64_t bytes = pages * page_bytes + kMetadataBytes;
  // Files that grow with their pages. A log of writes comes on top until they are flushed.
  if (name == "file" || name == "rocksdb") return bytes;
  if (name.starts_with("blobdb")) return 2 * bytes;
  // The others preallocate up to 1 GiB ahead.
  if (name == "raw" || name == "hash") return bytes + bytes / 16 + (uint64_t{1} << 30);
  const Result<Options> options = Options::Parse(config.store_options);
  if (!options.ok()) return options.status();
  const uint64_t ahead = bytes / 32 + (uint64_t{1} << 30);
  const uint64_t bounded = options->capacity_bytes == 0
                               ? bytes + ahead
                               : std::min(bytes + ahead, options->capacity_bytes);
  return bounded + options->min_free_bytes;
}

}  // namespace lamina::bench
