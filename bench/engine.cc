#include "bench/engine.h"

#include <algorithm>

#include "bench/buffers.h"

namespace lamina::bench {
namespace {

// What file systems and engines keep beside the payloads: inodes, directories, index, journal.
constexpr uint64_t kMetadataBytes = uint64_t{64} << 20;
constexpr uint64_t kMetadataBytesPerPage = 1024;

}  // namespace

Status CheckEngineName(std::string_view name) {
  std::string known;
  for (const std::string& engine : EngineNames()) {
    if (engine == name) return Status::Ok();
    known += (known.empty() ? "" : ", ") + engine;
  }
  return Status::InvalidArgument("unknown engine \"" + std::string(name) + "\" (known: " + known +
                                 ")");
}

std::vector<std::string> EngineNames() { return {"lamina", "file", "raw"}; }

Result<std::unique_ptr<Engine>> OpenEngine(std::string_view name, const EngineConfig& config) {
  const Status known = CheckEngineName(name);
  if (!known.ok()) return known;
  if (name == "file") return OpenFileEngine(config);
  if (name == "raw") return OpenRawEngine(config);
  return OpenLaminaEngine(config);
}

Result<uint64_t> EstimateDiskBytes(std::string_view name, const EngineConfig& config,
                                   uint64_t pages) {
  const Status known = CheckEngineName(name);
  if (!known.ok()) return known;
  const uint64_t page_bytes = RoundUp(config.page_bytes, kDirectIoBytes) + kMetadataBytesPerPage;
  const uint64_t bytes = pages * page_bytes + kMetadataBytes;
  // The others' files grow with their pages; these two preallocate up to 1 GiB ahead.
  if (name == "file") return bytes;
  if (name == "raw") return bytes + (uint64_t{1} << 30);
  const Result<Options> options = Options::Parse(config.store_options);
  if (!options.ok()) return options.status();
  const uint64_t ahead = bytes / 32 + (uint64_t{1} << 30);
  const uint64_t bounded = options->capacity_bytes == 0
                               ? bytes + ahead
                               : std::min(bytes + ahead, options->capacity_bytes);
  return bounded + options->min_free_bytes;
}

}  // namespace lamina::bench
