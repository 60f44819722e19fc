// vlog-gc as a process: exit codes, pipes, a store that is in use, and being killed.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "engine/store/store_impl.h"
#include "tests/tools/shell.h"
#include "tests/tools/vlog_gc_fixture.h"

namespace lamina::testing {
namespace {

using tools::ExitCode;

const std::string kTool = LAMINA_VLOG_GC;

TEST_CASE("vlog-gc exits 0 when all is right, 1 on damage, 2 on wrong usage and on no store") {
  GcStore store(1, 20, 65536);
  const auto slot = store.PlaceOf(0, 4).slot;
  store.Close();
  const std::string& dir = store.directory();
  CHECK(RunShell(kTool + " " + dir + " 2>&1").code == 0);
  CHECK(RunShell(kTool + " --verify " + dir + "/ 2>&1").code == 0);
  FlipByte(store.SegmentFile(slot.segment), slot.slot * 65536);
  CHECK(RunShell(kTool + " " + dir + " 2>&1").code == 0);
  CHECK(RunShell(kTool + " --verify " + dir + " 2>&1").code == 1);
  for (const char* wrong :
       {"", "--wrong x", "x --run --verify", "x --target-bytes=few", "x --segment=-1",
        "x --verify --target-bytes=5", "x --options=io=threads", "/not-there", "/not-there --run",
        "/not-there --verify", "/tmp --run"}) {
    CAPTURE(wrong);
    const Shell result = RunShell(kTool + " " + wrong + " 2>/dev/null");
    CHECK(result.code == 2);
    CHECK(result.out.empty());
  }
  CHECK_FALSE(std::filesystem::exists("/not-there"));
}

TEST_CASE("vlog-gc prints help and versions to standard output and exits 0") {
  const Shell help = RunShell(kTool + " --help 2>/dev/null");
  CHECK(help.code == 0);
  CHECK(help.out.find("--target-bytes") != std::string::npos);
  CHECK(help.out.find("Exit codes") != std::string::npos);
  const Shell version = RunShell(kTool + " --version 2>/dev/null");
  CHECK(version.code == 0);
  CHECK(version.out.find("vlog-gc ") == 0);
  CHECK(version.out.find("slot table 1") != std::string::npos);
}

TEST_CASE("vlog-gc ends quietly when its reader does, and says when it cannot write") {
  GcStore store(4, 64, 4096);
  store.Thin(1, 30);
  store.Close();
  const Shell head =
      RunShell("set -o pipefail; " + kTool + " " + store.directory() + " 2>&1 | head -n 1");
  CHECK(head.code == 0);
  CHECK(head.out.find("slots of 4.0 KiB") == 0);
  CHECK(head.out.find("vlog-gc:") == std::string::npos);
  if (!std::filesystem::exists("/dev/full")) return;
  CHECK(RunShell(kTool + " " + store.directory() + " 2>&1 >/dev/full").code == 2);
}

TEST_CASE("a store that is open is looked at without touching it, and not collected from") {
  GcStore store(2, 40, 65536);
  Store& open = store.store();
  REQUIRE(open.Flush().ok());
  TestPath more = MakePath(open, "model", Tokens(900000, 8));
  PutPages(open, more, 0, 8, 65536);  // in the journal alone
  const auto before = Listing(store.directory());
  const Shell show = RunShell(kTool + " " + store.directory() + " 2>&1");
  CHECK(show.code == 0);
  CHECK(show.out.find("was not closed") != std::string::npos);
  const Shell verify = RunShell(kTool + " --verify " + store.directory() + " 2>&1");
  INFO(verify.out);
  CHECK(verify.code == 0);
  CHECK(verify.out.find("88 pages right") != std::string::npos);
  const Shell run = RunShell(kTool + " --run " + store.directory() + " 2>&1");
  CHECK(run.code == 2);
  CHECK(run.out.find("process " + std::to_string(::getpid())) != std::string::npos);
  CHECK(Listing(store.directory()) == before);
}

TEST_CASE("a store that is written to meanwhile is never called damaged by vlog-gc") {
  GcStore store(2, 40, 65536);
  Store& open = store.store();
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint32_t round = 1; !stop; ++round) {
      TestPath path = MakePath(open, "other", Tokens(round * 100, 8));
      PutPages(open, path, 0, 8, 65536);
      if (round % 3 == 0 && !open.Erase(*path.path, 0, 8).ok()) stop = true;
      if (round % 4 == 0) (void)open.Flush();
      if (round % 5 == 0) (void)open.CollectGarbage("");
    }
  });
  std::vector<DumpResult> results;
  for (const char* command : {"--verify", "--raw", "--verify"})
    results.push_back(Gc({store.directory(), command}));
  stop = true;
  writer.join();
  for (const DumpResult& result : results) {
    INFO(result.out << result.err);
    CHECK(result.code == ExitCode::kClean);
  }
}

TEST_CASE("a run that is killed leaves a store with all its live pages, and can be run again") {
  GcStore store(10, 64, 65536);
  const auto live = store.Thin(8, 30);
  store.Close();
  for (const char* after : {"0.02", "0.05", "0.1"}) {
    RunShell("{ timeout -s KILL " + std::string(after) + " " + kTool + " --run " +
             store.directory() + " \"--options=capacity_bytes=64M;min_free_bytes=0\"; } " +
             ">/dev/null 2>&1; true");
    const DumpResult verify = Gc({store.directory(), "--verify"});
    INFO(verify.out << verify.err);
    CHECK(verify.code == ExitCode::kClean);
  }
  CHECK(RunShell(kTool + " --run " + store.directory() +
                 " \"--options=capacity_bytes=64M;min_free_bytes=0\" 2>&1")
            .code == 0);
  for (uint32_t p = 0; p < store.path_count(); ++p) {
    store.store();
    const GetOutcome got = GetPages(store.store(), store.path(p), 0, 64, 65536);
    CHECK(got.wrong == 0);
    for (size_t i = 0; i < 64; ++i)
      if (live[p][i]) CHECK(got.states[i] == PageState::kOk);
  }
}

}  // namespace
}  // namespace lamina::testing
