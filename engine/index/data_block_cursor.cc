#include <algorithm>
#include <cstring>

#include "engine/base/coding.h"
#include "engine/index/data_block.h"

namespace lamina {
namespace {

Digest LoadAnchor(const std::byte* from) noexcept {
  return {__builtin_bswap64(LoadFixed<uint64_t>(from)),
          __builtin_bswap64(LoadFixed<uint64_t>(from + 8))};
}

// The value that was `previous` plus a zigzag delta; anything outside 32 bits is refused.
bool ApplyDelta(uint64_t zigzag, uint32_t previous, uint32_t* value) noexcept {
  const int64_t delta = static_cast<int64_t>(zigzag >> 1) ^ -static_cast<int64_t>(zigzag & 1);
  if (delta < -static_cast<int64_t>(UINT32_MAX) || delta > static_cast<int64_t>(UINT32_MAX))
    return false;
  const int64_t sum = static_cast<int64_t>(previous) + delta;
  if (sum < 0 || sum > static_cast<int64_t>(UINT32_MAX)) return false;
  *value = static_cast<uint32_t>(sum);
  return true;
}

}  // namespace

bool DataBlockCursor::Open(std::span<const std::byte, kTableBlockBytes> block) noexcept {
  DataBlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  block_ = block.data();
  error_ = "";
  entry_count_ = header.entry_count;
  restart_count_ = header.restart_count;
  entries_end_ = header.entries_end;
  base_slot_ = {header.base_segment, 0};
  base_length_ = header.base_length;
  at_ = sizeof header;
  run_left_ = 0;
  depth_ = 0;
  at_stem_ = true;
  if (entry_count_ == 0 || restart_count_ == 0 || restart_count_ > entry_count_)
    return Fail("entry and restart counts");
  if (entries_end_ <= sizeof header ||
      entries_end_ + restart_count_ * sizeof(uint16_t) > kTableBlockBytes)
    return Fail("end of entries");
  if (restart(0) != sizeof header) return Fail("first restart");
  return true;
}

uint32_t DataBlockCursor::restart(uint32_t i) const noexcept {
  return LoadFixed<uint16_t>(block_ + kTableBlockBytes - (restart_count_ - i) * sizeof(uint16_t));
}

bool DataBlockCursor::SeekStem(Digest anchor) noexcept {
  uint32_t low = 0;
  uint32_t high = restart_count_;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const uint32_t at = restart(middle);
    if (at < sizeof(DataBlockHeader) || at + 1 + kAnchorBytes > entries_end_)
      return Fail("restart offset");
    if (LoadAnchor(block_ + at + 1) < anchor)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == restart_count_) return false;
  at_ = restart(low);
  run_left_ = 0;
  at_stem_ = true;
  return true;
}

bool DataBlockCursor::Fail(const char* what) noexcept {
  error_ = what;
  at_ = entries_end_;
  run_left_ = 0;
  return false;
}

bool DataBlockCursor::Need(size_t bytes) noexcept {
  return bytes <= entries_end_ - at_ || Fail("entry runs past the end of entries");
}

bool DataBlockCursor::Varint(uint64_t* value) noexcept {
  Decoder in(std::span(block_ + at_, entries_end_ - at_));
  *value = in.Varint();
  if (!in.ok()) return Fail("varint");
  at_ = entries_end_ - static_cast<uint32_t>(in.remaining());
  return true;
}

bool DataBlockCursor::Next() noexcept {
  if (run_left_ > 0) return DecodeRunEntry();
  if (at_ >= entries_end_) return false;
  return DecodeHead();
}

// The child of the entry before, in the next slot, with the same length.
bool DataBlockCursor::DecodeRunEntry() noexcept {
  --run_left_;
  if (!DecodeChild()) return false;
  if (!Need(12)) return false;
  entry_.guard = LoadFixed<uint32_t>(block_ + at_);
  entry_.checksum = LoadFixed<uint64_t>(block_ + at_ + 4);
  at_ += 12;
  if (entry_.slot.slot == UINT32_MAX) return Fail("slot");
  ++entry_.slot.slot;
  return true;
}

bool DataBlockCursor::DecodeHead() noexcept {
  const auto control = static_cast<uint8_t>(block_[at_++]);
  if ((control & 0x80) != 0) return Fail("control byte");
  const auto kind = static_cast<EntryKey>(control & kEntryKeyMask);
  if (at_stem_ && kind != EntryKey::kRestart) return Fail("restart is no restart");
  const bool derived = (control & kDerived) != 0;
  if (derived && kind != EntryKey::kRestart) return Fail("control byte");
  switch (kind) {
    case EntryKey::kRestart:
      if (!DecodeRestart(control)) return false;
      break;
    case EntryKey::kChild:
      if (!DecodeChild()) return false;
      break;
    case EntryKey::kBranch:
      if (!DecodeBranch()) return false;
      break;
    case EntryKey::kSame:
      shared_ = depth_;
      break;
  }
  if (derived) {
    entry_.guard = GuardOf(anchor_);
  } else {
    if (!Need(4)) return false;
    entry_.guard = LoadFixed<uint32_t>(block_ + at_);
    at_ += 4;
  }
  if (!Need(8)) return false;
  entry_.checksum = LoadFixed<uint64_t>(block_ + at_);
  at_ += 8;
  if (!DecodeSlotAndLength(control)) return false;
  if ((control & kEntryRun) != 0) {
    if (!Need(1)) return false;
    run_left_ = static_cast<uint8_t>(block_[at_++]);
    if (run_left_ == 0) return Fail("empty run");
  }
  return true;
}

bool DataBlockCursor::DecodeRestart(uint8_t control) noexcept {
  if (!Need(kAnchorBytes)) return false;
  const Digest anchor = LoadAnchor(block_ + at_);
  at_ += kAnchorBytes;
  if (!at_stem_ && anchor <= anchor_) return Fail("anchors out of order");
  at_stem_ = false;
  anchor_ = anchor;
  shared_ = 0;
  entry_.slot = base_slot_;
  entry_.length = base_length_;
  if ((control & kDerived) != 0) {
    path_[0] = FingerprintOf(anchor);
    depth_ = 1;
    return true;
  }
  uint64_t count;
  if (!Varint(&count)) return false;
  if (count == 0 || count > kMaxStemPages) return Fail("fingerprint count");
  if (!Need(count * kFingerprintBytes)) return false;
  std::memcpy(path_.data(), block_ + at_, count * kFingerprintBytes);
  at_ += static_cast<uint32_t>(count * kFingerprintBytes);
  depth_ = static_cast<uint32_t>(count);
  return true;
}

bool DataBlockCursor::DecodeChild() noexcept {
  if (depth_ == kMaxStemPages) return Fail("key too long");
  if (!Need(kFingerprintBytes)) return false;
  shared_ = depth_;
  path_[depth_++] = LoadFixed<uint64_t>(block_ + at_);
  at_ += kFingerprintBytes;
  return true;
}

bool DataBlockCursor::DecodeBranch() noexcept {
  uint64_t shared;
  uint64_t count;
  if (!Varint(&shared) || !Varint(&count)) return false;
  if (shared > depth_ || count == 0 || count > kMaxStemPages - shared)
    return Fail("fingerprint counts");
  if (!Need(count * kFingerprintBytes)) return false;
  const auto first = LoadFixed<uint64_t>(block_ + at_);
  if (shared < depth_ && first <= path_[shared]) return Fail("keys out of order");
  std::memcpy(path_.data() + shared, block_ + at_, count * kFingerprintBytes);
  at_ += static_cast<uint32_t>(count * kFingerprintBytes);
  shared_ = static_cast<uint32_t>(shared);
  depth_ = static_cast<uint32_t>(shared + count);
  return true;
}

bool DataBlockCursor::DecodeSlotAndLength(uint8_t control) noexcept {
  uint64_t value;
  if ((control & kNextSlot) != 0) {
    if (entry_.slot.slot == UINT32_MAX) return Fail("slot");
    ++entry_.slot.slot;
  } else if ((control & kSameSegment) != 0) {
    if (!Varint(&value)) return false;
    if (!ApplyDelta(value, entry_.slot.slot, &entry_.slot.slot)) return Fail("slot");
  } else {
    if (!Varint(&value)) return false;
    if (!ApplyDelta(value, entry_.slot.segment, &entry_.slot.segment)) return Fail("segment");
    if (!Varint(&value)) return false;
    if (value > UINT32_MAX) return Fail("slot");
    entry_.slot.slot = static_cast<uint32_t>(value);
  }
  if ((control & kSameLength) == 0) {
    if (!Varint(&value)) return false;
    if (value > UINT32_MAX) return Fail("length");
    entry_.length = static_cast<uint32_t>(value);
  }
  return true;
}

}  // namespace lamina
