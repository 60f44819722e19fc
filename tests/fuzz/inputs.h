// What inputs that parse have in common: the store, file and segment that they name.
#ifndef LAMINA_TESTS_FUZZ_INPUTS_H_
#define LAMINA_TESTS_FUZZ_INPUTS_H_

#include "tensorlog/log_dir.h"
#include "tensorlog/segment.h"

namespace lamina::fuzz {

inline constexpr StoreId kInputStoreId{0x0123456789ABCDEFu, 0xFEDCBA9876543210u};
inline constexpr uint64_t kInputJournalFile = 0;
inline constexpr uint64_t kInputManifestFile = 1;
inline constexpr uint64_t kInputTable = 1;
inline constexpr uint32_t kInputSlots = 16;
inline constexpr SegmentInfo kInputSegment = {
    .id = 1, .log_dir = 0, .slot_bytes = 4096, .slot_count = kInputSlots};

}  // namespace lamina::fuzz

#endif  // LAMINA_TESTS_FUZZ_INPUTS_H_
