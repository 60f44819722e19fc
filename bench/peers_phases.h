// The operations that lamina-bench measures, each as one phase on one open engine.
//
// Measured is wall time from the first call to the last one's end, and the process's CPU time
// meanwhile. All payloads lie in memory before the clock starts, and what was restored is compared
// byte by byte after it has stopped, so no engine gets time between its calls.
#ifndef LAMINA_BENCH_PEERS_PHASES_H_
#define LAMINA_BENCH_PEERS_PHASES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bench/buffers.h"
#include "bench/engine.h"
#include "bench/meter.h"
#include "bench/page_name.h"

namespace lamina::bench {

// The page names of sequences. Two generations have no page in common.
class SequenceNames {
 public:
  SequenceNames(std::string_view root, uint64_t generation, size_t sequences, size_t batch);
  [[nodiscard]] size_t sequences() const { return names_.size() / batch_; }
  [[nodiscard]] size_t batch() const { return batch_; }
  [[nodiscard]] std::span<const PageName> Of(size_t sequence) const {
    return std::span(names_).subspan(sequence * batch_, batch_);
  }

 private:
  const size_t batch_;
  std::vector<PageName> names_;
};

struct PhaseResult {
  uint64_t bytes = 0;  // put and restored by the measured calls
  uint64_t calls = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  Samples call_seconds;
  // Not what they should be, or not handed back (a put: not stored).
  uint64_t wrong_pages = 0;
  uint64_t missing_pages = 0;
  // Of the writer in restores beside one, its flush included.
  uint64_t writer_bytes = 0;
  double writer_seconds = 0;
  // Of restores by an engine that estimates: |estimated - actual| / actual, asked before each.
  Samples estimate_errors;
};

// What the phases of a round work on. `source` holds the payloads of `names`, in order; restores go
// into `target`, which has as much room.
struct PhaseContext {
  Engine* engine = nullptr;
  size_t page_bytes = 0;
  const SequenceNames* names = nullptr;
  const PageBuffers* source = nullptr;
  const PageBuffers* target = nullptr;
};

// Fills the buffers with the payloads of `names`.
void FillSequences(const SequenceNames& names, const PageBuffers& buffers);

// Puts all of `names`, which may be other than the context's, and flushes.
Result<PhaseResult> RunPut(const PhaseContext& context, const SequenceNames& names);

// Restores the sequences in this order, shared among threads. What the page cache has of them is
// dropped first, and the target overwritten.
Result<PhaseResult> RunRestore(const PhaseContext& context, std::span<const size_t> order,
                               unsigned threads);

// Asks for each of these sequences, 2000 times at least in all, how many of its pages are stored;
// `hit`: all.
Result<PhaseResult> RunProbe(const PhaseContext& context, const SequenceNames& names, bool hit);

// Works through `order`: of ten sequences seven are restored and, in place of the other three,
// sequences of `fresh` are put; then flushes.
Result<PhaseResult> RunMixed(const PhaseContext& context, std::span<const size_t> order,
                             const SequenceNames& fresh);

// Restores in this order while another thread puts `fresh` without a pause, until one of them is
// through or `max_seconds` have passed.
Result<PhaseResult> RunRestoreBesideWriter(const PhaseContext& context,
                                           std::span<const size_t> order,
                                           const SequenceNames& fresh, double max_seconds);

// 0 to count - 1, and the same shuffled.
std::vector<size_t> InOrder(size_t count);
std::vector<size_t> Shuffled(size_t count, uint64_t seed);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PEERS_PHASES_H_
