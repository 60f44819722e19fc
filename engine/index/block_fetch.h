// Fetches the table blocks that several lookups need, over stems and runs, all at the same time.
//
// A cold lookup of a long path may need a block from each of many stems, in each of several runs.
// One after the other that is one device latency each; together, one or two in all:
//
//   BlockFetcher fetcher(cache);
//   for each (table, lookup) that the filters let through: fetcher.Add(table, &lookup);
//   fetcher.Run(queue);                      // pins the blocks
//   for each: table->Find(&lookup, &found);  // finds them in the cache
//
// The blocks stay pinned until the fetcher is cleared or destroyed, so a small cache cannot lose
// them in between.
#ifndef LAMINA_ENGINE_INDEX_BLOCK_FETCH_H_
#define LAMINA_ENGINE_INDEX_BLOCK_FETCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/index/block_cache.h"
#include "engine/index/stem_key.h"
#include "engine/index/table.h"
#include "engine/io/io_queue.h"

namespace lamina {

// Used by one thread at a time.
class BlockFetcher {
 public:
  // `cache` must be the tables' cache.
  explicit BlockFetcher(BlockCache* cache) noexcept;
  ~BlockFetcher();
  BlockFetcher(const BlockFetcher&) = delete;
  BlockFetcher& operator=(const BlockFetcher&) = delete;

  // Both must stay until Run returns.
  void Add(const Table* table, StemLookup* lookup) noexcept;

  // Reads what is missing, through `queue`, which must have nothing else in flight. A block that
  // cannot be read or is damaged is left out: Find will meet it and say so. Reads are attributed to
  // their lookup, and counted by cause by Find. Returns how many blocks were read.
  size_t Run(IoQueue* queue) noexcept;

  // Drops the pins and the list of lookups.
  void Clear() noexcept;

 private:
  struct Want {
    const Table* table;
    StemLookup* lookup;
    bool complete = false;
  };
  struct Missing {
    const Table* table;
    uint64_t offset;
    StemLookup* lookup;  // the first that asked
  };
  struct Read;

  std::vector<Missing> FindMissing() noexcept;
  size_t Round(IoQueue* queue) noexcept;

  BlockCache* cache_;
  std::vector<Want> wants_;
  std::vector<PinnedBlock> pins_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_BLOCK_FETCH_H_
