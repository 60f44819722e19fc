// A store directory as a whole: what its manifest names, and whether all of it is there and right.
#ifndef LAMINA_TOOLS_SST_DUMP_STORE_H_
#define LAMINA_TOOLS_SST_DUMP_STORE_H_

#include <optional>
#include <set>
#include <string>

#include "engine/io/file_system.h"
#include "engine/store/manifest.h"
#include "tools/sst_dump_report.h"

namespace lamina::sst_dump {

// The store's manifest, as the store itself would read it. Reads again when a writer has switched
// manifests meanwhile.
Result<LoadedManifest> LoadStore(FileSystem& fs, const std::string& directory);

// Says so if a process may be writing to the store.
void WarnIfOpen(const std::string& directory, const LoadedManifest& loaded, Report& report);

// Path of the manifest that CURRENT names.
std::string ManifestPath(const std::string& directory, const LoadedManifest& loaded);

// Names, without directories, of the files that a manifest names, its own among them.
std::set<std::string> NamesIn(const LoadedManifest& loaded);

// Whether a file of the store is not there. If so, says that a writer has removed it since; or, if
// the manifest still names it, reports damage.
bool Vanished(FileSystem& fs, const std::string& directory, const std::string& path,
              Report& report);

// Checks manifest, tables, slot tables, segments and journal files. What a writer has removed since
// the manifest was read is no damage; what the manifest names and is not there is.
void StoreVerify(FileSystem& fs, const std::string& directory, Report& report);

// Levels and runs (sst_dump_tree.cc).
void PrintTree(const std::string& directory, const LoadedManifest& loaded, Report& report);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_STORE_H_
