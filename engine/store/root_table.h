// The roots that a store knows: number, epoch, and what is counted per root.
//
// Slots carry a root's number, paths a pointer to its state. A root is *registered*, which gives it
// its number, when its first page is published, when it is erased, and at replay; until then it
// lives as long as somebody holds it, so that asking for many roots leaves nothing behind. Numbers
// count from 1, are never reused, and reach the manifest with the next checkpoint, before any slot
// table that mentions them. Epochs come from one store-wide counter, so that a root that is erased,
// forgotten and seen again cannot meet an old epoch.
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
  std::atomic<uint32_t> number{0};  // 0 until it is registered
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
  // The state of the root of that name: one, however many hold it. `text` fills in a name known by
  // digest alone. Registers nothing.
  std::shared_ptr<RootState> Hold(Digest name, std::string_view text) noexcept;
  // Gives the root its number, unless it has one, and keeps it from now on.
  void Register(const std::shared_ptr<RootState>& root) noexcept;
  // As found in the manifest.
  void Restore(const RootRecord& record) noexcept;

  // Of registered roots.
  [[nodiscard]] std::shared_ptr<RootState> Find(Digest name) const noexcept;
  [[nodiscard]] std::vector<RootRecord> Records() const noexcept;
  // Roots that are held or were lately, and not registered.
  [[nodiscard]] size_t unregistered() const noexcept;

 private:
  struct Known {
    std::shared_ptr<RootState> state;
    std::string text;
  };
  struct Unregistered {
    std::weak_ptr<RootState> state;
    std::string text;
  };
  std::shared_ptr<RootState> AddUnregistered(Digest name, std::string_view text) noexcept;

  mutable std::shared_mutex mutex_;
  std::map<Digest, Known> roots_;
  std::map<Digest, Unregistered> unregistered_;
  // Size of unregistered_ at which those that nobody holds any more are dropped.
  size_t sweep_at_ = kMinSweep;
  static constexpr size_t kMinSweep = 64;
  uint32_t next_number_ = 1;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_ROOT_TABLE_H_
