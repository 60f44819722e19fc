// Every argument is checked: an error that names what and where, no crash, no half-made store.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "engine/lamina_c.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;

void RequireInvalid(const Status& status, const std::string& what) {
  REQUIRE(status.code() == StatusCode::kInvalidArgument);
  REQUIRE_THAT(std::string(status.message()), Contains(what));
}

TEST_CASE("options that do not exist or are out of range are refused by name") {
  RequireInvalid(Options::Parse("capacity=1G").status(), "unknown option 'capacity'");
  RequireInvalid(Options::Parse("capacity_bytes").status(), "has no value");
  RequireInvalid(Options::Parse("capacity_bytes=12").status(), "capacity_bytes");
  RequireInvalid(Options::Parse("capacity_bytes=-1").status(), "capacity_bytes");
  RequireInvalid(Options::Parse("capacity_bytes=99999999T").status(), "capacity_bytes");
  RequireInvalid(Options::Parse("stem_pages=65").status(), "from 1 to 64");
  RequireInvalid(Options::Parse("io=fast").status(), "one of auto, uring, threads");
  RequireInvalid(Options::Parse("filter_bits=nan").status(), "filter_bits");
  RequireInvalid(Options::Parse("size_ratio=1").status(), "size_ratio");
  RequireInvalid(Options::Parse("log_dirs=a,,b").status(), "log_dirs");
  RequireInvalid(Options::Parse("log_dirs=a,a").status(), "once");
  RequireInvalid(Options::Parse("io=threads;require_io_uring=true").status(), "require_io_uring");
}

TEST_CASE("options read back what they write") {
  const std::string text =
      "capacity_bytes=3G;log_dirs=/a,/"
      "b;durability=batch;eviction=s3fifo;filter_bits=2.5;io=threads";
  const auto options = Options::Parse(
      " capacity_bytes = 3072M ;log_dirs=/a, /b;;durability=batch;"
      "eviction=s3fifo;filter_bits=2.5;io=threads;");
  REQUIRE(options.ok());
  REQUIRE(options->ToString() == text);
  REQUIRE(Options::Parse(options->ToString())->ToString() == text);
  REQUIRE(Options().ToString().empty());
}

TEST_CASE("a directory that is not a store is refused and left as it is") {
  const TemporaryDirectory directory;
  SECTION("one that holds something else") {
    std::ofstream(directory / "photo.jpg") << "x";
    RequireInvalid(Store::Open(directory.path(), TestOptions()).status(), "photo.jpg");
    REQUIRE(std::distance(fs::directory_iterator(directory.path()), fs::directory_iterator()) == 1);
  }
  SECTION("a file") {
    std::ofstream(directory / "file") << "x";
    REQUIRE_FALSE(Store::Open(directory / "file", TestOptions()).ok());
  }
  SECTION("one that does not exist, without leave to create it") {
    Options options = TestOptions("create_if_missing=false");
    RequireInvalid(Store::Open(directory / "new", options).status(), "create_if_missing");
    REQUIRE_FALSE(fs::exists(directory / "new"));
  }
  SECTION("one whose parent does not exist") {
    REQUIRE_FALSE(Store::Open(directory / "no/such", TestOptions()).ok());
    REQUIRE_FALSE(fs::exists(directory / "no"));
  }
  SECTION("an empty name") { RequireInvalid(Store::Open("", TestOptions()).status(), "empty"); }
}

TEST_CASE("a creation that fails leaves nothing behind") {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "not a directory";
  Options options = TestOptions("log_dirs=" + (directory / "file"));
  REQUIRE_FALSE(Store::Open(directory / "store", options).ok());
  REQUIRE_FALSE(fs::exists(directory / "store"));
}

TEST_CASE("a log directory of another store is refused") {
  const TemporaryDirectory directory;
  const Options options = TestOptions("log_dirs=" + (directory / "log"));
  OpenStore(directory / "first", options);
  const auto second = Store::Open(directory / "second", options);
  REQUIRE_FALSE(second.ok());
  REQUIRE_THAT(std::string(second.status().message()), Contains(directory / "log"));
  REQUIRE_FALSE(fs::exists(directory / "second"));
  OpenStore(directory / "first", options);
}

TEST_CASE(
    "a store that is open is locked, for this process and for others, and the error names the "
    "pid") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  const auto again = Store::Open(directory / "store", TestOptions());
  REQUIRE(again.status().code() == StatusCode::kBusy);
  REQUIRE_THAT(std::string(again.status().message()), Contains(std::to_string(getpid())));
}

TEST_CASE("an unknown format version is refused by its number") {
  const TemporaryDirectory directory;
  OpenStore(directory / "store");
  for (const auto& entry : fs::directory_iterator(directory / "store")) {
    if (entry.path().filename().string().rfind("MANIFEST", 0) != 0) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8);
    file.put(9);
  }
  const auto opened = Store::Open(directory / "store", TestOptions());
  REQUIRE_FALSE(opened.ok());
  REQUIRE_THAT(std::string(opened.status().message()), Contains("version 9"));
}

TEST_CASE("calls with wrong ranges, buffers or paths are refused") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  auto path = *store->PathFromTokens("model", Tokens(0, 5), 1);
  std::vector<std::byte> page(4096);
  const std::vector<const void*> in = {page.data()};
  const std::vector<void*> out = {page.data()};
  const std::vector<size_t> sizes = {4096};

  RequireInvalid(store->Probe(*path, 0, 0, {}).status(), "page_count is 0");
  RequireInvalid(store->Probe(*path, 5, 1, {}).status(), "reach past");
  RequireInvalid(store->Probe(*path, 1, SIZE_MAX, {}).status(), "reach past");
  std::vector<PageState> states(3);
  RequireInvalid(store->Probe(*path, 0, 2, states).status(), "states");
  RequireInvalid(store->Put(*path, 0, 2, {in, sizes, 1}, {}).status(), "buffers_per_page");
  RequireInvalid(store->Put(*path, 0, 1, {in, sizes, 0}, {}).status(), "buffers_per_page is 0");
  const std::vector<const void*> null_in = {nullptr};
  RequireInvalid(store->Put(*path, 0, 1, {null_in, sizes, 1}, {}).status(), "buffers[0] is NULL");
  const std::vector<void*> null_out = {nullptr};
  RequireInvalid(store->Get(*path, 0, 1, {null_out, sizes, 1}, {}).status(), "buffers[0] is NULL");
  const std::vector<size_t> zero = {0};
  RequireInvalid(store->Put(*path, 0, 1, {in, zero, 1}, {}).status(), "sizes[0] is 0");
  const std::vector<size_t> huge = {(size_t{1} << 30) + 1};
  RequireInvalid(store->Get(*path, 0, 1, {out, huge, 1}, {}).status(), "1 GiB");
  RequireInvalid(store->PathFromTokens("m", Tokens(0, 4), 0).status(), "page_tokens");
  RequireInvalid(store->PathFromDigests("m", std::vector<uint8_t>(33)).status(), "32-byte");
  RequireInvalid(store->Erase(*path, 4, 2), "reach past");
  RequireInvalid(store->Touch(*path, 0, 0), "page_count is 0");

  const auto other = OpenStore(directory / "other");
  RequireInvalid(other->Probe(*path, 0, 1, {}).status(), "another store");
  RequireInvalid(other->Put(*path, 0, 1, {in, sizes, 1}, {}).status(), "another store");
}

TEST_CASE("a page larger than an eighth of the capacity is rejected, and the reason is told") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store", TestOptions("capacity_bytes=64M"));
  TestPath path = MakePath(*store, "model", Tokens(0, 1));
  REQUIRE(PutPages(*store, path, 0, 1, size_t{9} << 20)[0] == PageState::kRejected);
  REQUIRE_THAT(store->StatsJson(), Contains("\"last_rejection\":\"") && Contains("capacity"));
}

TEST_CASE("a path outlives its store and is refused by the next one") {
  const TemporaryDirectory directory;
  auto store = OpenStore(directory / "store");
  auto path = *store->PathFromTokens("model", Tokens(0, 5), 1);
  store = nullptr;
  REQUIRE(path->pages() == 5);
  store = OpenStore(directory / "store");
  RequireInvalid(store->Probe(*path, 0, 1, {}).status(), "another store");
}

TEST_CASE("the C interface reports NULL arguments and hands out messages that can be freed") {
  char* error = nullptr;
  REQUIRE(lamina_open(nullptr, nullptr, nullptr, &error) == LAMINA_INVALID_ARGUMENT);
  REQUIRE_THAT(std::string(error), Contains("store is NULL"));
  lamina_free(error);
  lamina_store* store = nullptr;
  REQUIRE(lamina_open("/nonexistent/dir", "nonsense=1", &store, &error) == LAMINA_INVALID_ARGUMENT);
  REQUIRE_THAT(std::string(error), Contains("nonsense"));
  lamina_free(error);
  REQUIRE(store == nullptr);
  REQUIRE(lamina_open("/nonexistent/dir", nullptr, &store, nullptr) == LAMINA_IO_ERROR);

  const TemporaryDirectory directory;
  REQUIRE(lamina_open((directory / "store").c_str(), "capacity_bytes=64M;min_free_bytes=0", &store,
                      &error) == LAMINA_OK);
  REQUIRE(error == nullptr);
  REQUIRE(lamina_path_from_tokens(store, nullptr, nullptr, 0, 1) == nullptr);
  REQUIRE_THAT(std::string(lamina_last_error()), Contains("root is NULL"));
  const uint32_t tokens[] = {1, 2, 3, 4, 5};
  lamina_path* path = lamina_path_from_tokens(store, "model", tokens, 5, 2);
  REQUIRE(lamina_path_pages(path) == 2);
  size_t leading = 9;
  REQUIRE(lamina_probe(store, nullptr, 0, 1, nullptr, &leading, nullptr) ==
          LAMINA_INVALID_ARGUMENT);
  REQUIRE(leading == 0);
  REQUIRE(lamina_put(store, path, 0, 1, nullptr, nullptr, 1, nullptr, &leading, &error) ==
          LAMINA_INVALID_ARGUMENT);
  lamina_free(error);
  const auto payload = Payload(1, 8192);
  const void* in[] = {payload.data(), payload.data() + 4096};
  const size_t sizes[] = {4096, 4096};
  uint8_t states[2] = {};
  REQUIRE(lamina_put(store, path, 0, 2, in, sizes, 1, states, &leading, nullptr) == LAMINA_OK);
  REQUIRE(leading == 2);
  REQUIRE(states[1] == LAMINA_PAGE_OK);
  std::vector<std::byte> back(8192);
  void* out[] = {back.data(), back.data() + 4096};
  REQUIRE(lamina_get(store, path, 0, 2, out, sizes, 1, nullptr, &leading, nullptr) == LAMINA_OK);
  REQUIRE(back == payload);
  char* stats = lamina_stats_json(store);
  REQUIRE_THAT(std::string(stats), Contains("\"backend\""));
  lamina_free(stats);
  lamina_path_free(path);
  lamina_close(store);
  lamina_close(nullptr);
  lamina_path_free(nullptr);
  lamina_free(nullptr);
}

}  // namespace
}  // namespace lamina::testing
