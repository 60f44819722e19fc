// The saved state of a policy: what it learned, and its records, oldest first.
//
//  +----------------+----------------------+-------------------------+-------------+
//  | StateHeader 64 | model: model_bytes   | records: 20 bytes each  | checksum  8 |
//  +----------------+----------------------+-------------------------+-------------+
//
// Integers and doubles are little-endian, without gaps. The checksum is XXH3-64 of all before it.
// The model of PRHD is its four dimensions (u32: features, bins, ratio bins, age buckets), then
// doubles: value and evidence of each weight, feature by feature, and of each ratio weight; then
// for ordinary and for hot pages the hits of each age bucket, the exposures and the hazards; the
// ratio weights that the table of worths was filled from; then requests and units, and the
// requests, hits and expected hits since that table was filled. Other policies have no model; their
// records are keys, the rest of which is zero.
//
// A reader refuses as damaged: another length than the header says, another magic number or
// checksum, values that are not finite or not positive where they must be, feature bins out of
// range, records out of order, later than the clock, or twice the same. It refuses as not
// supported: another version, another policy, other dimensions. A policy whose state is refused
// starts with nothing learned, which costs hits only.
#ifndef LAMINA_TENSORLOG_EVICTION_STATE_FORMAT_H_
#define LAMINA_TENSORLOG_EVICTION_STATE_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/coding.h"
#include "tensorlog/eviction/policy.h"
#include "tensorlog/eviction/record_table.h"

namespace lamina {

inline constexpr uint64_t kStateMagic = 0x5443495645414d4cu;  // "LMAEVICT"
inline constexpr uint32_t kStateVersion = 1;

struct StateHeader {
  uint64_t magic = kStateMagic;
  uint32_t version = kStateVersion;
  uint32_t kind = 0;  // PolicyKind
  uint64_t model_bytes = 0;
  uint64_t record_count = 0;
  uint64_t clock = 0;   // ticks
  uint64_t random = 0;  // state of the generator
  uint64_t reserved[2] = {0, 0};
};
static_assert(sizeof(StateHeader) == 64);
static_assert(offsetof(StateHeader, model_bytes) == 16 && offsetof(StateHeader, clock) == 32);

struct SavedRecord {
  uint64_t key;
  uint32_t tick;
  uint32_t heat_bits;
  uint32_t features;
};
inline constexpr size_t kSavedRecordBytes = 20;
inline constexpr size_t kStateChecksumBytes = 8;

// The parts of a saved state, checked as far as they are the same for all policies: the records are
// of that length, not yet looked into.
struct SavedState {
  StateHeader header;
  std::string_view model;
  std::string_view records;
};

// Appends a state. `header`'s lengths are filled in.
void AppendState(StateHeader header, std::string_view model, const RecordTable& records,
                 std::string* out) noexcept;
Result<SavedState> ParseState(std::string_view bytes, PolicyKind kind) noexcept;
// Record i of a parsed state.
SavedRecord SavedRecordAt(const SavedState& state, uint64_t i) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_EVICTION_STATE_FORMAT_H_
