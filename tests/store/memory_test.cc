// What is open stays within memory_bytes, so that the next open has enough of it too.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/sanitizers.h"
#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

constexpr uint64_t kMemory = uint64_t{4} << 20;

// All of it, by the store's own figures.
uint64_t MemoryUse(QuietStore& store) {
  const std::string stats = store.Stats();
  uint64_t sum = store.store().impl()->block_cache().capacity_bytes();
  for (const char* part : {"slots", "filters_and_top_indexes", "memtables_and_buffers", "eviction"})
    sum += StatOf(stats.substr(stats.find("\"memory\":")), part);
  return sum;
}

TEST_CASE("slots and filters grow no further than the memory, and the store opens again",
          "[simulated]") {
  const std::string filters = GENERATE("auto", "32", "0");
  // Slots for its capacity alone would take four times the memory.
  QuietStore store("capacity_bytes=2G;memory_bytes=4M;memtable_bytes=64K;filter_bits=" + filters);
  constexpr uint32_t kPaths = 1500;
  size_t stored = 0;
  // Until it is full. With nothing that makes room in the background, each later put would wait.
  for (uint32_t i = 0; i < kPaths && stored == i * 64; ++i) {
    TestPath path = MakePath(store.store(), "model", Tokens(i * 1000, 64));
    stored += *store.store().impl()->PutEntries(*path.path->impl(), 0, 64, 4096);
    if (i % 50 == 0) REQUIRE(MemoryUse(store) <= kMemory);
  }
  while (store.scheduler().RunOne()) {
  }
  // The memory is what stopped it, and it was used.
  REQUIRE(MemoryUse(store) <= kMemory);
  REQUIRE(store.store().impl()->log().memory_bytes() > kMemory / 3);
  REQUIRE(stored >= 30000);
  const TreePtr tree = store.store().impl()->CurrentView()->tree;
  if (filters != "0") REQUIRE(tree->filter_bits() > tree->entries());
  store.Reopen();  // requires that it opens
  REQUIRE(MemoryUse(store) <= kMemory);
}

#ifndef LAMINA_TEST_HAS_SANITIZER  // which take memory of their own

// Of this process, KiB: "VmRSS", of it "RssFile", or "VmHWM", the most of it since ForgetPeak.
int64_t Resident(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(what)) return std::strtoll(line.c_str() + what.size() + 1, nullptr, 10);
  return 0;
}

void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

int64_t Own(const std::string& what) { return Resident(what) - Resident("RssFile"); }

constexpr char kWork[] = "LAMINA_TEST_MEMORY_WORK";
constexpr int64_t kLimit = int64_t{16} << 20;

void PutManyPages(Store& store, uint32_t first, uint32_t paths) {
  constexpr size_t kPages = 16;
  const std::vector<std::byte> payload = Payload(1, 4096);
  const std::vector<const void*> buffers(kPages, payload.data());
  const std::vector<size_t> sizes(kPages, payload.size());
  for (uint32_t i = first; i < first + paths; ++i) {
    TestPath path = MakePath(store, "model", Tokens(i * 100, kPages));
    REQUIRE(store.Put(*path.path, 0, kPages, {buffers, sizes, 1}, {}).ok());
  }
}

// What the next test runs in processes of their own, as told in the environment.
TEST_CASE("puts many pages and tells by how much its process grew", "[.memory-work]") {
  const char* const work = std::getenv(kWork);
  if (work == nullptr) return;  // a filter that only excludes selects hidden cases too
  int told = -1;
  uint32_t first = 0;
  uint32_t paths = 0;
  bool close = false;
  std::string directory;
  std::istringstream(work) >> told >> first >> paths >> close >> directory;
  ForgetPeak();
  const int64_t before = Own("VmRSS");
  // Least pages: more slots and records of the policy than memory is for.
  auto store = OpenStore(directory,
                         TestOptions("capacity_bytes=256M;memory_bytes=" + std::to_string(kLimit) +
                                     ";memtable_bytes=4M;admission=all"));
  PutManyPages(*store, first, paths);
  REQUIRE(store->Flush().ok());
  REQUIRE(store->CollectGarbage({}).ok());
  if (close) {
    store.reset();
  } else {
    (void)store.release();
  }
  const int64_t growth = (Own("VmHWM") - before) << 10;
  REQUIRE(write(told, &growth, sizeof growth) == sizeof growth);
  _exit(0);  // without closing what is open
}

// By how many bytes such a process grew at most, but for the program's code. It is a new program:
// one that was only forked off would use, unseen, what earlier tests have freed.
int64_t GrowthOf(const std::string& directory, uint32_t first, uint32_t paths, bool close_store) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const std::string work = std::to_string(ends[1]) + ' ' + std::to_string(first) + ' ' +
                           std::to_string(paths) + ' ' + (close_store ? "1 " : "0 ") + directory;
  REQUIRE(setenv(kWork, work.c_str(), 1) == 0);
  // Of the C library's own: filling what is allocated touches memory that the store does not, and
  // how many heaps it keeps for threads depends on how busy the machine is.
  REQUIRE(unsetenv("MALLOC_PERTURB_") == 0);
  REQUIRE(setenv("MALLOC_ARENA_MAX", "1", 1) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    execl("/proc/self/exe", "store_test", "[.memory-work]", "-o", "/dev/null", nullptr);
    _exit(127);
  }
  unsetenv(kWork);
  close(ends[1]);
  int64_t growth = 0;
  CHECK(read(ends[0], &growth, sizeof growth) == sizeof growth);
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  return growth;
}

TEST_CASE("a process grows by no more than memory_bytes while it fills, overwrites and recovers") {
  const TemporaryDirectory directory;
  const std::string path = directory / "store";
  // Each process but the last two ends without closing its store.
  const int64_t filled = GrowthOf(path, 0, 5000, false);
  CHECK(filled <= kLimit);
  CHECK(filled >= kLimit / 4);  // it is seen
  CHECK(GrowthOf(path, 5000, 1000, false) <= kLimit);
  CHECK(GrowthOf(path, 6000, 300, true) <= kLimit);
  CHECK(GrowthOf(path, 6300, 300, true) <= kLimit);
}

#endif

}  // namespace
}  // namespace lamina::testing
