// What is left after a process was killed, and after bytes on disk were damaged.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

namespace fs = std::filesystem;
constexpr size_t kPage = 16384;

// Runs `work` in a child that is killed when work returns, without closing anything.
template <class Work>
void InKilledChild(Work work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    work();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

std::vector<std::string> FilesUnder(const std::string& directory, const std::string& suffix) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = entry.path().string();
    if (entry.is_regular_file() && name.size() >= suffix.size() &&
        name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0)
      files.push_back(name);
  }
  return files;
}

// Changes one byte of each stretch of `bytes` that equals `needle`'s first 64 bytes.
size_t DamagePayload(const std::string& directory, const std::vector<std::byte>& payload) {
  size_t found = 0;
  for (const std::string& name : FilesUnder(directory, ".segment")) {
    std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
    std::vector<char> block(4096);
    for (uint64_t offset = 0; file.read(block.data(), 4096); offset += 4096) {
      if (std::memcmp(block.data(), payload.data(), 64) != 0) continue;
      file.seekp(static_cast<std::streamoff>(offset + 77));
      file.put(static_cast<char>(block[77] ^ 1));
      file.seekg(static_cast<std::streamoff>(offset + 4096));
      ++found;
    }
  }
  return found;
}

TEST_CASE("acknowledged puts survive SIGKILL") {
  const TemporaryDirectory directory;
  for (int round = 0; round < 3; ++round) {
    InKilledChild([&] {
      auto store = OpenStore(directory / "store").release();
      TestPath path = MakePath(*store, "model", Tokens(0, 100 * static_cast<size_t>(round + 1)));
      PutPages(*store, path, 100 * static_cast<size_t>(round), 100, kPage);
      if (round == 1 && !store->Flush().ok()) _exit(1);
    });
    const auto store = OpenStore(directory / "store");
    const size_t pages = 100 * static_cast<size_t>(round + 1);
    TestPath path = MakePath(*store, "model", Tokens(0, pages));
    const GetOutcome got = GetPages(*store, path, 0, pages, kPage);
    REQUIRE(CountOk(got.states) == pages);
    REQUIRE(got.wrong == 0);
  }
}

TEST_CASE("erased pages do not come back after SIGKILL") {
  const TemporaryDirectory directory;
  InKilledChild([&] {
    auto store = OpenStore(directory / "store").release();
    TestPath path = MakePath(*store, "model", Tokens(0, 50));
    TestPath other = MakePath(*store, "other", Tokens(0, 50));
    PutPages(*store, path, 0, 50, kPage);
    PutPages(*store, other, 0, 50, kPage);
    if (!store->Erase(*path.path, 10, 20).ok() || !store->EraseRoot("other").ok()) _exit(1);
  });
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 50));
  TestPath other = MakePath(*store, "other", Tokens(0, 50));
  REQUIRE(CountOk(ProbePages(*store, path, 10, 20)) == 0);
  REQUIRE(CountOk(ProbePages(*store, path, 0, 50)) == 30);
  REQUIRE(CountOk(ProbePages(*store, other, 0, 50)) == 0);
}

TEST_CASE("a damaged payload is a miss once, and a hit again after the next put") {
  const TemporaryDirectory directory;
  bool reopen = GENERATE(false, true);
  auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 20));
  PutPages(*store, path, 0, 20, kPage);
  if (reopen) {
    store.reset();
    store = OpenStore(directory / "store");
    path = MakePath(*store, "model", Tokens(0, 20));
  }
  REQUIRE(DamagePayload(directory.path(), Payload(path.seeds[7], kPage)) == 1);
  GetOutcome got = GetPages(*store, path, 0, 20, kPage);
  REQUIRE(got.wrong == 0);
  REQUIRE(got.states[7] == PageState::kMiss);
  REQUIRE(CountOk(got.states) == 19);
  REQUIRE(StatOf(store->StatsJson(), "checksum_failures") >= 1);
  REQUIRE(ProbePages(*store, path, 7, 1)[0] == PageState::kMiss);
  REQUIRE(CountOk(PutPages(*store, path, 0, 20, kPage)) == 20);
  got = GetPages(*store, path, 0, 20, kPage);
  REQUIRE(CountOk(got.states) == 20);
  REQUIRE(got.wrong == 0);
}

TEST_CASE("a put does not skip a page whose journal record survived while its payload did not") {
  const TemporaryDirectory directory;
  InKilledChild([&] {
    auto store = OpenStore(directory / "store").release();
    TestPath path = MakePath(*store, "model", Tokens(0, 20));
    PutPages(*store, path, 0, 20, kPage);
  });
  std::vector<uint64_t> seeds;
  {
    const TemporaryDirectory elsewhere;
    const auto other = OpenStore(elsewhere / "store");
    seeds = MakePath(*other, "model", Tokens(0, 20)).seeds;
  }
  REQUIRE(DamagePayload(directory.path(), Payload(seeds[5], kPage)) == 1);
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 20));
  REQUIRE(CountOk(PutPages(*store, path, 0, 20, kPage)) == 20);
  const GetOutcome got = GetPages(*store, path, 0, 20, kPage);
  REQUIRE(CountOk(got.states) == 20);
  REQUIRE(got.wrong == 0);
}

TEST_CASE("files that a crash left behind are removed at the next open") {
  const TemporaryDirectory directory;
  OpenStore(directory / "store");
  const std::vector<std::string> orphans = {"0000099999.sst", "MANIFEST-099999", "CURRENT.tmp",
                                            "log/0000099999.segment"};
  for (const std::string& name : orphans) std::ofstream(directory / ("store/" + name)) << "x";
  OpenStore(directory / "store");
  for (const std::string& name : orphans) REQUIRE_FALSE(fs::exists(directory / ("store/" + name)));
}

TEST_CASE(
    "a segment file in another log directory than its segment's is removed at the next open") {
  const TemporaryDirectory directory;
  const Options options =
      TestOptions("log_dirs=" + (directory / "logs-a") + "," + (directory / "logs-b"));
  {
    const auto store = OpenStore(directory / "store", options);
    TestPath path = MakePath(*store, "model", Tokens(0, 20));
    PutPages(*store, path, 0, 20, kPage);
  }
  // As the segment's first file, which a crash cut off the manifest, when a power cut undoes its
  // removal.
  const std::string segment = FilesUnder(directory.path(), ".segment").at(0);
  const std::string name = fs::path(segment).filename();
  const bool in_a = fs::path(segment).parent_path() == directory / "logs-a";
  const std::string other = directory / ((in_a ? "logs-b/" : "logs-a/") + name);
  REQUIRE_FALSE(fs::exists(other));
  std::ofstream(other) << "x";
  const auto store = OpenStore(directory / "store", options);
  REQUIRE_FALSE(fs::exists(other));
  TestPath path = MakePath(*store, "model", Tokens(0, 20));
  REQUIRE(CountOk(GetPages(*store, path, 0, 20, kPage).states) == 20);
}

TEST_CASE("a missing log directory means misses, not a store that does not open") {
  const TemporaryDirectory directory;
  const Options options = TestOptions("log_dirs=" + (directory / "a") + "," + (directory / "b"));
  auto store = OpenStore(directory / "store", options);
  TestPath path = MakePath(*store, "model", Tokens(0, 1000));
  REQUIRE(CountOk(PutPages(*store, path, 0, 1000, kPage)) == 1000);
  store.reset();
  fs::rename(directory / "b", directory / "away");
  store = OpenStore(directory / "store", options);
  path = MakePath(*store, "model", Tokens(0, 1000));
  GetOutcome got = GetPages(*store, path, 0, 1000, kPage);
  REQUIRE(got.wrong == 0);
  const size_t left = CountOk(got.states);
  REQUIRE(left > 0);
  REQUIRE(left < 1000);
  store.reset();
  fs::rename(directory / "away", directory / "b");
  store = OpenStore(directory / "store", options);
  path = MakePath(*store, "model", Tokens(0, 1000));
  REQUIRE(CountOk(GetPages(*store, path, 0, 1000, kPage).states) == 1000);
}

TEST_CASE("a damaged table costs the store only its pages, and they can be put again") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 100));
  PutPages(*store, path, 0, 100, kPage);
  store.reset();
  const auto tables = FilesUnder(directory.path(), ".sst");
  REQUIRE(tables.size() == 1);
  SECTION("cut short") { fs::resize_file(tables[0], fs::file_size(tables[0]) / 2); }
  SECTION("missing") { fs::remove(tables[0]); }
  store = OpenStore(directory / "store");
  path = MakePath(*store, "model", Tokens(0, 100));
  REQUIRE(GetPages(*store, path, 0, 100, kPage).wrong == 0);
  REQUIRE_FALSE(store->StatsJson().find("\"recovery_notes\":[]") != std::string::npos);
  REQUIRE(CountOk(PutPages(*store, path, 0, 100, kPage)) == 100);
  REQUIRE(CountOk(GetPages(*store, path, 0, 100, kPage).states) == 100);
}

}  // namespace
}  // namespace lamina::testing
