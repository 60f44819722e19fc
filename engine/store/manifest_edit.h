// What the store consists of, as a value, and changes to it as values with a byte form.
//
// Pure: no files. The file they live in is manifest.h, its format manifest_format.h.
#ifndef LAMINA_ENGINE_STORE_MANIFEST_EDIT_H_
#define LAMINA_ENGINE_STORE_MANIFEST_EDIT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compaction/levels.h"
#include "engine/base/keys.h"
#include "engine/base/status.h"
#include "engine/store/root_table.h"
#include "engine/store/write_allowance.h"
#include "tensorlog/journal_position.h"
#include "tensorlog/segment.h"

namespace lamina {

// Fixed when the store is created.
struct Creation {
  uint32_t stem_pages = kMaxStemPages;
  Secret secret{};
  friend bool operator==(const Creation&, const Creation&) = default;
};

// One change. Fields that are not set stay as they are. Either all of an edit survives a crash or
// nothing of it.
struct ManifestEdit {
  std::optional<Creation> creation;
  std::optional<uint64_t> open_epoch;
  std::optional<uint64_t> next_file_number;
  std::optional<uint32_t> next_segment_id;
  std::optional<uint64_t> next_run_id;
  std::optional<uint64_t> next_flush;
  std::optional<uint64_t> epoch_counter;
  std::vector<RootRecord> roots;
  std::vector<std::pair<uint32_t, std::string>> log_dirs;
  std::vector<SegmentInfo> add_segments;
  std::vector<uint32_t> drop_segments;
  std::vector<std::pair<uint32_t, uint64_t>> slot_tables;
  TreeEdit tree;
  std::optional<JournalPosition> checkpoint;
  std::optional<std::string> shape;
  std::optional<bool> clean_close;
  std::optional<std::string> device_model;
  std::optional<std::string> policy_state;
  std::optional<WriteLevel> write_level;
  std::optional<bool> erase_physical;

  // Appends the byte form.
  void EncodeTo(std::string* out) const noexcept;
  // kCorruption saying which field did not parse.
  static Result<ManifestEdit> Decode(std::string_view bytes) noexcept;
};

struct ManifestState {
  Creation creation;
  uint64_t open_epoch = 0;
  uint64_t next_file_number = 1;
  uint32_t next_segment_id = 1;
  uint64_t next_run_id = 1;
  uint64_t next_flush = 1;
  uint64_t epoch_counter = 0;
  std::map<Digest, RootRecord> roots;
  std::map<uint32_t, std::string> log_dirs;
  struct SegmentRecord {
    SegmentInfo info;
    uint64_t slot_table = 0;  // generation; 0: none was saved
  };
  std::map<uint32_t, SegmentRecord> segments;
  TreePtr tree = std::make_shared<const Tree>();
  JournalPosition checkpoint;
  std::string shape;
  bool clean_close = false;
  std::string device_model;
  std::string policy_state;
  std::optional<WriteLevel> write_level;  // none: there was no bound on writes yet
  bool erase_physical = false;

  // kCorruption when the edit does not fit (unknown segment or run, id used before); the state is
  // then unchanged in what matters: throw it away.
  Status Apply(const ManifestEdit& edit) noexcept;
  // The edit that makes this state from an empty one.
  [[nodiscard]] ManifestEdit Snapshot() const noexcept;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_MANIFEST_EDIT_H_
