// What happens in a simulated history, all of it drawn from one seed: the world, the options of
// each opening, the faults that may come, and the steps.
//
// Each step has a seed of its own, so that a history that fails can be cut: what remains does the
// same as before as far as the disk lets it.
#ifndef LAMINA_TESTS_SIMULATION_PLAN_H_
#define LAMINA_TESTS_SIMULATION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/simulated_file_system.h"
#include "engine/lamina.h"
#include "tests/simulation/world.h"

namespace lamina::simulation {

enum class Act : uint8_t {
  kPut,
  kGet,
  kProbe,
  kTouch,
  kErase,
  kEraseRoot,
  kFlush,
  kCompactAll,
  kCollectGarbage,
  kSetCapacity,
  kSetShape,
  kBackground,
  kSubmitPut,
  kSubmitGet,
  kServe,
  kCancel,
  kWait,
  kReopen,
  kCrash,          // now
  kCrashLater,     // at one of the next operations on the disk
  kFaultsBegin,    // a stretch with faults
  kFaultsEnd,      //
  kFailOperation,  // one of the next
  kFailRead,
  kFillDisk,  // up to the end of the stretch with faults
  kDecay,     // of what lies on the disk
  kQuiesce,   // and accounting
};
const char* NameOf(Act act);

struct Step {
  Act act = Act::kPut;
  uint64_t seed = 0;
};

// What the disk may do to a history, and so what may be expected of the store.
enum class Trouble : uint8_t {
  kNone,      // not even crashes
  kCrashes,   // power cuts and deaths of the process
  kErrors,    // and errors that are reported
  kSegments,  // and silent corruption of the tensors
  kAnything,  // and of everything: bytes must still be right
};

struct Plan {
  uint64_t seed = 0;
  Trouble trouble = Trouble::kNone;
  SimulatedDisk::Options disk;
  World::Sizes sizes;
  size_t paths = 0;
  size_t longest_path = 0;
  uint64_t capacity_bytes = 0;  // in place of the option, if not 0
  uint32_t stem_pages = 64;
  size_t log_dirs = 1;
  SimulatedFaults always;  // those that no caller may notice
  std::vector<Step> steps;

  static Plan Draw(uint64_t seed);
  // Of one opening; the store's creation takes the first.
  [[nodiscard]] std::string DrawOptions(Random* random) const;
  // Of a stretch with faults, on top of those that are always there.
  [[nodiscard]] SimulatedFaults DrawFaults(Random* random) const;
  [[nodiscard]] bool Silent() const { return trouble >= Trouble::kSegments; }
};

}  // namespace lamina::simulation

#endif  // LAMINA_TESTS_SIMULATION_PLAN_H_
