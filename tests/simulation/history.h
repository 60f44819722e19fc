// Runs one simulated history: a store on a simulated disk, a plan of what happens to it, and an
// oracle that every answer is held against.
//
// One thread does everything. Background tasks are taken a step at a time, in an order that the
// plan's seed gives; submitted calls are served when the plan says so; completions come in the
// order that the simulated disk gives. So a seed repeats its history exactly.
#ifndef LAMINA_TESTS_SIMULATION_HISTORY_H_
#define LAMINA_TESTS_SIMULATION_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/io/simulated_file_system.h"
#include "engine/store/store_impl.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/world.h"

namespace lamina::simulation {

// What a history shows to be wrong with the store.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Outcome {
  std::string violation;  // empty: none
  size_t step = 0;        // at which it was met; the number of steps if at the end
  uint64_t digest = 0;    // of every answer: the same for the same plan
  uint64_t crashes = 0;
  uint64_t faults = 0;
  uint64_t pages_checked = 0;
  uint64_t pages_evicted = 0;
  bool gave_up = false;  // the disk had lied, and the store said so when it was opened
};

class History {
 public:
  // With `trace`, each step and what became of it goes to stderr.
  explicit History(const Plan& plan, bool trace = false);
  ~History();
  Outcome Run();

 private:
  struct Batch;      // buffers of some pages, and what they hold
  struct Submitted;  // a submitted call

  // ---- history.cc: the frame
  void Do(const Step& step);
  void AfterStep();
  void Finish();
  void Trace(const std::string& what) const;
  [[noreturn]] void Fail(const std::string& what) const;
  void Answer(uint64_t word);  // into the digest
  void Answer(std::span<const PageState> states);
  [[nodiscard]] bool crashed() const { return disk_.crashed(); }
  [[nodiscard]] Store::Impl& impl() const { return *store_->impl(); }
  void LookAtSlots();
  void NoteFailedSyncs();

  // ---- history_open.cc: opening, closing, crashes, faults
  void Open(Random* random, const std::string& more_options = {});
  bool TryOpen(const std::string& options);
  void Close(bool detach);
  void Reopen(Random* random);
  void Recover(Random* random);
  void CrashNow(Random* random);
  void BeginFaults(Random* random);
  void EndFaults(Random* random);
  void EndFaultsOfDisk();
  void FailOne(Random* random, bool read);
  void FillDisk(Random* random);
  void Decay(Random* random);
  // The disk may have changed bytes of tensors silently, or of anything.
  void NoteSilentDamage();

  // ---- history_calls.cc: calls
  struct Range {
    const PathSpec* spec = nullptr;
    size_t first = 0;
    size_t count = 0;
    [[nodiscard]] PageId page(size_t i) const { return spec->pages[first + i]; }
  };
  Range DrawRange(Random* random, size_t most);
  void Put(Random* random);
  void PutRange(Random* random, const Range& range, bool must_succeed);
  void Get(Random* random);
  // With `odd_sizes`, at times one page is asked for with a size that is not its own.
  void GetRange(Random* random, const Range& range, bool odd_sizes);
  void Probe(Random* random);
  void Erase(Random* random);
  void EraseRoot(Random* random);
  void Maintain(Act act, Random* random);
  void Background(Random* random);
  void SetCapacity(Random* random);
  void SetShape(Random* random);
  void CheckStatus(const char* call, const Status& status);
  void CompactAll();
  void AcknowledgePages(const Range& range, std::span<const PageState> states, Path& path,
                        bool read);
  void CheckGot(const Range& range, const Batch& batch, std::span<const PageState> states,
                bool must_find_promised);

  // ---- history_submit.cc: submitted calls
  void Submit(Random* random, bool put);
  void Serve(Random* random);
  void Cancel(Random* random);
  void Wait(Random* random);
  void Collect();
  void Settle(Submitted& call);

  // ---- history_checks.cc: the store as a whole
  void Quiesce();
  void RunBackground();
  void CheckSpace();
  void CheckFiles(size_t tables);
  void CheckAllPages();
  void CheckRepair();

  const Plan plan_;
  const bool trace_;
  Random world_random_;
  const World world_;
  SimulatedDisk disk_;
  Oracle oracle_;
  std::unique_ptr<Store> store_;
  std::string options_;
  bool batch_ = false;  // durability=batch
  uint64_t capacity_bytes_ = 0;
  std::list<std::unique_ptr<Submitted>> submitted_;

  SimulatedCrash crash_kind_ = SimulatedCrash::kPower;  // of the next or last one
  uint64_t crash_in_open_ = 0;                          // the operation of the next open; 0: none
  bool faults_on_ = false;                              // calls may fail, and pages may be missed
  bool faulty_open_ = false;           // since the store was opened, something failed
  bool silent_damage_ = false;         // in the present stretch the disk may lie
  bool lied_ = false;                  // the disk has lied about other things than tensors
  bool unreadable_ = false;            // there are sectors of tensors that the disk cannot read
  uint64_t evicted_ = 0;               // by this opening, as last looked at
  uint64_t damage_ = 0;                // likewise: parts of the index that were given up
  SimulatedFailedSyncs failed_syncs_;  // of segments, that the oracle knows of
  size_t step_ = 0;
  Outcome outcome_;
};

}  // namespace lamina::simulation

#endif  // LAMINA_TESTS_SIMULATION_HISTORY_H_
