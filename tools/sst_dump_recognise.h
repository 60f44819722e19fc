// Tells what a path is: by content, and by name where the content says nothing.
#ifndef LAMINA_TOOLS_SST_DUMP_RECOGNISE_H_
#define LAMINA_TOOLS_SST_DUMP_RECOGNISE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/base/status.h"
#include "engine/io/file_system.h"

namespace lamina::sst_dump {

enum class Kind : uint8_t {
  kUnknown,
  kStore,      // a directory with CURRENT, or with the remains of a store
  kDirectory,  // any other
  kTable,
  kManifest,
  kJournal,
  kSlotTable,
  kTunerJournal,
  kHousekeeping,  // CURRENT, LOCK, segments, markers: part of a store, nothing to show by itself
};
const char* KindName(Kind kind);

// A damaged file is recognised by what is left of it, or by its name, so that verify can say what
// is wrong with it. kIoError when the path does not exist or cannot be read.
Result<Kind> Recognise(FileSystem& fs, const std::string& path);

// What follows the last '/'.
std::string FileNameOf(const std::string& path);

// All bytes; kNotSupported, naming it, for a file of more than `max_bytes`.
Result<std::string> ReadWhole(FileSystem& fs, const std::string& path, uint64_t max_bytes);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_RECOGNISE_H_
