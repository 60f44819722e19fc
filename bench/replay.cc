#include "bench/replay.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "bench/buffers.h"
#include "bench/page_name.h"
#include "bench/payload.h"

namespace lamina::bench {
namespace {

constexpr size_t kMaxWrongPageNotes = 8;

// Adds the CPU time that the thread uses during its life to `seconds`.
class CpuTimer {
 public:
  explicit CpuTimer(double* seconds) : seconds_(*seconds), start_(ThreadCpuSeconds()) {}
  ~CpuTimer() { seconds_ += ThreadCpuSeconds() - start_; }
  CpuTimer(const CpuTimer&) = delete;
  CpuTimer& operator=(const CpuTimer&) = delete;

 private:
  double& seconds_;
  const double start_;
};

// What the threads of a replay share.
struct Shared {
  Engine* engine;
  const EngineConfig& engine_config;
  std::span<const Request> requests;
  const ReplayConfig& config;
  std::atomic<size_t> finished{0};
  std::atomic<bool> failed{false};
  std::mutex progress_mutex;

  [[nodiscard]] bool stopped() const {
    return failed.load(std::memory_order_relaxed) ||
           (config.stop != nullptr && config.stop->load(std::memory_order_relaxed));
  }
};

// One thread's part of a replay.
class Worker {
 public:
  Worker(Shared* shared, PageBuffers buffers) : shared_(*shared), buffers_(std::move(buffers)) {}

  void Run(std::span<const size_t> requests) {
    for (const size_t index : requests) {
      if (shared_.stopped()) {
        result_.stopped = true;
        return;
      }
      status_ = Serve(index);
      if (!status_.ok()) {
        shared_.failed.store(true, std::memory_order_relaxed);
        return;
      }
      const size_t finished = shared_.finished.fetch_add(1) + 1;
      Tell(finished);
    }
  }

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] const ReplayResult& result() const { return result_; }
  // Of making and checking payloads and the like.
  [[nodiscard]] double bench_cpu_seconds() const { return bench_cpu_seconds_; }

 private:
  void Tell(size_t finished) {
    const ReplayConfig& config = shared_.config;
    if (config.sample && finished % config.sample_interval == 0) {
      const CpuTimer timer(&bench_cpu_seconds_);
      const std::lock_guard lock(shared_.progress_mutex);
      config.sample();
    }
    if (!config.progress) return;
    const std::unique_lock lock(shared_.progress_mutex, std::try_to_lock);
    if (lock.owns_lock()) config.progress(finished);
  }

  Status Serve(size_t index) {
    const Request& request = shared_.requests[index];
    index_ = index;
    {
      const CpuTimer timer(&bench_cpu_seconds_);
      names_ = PageNamesOf(shared_.engine_config.root, request.blocks);
    }
    size_t hit = 0;
    double probe_seconds = 0;
    double get_seconds = 0;
    if (!names_.empty()) {
      const std::unique_ptr<EngineRequest> engine = Begin();
      const double start = NowSeconds();
      const Result<size_t> found = engine->Probe();
      probe_seconds = NowSeconds() - start;
      if (!found.ok()) return found.status();
      Status status = Restore(engine.get(), *found, &hit, &get_seconds);
      if (status.ok()) status = Store(engine.get(), hit);
      if (!status.ok()) return status;
    }
    Count(request, hit, probe_seconds, get_seconds);
    return Status::Ok();
  }

  std::unique_ptr<EngineRequest> Begin() {
    const CpuTimer timer(&bench_cpu_seconds_);
    return shared_.engine->Begin(names_);
  }

  // Gets the first `found` pages; `hit` becomes how many of them the engine handed back.
  Status Restore(EngineRequest* engine, size_t found, size_t* hit, double* seconds) {
    if (found == 0) return Status::Ok();
    if (shared_.config.drop_page_cache) {
      const CpuTimer timer(&bench_cpu_seconds_);
      engine->DropPageCache(found);
    }
    while (*hit < found) {
      const size_t count = std::min(found - *hit, buffers_.pages());
      const double start = NowSeconds();
      const Result<size_t> got = engine->Get(*hit, buffers_.Pages(count));
      *seconds += NowSeconds() - start;
      if (!got.ok()) return got.status();
      if (shared_.config.verify) Verify(*hit, *got);
      *hit += *got;
      if (*got < count) break;
    }
    result_.get_seconds.Add(*seconds);
    return Status::Ok();
  }

  // Puts the pages from `first` on.
  Status Store(EngineRequest* engine, size_t first) {
    if (first == names_.size()) return Status::Ok();
    double seconds = 0;
    while (first < names_.size()) {
      const size_t count = std::min(names_.size() - first, buffers_.pages());
      Fill(first, count);
      const double start = NowSeconds();
      const Result<size_t> put = engine->Put(first, buffers_.Pages(count));
      seconds += NowSeconds() - start;
      if (!put.ok()) return put.status();
      result_.pages_put += *put;
      // A prefix without its middle is of no use, so the rest is not tried.
      if (*put < count) {
        result_.pages_rejected += names_.size() - first - *put;
        break;
      }
      first += count;
    }
    result_.put_seconds.Add(seconds);
    return Status::Ok();
  }

  void Fill(size_t first, size_t count) {
    const CpuTimer timer(&bench_cpu_seconds_);
    for (size_t i = 0; i < count; ++i) {
      FillPayload(names_[first + i], first + i, buffers_.Page(i));
    }
  }

  void Verify(size_t first, size_t count) {
    const CpuTimer timer(&bench_cpu_seconds_);
    for (size_t i = 0; i < count; ++i) {
      const std::optional<size_t> offset =
          FindPayloadMismatch(names_[first + i], first + i, buffers_.Page(i));
      if (!offset) continue;
      ++result_.wrong_pages;
      if (result_.wrong_page_notes.size() >= kMaxWrongPageNotes) continue;
      result_.wrong_page_notes.push_back("request " + std::to_string(index_) + ", page " +
                                         std::to_string(first + i) + ": wrong from byte " +
                                         std::to_string(*offset) + " of " +
                                         std::to_string(buffers_.Page(i).size()));
    }
  }

  void Count(const Request& request, size_t hit, double probe_seconds, double get_seconds) {
    ++result_.requests;
    result_.pages_total += names_.size();
    result_.pages_hit += hit;
    if (request.stage >= result_.stages.size()) result_.stages.resize(request.stage + 1);
    StageCounts& stage = result_.stages[request.stage];
    ++stage.requests;
    stage.pages_total += names_.size();
    stage.pages_hit += hit;
    result_.probe_seconds.Add(probe_seconds);
    // An engine computes at least the last token, whose output is the first new token.
    const uint64_t restored_tokens = uint64_t{hit} * shared_.config.page_tokens;
    const uint64_t computed_tokens =
        request.input_tokens > restored_tokens ? request.input_tokens - restored_tokens : 1;
    result_.ttft_seconds.Add(probe_seconds + get_seconds +
                             static_cast<double>(computed_tokens) /
                                 shared_.config.prefill_tokens_per_s);
  }

  Shared& shared_;
  PageBuffers buffers_;
  size_t index_ = 0;
  std::vector<PageName> names_;
  Status status_;
  ReplayResult result_;
  double bench_cpu_seconds_ = 0;
};

void MergeInto(const ReplayResult& part, ReplayResult* whole) {
  whole->requests += part.requests;
  whole->pages_total += part.pages_total;
  whole->pages_hit += part.pages_hit;
  whole->pages_put += part.pages_put;
  whole->pages_rejected += part.pages_rejected;
  whole->wrong_pages += part.wrong_pages;
  for (const std::string& note : part.wrong_page_notes) {
    if (whole->wrong_page_notes.size() < kMaxWrongPageNotes) {
      whole->wrong_page_notes.push_back(note);
    }
  }
  if (whole->stages.size() < part.stages.size()) whole->stages.resize(part.stages.size());
  for (size_t i = 0; i < part.stages.size(); ++i) {
    whole->stages[i].requests += part.stages[i].requests;
    whole->stages[i].pages_total += part.stages[i].pages_total;
    whole->stages[i].pages_hit += part.stages[i].pages_hit;
  }
  whole->probe_seconds.Merge(part.probe_seconds);
  whole->get_seconds.Merge(part.get_seconds);
  whole->put_seconds.Merge(part.put_seconds);
  whole->ttft_seconds.Merge(part.ttft_seconds);
  whole->stopped = whole->stopped || part.stopped;
}

Result<std::vector<Worker>> MakeWorkers(Shared* shared) {
  const ReplayConfig& config = shared->config;
  size_t most_pages = 1;
  for (const Request& request : shared->requests) {
    most_pages = std::max(most_pages, request.blocks.size());
  }
  const size_t page_bytes = shared->engine_config.page_bytes;
  const size_t affordable = config.buffer_bytes / RoundUp(page_bytes, kDirectIoBytes);
  std::vector<Worker> workers;
  workers.reserve(config.threads);
  for (unsigned i = 0; i < config.threads; ++i) {
    Result<PageBuffers> buffers =
        PageBuffers::Allocate(std::clamp<size_t>(affordable, 1, most_pages), page_bytes);
    if (!buffers.ok()) return buffers.status();
    workers.emplace_back(shared, std::move(*buffers));
  }
  return workers;
}

}  // namespace

std::vector<unsigned> AssignThreads(std::span<const Request> requests, unsigned threads) {
  std::vector<unsigned> assigned(requests.size(), 0);
  if (threads <= 1) return assigned;
  // The blocks at this depth separate the requests: behind it no block is in most of them.
  size_t depth = 0;
  while (true) {
    std::unordered_map<uint64_t, size_t> counts;
    size_t most = 0;
    for (const Request& request : requests) {
      if (request.blocks.size() > depth) {
        most = std::max(most, ++counts[request.blocks[depth]]);
      }
    }
    if (most * 2 <= requests.size()) break;
    ++depth;
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<uint64_t>& blocks = requests[i].blocks;
    if (blocks.size() > depth) assigned[i] = static_cast<unsigned>(Mix(blocks[depth]) % threads);
  }
  return assigned;
}

Result<ReplayResult> Replay(Engine* engine, const EngineConfig& engine_config,
                            std::span<const Request> requests, const ReplayConfig& config) {
  Shared shared{.engine = engine,
                .engine_config = engine_config,
                .requests = requests,
                .config = config,
                .progress_mutex = {}};
  Result<std::vector<Worker>> workers = MakeWorkers(&shared);
  if (!workers.ok()) return workers.status();
  std::vector<std::vector<size_t>> shares(config.threads);
  const std::vector<unsigned> assigned = AssignThreads(requests, config.threads);
  for (size_t i = 0; i < requests.size(); ++i) shares[assigned[i]].push_back(i);

  const std::optional<uint64_t> written_before = ProcessWriteBytes();
  const double cpu_before = ProcessCpuSeconds();
  const double start = NowSeconds();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < config.threads; ++i) {
    threads.emplace_back([&, i] { (*workers)[i].Run(shares[i]); });
  }
  for (std::thread& thread : threads) thread.join();

  ReplayResult result;
  double bench_cpu_seconds = 0;
  for (const Worker& worker : *workers) {
    if (!worker.status().ok()) return worker.status();
    MergeInto(worker.result(), &result);
    bench_cpu_seconds += worker.bench_cpu_seconds();
  }
  const double flush_start = NowSeconds();
  Status status = engine->Flush();
  if (!status.ok()) return status;
  const double end = NowSeconds();
  result.flush_seconds = end - flush_start;
  result.wall_seconds = end - start;
  result.engine_cpu_seconds = std::max(0.0, ProcessCpuSeconds() - cpu_before - bench_cpu_seconds);
  const std::optional<uint64_t> written_after = ProcessWriteBytes();
  if (written_before && written_after) result.written_bytes = *written_after - *written_before;
  return result;
}

}  // namespace lamina::bench
