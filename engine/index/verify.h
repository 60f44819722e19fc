// Reads every byte of a table file and reports each damage with its place.
#ifndef LAMINA_ENGINE_INDEX_VERIFY_H_
#define LAMINA_ENGINE_INDEX_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/status.h"
#include "engine/io/file_system.h"

namespace lamina {

struct TableDamage {
  std::string file;
  std::string region;   // "data block", "index block", "top index", "filter", "properties",
                        // "footer", "file"
  uint64_t block = 0;   // offset / 4096
  uint64_t offset = 0;  // in the file, bytes
  uint64_t length = 0;  // bytes that are in doubt
  std::string what;     // "checksum", "key order", "block number", ...
  std::string expected;
  std::string found;

  // One line with all of it.
  [[nodiscard]] std::string ToString() const noexcept;
};

struct TableVerifySummary {
  uint64_t file_bytes = 0;
  uint64_t data_blocks = 0;    // that were whole
  uint64_t entries = 0;        // in them
  uint64_t damages = 0;        // reported
  uint64_t damaged_bytes = 0;  // the sum of their lengths
};

// Walks the whole file, with or without a usable footer, and goes on past damage. Checks checksums,
// block identities, key order within and across blocks, separators against the blocks' keys, each
// page against the filter, and the counts in the properties. Any single flipped byte is found.
// Errors: kIoError if the file cannot be read; kNotSupported for a later format version. Damage is
// not an error here: it goes to `report` and is counted.
Result<TableVerifySummary> VerifyTable(
    FileSystem* file_system, const std::string& path,
    const std::function<void(const TableDamage&)>& report) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_VERIFY_H_
