#include "tests/fuzz/targets.h"

namespace lamina::fuzz {

std::span<const Target> Targets() {
  static constexpr Target kTargets[] = {
      {"table", FuzzTable},
      {"data_block", FuzzDataBlock},
      {"index_block", FuzzIndexBlock},
      {"top_index", FuzzTopIndex},
      {"properties", FuzzProperties},
      {"filter", FuzzFilter},
      {"journal", FuzzJournal},
      {"slot_table", FuzzSlotTable},
      {"log_dir_marker", FuzzLogDirMarker},
      {"policy", FuzzPolicy},
      {"current", FuzzCurrent},
      {"manifest", FuzzManifest},
      {"manifest_edit", FuzzManifestEdit},
      {"tuner_journal", FuzzTunerJournal},
      {"file_names", FuzzFileNames},
      {"options", FuzzOptions},
      {"collect_options", FuzzCollectOptions},
  };
  return kTargets;
}

}  // namespace lamina::fuzz
