// The file of what the eviction policy has learned: `0000000012.policy`, named by the manifest.
//
// It is the policy's saved state as it is (format and checksums:
// tensorlog/eviction/state_format.h). A new one is written with a checkpoint, synced, and named by
// the checkpoint's edit; the old one goes afterwards. A missing or damaged one costs hits until the
// policy has learned anew, never an open.
#ifndef LAMINA_ENGINE_STORE_POLICY_FILE_H_
#define LAMINA_ENGINE_STORE_POLICY_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "tensorlog/eviction/record_table.h"
#include "tensorlog/eviction/state_format.h"

namespace lamina {

// What the policy takes for a record: in its table, in the saved state, and for its place in a
// second table while that is loaded.
inline constexpr uint64_t kPolicyBytesPerRecord =
    RecordTable::kBytesPerRecord + kSavedRecordBytes + sizeof(RecordId);
// It has 1 in so many bytes of the memory that slots and buffers leave.
inline constexpr uint64_t kPolicyMemoryShare = 4;

std::string PolicyFileName(uint64_t number) noexcept;
bool ParsePolicyFileName(std::string_view name, uint64_t* number) noexcept;

// Durable on return, but for its directory's entry.
Status WritePolicyFile(FileSystem& fs, const std::string& path, std::string_view state) noexcept;
// What is returned is a state of the latest records alone, where there are more than `most_records`
// in the file: no more is in memory at any time. It is damaged where the file is. kCorruption for a
// file that is larger than any.
Result<std::string> ReadPolicyFile(FileSystem& fs, const std::string& path,
                                   uint64_t most_records = UINT64_MAX) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_POLICY_FILE_H_
