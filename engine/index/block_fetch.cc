#include "engine/index/block_fetch.h"

#include <sys/uio.h>

#include <algorithm>
#include <utility>

namespace lamina {

// A block that is being read.
struct BlockFetcher::Read {
  const Table* table = nullptr;
  PinnedBlock block;
  iovec vector{};
  IoRequest request;
};

BlockFetcher::BlockFetcher(BlockCache* cache) noexcept : cache_(cache) {}
BlockFetcher::~BlockFetcher() = default;

void BlockFetcher::Add(const Table* table, StemLookup* lookup) noexcept {
  LAMINA_CHECK(table->cache() == cache_);
  wants_.push_back({table, lookup});
}

size_t BlockFetcher::Run(IoQueue* queue) noexcept {
  // Index blocks first where there are two levels, then data blocks.
  constexpr int kLevels = 2;
  size_t read = 0;
  for (int level = 0; level < kLevels; ++level) {
    const size_t in_round = Round(queue);
    read += in_round;
    if (in_round == 0) break;
  }
  return read;
}

void BlockFetcher::Clear() noexcept {
  wants_.clear();
  pins_.clear();
}

// What the lookups lack now, each block once.
std::vector<BlockFetcher::Missing> BlockFetcher::FindMissing() noexcept {
  std::vector<Missing> missing;
  std::vector<uint64_t> offsets;
  for (Want& want : wants_) {
    if (want.complete) continue;
    offsets.clear();
    want.complete = want.table->BlocksFor(*want.lookup, &offsets);
    for (const uint64_t offset : offsets) missing.push_back({want.table, offset, want.lookup});
  }
  const auto place = [](const Missing& m) { return std::pair(m.table->number(), m.offset); };
  std::stable_sort(missing.begin(), missing.end(),
                   [&](const Missing& a, const Missing& b) { return place(a) < place(b); });
  const auto same = [&](const Missing& a, const Missing& b) { return place(a) == place(b); };
  missing.erase(std::unique(missing.begin(), missing.end(), same), missing.end());
  return missing;
}

size_t BlockFetcher::Round(IoQueue* queue) noexcept {
  const std::vector<Missing> missing = FindMissing();
  std::vector<Read> reads(missing.size());
  for (size_t i = 0; i < missing.size(); ++i) {
    const Missing& m = missing[i];
    Read& read = reads[i];
    read.table = m.table;
    read.block = cache_->Reserve({m.table->number(), m.offset});
    read.vector = {read.block.writable().data(), kTableBlockBytes};
    read.request.file = m.table->file();
    read.request.offset = m.offset;
    read.request.vectors = &read.vector;
    read.request.vector_count = 1;
    read.request.bytes = kTableBlockBytes;
    read.request.user = &read;
    ++m.lookup->reads_to_attribute;
    queue->Submit(&read.request);
  }
  while (IoRequest* done = queue->Wait()) {
    auto* read = static_cast<Read*>(done->user);
    if (done->error != 0) continue;
    if (!read->table->VerifyBlock(done->offset, read->block.bytes()).ok()) continue;
    pins_.push_back(cache_->Publish(std::move(read->block)));
  }
  return reads.size();
}

}  // namespace lamina
