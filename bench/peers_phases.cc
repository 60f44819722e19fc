#include "bench/peers_phases.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>

#include "bench/payload.h"
#include "bench/random.h"

namespace lamina::bench {
namespace {

// They take microseconds; so many of them take milliseconds.
constexpr size_t kMinProbes = 2000;

// Runs from its construction to Stop().
class PhaseClock {
 public:
  void Stop(PhaseResult* result) const {
    result->seconds = NowSeconds() - seconds_;
    result->cpu_seconds = ProcessCpuSeconds() - cpu_seconds_;
  }
  [[nodiscard]] double Elapsed() const { return NowSeconds() - seconds_; }

 private:
  const double cpu_seconds_ = ProcessCpuSeconds();
  const double seconds_ = NowSeconds();
};

std::span<std::byte* const> BuffersOf(const PageBuffers& buffers, const SequenceNames& names,
                                      size_t sequence) {
  return buffers.Pages(sequence * names.batch(), names.batch());
}

// What one thread's calls came to.
struct Calls {
  Status status;
  uint64_t pages = 0;
  uint64_t missing_pages = 0;
  Samples seconds;
  Samples estimate_errors;

  // Counts one call that began at `start` and handed back (or stored) so many of `asked` pages.
  void Count(double start, size_t asked, const Result<size_t>& done) {
    seconds.Add(NowSeconds() - start);
    if (!done.ok()) {
      status = done.status();
      return;
    }
    pages += *done;
    missing_pages += asked - *done;
  }
};

void Add(const Calls& calls, size_t page_bytes, PhaseResult* result) {
  result->bytes += calls.pages * page_bytes;
  result->calls += calls.seconds.count();
  result->missing_pages += calls.missing_pages;
  result->call_seconds.Merge(calls.seconds);
  result->estimate_errors.Merge(calls.estimate_errors);
}

void PutOne(const PhaseContext& context, const SequenceNames& names, size_t sequence,
            Calls* calls) {
  const double start = NowSeconds();
  const std::unique_ptr<EngineRequest> request = context.engine->Begin(names.Of(sequence));
  const Result<size_t> put = request->Put(0, BuffersOf(*context.source, *context.names, sequence));
  calls->Count(start, names.batch(), put);
}

// What an engine takes for its estimate counts as part of its restore: who plans by it asks first.
void RestoreOne(const PhaseContext& context, size_t sequence, Calls* calls) {
  const SequenceNames& names = *context.names;
  const double start = NowSeconds();
  const std::unique_ptr<EngineRequest> request = context.engine->Begin(names.Of(sequence));
  const std::optional<double> estimate = request->Estimate(0, names.batch());
  const double estimated = NowSeconds();
  const Result<size_t> got = request->Get(0, BuffersOf(*context.target, names, sequence));
  const double actual = NowSeconds() - estimated;
  calls->Count(start, names.batch(), got);
  if (estimate) calls->estimate_errors.Add(std::abs(*estimate - actual) / actual);
}

void PrepareToRestore(const PhaseContext& context) {
  const SequenceNames& names = *context.names;
  for (size_t s = 0; s < names.sequences(); ++s) {
    context.engine->Begin(names.Of(s))->DropPageCache(names.batch());
  }
  for (size_t page = 0; page < context.target->pages(); ++page) {
    for (size_t f = 0; f < context.target->fragments(); ++f) {
      const std::span<std::byte> fragment = context.target->Fragment(page, f);
      std::memset(fragment.data(), 0xA5, fragment.size());
    }
  }
}

// Counts pages of these sequences that are not what was put.
uint64_t CountWrongPages(const PhaseContext& context, std::span<const size_t> sequences) {
  const SequenceNames& names = *context.names;
  const PageBuffers& target = *context.target;
  uint64_t wrong = 0;
  for (const size_t sequence : sequences) {
    for (size_t i = 0; i < names.batch(); ++i) {
      bool right = true;
      for (size_t f = 0; f < target.fragments(); ++f) {
        right = right && !FindPayloadMismatch(names.Of(sequence)[i], i * target.fragments() + f,
                                              target.Fragment(sequence * names.batch() + i, f));
      }
      wrong += right ? 0 : 1;
    }
  }
  return wrong;
}

}  // namespace

SequenceNames::SequenceNames(std::string_view root, uint64_t generation, size_t sequences,
                             size_t batch)
    : batch_(batch) {
  names_.reserve(sequences * batch);
  const PageName parent = ChildPageName(RootPageName(root), generation);
  for (size_t s = 0; s < sequences; ++s) {
    PageName name = ChildPageName(parent, s);
    for (size_t i = 0; i < batch; ++i) names_.push_back(name = ChildPageName(name, i));
  }
}

void FillSequences(const SequenceNames& names, const PageBuffers& buffers) {
  for (size_t s = 0; s < names.sequences(); ++s) {
    for (size_t i = 0; i < names.batch(); ++i) {
      for (size_t f = 0; f < buffers.fragments(); ++f) {
        FillPayload(names.Of(s)[i], i * buffers.fragments() + f,
                    buffers.Fragment(s * names.batch() + i, f));
      }
    }
  }
}

Result<PhaseResult> RunPut(const PhaseContext& context, const SequenceNames& names) {
  PhaseResult result;
  Calls calls;
  const PhaseClock clock;
  for (size_t s = 0; s < names.sequences() && calls.status.ok(); ++s) {
    PutOne(context, names, s, &calls);
  }
  if (calls.status.ok()) calls.status = context.engine->Flush();
  clock.Stop(&result);
  if (!calls.status.ok()) return calls.status;
  Add(calls, context.page_bytes, &result);
  return result;
}

Result<PhaseResult> RunRestore(const PhaseContext& context, std::span<const size_t> order,
                               unsigned threads) {
  PrepareToRestore(context);
  std::vector<Calls> calls(threads);
  // The caller's thread only holds the clock. It starts when all threads have arrived once, and
  // they start when all have arrived a second time.
  std::barrier ready(static_cast<ptrdiff_t>(threads) + 1);
  const auto restore = [&](unsigned thread) {
    ready.arrive_and_wait();
    ready.arrive_and_wait();
    for (size_t i = thread; i < order.size() && calls[thread].status.ok(); i += threads) {
      RestoreOne(context, order[i], &calls[thread]);
    }
  };
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads; ++t) running.emplace_back(restore, t);
  ready.arrive_and_wait();
  PhaseResult result;
  const PhaseClock clock;
  ready.arrive_and_wait();
  for (std::thread& thread : running) thread.join();
  clock.Stop(&result);
  for (const Calls& of_thread : calls) {
    if (!of_thread.status.ok()) return of_thread.status;
    Add(of_thread, context.page_bytes, &result);
  }
  result.wrong_pages = CountWrongPages(context, order);
  return result;
}

Result<PhaseResult> RunProbe(const PhaseContext& context, const SequenceNames& names, bool hit) {
  PhaseResult result;
  Calls calls;
  uint64_t found_pages = 0;
  const size_t repetitions = 1 + (kMinProbes - 1) / names.sequences();
  const PhaseClock clock;
  for (size_t i = 0; i < repetitions * names.sequences(); ++i) {
    const double start = NowSeconds();
    const Result<size_t> found = context.engine->Begin(names.Of(i % names.sequences()))->Probe();
    calls.seconds.Add(NowSeconds() - start);
    if (!found.ok()) return found.status();
    found_pages += *found;
  }
  clock.Stop(&result);
  Add(calls, context.page_bytes, &result);
  const uint64_t pages = repetitions * names.sequences() * names.batch();
  (hit ? result.missing_pages : result.wrong_pages) = hit ? pages - found_pages : found_pages;
  return result;
}

Result<PhaseResult> RunMixed(const PhaseContext& context, std::span<const size_t> order,
                             const SequenceNames& fresh) {
  PrepareToRestore(context);
  PhaseResult result;
  Calls calls;
  std::vector<size_t> restored;
  const PhaseClock clock;
  for (size_t i = 0; i < order.size() && calls.status.ok(); ++i) {
    // 3 of 10, evenly.
    const bool put = i * 3 / 10 != (i + 1) * 3 / 10;
    if (put) {
      PutOne(context, fresh, order[i], &calls);
    } else {
      RestoreOne(context, order[i], &calls);
      restored.push_back(order[i]);
    }
  }
  if (calls.status.ok()) calls.status = context.engine->Flush();
  clock.Stop(&result);
  if (!calls.status.ok()) return calls.status;
  Add(calls, context.page_bytes, &result);
  result.wrong_pages = CountWrongPages(context, restored);
  return result;
}

Result<PhaseResult> RunRestoreBesideWriter(const PhaseContext& context,
                                           std::span<const size_t> order,
                                           const SequenceNames& fresh, double max_seconds) {
  PrepareToRestore(context);
  PhaseResult result;
  Calls puts;
  Calls gets;
  std::atomic<bool> stop_writing{false};
  std::atomic<bool> writer_is_through{false};
  std::barrier ready(2);
  std::thread writer([&] {
    ready.arrive_and_wait();
    const PhaseClock clock;
    // At least one put, as below one restore, so that there is something to report.
    size_t written = 0;
    do {
      PutOne(context, fresh, written++, &puts);
    } while (written < fresh.sequences() && puts.status.ok() && !stop_writing);
    writer_is_through = true;
    if (puts.status.ok()) puts.status = context.engine->Flush();
    result.writer_seconds = clock.Elapsed();
  });
  ready.arrive_and_wait();
  const PhaseClock clock;
  size_t done = 0;
  while (done < order.size() && gets.status.ok() &&
         (done == 0 || (!writer_is_through && clock.Elapsed() < max_seconds))) {
    RestoreOne(context, order[done++], &gets);
  }
  clock.Stop(&result);
  stop_writing = true;
  writer.join();
  if (!gets.status.ok()) return gets.status;
  if (!puts.status.ok()) return puts.status;
  Add(gets, context.page_bytes, &result);
  result.missing_pages += puts.missing_pages;
  result.writer_bytes = puts.pages * context.page_bytes;
  result.wrong_pages = CountWrongPages(context, order.first(done));
  return result;
}

std::vector<size_t> InOrder(size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  return order;
}

std::vector<size_t> Shuffled(size_t count, uint64_t seed) {
  std::vector<size_t> order = InOrder(count);
  Random random(seed);
  for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

}  // namespace lamina::bench
