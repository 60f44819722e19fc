// What a put does with pages that are there but unproven: it reads them. Those whose payload is
// right are proven by that, and need not be written again; the others stay unproven, and are.
//
// After an unclean shutdown no page is proven, since any slot may have been overwritten by a put of
// which nothing else is left. Without this a put would be acknowledged for a page that is not
// there.
#include <algorithm>

#include "engine/store/store_impl.h"

namespace lamina {
namespace {

constexpr uint64_t kBatchBytes = uint64_t{8} << 20;
constexpr uint64_t kMemoryShare = 64;

}  // namespace

void Store::Impl::ProveLocated(Path::Impl& path, size_t first, size_t count) noexcept {
  const uint64_t most = std::min(kBatchBytes, options_.memory_bytes / kMemoryShare);
  const auto unproven = [&](size_t page) {
    const Location& location = path.locations[page];
    return location.found &&
           log_->Unproven(location.entry.slot, location.entry.tag(path.fingerprints[page]));
  };
  for (size_t page = first; page < first + count;) {
    std::vector<PageRead> reads;
    uint64_t bytes = 0;
    for (; page < first + count && (reads.empty() || bytes < most); ++page) {
      if (!unproven(page)) continue;
      const Entry& entry = path.locations[page].entry;
      PageRead& read = reads.emplace_back();
      read.slot = entry.slot;
      read.fingerprint = path.fingerprints[page];
      read.checksum = entry.checksum;
      read.length = entry.length;
      bytes += SlotBytesFor(entry.length);
    }
    if (!reads.empty()) ReadInto(reads, bytes);
  }
}

// Into memory of our own. ReadPages marks what is right as proven.
void Store::Impl::ReadInto(std::span<PageRead> reads, uint64_t bytes) noexcept {
  auto queue = queues_->Acquire();
  if (!queue.ok()) return;
  AlignedBuffer scratch(bytes);
  std::vector<iovec> whole(reads.size());
  std::byte* at = scratch.data();
  for (size_t i = 0; i < reads.size(); ++i) {
    whole[i] = {at, reads[i].length};
    reads[i].fragments = std::span(&whole[i], 1);
    at += SlotBytesFor(reads[i].length);
  }
  IoTally tally;
  const IoGovernor::Session session(governor_, IoClass::kDemandGet);
  log_->ReadPages(**queue, reads, {options_.request_bytes, &session}, nullptr, &tally);
  CountTally(tally, false);
}

}  // namespace lamina
