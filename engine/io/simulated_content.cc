#include "engine/io/simulated_content.h"

#include <algorithm>
#include <cstring>

namespace lamina {
namespace {

// Calls piece(block, place in it, place in the range, bytes) for each block of a range.
template <class Piece>
void ForEachBlock(uint64_t offset, uint64_t bytes, Piece piece) noexcept {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t at = offset + done;
    const uint64_t within = at % SimulatedContent::kBlockBytes;
    const uint64_t take = std::min(bytes - done, SimulatedContent::kBlockBytes - within);
    piece(at / SimulatedContent::kBlockBytes, static_cast<size_t>(within),
          static_cast<size_t>(done), static_cast<size_t>(take));
    done += take;
  }
}

uint64_t BlocksIn(uint64_t bytes) noexcept {
  return (bytes + SimulatedContent::kBlockBytes - 1) / SimulatedContent::kBlockBytes;
}

}  // namespace

uint64_t SimulatedContent::NewBytes(uint64_t offset, uint64_t bytes) const noexcept {
  uint64_t blocks = 0;
  ForEachBlock(offset, bytes, [&](uint64_t block, size_t, size_t, size_t) {
    if (block >= allocated_.size() || !allocated_[block]) ++blocks;
  });
  return blocks * kBlockBytes;
}

void SimulatedContent::ReadFrom(const Blocks* first, uint64_t offset,
                                std::span<std::byte> out) const noexcept {
  ForEachBlock(offset, out.size(), [&](uint64_t block, size_t within, size_t at, size_t bytes) {
    auto found = first->find(block);
    if (found == first->end()) found = blocks_.find(block);
    if (found == blocks_.end()) {
      std::memset(out.data() + at, 0, bytes);
    } else {
      std::memcpy(out.data() + at, found->second->data() + within, bytes);
    }
  });
}

void SimulatedContent::Read(uint64_t offset, std::span<std::byte> out) const noexcept {
  ReadFrom(&blocks_, offset, out);
}

void SimulatedContent::ReadOverwritten(uint64_t offset, std::span<std::byte> out) const noexcept {
  ReadFrom(&overwritten_, offset, out);
}

void SimulatedContent::Write(uint64_t offset, std::span<const std::byte> data) noexcept {
  ForEachBlock(offset, data.size(), [&](uint64_t block, size_t within, size_t at, size_t bytes) {
    std::shared_ptr<Block>& slot = blocks_[block];
    auto fresh = slot == nullptr ? std::make_shared<Block>() : std::make_shared<Block>(*slot);
    if (slot != nullptr) overwritten_[block] = slot;
    std::memcpy(fresh->data() + within, data.data() + at, bytes);
    slot = std::move(fresh);
  });
  if (data.empty()) return;
  Reserve(offset / kBlockBytes, BlocksIn(offset + data.size()));
  size_ = std::max<uint64_t>(size_, offset + data.size());
}

void SimulatedContent::Allocate(uint64_t bytes) noexcept {
  Resize(bytes);
  Reserve(0, BlocksIn(bytes));
}

void SimulatedContent::Punch(uint64_t offset, uint64_t bytes) noexcept {
  Zero(offset, bytes);
  const uint64_t end = std::min(offset + bytes, BlocksIn(size_) * kBlockBytes);
  Release(BlocksIn(offset), end / kBlockBytes);
}

void SimulatedContent::Resize(uint64_t bytes) noexcept {
  if (bytes < size_) {
    Zero(bytes, size_ - bytes);
    Release(BlocksIn(bytes), allocated_.size());
  }
  size_ = bytes;
}

void SimulatedContent::Decay(uint64_t offset, uint64_t bytes,
                             const std::function<void(size_t, std::byte&)>& change) noexcept {
  if (offset >= size_) return;
  bytes = std::min(bytes, size_ - offset);
  ForEachBlock(offset, bytes, [&](uint64_t block, size_t within, size_t at, size_t length) {
    std::shared_ptr<Block>& slot = blocks_[block];
    slot = slot == nullptr ? std::make_shared<Block>() : std::make_shared<Block>(*slot);
    for (size_t i = 0; i < length; ++i) change(at + i, (*slot)[within + i]);
  });
}

void SimulatedContent::Zero(uint64_t offset, uint64_t bytes) noexcept {
  const auto first = blocks_.lower_bound(offset / kBlockBytes);
  const uint64_t end = offset + bytes;
  for (auto at = first; at != blocks_.end() && at->first * kBlockBytes < end; ++at) {
    const uint64_t start = at->first * kBlockBytes;
    const uint64_t from = std::max(offset, start) - start;
    const uint64_t to = std::min(end, start + kBlockBytes) - start;
    auto fresh = std::make_shared<Block>(*at->second);
    overwritten_[at->first] = at->second;
    std::memset(fresh->data() + from, 0, static_cast<size_t>(to - from));
    at->second = std::move(fresh);
  }
}

void SimulatedContent::Reserve(uint64_t first_block, uint64_t end_block) noexcept {
  if (allocated_.size() < end_block) allocated_.resize(end_block);
  for (uint64_t block = first_block; block < end_block; ++block) {
    if (!allocated_[block]) ++allocated_blocks_;
    allocated_[block] = true;
  }
}

void SimulatedContent::Release(uint64_t first_block, uint64_t end_block) noexcept {
  end_block = std::min<uint64_t>(end_block, allocated_.size());
  for (uint64_t block = first_block; block < end_block; ++block) {
    if (allocated_[block]) --allocated_blocks_;
    allocated_[block] = false;
    blocks_.erase(block);
  }
}

void SimulatedChange::ApplyTo(SimulatedContent* content) const noexcept {
  switch (kind) {
    case Kind::kWrite:
      content->Write(offset, data);
      return;
    case Kind::kAllocate:
      content->Allocate(bytes);
      return;
    case Kind::kPunch:
      content->Punch(offset, bytes);
      return;
    case Kind::kResize:
      content->Resize(bytes);
      return;
  }
}

void SimulatedChange::ApplyTornTo(SimulatedContent* content, SimulatedRandom* random,
                                  double garbage) const noexcept {
  const bool all_or_nothing = random->Coin();
  if (kind != Kind::kWrite || all_or_nothing) {
    if (random->Coin()) ApplyTo(content);
    return;
  }
  const uint64_t end = offset + data.size();
  if (end > content->size() && random->Coin()) content->Resize(end);
  for (SimulatedChange& piece : Pieces(random, garbage)) {
    if (piece.offset >= content->size()) break;
    const uint64_t visible = std::min<uint64_t>(piece.data.size(), content->size() - piece.offset);
    piece.data.resize(static_cast<size_t>(visible));
    piece.ApplyTo(content);
  }
}

std::vector<SimulatedChange> SimulatedChange::Pieces(SimulatedRandom* random,
                                                     double garbage) const noexcept {
  std::vector<SimulatedChange> pieces;
  const uint64_t end = offset + data.size();
  for (uint64_t at = offset; at < end;) {
    const uint64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    const bool lands = random->Coin();
    const bool spoilt = !lands && next - at == kSectorBytes && random->Chance(garbage);
    if (lands || spoilt) {
      SimulatedChange piece;
      piece.offset = at;
      piece.data.assign(data.begin() + static_cast<ptrdiff_t>(at - offset),
                        data.begin() + static_cast<ptrdiff_t>(next - offset));
      for (size_t i = 0; spoilt && i < piece.data.size(); ++i)
        piece.data[i] = static_cast<std::byte>(random->Below(256));
      pieces.push_back(std::move(piece));
    }
    at = next;
  }
  return pieces;
}

}  // namespace lamina
