// A replay that is interrupted goes on where it was: by closing the store, and by killing the
// process.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <span>

#include "bench/engine.h"
#include "bench/replay.h"
#include "bench/workloads.h"
#include "tests/bench/temporary_directory.h"

namespace lamina::bench {
namespace {

constexpr size_t kRequests = 400;

EngineConfig StoreIn(const TemporaryDirectory& directory) {
  EngineConfig config;
  config.dir = directory.path();
  config.page_bytes = 4096;
  config.store_options = "capacity_bytes=4G;min_free_bytes=0";
  return config;
}

// Replays the requests on a store of its own process and ends that process as `end` does. Returns
// the hits through a pipe; -1 when anything went wrong.
int64_t HitsInChild(const EngineConfig& config, std::span<const Request> requests, bool kill_it) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int64_t hits = -1;
    auto engine = OpenEngine("lamina", config);
    if (engine.ok()) {
      auto result = Replay(engine->get(), config, requests, {});
      if (result.ok() && result->wrong_pages == 0) hits = static_cast<int64_t>(result->pages_hit);
    }
    const bool told = write(ends[1], &hits, sizeof hits) == sizeof hits;
    if (kill_it) kill(getpid(), SIGKILL);
    if (engine.ok()) engine->reset();
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  int64_t hits = -1;
  REQUIRE(read(ends[0], &hits, sizeof hits) == sizeof hits);
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE((kill_it ? WIFSIGNALED(status) : WIFEXITED(status)));
  return hits;
}

TEST_CASE("a replay in two processes hits what one run hits, also when the first one is killed") {
  const auto workload = MakeWorkload("conversation", kRequests, 5);
  REQUIRE(workload.ok());
  const std::span<const Request> all(workload->requests);
  int64_t unbounded = 0;
  for (const size_t hits : UnboundedHits(all)) unbounded += static_cast<int64_t>(hits);
  const bool kill_it = GENERATE(false, true);
  const TemporaryDirectory directory;
  const EngineConfig config = StoreIn(directory);
  const int64_t first = HitsInChild(config, all.first(kRequests / 2), kill_it);
  const int64_t second = HitsInChild(config, all.subspan(kRequests / 2), false);
  CHECK(first > 0);
  CHECK(first + second == unbounded);
}

}  // namespace
}  // namespace lamina::bench
