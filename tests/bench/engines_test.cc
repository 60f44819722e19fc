#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "bench/buffers.h"
#include "bench/directory.h"
#include "bench/engine.h"
#include "bench/payload.h"
#include "bench/worker_pool.h"
#include "tests/bench/temporary_directory.h"

namespace lamina::bench {
namespace {

// What a test does with an engine: pages of paths, checked byte by byte.
class Fixture {
 public:
  Fixture(const std::string& engine, size_t page_bytes) : name_(engine) {
    config_.dir = dir_.path() + "/data";
    config_.page_bytes = page_bytes;
    Open();
  }

  void Open() {
    engine_.reset();
    REQUIRE(MakeDirectory(config_.dir).ok());
    Result<std::unique_ptr<Engine>> engine = OpenEngine(name_, config_);
    INFO(engine.status().message());
    REQUIRE(engine.ok());
    engine_ = std::move(*engine);
  }

  // Puts what the engine does not have of a path; the result is how many pages it had.
  size_t Serve(const std::vector<uint64_t>& blocks) {
    const std::vector<PageName> names = PageNamesOf(config_.root, blocks);
    Result<PageBuffers> buffers = PageBuffers::Allocate(names.size(), config_.page_bytes);
    REQUIRE(buffers.ok());
    const std::unique_ptr<EngineRequest> request = engine_->Begin(names);
    const Result<size_t> found = request->Probe();
    REQUIRE(found.ok());
    size_t got = 0;
    if (*found > 0) {
      request->DropPageCache(*found);
      const Result<size_t> read = request->Get(0, buffers->Pages(*found));
      REQUIRE(read.ok());
      got = *read;
    }
    for (size_t i = 0; i < got; ++i) {
      CHECK(FindPayloadMismatch(names[i], i, buffers->Page(i)) == std::nullopt);
    }
    const size_t missing = names.size() - got;
    for (size_t i = 0; i < missing; ++i) FillPayload(names[got + i], got + i, buffers->Page(i));
    if (missing > 0) {
      const Result<size_t> put = request->Put(got, buffers->Pages(missing));
      INFO(put.status().message());
      REQUIRE(put.ok());
      CHECK(*put == missing);
    }
    return got;
  }

  Engine& engine() { return *engine_; }
  EngineConfig& config() { return config_; }

 private:
  TemporaryDirectory dir_;
  const std::string name_;
  EngineConfig config_;
  std::unique_ptr<Engine> engine_;
};

TEST_CASE("every engine hands back what was put, for the leading pages of each path") {
  for (const std::string& name : EngineNames()) {
    for (const size_t page_bytes : {size_t{4096}, size_t{10000}, size_t{65536}, size_t{3} << 20}) {
      INFO(name << ", " << page_bytes << " bytes a page");
      Fixture fixture(name, page_bytes);
      CHECK(fixture.Serve({1, 2, 3}) == 0);
      CHECK(fixture.Serve({1, 2, 3}) == 3);
      CHECK(fixture.Serve({1, 2, 4, 5}) == 2);
      CHECK(fixture.Serve({2, 3}) == 0);
      CHECK(fixture.Serve({1, 2, 4, 5}) == 4);
      CHECK(fixture.engine().Flush().ok());
    }
  }
}

TEST_CASE("every engine serves paths longer than its queue is deep") {
  for (const std::string& name : EngineNames()) {
    INFO(name);
    Fixture fixture(name, 4096);
    std::vector<uint64_t> blocks(100);
    // Neighbours in the path that are not neighbours on disk.
    for (size_t i = 0; i < blocks.size(); i += 2) {
      blocks[i] = blocks[i + 1] = i;
    }
    CHECK(fixture.Serve({blocks.begin(), blocks.begin() + 50}) == 0);
    CHECK(fixture.Serve(blocks) == 50);
    CHECK(fixture.Serve(blocks) == 100);
  }
}

TEST_CASE("another root's pages are not found") {
  for (const std::string& name : EngineNames()) {
    INFO(name);
    Fixture fixture(name, 4096);
    CHECK(fixture.Serve({1, 2}) == 0);
    fixture.config().root = "other";
    CHECK(fixture.Serve({1, 2}) == 0);
    CHECK(fixture.Serve({1, 2}) == 2);
  }
}

TEST_CASE("several threads may use an engine at once") {
  for (const std::string& name : EngineNames()) {
    INFO(name);
    Fixture fixture(name, 4096);
    std::vector<std::thread> threads;
    std::atomic<size_t> wrong{0};
    for (uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        Result<PageBuffers> buffers = PageBuffers::Allocate(8, 4096);
        for (uint64_t i = 0; i < 20; ++i) {
          // The first block is everybody's.
          const std::vector<uint64_t> blocks = {0, t, i, 3, 4, 5, 6, 7};
          const std::vector<PageName> names = PageNamesOf("replay", blocks);
          for (size_t p = 0; p < 8; ++p) FillPayload(names[p], p, buffers->Page(p));
          const std::unique_ptr<EngineRequest> request = fixture.engine().Begin(names);
          if (!request->Probe().ok()) ++wrong;
          const Result<size_t> put = request->Put(0, buffers->Pages(8));
          if (!put.ok() || *put != 8) ++wrong;
          const Result<size_t> got = request->Get(0, buffers->Pages(8));
          if (!got.ok() || *got != 8) ++wrong;
          for (size_t p = 0; p < 8; ++p) {
            if (FindPayloadMismatch(names[p], p, buffers->Page(p))) ++wrong;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("pages survive closing and opening again, but with maps in memory, which refuse") {
  for (const std::string& name : EngineNames()) {
    INFO(name);
    Fixture fixture(name, 8192);
    CHECK(fixture.Serve({1, 2, 3}) == 0);
    CHECK(fixture.engine().Flush().ok());
    if (name == "raw" || name == "hash") {
      const Result<std::unique_ptr<Engine>> again = OpenEngine(name, fixture.config());
      REQUIRE(!again.ok());
      CHECK(std::string(again.status().message()).find("is not empty") != std::string::npos);
    } else {
      fixture.Open();
      CHECK(fixture.Serve({1, 2, 3}) == 3);
    }
  }
}

TEST_CASE("no engine writes into a directory that holds somebody else's files") {
  for (const std::string& name : EngineNames()) {
    INFO(name);
    const TemporaryDirectory dir;
    std::ofstream(dir.path() + "/precious") << "x";
    EngineConfig config;
    config.dir = dir.path();
    config.page_bytes = 4096;
    const Result<std::unique_ptr<Engine>> engine = OpenEngine(name, config);
    REQUIRE(!engine.ok());
    CHECK(std::string(engine.status().message()).find(dir.path()) != std::string::npos);
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
      CHECK(entry.path().filename() == "precious");
      ++files;
    }
    CHECK(files == 1);
  }
}

TEST_CASE("a page file that is cut short is a miss, and the next put replaces it") {
  Fixture fixture("file", 8192);
  CHECK(fixture.Serve({1}) == 0);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(fixture.config().dir)) {
    if (entry.is_regular_file() && entry.file_size() == 8192) {
      std::filesystem::resize_file(entry.path(), 100);
    }
  }
  CHECK(fixture.Serve({1}) == 0);
  CHECK(fixture.Serve({1}) == 1);
}

TEST_CASE("the file engine leaves one file a page and no temporary ones") {
  Fixture fixture("file", 4096);
  fixture.Serve({1, 2, 3});
  fixture.Serve({1, 2, 4});
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(fixture.config().dir)) {
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    CHECK(entry.file_size() == 4096);
    CHECK(entry.path().filename().string().size() == 32);
    ++files;
  }
  CHECK(files == 4);
}

TEST_CASE("an engine that a build is without is an error that says how to get it") {
  const std::vector<std::string> names = EngineNames();
  for (const char* const name : {"rocksdb", "blobdb", "blobdb-nowal"}) {
    const Status status = CheckEngineName(name);
    const bool built = std::find(names.begin(), names.end(), name) != names.end();
    CHECK(status.ok() == built);
    if (built) continue;
    CHECK(status.code() == StatusCode::kNotSupported);
    CHECK(std::string(status.message()).find("-Dpeers=enabled") != std::string::npos);
  }
}

TEST_CASE("an unknown engine is an error") {
  CHECK(!OpenEngine("tape", {}).ok());
  CHECK(!EstimateDiskBytes("tape", {}, 1).ok());
}

TEST_CASE("the disk estimate covers at least the pages") {
  EngineConfig config;
  config.page_bytes = 5000;
  for (const std::string& name : EngineNames()) {
    const Result<uint64_t> bytes = EstimateDiskBytes(name, config, 1000);
    REQUIRE(bytes.ok());
    CHECK(*bytes >= 1000 * 8192);
  }
}

TEST_CASE("a worker pool does every piece of every caller's batch once") {
  WorkerPool pool(3);
  std::vector<std::thread> callers;
  std::vector<std::vector<std::atomic<int>>> done;
  for (int i = 0; i < 4; ++i) done.emplace_back(100);
  for (size_t c = 0; c < done.size(); ++c) {
    callers.emplace_back([&, c] {
      for (int round = 0; round < 20; ++round) {
        pool.ForEach(done[c].size(), [&](size_t i) { ++done[c][i]; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& batch : done) {
    for (const std::atomic<int>& times : batch) CHECK(times == 20);
  }
  pool.ForEach(0, [](size_t) { FAIL("nothing to do"); });
}

TEST_CASE("page buffers lie on 4 KiB boundaries and do not overlap") {
  Result<PageBuffers> buffers = PageBuffers::Allocate(3, 5000);
  REQUIRE(buffers.ok());
  REQUIRE(buffers->pages() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(reinterpret_cast<uintptr_t>(buffers->Page(i).data()) % 4096 == 0);
    CHECK(buffers->Page(i).size() == 5000);
    if (i > 0) CHECK(buffers->Page(i).data() - buffers->Page(i - 1).data() == 8192);
  }
}

}  // namespace
}  // namespace lamina::bench
