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
#include <optional>
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
  // Buffers of a page, page_bytes / fragments each.
  size_t fragments = 1;
  // A part of every page's identity.
  std::string root = "replay";
  // Of the store, in its text form.
  std::string store_options;
  // Threads that read and write files, for all callers together.
  unsigned file_workers = 8;
  // Requests in flight of one call.
  unsigned raw_depth = 32;
  // Of engines without an index of their own on disk (raw, hash): so many pages at most, new ones
  // written over the oldest. 0: not bounded. What is being read must not be that old.
  uint64_t ring_pages = 0;
};

// One request's path while it is served. Pages are counted from the path's first; the spans hold
// EngineConfig::fragments buffers a page. Raw needs whole pages in one buffer on a 4 KiB boundary
// with room up to the next; the others take buffers as they come. Probing first is not required.
class EngineRequest {
 public:
  virtual ~EngineRequest() = default;

  // How many leading pages of the path are stored. Reads no payload.
  virtual Result<size_t> Probe() = 0;
  // The seconds that a Get of `page_count` pages from `first_page` on would take now, of an engine
  // that estimates. Nothing where the engine has no estimate.
  virtual std::optional<double> Estimate(size_t first_page, size_t page_count) {
    (void)first_page, (void)page_count;
    return std::nullopt;
  }
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
  // Waits for what the engine does in the background, so that it does not run beside what is
  // measured next. Not measured.
  virtual void AwaitBackground() {}
  // What the engine counts itself, one JSON object; empty when it counts nothing.
  virtual std::string StatsJson() { return {}; }
};

// The engines built in, in the order in which `all` compares them.
std::vector<std::string> EngineNames();
// Ok, or that there is no such engine, or that it is not in this build, and why.
Status CheckEngineName(std::string_view name);
// `name` is one of EngineNames().
Result<std::unique_ptr<Engine>> OpenEngine(std::string_view name, const EngineConfig& config);
// Bytes on disk that `pages` new pages take at most, for the check of free space before a run.
Result<uint64_t> EstimateDiskBytes(std::string_view name, const EngineConfig& config,
                                   uint64_t pages);

// One file per page, as serving engines store pages on local disks today.
Result<std::unique_ptr<Engine>> OpenFileEngine(const EngineConfig& config);
// The same bytes at a queue depth with nothing around them: the limit.
Result<std::unique_ptr<Engine>> OpenRawEngine(const EngineConfig& config);
// The store's own log below a hash table in memory: the control for the index.
Result<std::unique_ptr<Engine>> OpenHashEngine(const EngineConfig& config);
// Only in builds with RocksDB: the index in it and a file a batch, or all of it in it, with or
// without its log.
Result<std::unique_ptr<Engine>> OpenRocksdbEngine(const EngineConfig& config);
Result<std::unique_ptr<Engine>> OpenBlobdbEngine(const EngineConfig& config, bool write_ahead_log);
// The store.
Result<std::unique_ptr<Engine>> OpenLaminaEngine(const EngineConfig& config);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_ENGINE_H_
