#include "bench/trace.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/bench/temporary_directory.h"

namespace lamina::bench {
namespace {

constexpr char kGood[] =
    R"({"timestamp": 27000, "input_length": 1025, "output_length": 3, "hash_ids": [0, 7, 9]})";

std::string WriteTrace(const TemporaryDirectory& dir, const std::string& text) {
  const std::string file = dir.path() + "/trace.jsonl";
  std::ofstream(file) << text;
  return file;
}

std::string MessageOf(const std::string& line) {
  const Result<Request> request = ParseRequest(line, "t:7");
  REQUIRE(!request.ok());
  CHECK(request.status().code() == StatusCode::kInvalidArgument);
  return std::string(request.status().message());
}

TEST_CASE("a line of a trace becomes a request with every block, the partial last one included") {
  const Result<Request> request = ParseRequest(kGood, "t:1");
  REQUIRE(request.ok());
  CHECK(request->timestamp_ms == 27000);
  CHECK(request->input_tokens == 1025);
  CHECK(request->output_tokens == 3);
  CHECK(request->blocks == std::vector<uint64_t>{0, 7, 9});
}

TEST_CASE("a trace line may leave out its output length, and may have no blocks") {
  const Result<Request> request =
      ParseRequest(R"({"timestamp": 1.5, "input_length": 0, "hash_ids": []})", "t:1");
  REQUIRE(request.ok());
  CHECK(request->output_tokens == 0);
  CHECK(request->blocks.empty());
}

TEST_CASE("a bad trace line is an error that says where and what") {
  CHECK(MessageOf(R"({"timestamp": 1, "input_le)").find("t:7: not JSON at column 27") == 0);
  CHECK(MessageOf("[1, 2]") == "t:7: expected one JSON object a line");
  CHECK(MessageOf(R"({"input_length": 1, "hash_ids": [1]})") ==
        "t:7: \"timestamp\" (a number, ms) is missing");
  CHECK(MessageOf(R"({"timestamp": "1", "input_length": 1, "hash_ids": [1]})") ==
        "t:7: \"timestamp\" (a number, ms) is missing");
  CHECK(MessageOf(R"({"timestamp": 1, "hash_ids": [1]})") == "t:7: \"input_length\" is missing");
  CHECK(MessageOf(R"({"timestamp": 1, "input_length": -4, "hash_ids": [1]})") ==
        "t:7: \"input_length\" is -4, expected an integer >= 0");
  CHECK(MessageOf(R"({"timestamp": 1, "input_length": 4.5, "hash_ids": [1]})") ==
        "t:7: \"input_length\" is 4.5, expected an integer >= 0");
  CHECK(MessageOf(R"({"timestamp": 1, "input_length": 4})") == "t:7: \"hash_ids\" is missing");
  CHECK(MessageOf(R"({"timestamp": 1, "input_length": 4, "hash_ids": 3})") ==
        "t:7: \"hash_ids\" is not an array of block ids");
  CHECK(MessageOf(R"({"timestamp": 1, "input_length": 4, "hash_ids": [1, "x"]})") ==
        "t:7: \"hash_ids\"[1] is \"x\", expected an integer >= 0");
}

TEST_CASE("reading a trace names the file and the line that is bad, empty lines counted") {
  const TemporaryDirectory dir;
  const std::string file =
      WriteTrace(dir, std::string(kGood) + "\n\n  \n" + kGood + "\nnonsense\n");
  const Result<std::vector<Request>> all = LoadTrace(file, 0);
  REQUIRE(!all.ok());
  CHECK(std::string(all.status().message()).find(file + ":5: not JSON") == 0);
  // What is not asked for is not read.
  const Result<std::vector<Request>> two = LoadTrace(file, 2);
  REQUIRE(two.ok());
  CHECK(two->size() == 2);
}

TEST_CASE("a trace without its last newline loses no request") {
  const TemporaryDirectory dir;
  const Result<std::vector<Request>> requests =
      LoadTrace(WriteTrace(dir, std::string(kGood) + "\n" + kGood), 0);
  REQUIRE(requests.ok());
  CHECK(requests->size() == 2);
}

TEST_CASE("a trace that is missing, a directory or without requests is an error that names it") {
  const TemporaryDirectory dir;
  for (const std::string& file :
       {dir.path() + "/absent", dir.path(), WriteTrace(dir, ""), WriteTrace(dir, "\n \n")}) {
    INFO(file);
    const Result<std::vector<Request>> requests = LoadTrace(file, 0);
    REQUIRE(!requests.ok());
    CHECK(std::string(requests.status().message()).find(file) != std::string::npos);
  }
}

}  // namespace
}  // namespace lamina::bench
