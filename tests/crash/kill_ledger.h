// What is promised of each page of a store whose writers are killed: kept by the process that
// kills, from what the writers report.
#ifndef LAMINA_TESTS_CRASH_KILL_LEDGER_H_
#define LAMINA_TESTS_CRASH_KILL_LEDGER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tests/store/store_fixture.h"

namespace lamina::testing {

inline constexpr uint32_t kKillPaths = 24;
inline constexpr uint32_t kKillPages = 24;  // of each path
inline constexpr uint32_t kKillRoots = 2;   // path p is of root p % 2
inline constexpr size_t kKillPageBytes = 12000;

inline std::string KillRoot(uint32_t path) { return "root " + std::to_string(path % kKillRoots); }
inline TestPath MakeKillPath(Store& store, uint32_t path) {
  return MakePath(store, KillRoot(path), Tokens(1000 * path, kKillPages));
}

// A bit a page.
using PageSet = std::array<uint32_t, kKillPaths>;

// One line of what a writer has to say. Small enough for a pipe to take it whole.
struct KillReport {
  enum class Kind : uint8_t {
    kOpened,    // `count`: how many pages that were promised are not there
    kPutBegun,  // pages [first, first + count) of the path
    kPutDone,   // `pages` of the path are there
    kEraseBegun,
    kEraseDone,
    kRootBegun,  // erase_root of the path's root
    kRootDone,
    kOther,   // something else went well
    kFailed,  // what must not: see the writer's standard error
  };
  Kind kind = Kind::kOther;
  uint8_t path = 0;
  uint8_t first = 0;
  uint16_t count = 0;
  uint32_t pages = 0;
  PageSet live = {};  // where pages may be evicted: which have not been, since they were promised
};
static_assert(std::is_trivially_copyable_v<KillReport> && sizeof(KillReport) <= 512);

class KillLedger {
 public:
  // `evicts`: pages are promised for as long as reports have them as live.
  explicit KillLedger(bool evicts) : evicts_(evicts) {}

  void Apply(const KillReport& report);
  // The writers are dead: what they had begun may have cost this many pages where pages are
  // evicted.
  void NoteKilled();

  // Has to be there, as far as no more than `slack` of these are missing altogether.
  [[nodiscard]] bool Promised(uint32_t path, uint32_t page) const;
  // Must not be there.
  [[nodiscard]] bool Absent(uint32_t path, uint32_t page) const;
  [[nodiscard]] uint32_t promised() const;
  [[nodiscard]] uint32_t slack() const { return slack_; }
  // After a look at all pages: those that are not live are promised no longer.
  void Settle(const PageSet& live);

 private:
  enum class Promise : uint8_t { kAbsent, kNothing, kThere };
  void Lower(uint32_t path, uint32_t first, uint32_t count, Promise most);

  const bool evicts_;
  std::array<std::array<Promise, kKillPages>, kKillPaths> pages_ = {};
  uint32_t slack_ = 0;
  uint32_t begun_ = 0;  // pages of puts that have begun and not ended
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_CRASH_KILL_LEDGER_H_
