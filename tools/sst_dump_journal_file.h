// The blocks of a journal file, each judged by itself and by its neighbours.
#ifndef LAMINA_TOOLS_SST_DUMP_JOURNAL_FILE_H_
#define LAMINA_TOOLS_SST_DUMP_JOURNAL_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "tensorlog/log_dir.h"

namespace lamina::sst_dump {

enum class BlockState : uint8_t { kWhole, kUnwritten, kTorn, kDamaged };
const char* BlockStateName(BlockState state);

struct JournalFileInfo {
  uint64_t file_bytes = 0;
  bool identified = false;  // some block is whole; only then the next five mean something
  uint32_t version = 0;
  StoreId store_id;
  uint64_t number = 0;
  uint64_t epoch = 0;
  uint64_t first_sequence = 0;  // of block 0
  std::vector<BlockState> blocks;
  std::vector<std::string> reasons;  // of the damaged blocks, in order: what each has instead

  [[nodiscard]] uint64_t Count(BlockState state) const;
};

// Blocks are those of `store_id`, or of the first whole block. Errors: kIoError; kNotSupported for
// a later format version.
Result<JournalFileInfo> ReadJournalFile(FileSystem& fs, const std::string& path,
                                        std::optional<StoreId> store_id);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_JOURNAL_FILE_H_
