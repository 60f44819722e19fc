#include "engine/store/metrics.h"

#include <catch2/catch.hpp>

#include "engine/base/json_writer.h"
#include "tests/store/store_fixture.h"

namespace lamina::testing {
namespace {

TEST_CASE("numbers become metrics by the names on the way to them") {
  JsonWriter json;
  json.BeginObject().Field("version", "a \"text\", with {brackets] and \\").Field("open", true);
  json.Key("io").BeginObject().Field("reads", 2).Field("odd-name", 1.5).End();
  json.Key("levels").BeginArray();
  json.BeginObject().Field("runs", 3).Key("empty").BeginObject().End().End();
  json.BeginObject().Field("runs", 4).Key("sizes").BeginArray().Value(7).End().End();
  json.End().Field("nothing", 0.0 / 0.0).Key("none").BeginArray().End().End();
  CHECK(MetricsOf(json.Take()) ==
        "lamina_open 1\n"
        "lamina_io_reads 2\n"
        "lamina_io_odd_name 1.5\n"
        "lamina_levels_runs{at=\"0\"} 3\n"
        "lamina_levels_runs{at=\"1\"} 4\n"
        "lamina_levels_sizes{at=\"1\",at_2=\"0\"} 7\n");
}

TEST_CASE("a store's metrics are what its stats say") {
  const TemporaryDirectory directory;
  const auto store = OpenStore(directory / "store");
  TestPath path = MakePath(*store, "model", Tokens(0, 5));
  REQUIRE(CountOk(PutPages(*store, path, 0, 5, 4096)) == 5);
  const std::string text = store->MetricsText();
  CHECK(text.find("\nlamina_pages_put 5\n") != std::string::npos);
  CHECK(text.find("\nlamina_calls_puts 1\n") != std::string::npos);
  // A name and a number a line.
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    const std::string line = text.substr(at, end - at);
    const size_t blank = line.find(' ');
    REQUIRE(blank != std::string::npos);
    char* rest = nullptr;
    (void)std::strtod(line.c_str() + blank + 1, &rest);
    CHECK(*rest == '\0');
    at = end + 1;
  }
}

}  // namespace
}  // namespace lamina::testing
