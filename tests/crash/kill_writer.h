// A process that uses a store as hard as it can and reports what it was told, until it is killed.
#ifndef LAMINA_TESTS_CRASH_KILL_WRITER_H_
#define LAMINA_TESTS_CRASH_KILL_WRITER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "engine/store/store_impl.h"
#include "tests/crash/kill_ledger.h"

namespace lamina::testing {

// How the store of a loop is opened, each time anew.
struct KillSetup {
  std::string directory;
  // So small a store that pages are evicted all the time. All work is done on one thread then, so
  // that what is evicted is known after each call; otherwise two write, beside the background's.
  bool evicts = false;
  std::string options;
};

Result<std::unique_ptr<Store>> OpenKillStore(const KillSetup& setup);

// Which pages are live, and have been since they were seen first.
class LivePages {
 public:
  explicit LivePages(Store& store) : store_(store) {}
  // Where pages of the path lie that were put or found.
  void Note(uint32_t path, const TestPath& made);
  [[nodiscard]] PageSet Look();

 private:
  using Place = std::pair<SlotRef, uint64_t>;
  Store& store_;
  std::map<std::pair<uint32_t, uint32_t>, Place> places_;  // by path and page
};

// Never returns: the process is killed, or ends after a report that it failed.
[[noreturn]] void RunKillWriter(const KillSetup& setup, const KillLedger& ledger, uint64_t seed,
                                int pipe);

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_CRASH_KILL_WRITER_H_
