// Runs a plan: opens the engines of each shape, in directories of their own, and takes them through
// its rounds.
#ifndef LAMINA_BENCH_PEERS_RUN_H_
#define LAMINA_BENCH_PEERS_RUN_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "bench/peers_plan.h"
#include "bench/peers_rows.h"

namespace lamina::bench {

// Whether there is room for the plan on the disk and in memory.
Status CheckRoom(const PeersPlan& plan);

// What each phase came to. Errors: an engine's, with its name. `progress` is told before each phase
// what comes. Where `stop` is set, what was measured until then is returned.
Result<std::vector<Measurement>> RunPeers(const PeersPlan& plan,
                                          const std::function<void(const std::string&)>& progress,
                                          const std::atomic<bool>& stop);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PEERS_RUN_H_
