// Collecting garbage: disk space is given back to the file system now.
#ifndef LAMINA_ENGINE_STORE_COLLECT_H_
#define LAMINA_ENGINE_STORE_COLLECT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace lamina {

struct CollectOptions {
  // Bytes to be given back; as much as is worthwhile without a target.
  uint64_t target_bytes = UINT64_MAX;
  // Only this one is given up, if it is worthwhile; for tools, not in the text.
  std::optional<uint32_t> segment;

  // "target_bytes=N", N with an optional K, M, G or T; empty: the defaults.
  static Result<CollectOptions> Parse(std::string_view text) noexcept;
};

struct CollectReport {
  uint64_t segments_freed = 0;
  uint64_t segments_made = 0;  // for what was moved
  uint64_t bytes_freed = 0;    // of files, less those that were made
  uint64_t pages_moved = 0;
  uint64_t bytes_moved = 0;              // payload
  uint64_t pages_condemned_dropped = 0;  // with their segments
  uint64_t pages_bad = 0;                // freed, since they were wrong or not to be read
  uint64_t segments_kept = 0;            // that were to go and could not: `problems` says why
  bool stopped = false;                  // before it was through
  double seconds = 0;
  std::vector<std::string> problems;

  [[nodiscard]] std::string ToJson() const noexcept;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_COLLECT_H_
