// Which kernel interface a store runs on, and that it says so.
#include <sys/syscall.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "tests/io/seccomp.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

// The options without what the environment adds: these tests choose the backend themselves.
Options PlainOptions(const std::string& text) {
  return *Options::Parse("capacity_bytes=1G;min_free_bytes=0;memory_bytes=128M;" + text);
}

std::string RoundTrip(const std::string& directory, const Options& options,
                      const std::string& expected_backend) {
  auto store = Store::Open(directory, options);
  if (!store.ok()) return store.status().ToString();
  TestPath path = MakePath(**store, "model", Tokens(0, 40));
  if (CountOk(PutPages(**store, path, 0, 40, 65536)) != 40) return "put";
  const GetOutcome got = GetPages(**store, path, 0, 40, 65536);
  if (CountOk(got.states) != 40 || got.wrong != 0) return "get";
  const std::string stats = (*store)->StatsJson();
  if (stats.find("\"backend\":\"" + expected_backend) == std::string::npos) return stats;
  return "";
}

TEST_CASE("io=threads does without io_uring, and Stats says so") {
  const TemporaryDirectory directory;
  REQUIRE(RoundTrip(directory / "store", PlainOptions("io=threads"), "threads (io=threads)") == "");
}

TEST_CASE("where io_uring is refused, io=auto falls back to threads and Stats says why") {
  const TemporaryDirectory directory;
  REQUIRE(RunInChild([&] {
            RefuseSystemCall(__NR_io_uring_setup, EPERM);
            return RoundTrip(directory / "store", PlainOptions("io=auto"),
                             "threads (io_uring_setup: Operation not permitted");
          }) == "");
}

TEST_CASE("where io_uring is refused, asking for it is an error and leaves no store behind") {
  const TemporaryDirectory directory;
  for (const char* option : {"io=uring", "require_io_uring=true"}) {
    REQUIRE(RunInChild([&]() -> std::string {
              RefuseSystemCall(__NR_io_uring_setup, EPERM);
              const auto store = Store::Open(directory / "store", PlainOptions(option));
              if (store.ok()) return "opened";
              if (store.status().message().find("io_uring") == std::string_view::npos)
                return store.status().ToString();
              return std::filesystem::exists(directory / "store") ? "left behind" : "";
            }) == "");
  }
}

}  // namespace
}  // namespace lamina::testing
