// The roots that a store knows: number, epoch, and what is counted per root.
//
// Slots carry a root's number, paths a pointer to its state. Numbers count from 1, are never
// reused, and reach the manifest with the next checkpoint, before any slot table that mentions
// them. Epochs come from one store-wide counter, so that a root that is erased, forgotten and seen
// again cannot meet an old epoch.
//
// Thread-safe.
#ifndef LAMINA_ENGINE_STORE_ROOT_TABLE_H_
#define LAMINA_ENGINE_STORE_ROOT_TABLE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/keys.h"

namespace lamina {

struct RootState {
  Digest name;
  uint32_t number = 0;
  std::atomic<uint64_t> epoch{0};

  std::atomic<uint64_t> pages_put{0};
  std::atomic<uint64_t> bytes_put{0};
  std::atomic<uint64_t> pages_hit{0};
  std::atomic<uint64_t> bytes_got{0};
};

// What the manifest keeps of a root.
struct RootRecord {
  Digest name;
  std::string text;  // the caller's string, or empty when only its digest is known (after a replay)
  uint32_t number = 0;
  uint64_t epoch = 0;
  friend bool operator==(const RootRecord&, const RootRecord&) = default;
};

class RootTable {
 public:
  // The root of that name, made when it is new. `text` fills in a name known by digest alone.
  std::shared_ptr<RootState> FindOrAdd(Digest name, std::string_view text) noexcept;
  [[nodiscard]] std::shared_ptr<RootState> Find(Digest name) const noexcept;
  // As found in the manifest.
  void Restore(const RootRecord& record) noexcept;
  [[nodiscard]] std::vector<std::shared_ptr<RootState>> All() const noexcept;
  [[nodiscard]] std::vector<RootRecord> Records() const noexcept;

 private:
  mutable std::shared_mutex mutex_;
  struct Known {
    std::shared_ptr<RootState> state;
    std::string text;
  };
  std::map<Digest, Known> roots_;
  uint32_t next_number_ = 1;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_ROOT_TABLE_H_
