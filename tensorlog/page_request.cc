#include "tensorlog/page_request.h"

#include <algorithm>
#include <cstring>

#include "engine/base/keys.h"
#include "engine/base/status.h"
#include "tensorlog/segment.h"

namespace lamina {
namespace {

size_t RoundDown(size_t value, size_t to) noexcept { return value / to * to; }
size_t RoundUp(size_t value, size_t to) noexcept { return (value + to - 1) / to * to; }

}  // namespace

uint64_t TotalBytes(std::span<const iovec> fragments) noexcept {
  uint64_t total = 0;
  for (const iovec& fragment : fragments) total += fragment.iov_len;
  return total;
}

uint64_t ChunkSumOf(uint64_t fingerprint, std::span<const iovec> fragments, uint64_t page_bytes,
                    size_t chunk) noexcept {
  const uint64_t begin = uint64_t{chunk} * kChunkBytes;
  uint64_t left = std::min<uint64_t>(kChunkBytes, page_bytes - begin);
  FragmentWalker walker(fragments, begin);
  std::vector<std::span<const std::byte>> pieces;
  while (left > 0) {
    std::span<const std::byte> piece = walker.rest();
    if (piece.size() > left) piece = piece.first(static_cast<size_t>(left));
    pieces.push_back(piece);
    left -= piece.size();
    walker.Advance(piece.size());
  }
  return ChunkSum(fingerprint, pieces);
}

void PageRequest::Reset(File* file, bool write, uint64_t offset, size_t max_bytes) noexcept {
  io_ = IoRequest{};
  io_.file = file;
  io_.write = write;
  io_.offset = offset;
  max_bytes_ = max_bytes;
  alignment_ = file->alignment();
  // Blocks are written whole without direct I/O as well. The system would have to read what a write
  // leaves of its last block, and fail where that cannot be read.
  if (write) alignment_.offset = std::max(alignment_.offset, kSlotUnitBytes);
  bytes_ = 0;
  bounced_ = 0;
  vectors_.clear();
  parts_.clear();
  copies_.clear();
  bounce_.Release();
  bounce_used_ = 0;
}

uint64_t PageRequest::AddPayload(size_t page, uint64_t offset, FragmentWalker* walker,
                                 uint64_t left, const BounceSource& bounce) noexcept {
  const size_t unit = alignment_.offset;
  uint64_t added = 0;
  while (added < left && room() >= unit && vectors_.size() < IoRequest::kMaxVectors) {
    const std::span<std::byte> rest = walker->rest();
    const bool aligned = reinterpret_cast<uintptr_t>(rest.data()) % alignment_.memory == 0;
    const size_t now = aligned && rest.size() >= unit
                           ? AddDirect(walker, std::min(rest.size(), room()))
                           : AddBounced(walker, left - added, bounce);
    if (now == 0) break;
    added += now;
  }
  if (added > 0) AddPart(page, offset, added);
  return added;
}

size_t PageRequest::AddDirect(FragmentWalker* walker, size_t bytes) noexcept {
  bytes = RoundDown(bytes, alignment_.offset);
  AddVector(walker->rest().data(), bytes);
  walker->Advance(bytes);
  return bytes;
}

// Moves payload through the bounce buffer: the whole units of a misaligned fragment, or one unit
// gathered from fragments that are smaller than that (the last of a page is padded).
size_t PageRequest::AddBounced(FragmentWalker* walker, uint64_t left,
                               const BounceSource& bounce) noexcept {
  const size_t unit = alignment_.offset;
  if (!HaveBounce(unit, bounce)) return 0;
  const size_t space = RoundDown(std::min(room(), bounce_.size() - bounce_used_), unit);
  const size_t here = walker->rest().size();
  const size_t bytes = here >= unit ? std::min(RoundDown(here, unit), space)
                                    : static_cast<size_t>(std::min<uint64_t>(unit, left));
  std::byte* const start = bounce_.data() + bounce_used_;
  for (size_t done = 0; done < bytes;) {
    const std::span<std::byte> rest = walker->rest();
    const size_t now = std::min(rest.size(), bytes - done);
    if (io_.write) {
      std::memcpy(start + done, rest.data(), now);
    } else {
      copies_.push_back({start + done, rest.data(), now});
    }
    walker->Advance(now);
    done += now;
  }
  const size_t padded = RoundUp(bytes, unit);
  if (io_.write) std::memset(start + bytes, 0, padded - bytes);
  AddVector(start, padded);
  bounce_used_ += padded;
  bounced_ += bytes;
  return bytes;
}

bool PageRequest::AddGap(uint64_t bytes, const BounceSource& bounce) noexcept {
  if (bytes > room() || vectors_.size() == IoRequest::kMaxVectors) return false;
  const auto gap = static_cast<size_t>(bytes);
  if (!HaveBounce(gap, bounce)) return false;
  std::byte* const start = bounce_.data() + bounce_used_;
  if (io_.write) std::memset(start, 0, gap);
  AddVector(start, gap);
  bounce_used_ += gap;
  return true;
}

bool PageRequest::HaveBounce(size_t bytes, const BounceSource& bounce) noexcept {
  if (!bounce_) bounce_ = bounce();
  return bounce_.size() - bounce_used_ >= bytes;
}

void PageRequest::AddVector(std::byte* data, size_t bytes) noexcept {
  bytes_ += bytes;
  if (!vectors_.empty()) {
    iovec& last = vectors_.back();
    if (static_cast<std::byte*>(last.iov_base) + last.iov_len == data) {
      last.iov_len += bytes;
      return;
    }
  }
  vectors_.push_back({data, bytes});
}

void PageRequest::AddPart(size_t page, uint64_t offset, uint64_t bytes) noexcept {
  if (!parts_.empty() && parts_.back().page == page) {
    parts_.back().bytes += bytes;
    return;
  }
  parts_.push_back({page, offset, bytes});
}

IoRequest* PageRequest::Seal() noexcept {
  LAMINA_CHECK(!vectors_.empty() && bytes_ <= max_bytes_);
  io_.vectors = vectors_.data();
  io_.vector_count = static_cast<uint32_t>(vectors_.size());
  io_.bytes = bytes_;
  io_.user = this;
  return &io_;
}

void PageRequest::CopyOut() noexcept {
  for (const Copy& copy : copies_) std::memcpy(copy.fragment, copy.bounce, copy.bytes);
}

}  // namespace lamina
