// What the tools share: text, records, and an output that outlives its reader.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tools/common_output.h"
#include "tools/common_record.h"
#include "tools/common_text.h"

namespace lamina::tools {
namespace {

TEST_CASE("hex goes out and comes back, and pasted keys may keep their bars") {
  const std::string bytes("\x00\x7f\xff", 3);
  CHECK(HexOf(bytes) == "007fff");
  CHECK(BytesOfHex("007fff") == bytes);
  CHECK(BytesOfHex("00|7F|fF") == bytes);
  CHECK(BytesOfHex("") == "");
  CHECK_FALSE(BytesOfHex("0"));
  CHECK_FALSE(BytesOfHex("0x00"));
  CHECK_FALSE(BytesOfHex("00 7f"));
  CHECK(HexOf64(0xAB) == "00000000000000ab");
  CHECK(HexOf32(0xAB) == "000000ab");
}

TEST_CASE("bytes and counts are made easy to read") {
  CHECK(HumanBytes(0) == "0 bytes");
  CHECK(HumanBytes(1) == "1 byte");
  CHECK(HumanBytes(1023) == "1,023 bytes");
  CHECK(HumanBytes(1024) == "1.0 KiB");
  CHECK(HumanBytes((1u << 20) - 1) == "1.0 MiB");
  CHECK(HumanBytes(UINT64_MAX) == "16.0 EiB");
  CHECK(HumanCount(999) == "999");
  CHECK(HumanCount(1234567) == "1,234,567");
  CHECK(Counted(1, "entry", "entries") == "1 entry");
  CHECK(Counted(2000, "entry", "entries") == "2,000 entries");
  CHECK(Counted(0, "block") == "0 blocks");
}

TEST_CASE("names from a disk cannot steer a terminal") {
  CHECK(Printable("a\x1b[2J\n\\z") == "a\\x1b[2J\\x0a\\x5cz");
}

TEST_CASE("a record is one line of JSON with its keys in order, whatever bytes it holds") {
  Record record("thing");
  record.Text("name", "bad \xff utf-8 \n")
      .Number("count", uint64_t{UINT64_MAX})
      .Number("none", std::nullopt)
      .Real("rate", 0.25)
      .Flag("whole", true)
      .List("changes", {"a", "b"});
  const std::string line = record.ToJson();
  CHECK(line.find('\n') == std::string::npos);
  const auto json = nlohmann::ordered_json::parse(line);
  CHECK(json.begin().key() == "type");
  CHECK(json["count"] == UINT64_MAX);
  CHECK(json["none"].is_null());
  CHECK(json["changes"].size() == 2);
}

TEST_CASE("a record as text is aligned, easy to read, and exact with raw") {
  Record record("thing");
  record.Text("file", "f")
      .Number("file_bytes", uint64_t{2048}, Unit::kBytes)
      .Number("none", std::nullopt);
  CHECK(record.ToText(false) == "  file        f\n  file bytes  2.0 KiB\n");
  CHECK(record.ToText(true) == "  file        f\n  file bytes  2048\n");
}

TEST_CASE("an output whose reader has gone is closed, which is no error") {
  IgnoreBrokenPipe();
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  ::close(ends[0]);
  Output out(ends[1]);
  out.Write("text");
  out.Flush();
  CHECK(out.closed());
  CHECK(out.error() == 0);
  ::close(ends[1]);
}

TEST_CASE("an output that cannot be written says why") {
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) return;  // no such device here
  Output out(full);
  out.Write("text");
  out.Flush();
  CHECK(out.error() == ENOSPC);
  ::close(full);
}

}  // namespace
}  // namespace lamina::tools
