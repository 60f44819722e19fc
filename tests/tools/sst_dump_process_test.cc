// The tool as a process: exit codes, pipes, and a store that is in use.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "engine/io/posix_file_system.h"
#include "tests/tools/shell.h"
#include "tests/tools/sst_dump_fixture.h"
#include "tools/sst_dump_read_only.h"

namespace lamina::testing {
namespace {

using tools::ExitCode;

const std::string kTool = LAMINA_SST_DUMP;

TEST_CASE("a process exits 0 when all is whole, 1 on damage, 2 on wrong usage and on no file") {
  SmallStore store;
  const std::string verify = kTool + " --command=verify ";
  CHECK(RunShell(verify + store.directory() + " 2>&1").code == 0);
  FlipByte(store.File(SmallStore::kOldTable), 4000);
  CHECK(RunShell(verify + store.directory() + " 2>&1").code == 1);
  CHECK(RunShell(verify + store.directory() + "-not-there 2>&1").code == 2);
  CHECK(RunShell(verify + store.directory() + " /not-there 2>&1").code == 1);
  const Shell wrong = RunShell(kTool + " --wrong x 2>/dev/null");
  CHECK(wrong.code == 2);
  CHECK(wrong.out.empty());
  CHECK(RunShell(kTool + " 2>/dev/null").code == 2);
  CHECK(RunShell(kTool + " --command=wrong x 2>/dev/null").code == 2);
  const std::string scan =
      kTool + " " + store.File(SmallStore::kNewTable) + " --command=scan --limit=1 ";
  CHECK(RunShell(scan + "2>/dev/null").code == 0);
  CHECK(RunShell(scan + "--from=xyz 2>/dev/null").code == 2);
  CHECK(RunShell(scan + "--from=02 --to=01 2>/dev/null").code == 2);
  CHECK(RunShell(kTool + " --command=scan --limit=-1 x 2>&1").out.find("--limit") !=
        std::string::npos);
}

TEST_CASE("help and versions go to standard output and exit 0") {
  const Shell help = RunShell(kTool + " --help 2>/dev/null");
  CHECK(help.code == 0);
  CHECK(help.out.find("--command") != std::string::npos);
  CHECK(help.out.find("Exit codes") != std::string::npos);
  const Shell version = RunShell(kTool + " --version 2>/dev/null");
  CHECK(version.code == 0);
  CHECK(version.out.find("sst-dump ") == 0);
  CHECK(version.out.find("table 1") != std::string::npos);
}

TEST_CASE("a reader that stops early ends the tool quietly") {
  SmallStore store;
  TableBuilderOptions how;
  how.number = 8;
  WriteSmallTable(store.fs(), store.File("big"), how, 200, 64);
  const Shell head = RunShell("set -o pipefail; " + kTool + " --command=scan " + store.File("big") +
                              " 2>&1 | head -n 1");
  CHECK(head.code == 0);
  CHECK(head.out.find("segment 1 slot 1") != std::string::npos);
  CHECK(head.out.find("sst-dump:") == std::string::npos);
}

TEST_CASE("output that cannot be written is an error") {
  if (!std::filesystem::exists("/dev/full")) return;
  const SmallStore store;
  CHECK(RunShell(kTool + " " + store.directory() + " 2>&1 >/dev/full").code == 2);
}

TEST_CASE("what is not of a store is named and refused") {
  SmallStore store;
  WriteFile(store.File("text"), "nothing of ours");
  const DumpResult file = store.Run({store.File("text")});
  CHECK(file.code == ExitCode::kTrouble);
  CHECK(file.err.find("DIR/text: is not recognised") != std::string::npos);
  const std::string empty = store.File("empty");
  std::filesystem::create_directory(empty);
  CHECK(store.Run({empty}).code == ExitCode::kTrouble);
  const DumpResult tree = store.Run({store.File(SmallStore::kOldTable), "--command=tree"});
  CHECK(tree.code == ExitCode::kTrouble);
  CHECK(tree.err.find("does not apply") != std::string::npos);
}

TEST_CASE("a directory of loose files is checked file by file") {
  SmallStore store;
  const std::string loose = store.directory() + "-loose";
  std::filesystem::create_directory(loose);
  std::filesystem::copy(store.File(SmallStore::kOldTable), loose);
  std::filesystem::copy(store.File(SmallStore::kSlots), loose);
  CHECK(Dump({loose, "--command=verify"}).code == ExitCode::kClean);
  FlipByte(loose + "/" + SmallStore::kSlots, 90);
  const DumpResult damaged = Dump({loose, "--command=verify"});
  CHECK(damaged.code == ExitCode::kDamage);
  CHECK(damaged.out.find("whole    " + loose + "/" + SmallStore::kOldTable) != std::string::npos);
}

TEST_CASE("a store that is open is read without touching it, with a warning") {
  const TemporaryDirectory temporary;
  const std::string directory = temporary / "store";
  const auto store = OpenStore(directory, TestOptions("checkpoint_seconds=0"));
  TestPath path = MakePath(*store, "root", Tokens(1, 40));
  PutPages(*store, path, 0, 20, 4096);
  REQUIRE(store->Flush().ok());
  PutPages(*store, path, 20, 20, 4096);
  const auto before = Listing(directory);
  for (const char* command :
       {"properties", "layout", "scan", "verify", "manifest", "tree", "tuner"}) {
    const DumpResult result = Dump({directory, std::string("--command=") + command});
    INFO(command << "\n" << result.out << result.err);
    CHECK(result.code == ExitCode::kClean);
    if (std::string(command) != "tuner")
      CHECK(result.err.find("was not closed") != std::string::npos);
  }
  CHECK(RunShell(kTool + " --command=verify " + directory + " 2>&1").code == 0);
  CHECK(Listing(directory) == before);
  PutPages(*store, path, 0, 40, 4096);
  CHECK(CountOk(ProbePages(*store, path, 0, 40)) == 40);
}

TEST_CASE("a store that is written to meanwhile is never called damaged") {
  const TemporaryDirectory temporary;
  const std::string directory = temporary / "store";
  const auto store = OpenStore(directory, TestOptions("compaction=leveling;size_ratio=2"));
  TestPath first = MakePath(*store, "root", Tokens(0, 8));
  PutPages(*store, first, 0, 8, 4096);
  REQUIRE(store->Flush().ok());
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint32_t round = 1; !stop; ++round) {
      TestPath path = MakePath(*store, "root", Tokens(round * 100, 8));
      PutPages(*store, path, 0, 8, 4096);
      (void)store->Flush();
    }
  });
  std::vector<DumpResult> results;
  for (const char* command : {"verify", "properties", "verify", "scan", "verify", "verify"})
    results.push_back(Dump({directory, std::string("--command=") + command}));
  stop = true;
  writer.join();
  for (const DumpResult& result : results) {
    INFO(result.out << result.err);
    CHECK(result.code == ExitCode::kClean);
  }
}

TEST_CASE("a store that was closed is whole and needs no warning") {
  const TemporaryDirectory temporary;
  const std::string directory = temporary / "store";
  {
    const auto store = OpenStore(directory, TestOptions());
    TestPath path = MakePath(*store, "root", Tokens(1, 300));
    PutPages(*store, path, 0, 300, 4096);
  }
  const DumpResult result = Dump({directory, "--command=verify"});
  INFO(result.out << result.err);
  CHECK(result.code == ExitCode::kClean);
  CHECK(result.err.empty());
}

TEST_CASE("the tool's file system refuses every change") {
  SmallStore store;
  sst_dump::ReadOnlyFileSystem fs(store.fs());
  const std::string path = store.File("new");
  FileOpen how;
  how.write = how.create = true;
  CHECK(fs.Open(path, how).status().code() == StatusCode::kNotSupported);
  CHECK(fs.MakeDirectory(path).code() == StatusCode::kNotSupported);
  CHECK(fs.Rename(store.File("LOCK"), path).code() == StatusCode::kNotSupported);
  CHECK(fs.Remove(store.File("LOCK")).code() == StatusCode::kNotSupported);
  CHECK(fs.Lock(store.File("LOCK")).status().code() == StatusCode::kNotSupported);
  CHECK(fs.NewQueue(1).status().code() == StatusCode::kNotSupported);
  CHECK(std::filesystem::exists(store.File("LOCK")));
  CHECK_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace lamina::testing
