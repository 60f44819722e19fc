// Reads a manifest file record by record, past damage, and shows it.
//
// The store's own reader (engine/store/manifest.h) gives a state or nothing. This one says what
// each record changes and where it lies, and what is left of a damaged file.
#ifndef LAMINA_TOOLS_SST_DUMP_MANIFEST_H_
#define LAMINA_TOOLS_SST_DUMP_MANIFEST_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/io/file_system.h"
#include "engine/store/manifest_edit.h"
#include "tensorlog/log_dir.h"
#include "tools/sst_dump_report.h"

namespace lamina::sst_dump {

struct ManifestRecord {
  uint64_t number = 0;  // from 1
  uint64_t offset = 0;
  uint64_t length = 0;  // header and padding included
  ManifestEdit edit;
};

struct ManifestFile {
  uint64_t file_bytes = 0;
  uint64_t file_number = 0;
  StoreId store_id;
  ManifestState state;      // as far as the edits could be applied
  uint64_t edits = 0;       // applied
  uint64_t tail_bytes = 0;  // of an append that was cut off, at the end: no damage
  bool whole = true;        // no damage was met
};

// Calls `visit` for each whole record, and reports damage. Errors: kIoError; kNotSupported for a
// later format version.
Result<ManifestFile> ReadManifestFile(FileSystem& fs, const std::string& path, Report& report,
                                      const std::function<void(const ManifestRecord&)>& visit);

void ManifestProperties(FileSystem& fs, const std::string& path, Report& report);
// Offsets and lengths of the records.
void ManifestLayout(FileSystem& fs, const std::string& path, Report& report);
// The edits, then the state that they lead to (sst_dump_manifest_print.cc).
void ManifestDump(FileSystem& fs, const std::string& path, Report& report);
// Returns what was read, for who verifies the rest of the store; nothing if that failed.
std::optional<ManifestFile> ManifestVerify(FileSystem& fs, const std::string& path, Report& report);

// What an edit changes, one phrase each.
std::vector<std::string> DescribeEdit(const ManifestEdit& edit);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_MANIFEST_H_
