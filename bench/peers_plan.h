// What lamina-bench is to run: engines side by side, shapes of pages and batches, operations.
//
// A *round* of a shape runs every operation on every engine: the operations one after another, and
// within each the engines right after each other, in turn forwards and backwards from round to
// round, so that a device that drifts drifts for all of them alike.
#ifndef LAMINA_BENCH_PEERS_PLAN_H_
#define LAMINA_BENCH_PEERS_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/engine.h"

namespace lamina::bench {

// In the order in which they run.
enum class PeerOp : uint8_t {
  kPut,                  // new sequences, and the flush that makes them durable
  kRestore,              // all of them, in put order
  kRestoreRandom,        // all of them, in random order
  kProbeHit,             // how many pages of a sequence are stored: all
  kProbeMiss,            // none
  kMixed,                // 70 % restores, 30 % puts of new sequences, flush included
  kRestoreBesideWriter,  // in random order, while another thread puts as fast as it can
};
inline constexpr PeerOp kPeerOps[] = {
    PeerOp::kPut,       PeerOp::kRestore, PeerOp::kRestoreRandom,      PeerOp::kProbeHit,
    PeerOp::kProbeMiss, PeerOp::kMixed,   PeerOp::kRestoreBesideWriter};

// "put", "restore-random", ...
std::string_view PeerOpName(PeerOp op);

// An engine as one of those compared.
struct Contender {
  std::string label;   // "file-8"
  std::string engine;  // "file", one of EngineNames()
  unsigned file_workers = 8;
};

// "lamina", or "file-4" for the file engine with four workers; "file" is "file-1" and "file-8".
// Errors: no such engine, or one that is not in this build.
Result<std::vector<Contender>> ParseContenders(const std::vector<std::string>& labels);
// All that this build has.
std::vector<std::string> ContenderLabels();

struct Shape {
  size_t page_bytes = 0;
  size_t batch = 0;  // pages of a sequence, which is put and restored by one call
  size_t fragments = 1;
  size_t misalign_bytes = 0;
  // Puts overwrite blocks that were written before, in a full store; else they are the first into
  // their blocks. Only engines that can be bounded take part.
  bool recycled = false;
};

// Whether raw has to be given buffers of its own: it takes whole, aligned pages only.
inline bool IsPlain(const Shape& shape) {
  return shape.fragments == 1 && shape.misalign_bytes == 0;
}

// Whether the engine can overwrite its oldest pages.
bool CanRecycle(std::string_view engine);

struct PeersPlan {
  std::vector<Contender> contenders;
  std::vector<PeerOp> ops;              // in order, with all that they need
  std::vector<unsigned> threads = {1};  // of restores; all else is done by one
  std::vector<Shape> shapes;
  size_t rounds = 5;
  uint64_t bytes = uint64_t{1} << 30;  // that are put in a round, in each engine
  double writer_seconds = 3;           // most that restores beside a writer take
  EngineConfig engine;                 // what all engines are opened with
  std::string dir;                     // exists
};

// How many sequences a shape's bytes are. Tiny pages get fewer bytes: calls of a phase are bounded.
size_t SequencesOf(const PeersPlan& plan, const Shape& shape);

// The engine's settings for a shape, all but its directory.
EngineConfig ConfigOf(const PeersPlan& plan, const Shape& shape, const Contender& contender);

// `ops` in the order of running, with those that they build on: everything needs pages that were
// put, and restores beside a writer are compared with random ones without.
std::vector<PeerOp> WithPrerequisites(const std::vector<PeerOp>& ops);

// Most bytes on disk, and of page buffers, at any time. Errors: a plan that makes no sense.
struct PlanNeeds {
  uint64_t disk_bytes = 0;
  uint64_t memory_bytes = 0;
};
Result<PlanNeeds> NeedsOf(const PeersPlan& plan);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PEERS_PLAN_H_
