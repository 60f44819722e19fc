// Mixes of operations that change, run with every static shape, with the tuner, with shapes at
// random, and with the tuner off.
#ifndef LAMINA_BENCH_TUNER_SCHEDULES_H_
#define LAMINA_BENCH_TUNER_SCHEDULES_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/tuner_store.h"

namespace lamina::bench {

struct Phase {
  OperationMix mix;
  uint64_t operations = 0;
};

struct Schedule {
  std::string name;
  std::vector<Phase> phases;
};

// stages    hit rates .1 .3 .5 .7 .5 .3 .1, each miss followed by a put
// ring      24 mixes in which each of the four operations varies from 3 to 91 %
// far       from mostly puts to mostly lookups and back, twice
// flutter   the same two, a window each: faster than any switch can pay for itself
// constant  one mix
// Sums to `operations`.
std::vector<Schedule> MakeSchedules(uint64_t operations, uint64_t window_operations);

struct ScheduleSettings {
  TunerStoreSettings store;  // directory: where stores are made
  // 11 is the smallest with which the default store has two levels, where the best shapes lie.
  std::vector<uint32_t> size_ratios = {2, 4, 8, 11, 12, 16};
  // Before anything is counted, of the first phase's mix: every tree is in its steady state.
  uint64_t warm_up_operations = 40000;
  uint32_t threads = 2;
  // Only these, by name; all if empty. Of the static ones at least one.
  std::vector<std::string> variants;
};

// A table is printed.
nlohmann::ordered_json RunSchedule(const ScheduleSettings& settings, const Schedule& schedule);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_TUNER_SCHEDULES_H_
