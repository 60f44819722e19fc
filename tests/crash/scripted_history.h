// A history of a store on a simulated disk, told in steps, and what is promised of each page as it
// goes on. It may end in a crash at any operation, or meet a failure of any operation or read; what
// is left is then held against the promises.
//
//   CrashAnywhere(setup, [](ScriptedHistory& history) {
//     history.Put({"model", 0}, 0, 30);
//     history.Flush();
//   });
#ifndef LAMINA_TESTS_CRASH_SCRIPTED_HISTORY_H_
#define LAMINA_TESTS_CRASH_SCRIPTED_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/store/simulated_store.h"

namespace lamina::testing {

// How the store of a history is opened.
struct HistorySetup {
  std::string options = {};
  size_t page_bytes = 600;
  ArrangeStore arrange = {};
};

// Paths of one root and one number have the same pages, however many are named.
struct PathName {
  std::string root;
  uint32_t number = 0;
  auto operator<=>(const PathName&) const = default;
};

class ScriptedHistory {
 public:
  ScriptedHistory(SimulatedDisk& disk, HistorySetup setup);

  // ---- Steps. Once the disk has crashed, or where the store could not be opened, nothing happens.
  // As long as no failure was asked for, each has to succeed.

  void Open();
  void Put(const PathName& name, size_t first, size_t count);
  // Without payloads: for an index of some size. They cannot be got, only probed.
  void PutEntries(const PathName& name, size_t first, size_t count);
  void Get(const PathName& name, size_t first, size_t count);
  void Erase(const PathName& name, size_t first, size_t count);
  void EraseRoot(const std::string& root);
  void Flush();
  void CompactAll();
  void SetShape(const Shape& shape);
  // All background work that there is.
  void RunBackground();
  void Close();

  // ---- What comes over it

  // Ends the process, now or when it has already been ended at an operation; the next step is Open.
  void Crash(SimulatedCrash kind);
  // From now on a step may fail. What a sync that fails takes along is promised no longer.
  void ExpectFailures() { failures_ = true; }
  // What could not be read before can be now: a look-up that misses it has it tried again.
  void ExpectNoMoreFailures();
  // The open that went before noted what it could not read: pages may be lost to that, not come
  // back.
  void Excuse();

  // ---- What is left

  // That every page is as promised, nothing leaks, every page can be put and got again, and that
  // all of it is there after another power cut.
  void Check();

  [[nodiscard]] SimulatedDisk& disk() { return disk_; }
  // Null when it is not open.
  [[nodiscard]] Store* store() { return store_.get(); }
  // Open, alive, and nothing has failed on purpose.
  [[nodiscard]] bool in_peace() const { return !dead() && !failures_; }
  [[nodiscard]] const Status& open_status() const { return open_status_; }

 private:
  // In order of how much is promised.
  enum class Promise : uint8_t {
    kAbsent,        // was never put, or is erased
    kNothing,       // may be there or not
    kAcknowledged,  // there, unless power is cut
    kDurable,       // there
  };
  struct PathState {
    std::vector<Promise> pages;
    bool entries_only = false;
  };

  [[nodiscard]] bool dead() const { return store_ == nullptr || disk_.crashed(); }
  PathState& StateOf(const PathName& name, size_t pages);
  TestPath Make(const PathName& name);
  void Expect(const char* step, const Status& status);
  // The pages of a step that was begun; what it promises once it was acknowledged.
  void Begun(const PathName& name, size_t first, size_t count);
  void Acknowledged(const PathName& name, size_t first, const std::vector<PageState>& states);
  void NoteLatched();
  void Weaken(Promise from, Promise to);
  void CheckPromises();
  void CheckPage(const PathName& name, size_t page, PageState state);
  void CheckRepair();
  void CheckAllThere();

  SimulatedDisk& disk_;
  const HistorySetup setup_;
  const bool batch_;  // durability=batch
  std::unique_ptr<Store> store_;
  Status open_status_;
  bool failures_ = false;
  std::map<PathName, PathState> paths_;
};

using Script = std::function<void(ScriptedHistory&)>;

// Each opens a store, runs the script, which may close and open it again, and checks what is left;
// from the first operation (or read) on, the next time from the second, until the script goes
// through: then the store is closed and has to have everything.
void CrashAnywhere(SimulatedCrash kind, const HistorySetup& setup, const Script& script);
void FailAnyOperation(int error, SimulatedCrash then, const HistorySetup& setup,
                      const Script& script);
// One read fails, once: it costs no page.
void FailAnyRead(const HistorySetup& setup, const Script& script);

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_CRASH_SCRIPTED_HISTORY_H_
