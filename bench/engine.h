// What a replay runs on: something that stores pages by their path and gives them back.
//
// Engines are measured by their calls alone, so whatever an engine has to do for a request (making
// keys, walking the path, waiting for its workers) happens inside them. All engines get the same
// page names and the same buffers.
//
// Thread-safety: an Engine may be used from several threads; an EngineRequest by one.
#ifndef LAMINA_BENCH_ENGINE_H_
#define LAMINA_BENCH_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/page_name.h"
#include "engine/lamina.h"

namespace lamina::bench {

struct EngineConfig {
  // Exists. What the engine finds there from an earlier run, it goes on with, where it can.
  std::string dir;
  size_t page_bytes = 0;
  // A part of every page's identity.
  std::string root = "replay";
  // Of the store, in its text form.
  std::string store_options;
  // Threads that read and write files, for all callers together.
  unsigned file_workers = 8;
  // Requests in flight of one call.
  unsigned raw_depth = 32;
};

// One request's path while it is served. Pages are counted from the path's first; the spans hold
// one buffer (EngineConfig::page_bytes, on a 4 KiB boundary, with room up to the next) a page.
class EngineRequest {
 public:
  virtual ~EngineRequest() = default;

  // How many leading pages of the path are stored. Reads no payload.
  virtual Result<size_t> Probe() = 0;
  // Reads pages from `first_page` on. The result counts the leading ones that were read.
  virtual Result<size_t> Get(size_t first_page, std::span<std::byte* const> pages) = 0;
  // Stores those pages that are not there yet. The result counts the leading ones that are stored
  // now; the rest was rejected (no space).
  virtual Result<size_t> Put(size_t first_page, std::span<std::byte* const> pages) = 0;
  // Makes the next Get of the first `page_count` pages read from the device, where the engine
  // keeps pages in the kernel's page cache. Not measured.
  virtual void DropPageCache(size_t page_count) { (void)page_count; }
};

class Engine {
 public:
  virtual ~Engine() = default;

  // `names` are the request's pages (PageNamesOf) and outlive what is returned.
  virtual std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) = 0;
  // Everything put so far survives a power cut.
  virtual Status Flush() = 0;
  // What the engine counts itself, one JSON object; empty when it counts nothing.
  virtual std::string StatsJson() { return {}; }
};

// The engines built in, in the order in which `all` compares them.
std::vector<std::string> EngineNames();
// `name` is one of EngineNames().
Result<std::unique_ptr<Engine>> OpenEngine(std::string_view name, const EngineConfig& config);
// Bytes on disk that `pages` new pages take at most, for the check of free space before a run.
Result<uint64_t> EstimateDiskBytes(std::string_view name, const EngineConfig& config,
                                   uint64_t pages);

// One file per page, as serving engines store pages on local disks today.
Result<std::unique_ptr<Engine>> OpenFileEngine(const EngineConfig& config);
// The same bytes at a queue depth with nothing around them: the limit.
Result<std::unique_ptr<Engine>> OpenRawEngine(const EngineConfig& config);
#ifdef LAMINA_BENCH_HAS_STORE
Result<std::unique_ptr<Engine>> OpenLaminaEngine(const EngineConfig& config);
#endif

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_ENGINE_H_
