// A small store made by hand, file by file, so that what sst-dump prints of it depends on the
// formats alone; and ways to run the tool and to damage files.
#ifndef LAMINA_TESTS_TOOLS_SST_DUMP_FIXTURE_H_
#define LAMINA_TESTS_TOOLS_SST_DUMP_FIXTURE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/index/table_builder.h"
#include "engine/io/file_system.h"
#include "engine/store/manifest.h"
#include "tests/store/store_fixture.h"
#include "tools/common_output.h"

namespace lamina::testing {

struct DumpResult {
  tools::ExitCode code;
  std::string out;
  std::string err;
};
// In this process.
DumpResult Dump(const std::vector<std::string>& arguments);

// `text` with every occurrence of `what` replaced.
std::string Replaced(std::string text, const std::string& what, const std::string& with);

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& bytes);
// Changes one byte of a file.
void FlipByte(const std::string& path, uint64_t offset, unsigned char bits = 1);

// Writes a table with `stems` stems of `pages` pages each; keys and entries follow from the number.
TableMeta WriteSmallTable(FileSystem& fs, const std::string& path, const TableBuilderOptions& how,
                          uint64_t stems, uint64_t pages);

// directory: two tables in two runs, one slot table, one journal file of 16 blocks (three written),
// one segment in directory/log, closed cleanly.
class SmallStore {
 public:
  SmallStore();

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string File(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] FileSystem& fs() { return *fs_; }
  // Runs the tool on the store; its directory becomes "DIR" in what is printed.
  [[nodiscard]] DumpResult Run(std::vector<std::string> arguments) const;

  static constexpr char kOldTable[] = "0000000002.sst";
  static constexpr char kNewTable[] = "0000000003.sst";
  static constexpr char kSlots[] = "0000000001-0000000004.slots";
  static constexpr char kJournal[] = "0000000000.journal";
  static constexpr char kManifest[] = "MANIFEST-000010";
  static constexpr StoreId kId = {0x1111111111111111u, 0x2222222222222222u};

 private:
  void WriteLog();
  void WriteJournal();
  void WriteManifest();

  TemporaryDirectory temporary_;
  const std::string directory_;
  std::unique_ptr<FileSystem> fs_;
  TableMeta old_table_;
  TableMeta new_table_;
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_TOOLS_SST_DUMP_FIXTURE_H_
