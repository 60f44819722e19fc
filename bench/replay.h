// Replays requests through an engine: probe, get the leading pages that are stored, check every
// byte of them, put the rest.
//
// Measured are the engine's calls alone. Making payloads, comparing them and dropping page caches
// happen between the calls; their CPU time is subtracted from the process's. With several threads,
// requests that share more than what (nearly) all requests share go to one thread, in order, so a
// session's next request never overtakes the one that stores its pages.
#ifndef LAMINA_BENCH_REPLAY_H_
#define LAMINA_BENCH_REPLAY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/engine.h"
#include "bench/meter.h"
#include "bench/trace.h"

namespace lamina::bench {

struct ReplayConfig {
  unsigned threads = 1;
  bool verify = true;
  // Restored pages come from the device also where an engine leaves them to the page cache.
  bool drop_page_cache = true;
  // For the modelled time to first token.
  double prefill_tokens_per_s = 31000;
  uint32_t page_tokens = 512;
  // Most bytes of buffers a thread has; a request with more pages is moved in several calls.
  size_t buffer_bytes = size_t{256} << 20;
  // Called every so many requests, by one thread at a time; may be empty. Its time is not the
  // engine's.
  std::function<void()> sample;
  size_t sample_interval = 100;
  // Called now and then with the requests done, from one thread at a time; may be empty.
  std::function<void(size_t)> progress;
  // Set from outside (a signal) to end the replay early.
  const std::atomic<bool>* stop = nullptr;
};

struct StageCounts {
  uint64_t requests = 0;
  uint64_t pages_total = 0;
  uint64_t pages_hit = 0;
};

// Counts and times of a replay. Times are of single calls' sums per request.
struct ReplayResult {
  uint64_t requests = 0;
  uint64_t pages_total = 0;
  uint64_t pages_hit = 0;       // leading pages that were handed back
  uint64_t pages_put = 0;       // asked to be stored, and stored or there already
  uint64_t pages_rejected = 0;  // asked to be stored, and not stored
  uint64_t wrong_pages = 0;
  std::vector<std::string> wrong_page_notes;  // of the first few
  std::vector<StageCounts> stages;            // by Request::stage

  Samples probe_seconds;  // of each request
  Samples get_seconds;    // of each request that got pages
  Samples put_seconds;    // of each request that put pages
  Samples ttft_seconds;   // of each request; modelled
  double flush_seconds = 0;
  double wall_seconds = 0;        // from the first request to the end of the flush
  double engine_cpu_seconds = 0;  // all threads of the process, less the bench's own work
  std::optional<uint64_t> written_bytes;
  bool stopped = false;
};

// Replays `requests` and flushes. Errors are the engine's. Wrong pages are counted, not an error.
Result<ReplayResult> Replay(Engine* engine, const EngineConfig& engine_config,
                            std::span<const Request> requests, const ReplayConfig& config);

// The thread (0 to threads - 1) that each request goes to.
std::vector<unsigned> AssignThreads(std::span<const Request> requests, unsigned threads);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_REPLAY_H_
