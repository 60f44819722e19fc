#include "tests/simulation/plan.h"

#include <array>
#include <utility>

namespace lamina::simulation {
namespace {

struct Weight {
  Act act;
  uint32_t weight;
  Trouble from;  // the least trouble with which it comes
};

constexpr std::array kWeights = {
    Weight{Act::kPut, 60, Trouble::kNone},
    Weight{Act::kGet, 26, Trouble::kNone},
    Weight{Act::kProbe, 12, Trouble::kNone},
    Weight{Act::kTouch, 5, Trouble::kNone},
    Weight{Act::kErase, 10, Trouble::kNone},
    Weight{Act::kEraseRoot, 3, Trouble::kNone},
    Weight{Act::kFlush, 12, Trouble::kNone},
    Weight{Act::kCompactAll, 3, Trouble::kNone},
    Weight{Act::kCollectGarbage, 4, Trouble::kNone},
    Weight{Act::kSetCapacity, 5, Trouble::kNone},
    Weight{Act::kSetShape, 2, Trouble::kNone},
    Weight{Act::kBackground, 20, Trouble::kNone},
    Weight{Act::kSubmitPut, 8, Trouble::kNone},
    Weight{Act::kSubmitGet, 6, Trouble::kNone},
    Weight{Act::kServe, 12, Trouble::kNone},
    Weight{Act::kCancel, 4, Trouble::kNone},
    Weight{Act::kWait, 6, Trouble::kNone},
    Weight{Act::kReopen, 5, Trouble::kNone},
    Weight{Act::kQuiesce, 2, Trouble::kNone},
    Weight{Act::kCrash, 5, Trouble::kCrashes},
    Weight{Act::kCrashLater, 10, Trouble::kCrashes},
    Weight{Act::kFaultsBegin, 8, Trouble::kErrors},
    Weight{Act::kFaultsEnd, 10, Trouble::kErrors},
    Weight{Act::kFailOperation, 8, Trouble::kErrors},
    Weight{Act::kFailRead, 4, Trouble::kErrors},
    Weight{Act::kFillDisk, 4, Trouble::kErrors},
    Weight{Act::kDecay, 6, Trouble::kSegments},
};

Act DrawAct(Random* random, Trouble trouble) {
  uint32_t all = 0;
  for (const Weight& w : kWeights) all += w.from <= trouble ? w.weight : 0;
  auto at = static_cast<uint32_t>(random->Below(all));
  for (const Weight& w : kWeights) {
    if (w.from > trouble) continue;
    if (at < w.weight) return w.act;
    at -= w.weight;
  }
  return Act::kPut;
}

Trouble DrawTrouble(Random* random) {
  const uint64_t draw = random->Below(100);
  if (draw < 10) return Trouble::kNone;
  if (draw < 50) return Trouble::kCrashes;
  if (draw < 80) return Trouble::kErrors;
  return draw < 92 ? Trouble::kSegments : Trouble::kAnything;
}

template <class T, size_t N>
const T& OneOf(Random* random, const std::array<T, N>& of) {
  return of[random->Below(N)];
}

}  // namespace

const char* NameOf(Act act) {
  static constexpr std::array kNames = {
      "put",        "get",         "probe",        "touch",        "erase",          "erase_root",
      "flush",      "compact_all", "collect",      "set_capacity", "set_shape",      "background",
      "submit_put", "submit_get",  "serve",        "cancel",       "wait",           "reopen",
      "crash",      "crash_later", "faults_begin", "faults_end",   "fail_operation", "fail_read",
      "fill_disk",  "decay",       "quiesce"};
  return kNames[static_cast<size_t>(act)];
}

Plan Plan::Draw(uint64_t seed) {
  Random random(seed * 0x9E3779B97F4A7C15u + 1);
  Plan plan;
  plan.seed = seed;
  plan.trouble = DrawTrouble(&random);
  plan.disk.direct_refused = random.Below(10) == 0;
  plan.disk.punch_hole_refused = random.Below(6) == 0;
  if (random.Below(4) == 0) plan.disk.direct_alignment = {.memory = 512, .offset = 512};
  const size_t roots = 1 + random.Below(kRoots.size());
  // One class for all, or several that compete for the capacity.
  const bool one_class = random.Coin();
  constexpr std::array<uint32_t, 6> kSizes = {4096, 4096, 5000, 8192, 12288, 15500};
  const uint32_t common = OneOf(&random, kSizes);
  for (size_t i = 0; i < roots; ++i)
    plan.sizes.of_root.push_back(one_class ? common : OneOf(&random, kSizes));
  plan.sizes.mixed = random.Below(4) == 0;
  plan.paths = 4 + random.Below(16);
  plan.longest_path = 1 + random.Below(40);
  constexpr uint64_t kKiB = 1024;
  constexpr std::array<uint64_t, 6> kCapacities = {0,           1024 * kKiB, 1024 * kKiB,
                                                   1536 * kKiB, 2048 * kKiB, 4096 * kKiB};
  plan.capacity_bytes = OneOf(&random, kCapacities);
  constexpr std::array<uint32_t, 4> kStems = {64, 64, 5, 1};
  plan.stem_pages = OneOf(&random, kStems);
  plan.log_dirs = random.Below(5) == 0 ? 2 : 1;
  if (random.Below(3) == 0) plan.always.again = 0.02;
  if (random.Below(3) == 0) plan.always.short_transfer = 0.05;
  if (random.Below(3) == 0) plan.always.delay = 0.1;
  plan.always.reorder = random.Coin();
  if (random.Below(3) == 0) plan.always.garbage = 0.3;
  const size_t steps = 8 + random.Below(random.Below(4) == 0 ? 120 : 40);
  for (size_t i = 0; i < steps; ++i) {
    const Act act = DrawAct(&random, plan.trouble);
    plan.steps.push_back({act, random.Below(UINT64_MAX)});
  }
  return plan;
}

std::string Plan::DrawOptions(Random* random) const {
  // Without a clock in any decision: see StoreEnvironment::single_threaded.
  std::string text =
      "capacity_bytes=64M;min_free_bytes=0;memtable_bytes=64K;table_bytes=64K;checkpoint_seconds=0;"
      "writes_beside_reads=0;request_bytes=256K;stem_pages=" +
      std::to_string(stem_pages);
  const auto add = [&](const std::string& more) { text += ";" + more; };
  constexpr std::array<const char*, 3> kMemory = {"8M", "16M", "64M"};
  add(std::string("memory_bytes=") + OneOf(random, kMemory));
  add(random->Below(3) == 0 ? "durability=batch" : "durability=none");
  constexpr std::array<const char*, 3> kEviction = {"prhd", "lru", "s3fifo"};
  add(std::string("eviction=") + OneOf(random, kEviction));
  constexpr std::array<const char*, 4> kAdmission = {"all", "all", "policy", "second_use"};
  add(std::string("admission=") + OneOf(random, kAdmission));
  add(random->Below(4) == 0 ? "erase=physical" : "erase=logical");
  constexpr std::array<const char*, 4> kCompaction = {"auto", "leveling", "tiering", "lazy"};
  add(std::string("compaction=") + OneOf(random, kCompaction));
  constexpr std::array<const char*, 3> kRatio = {"0", "2", "4"};
  add(std::string("size_ratio=") + OneOf(random, kRatio));
  constexpr std::array<const char*, 4> kBits = {"auto", "0", "3.5", "12"};
  add(std::string("filter_bits=") + OneOf(random, kBits));
  constexpr std::array<const char*, 3> kDepth = {"1", "4", "32"};
  add(std::string("io_depth=") + OneOf(random, kDepth));
  if (random->Coin()) add("checkpoint_bytes=1M");
  if (log_dirs == 2) add("log_dirs=/logs-a,/logs-b");
  return text;
}

SimulatedFaults Plan::DrawFaults(Random* random) const {
  SimulatedFaults faults = always;
  const auto maybe = [&](double* probability) {
    if (random->Below(3) == 0) *probability = random->Coin() ? 0.02 : 0.2;
  };
  if (random->Coin()) {
    maybe(&faults.read_error);
    maybe(&faults.write_error);
    maybe(&faults.sync_error);
    maybe(&faults.change_error);
    maybe(&faults.open_error);
    maybe(&faults.no_space);
    maybe(&faults.again);
  }
  if (!Silent()) return faults;
  if (random->Coin()) {
    maybe(&faults.flip_on_read);
    maybe(&faults.misdirected_read);
    maybe(&faults.stale_read);
    maybe(&faults.lost_write);
    maybe(&faults.misdirected_write);
  }
  if (trouble == Trouble::kSegments) faults.only_in = ".segment";
  return faults;
}

}  // namespace lamina::simulation
