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

class ScriptedHistory;
using Script = std::function<void(ScriptedHistory&)>;

// How the store of a history is opened.
struct HistorySetup {
  std::string options = {};
  size_t page_bytes = 600;
  ArrangeStore arrange = {};
  // In place of the option, which does not go that low. 0: the option.
  uint64_t capacity_bytes = 0;
  // The store becomes full: a page is promised for as long as a slot holds it alive.
  bool evicts = false;
  // Before anything comes over the history, which may then have the store open or not. Empty: the
  // open is the first that something may come over.
  Script prepare = {};
};

// Paths of one root and one number have the same pages, however many are named.
struct PathName {
  std::string root;
  uint32_t number = 0;
  size_t page_bytes = 0;  // 0: as the setup has it
  auto operator<=>(const PathName&) const = default;
};

class ScriptedHistory {
 public:
  ScriptedHistory(SimulatedDisk& disk, HistorySetup setup);

  // ---- Steps. Once the disk has crashed, or where the store could not be opened, nothing happens.
  // As long as no failure was asked for, each has to succeed.

  void Open();
  // With these options behind the setup's, and this capacity.
  void OpenAs(const std::string& options, uint64_t capacity_bytes);
  void Put(const PathName& name, size_t first, size_t count);
  // Without payloads: for an index of some size. They cannot be got, only probed.
  void PutEntries(const PathName& name, size_t first, size_t count);
  void Get(const PathName& name, size_t first, size_t count);
  void Erase(const PathName& name, size_t first, size_t count);
  void EraseRoot(const std::string& root);
  void Flush();
  // Every `step`-th of these pages, as if it were evicted.
  void Condemn(const PathName& name, size_t first, size_t count, size_t step);
  // What it says that it has done.
  CollectReport CollectGarbage();
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
  // Likewise, but nothing but reads fails: no page goes for it.
  void ExpectFailedReads() { failures_ = reads_alone_ = true; }
  // From now on the disk has so many bytes free, until Check.
  void LeaveOnDisk(uint64_t bytes);
  // What could not be read before can be now: a look-up that misses it has it tried again.
  void ExpectNoMoreFailures();

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
    std::vector<uint64_t> tags;  // of those that were acknowledged
    bool entries_only = false;
  };

  [[nodiscard]] bool dead() const { return store_ == nullptr || disk_.crashed(); }
  PathState& StateOf(const PathName& name, size_t pages);
  TestPath Make(const PathName& name);
  void Expect(const char* step, const Status& status);
  // The pages of a step that was begun; what it promises once it was acknowledged.
  void Begun(const PathName& name, size_t first, size_t count);
  void Acknowledged(const PathName& name, size_t first, const std::vector<PageState>& states,
                    const TestPath& path);
  [[nodiscard]] size_t PageBytes(const PathName& name) const;
  void AfterStep();
  void NoteLatched();
  void NoteEvicted();
  void Weaken(Promise from, Promise to);
  void CheckPromises();
  void CheckPage(const PathName& name, size_t page, PageState state);
  void CheckRepair();
  void CheckRepairWhenFull();
  void CheckAllThere();

  SimulatedDisk& disk_;
  const HistorySetup setup_;
  const bool batch_;  // durability=batch
  std::unique_ptr<Store> store_;
  Status open_status_;
  bool failures_ = false;
  bool reads_alone_ = false;
  uint64_t evicted_ = 0;  // pages at most, by this opening, as last looked at
  std::map<PathName, PathState> paths_;
};

// Each opens a store, or prepares it, runs the script, which may close and open it again, and
// checks what is left; from the first operation (or read) on, the next time from the second, until
// the script goes through: then the store is closed and has to have everything.
void CrashAnywhere(SimulatedCrash kind, const HistorySetup& setup, const Script& script);
void FailAnyOperation(int error, SimulatedCrash then, const HistorySetup& setup,
                      const Script& script);
// One read fails, once: it costs no page.
void FailAnyRead(const HistorySetup& setup, const Script& script);

struct NamedHistory {
  const char* name;
  HistorySetup setup;
  Script script;
};

// The same for each history, in a section of its own, by both kinds of crash: what fails before a
// power cut and before a kill are errnos.
void CrashEachAnywhere(const std::vector<NamedHistory>& histories);
void FailAnyOperationOfEach(const std::vector<NamedHistory>& histories, int before_power_cut,
                            int before_kill);
void FailAnyReadOfEach(const std::vector<NamedHistory>& histories);

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_CRASH_SCRIPTED_HISTORY_H_
