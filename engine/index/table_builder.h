// Writes one table: entries in, in key order; a synced file and its TableMeta out.
#ifndef LAMINA_ENGINE_INDEX_TABLE_BUILDER_H_
#define LAMINA_ENGINE_INDEX_TABLE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/index/entry.h"
#include "engine/index/stem_key.h"
#include "engine/index/table_format.h"
#include "engine/io/file_system.h"

namespace lamina {

class DataBlockBuilder;
class IndexBuilder;
class SequentialWriter;

struct TableBuilderOptions {
  uint64_t number = 0;                // not 0; unique in the store for ever
  double filter_bits_per_key = 10.0;  // 0: no filter; at most kMaxFilterBitsPerKey
  // Recorded in the properties, for people and tools.
  uint64_t store_id = 0;
  uint64_t job_id = 0;
  std::string shape = {};  // the shape of the tree when it was written; at most 255 bytes
  // Above this many bytes of separators the index gets a second level and only its top stays in
  // memory.
  size_t single_level_index_bytes = size_t{1} << 20;
  // Called before each write request (at most 1 MiB), for the I/O governor. May block. May be
  // empty.
  std::function<void(size_t bytes)> before_write = {};
};

// Used by one thread. If it is destroyed before Finish has succeeded, the file is removed.
class TableBuilder {
 public:
  // Creates the file, which must not exist, for direct sequential writes.
  static Result<std::unique_ptr<TableBuilder>> Create(FileSystem* file_system,
                                                      const std::string& path,
                                                      TableBuilderOptions options) noexcept;
  ~TableBuilder();
  TableBuilder(const TableBuilder&) = delete;
  TableBuilder& operator=(const TableBuilder&) = delete;

  // Keys must not go down; equal keys are candidates of one page, newest first.
  // Errors: kInvalidArgument for a key out of order, kIoError and kNoSpace from writing. After an
  // error every further call returns it.
  Status Add(const StemKey& key, const Entry& entry) noexcept;

  // For the properties: see TableMeta::dropped_entries.
  void AddDropped(uint64_t entries) noexcept { meta_.dropped_entries += entries; }

  // Writes index, filter, properties and footer, and syncs the file. The directory is the caller's
  // to sync. kInvalidArgument if nothing was added.
  Result<TableMeta> Finish() noexcept;

  // Bytes of the data blocks so far; the rest of the file is small beside them, but for the filter.
  // To cut a run into tables of bounded size.
  [[nodiscard]] uint64_t data_bytes() const noexcept;
  [[nodiscard]] uint64_t entry_count() const noexcept { return meta_.entry_count; }

 private:
  TableBuilder(FileSystem* file_system, std::string path, TableBuilderOptions options,
               std::unique_ptr<File> file) noexcept;
  Status CheckOrder(const StemKey& key, bool* same_key) const noexcept;
  Status AppendSection(std::string_view payload, BlockKind kind, SectionRange* range) noexcept;
  Status WriteTail() noexcept;
  Status WriteFilter(TableFooter* footer) noexcept;
  Status WritePropertiesAndFooter(TableFooter* footer) noexcept;

  FileSystem* file_system_;
  std::string path_;
  TableBuilderOptions options_;
  std::unique_ptr<File> file_;
  std::unique_ptr<SequentialWriter> writer_;
  std::unique_ptr<DataBlockBuilder> blocks_;
  std::unique_ptr<IndexBuilder> index_;
  std::vector<uint64_t> key_hashes_;
  TableMeta meta_;
  Status status_;
  bool finished_ = false;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_INDEX_TABLE_BUILDER_H_
