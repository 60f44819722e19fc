// What each errno means here: one table, and messages that name file, operation, offset and length.
#ifndef LAMINA_ENGINE_IO_IO_ERROR_H_
#define LAMINA_ENGINE_IO_IO_ERROR_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace lamina {

struct ErrnoMeaning {
  int error;
  const char* name;  // "EIO"
  StatusCode code;
  bool transient;      // of a transfer: the same request, issued again, may succeed
  const char* advice;  // what it means for a store and what to do; "" where the text says it all
};

// The whole table, by errno, and what is said of those that are not in it.
std::span<const ErrnoMeaning> ErrnoTable() noexcept;
const ErrnoMeaning& MeaningOf(int error) noexcept;

// "Input/output error (EIO)"
std::string ErrnoText(int error) noexcept;

// "cannot rename /a/b: No space left on device (ENOSPC): free space or ...", with the table's code.
Status ErrnoStatus(int error, std::string_view operation, std::string_view path) noexcept;
// The same for a sync, but never kNoSpace: writes that had space until they were synced (delayed
// allocation, a quota) are as lost as any, and it is not known which.
Status SyncStatus(int error, std::string_view operation, std::string_view path) noexcept;
// As ErrnoStatus for a transfer: "cannot read 4096 bytes at offset 8192 of /a/b: ...".
Status TransferStatus(int error, std::string_view operation, std::string_view path, uint64_t offset,
                      uint64_t bytes) noexcept;
// kCorruption: the file ended before the range did.
Status EndOfFileStatus(std::string_view path, uint64_t offset, uint64_t expected_bytes,
                       uint64_t found_bytes) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_IO_ERROR_H_
