#include <cstring>

#include "engine/base/coding.h"
#include "engine/index/data_block.h"
#include "engine/index/index_block.h"

namespace lamina {
namespace {

// A stem of more entries than this fits no block; it need not be collected whole.
constexpr size_t kMaxPending = kDataPayloadBytes / kRunEntryBytes + 1;
// Leaving at most this much of a block empty is the price of a stem in one piece.
constexpr size_t kMaxWaste = kDataPayloadBytes / 3;

uint64_t ZigZag(uint32_t value, uint32_t previous) noexcept {
  const int64_t delta = static_cast<int64_t>(value) - static_cast<int64_t>(previous);
  return (static_cast<uint64_t>(delta) << 1) ^ static_cast<uint64_t>(delta >> 63);
}

bool IsDerived(const StemKey& key, const Entry& entry) noexcept {
  return key.fingerprints.size() == 1 && key.fingerprints[0] == FingerprintOf(key.anchor) &&
         entry.guard == GuardOf(key.anchor);
}

}  // namespace

DataBlockBuilder::DataBlockBuilder(Sink sink) noexcept : sink_(std::move(sink)) {}

StemKey DataBlockBuilder::KeyOf(const Pending& pending) const noexcept {
  return {anchor_, std::span(fingerprints_).subspan(pending.fingerprints_begin, pending.depth)};
}

Status DataBlockBuilder::Add(const StemKey& key, const Entry& entry) noexcept {
  if (!pending_.empty() || stem_continues_) {
    if (key.anchor != anchor_) LAMINA_RETURN_IF_ERROR(PlaceStem(/*stem_ends=*/true));
  }
  anchor_ = key.anchor;
  const std::span<const Fingerprint> before =
      !pending_.empty() ? KeyOf(pending_.back()).fingerprints
      : stem_continues_ ? std::span<const Fingerprint>(last_placed_.fingerprints)
                        : std::span<const Fingerprint>();
  uint32_t shared = 0;
  while (shared < before.size() && shared < key.fingerprints.size() &&
         before[shared] == key.fingerprints[shared])
    ++shared;
  pending_.push_back(
      {fingerprints_.size(), static_cast<uint32_t>(key.fingerprints.size()), shared, entry});
  fingerprints_.insert(fingerprints_.end(), key.fingerprints.begin(), key.fingerprints.end());
  if (pending_.size() >= kMaxPending) return PlaceStem(/*stem_ends=*/false);
  return Status::Ok();
}

Status DataBlockBuilder::Finish() noexcept {
  if (!pending_.empty()) LAMINA_RETURN_IF_ERROR(PlaceStem(/*stem_ends=*/true));
  if (state_.entry_count > 0) return CloseBlock(last_placed_.view());
  return Status::Ok();
}

// Moves what is pending into blocks: whole if it fits, else cut.
Status DataBlockBuilder::PlaceStem(bool stem_ends) noexcept {
  if (!pending_.empty()) {
    const bool whole = stem_ends && !stem_continues_;
    bool placed = whole && AppendAll();
    if (!placed && whole && state_.entry_count > 0 && kTableBlockBytes - Used() <= kMaxWaste) {
      LAMINA_RETURN_IF_ERROR(CloseBlock(last_placed_.view()));
      placed = AppendAll();
    }
    if (!placed) LAMINA_RETURN_IF_ERROR(AppendCutting());
    const StemKey last = KeyOf(pending_.back());
    last_placed_.anchor = last.anchor;
    last_placed_.fingerprints.assign(last.fingerprints.begin(), last.fingerprints.end());
    pending_.clear();
    fingerprints_.clear();
  }
  stem_continues_ = !stem_ends;
  return Status::Ok();
}

// All that is pending into the open block, or nothing of it.
bool DataBlockBuilder::AppendAll() noexcept {
  const State before = state_;
  if (before.entry_count == 0) StartBlock(KeyOf(pending_[0]), pending_[0].entry);
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (!Append(pending_[i], i == 0)) {
      Undo(before);
      return false;
    }
  }
  return true;
}

Status DataBlockBuilder::AppendCutting() noexcept {
  for (size_t i = 0; i < pending_.size(); ++i) {
    const Pending& pending = pending_[i];
    const bool stem_starts = i == 0 && !stem_continues_;
    if (state_.entry_count > 0 && Append(pending, stem_starts)) continue;
    if (state_.entry_count > 0)
      LAMINA_RETURN_IF_ERROR(CloseBlock(i == 0 ? last_placed_.view() : KeyOf(pending_[i - 1])));
    StartBlock(KeyOf(pending), pending.entry);
    LAMINA_CHECK(Append(pending, /*stem_starts=*/true));
  }
  return Status::Ok();
}

size_t DataBlockBuilder::Used() const noexcept {
  return sizeof(DataBlockHeader) + bytes_.size() + restarts_.size() * sizeof(uint16_t);
}

// False, and nothing done, if the block has no room for it.
bool DataBlockBuilder::Append(const Pending& pending, bool stem_starts) noexcept {
  const State before = state_;
  const bool restart = stem_starts || state_.entry_count == 0;
  if (restart || !TryExtendRun(pending)) {
    if (restart) {
      restarts_.push_back(static_cast<uint16_t>(sizeof(DataBlockHeader) + bytes_.size()));
      state_.restart_count = restarts_.size();
      state_.slot = {base_slot_.segment, 0};
      state_.length = base_length_;
    }
    const bool same = pending.shared == pending.depth && pending.depth == state_.depth;
    const bool child = pending.shared == state_.depth && pending.depth == state_.depth + 1;
    AppendHead(pending, restart ? EntryKey::kRestart
                        : same  ? EntryKey::kSame
                        : child ? EntryKey::kChild
                                : EntryKey::kBranch);
  }
  state_.depth = pending.depth;
  state_.slot = pending.entry.slot;
  state_.length = pending.entry.length;
  ++state_.entry_count;
  state_.size = bytes_.size();
  if (Used() <= kTableBlockBytes) return true;
  Undo(before);
  return false;
}

// Appends the entry to the run of the one before it, or makes the two a run, if it is its child in
// the next slot with the same length.
bool DataBlockBuilder::TryExtendRun(const Pending& pending) noexcept {
  const Entry& entry = pending.entry;
  if (pending.shared != state_.depth || pending.depth != state_.depth + 1 ||
      entry.slot.segment != state_.slot.segment || entry.slot.slot == 0 ||
      entry.slot.slot - 1 != state_.slot.slot || entry.length != state_.length ||
      state_.run == kMaxRun)
    return false;
  if (state_.run_at == 0) {
    state_.run_at = bytes_.size();
    state_.control |= kEntryRun;
    bytes_[state_.control_at] = static_cast<char>(state_.control);
    bytes_.push_back(0);
  }
  bytes_[state_.run_at] = static_cast<char>(++state_.run);
  PutFixed(&bytes_, KeyOf(pending).fingerprints.back());
  PutFixed(&bytes_, entry.guard);
  PutFixed(&bytes_, entry.checksum);
  return true;
}

void DataBlockBuilder::AppendHead(const Pending& pending, EntryKey kind) noexcept {
  const Entry& entry = pending.entry;
  const StemKey key = KeyOf(pending);
  const bool derived = kind == EntryKey::kRestart && IsDerived(key, entry);
  const bool same_segment = entry.slot.segment == state_.slot.segment;
  const bool next_slot =
      same_segment && entry.slot.slot != 0 && entry.slot.slot - 1 == state_.slot.slot;
  const bool same_length = entry.length == state_.length;
  state_.control = static_cast<uint8_t>(static_cast<uint8_t>(kind) |
                                        (next_slot      ? kNextSlot
                                         : same_segment ? kSameSegment
                                                        : 0) |
                                        (same_length ? kSameLength : 0) | (derived ? kDerived : 0));
  state_.control_at = bytes_.size();
  state_.run_at = 0;
  state_.run = 0;
  bytes_.push_back(static_cast<char>(state_.control));

  std::span<const Fingerprint> written = key.fingerprints;
  switch (kind) {
    case EntryKey::kRestart:
      PutDigest(&bytes_, key.anchor);
      if (derived)
        written = {};
      else
        PutVarint(&bytes_, written.size());
      break;
    case EntryKey::kBranch:
      written = written.subspan(pending.shared);
      PutVarint(&bytes_, pending.shared);
      PutVarint(&bytes_, written.size());
      break;
    case EntryKey::kChild:
      written = written.last(1);
      break;
    case EntryKey::kSame:
      written = {};
      break;
  }
  for (const Fingerprint f : written) PutFixed(&bytes_, f);
  if (!derived) PutFixed(&bytes_, entry.guard);
  PutFixed(&bytes_, entry.checksum);
  if (same_segment && !next_slot) {
    PutVarint(&bytes_, ZigZag(entry.slot.slot, state_.slot.slot));
  } else if (!same_segment) {
    PutVarint(&bytes_, ZigZag(entry.slot.segment, state_.slot.segment));
    PutVarint(&bytes_, entry.slot.slot);
  }
  if (!same_length) PutVarint(&bytes_, entry.length);
}

// Only entries behind `before` were appended since, and at most the last head entry of it was
// changed (by becoming a run or a longer one).
void DataBlockBuilder::Undo(const State& before) noexcept {
  bytes_.resize(before.size);
  restarts_.resize(before.restart_count);
  if (before.entry_count > 0) {
    bytes_[before.control_at] = static_cast<char>(before.control);
    if (before.run_at != 0) bytes_[before.run_at] = static_cast<char>(before.run);
  }
  state_ = before;
}

void DataBlockBuilder::StartBlock(const StemKey& first, const Entry& entry) noexcept {
  LAMINA_CHECK(bytes_.empty() && restarts_.empty());
  base_slot_ = entry.slot;
  base_length_ = entry.length;
  if (any_closed_)
    separator_ = SeparatorBetween(last_closed_, KeyBytes(first).view());
  else
    separator_.clear();
}

Status DataBlockBuilder::CloseBlock(const StemKey& last) noexcept {
  alignas(8) std::array<std::byte, kTableBlockBytes> block{};
  DataBlockHeader header{};
  header.entry_count = state_.entry_count;
  header.restart_count = static_cast<uint16_t>(restarts_.size());
  header.entries_end = static_cast<uint16_t>(sizeof header + bytes_.size());
  header.base_segment = base_slot_.segment;
  header.base_length = base_length_;
  std::memcpy(block.data(), &header, sizeof header);
  std::memcpy(block.data() + sizeof header, bytes_.data(), bytes_.size());
  const size_t restart_bytes = restarts_.size() * sizeof(uint16_t);
  std::memcpy(block.data() + kTableBlockBytes - restart_bytes, restarts_.data(), restart_bytes);
  bytes_.clear();
  restarts_.clear();
  state_ = {};
  last_closed_ = KeyBytes(last).view();
  any_closed_ = true;
  return sink_(block, separator_);
}

}  // namespace lamina
