// Log directories and their markers.
#include "tensorlog/log_dir.h"

#include <xxhash.h>

#include <catch2/catch.hpp>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

using IfMissing = LogDir::IfMissing;

struct Fixture {
  TemporaryDirectory dir;
  std::unique_ptr<PosixFileSystem> fs = MakeFileSystem();
  std::string path = dir.File("log");
  auto Open(IfMissing if_missing, StoreId id = kTestStore, uint32_t index = 0) {
    return LogDir::Open(*fs, path, id, index, if_missing);
  }
  std::string marker() { return path + "/" + kLogDirMarkerName; }
};

TEST_CASE("a log directory is made and marked once, and known again") {
  Fixture f;
  auto made = f.Open(IfMissing::kCreate);
  REQUIRE(made.ok());
  CHECK((*made)->writable());
  const std::string marker = ReadWhole(f.marker());
  auto again = f.Open(IfMissing::kMiss);
  REQUIRE(again.ok());
  CHECK((*again)->present());
  CHECK(ReadWhole(f.marker()) == marker);
  CHECK((*again)->SegmentPath(42) == f.path + "/0000000042.segment");
}

TEST_CASE("a marker has the bytes that its format says") {
  Fixture f;
  REQUIRE(f.Open(IfMissing::kCreate, kTestStore, 3).ok());
  CHECK(Golden("log_dir_marker.hex", ReadWhole(f.marker())) == "");
}

TEST_CASE("a missing directory, or a mount point without its disk, is not there, and not made") {
  Fixture f;
  auto missing = f.Open(IfMissing::kMiss);
  REQUIRE(missing.ok());
  CHECK_FALSE((*missing)->present());
  CHECK_FALSE((*missing)->writable());
  CHECK_FALSE(std::filesystem::exists(f.path));
  std::filesystem::create_directory(f.path);
  auto empty = f.Open(IfMissing::kMiss);
  REQUIRE(empty.ok());
  CHECK_FALSE((*empty)->present());
  CHECK(std::filesystem::is_empty(f.path));
}

TEST_CASE("a directory whose marker cannot be read is not there for a store that knows it") {
  Fixture f;
  REQUIRE(f.Open(IfMissing::kCreate).ok());
  std::filesystem::remove(f.marker());
  std::filesystem::create_directory(f.marker());
  const auto known = f.Open(IfMissing::kMiss);
  REQUIRE(known.ok());
  CHECK_FALSE((*known)->present());
  CHECK((*known)->unreadable());
  const std::string why((*known)->absence().message());
  CHECK(why.find("log directory " + f.path + " cannot be used: ") == 0);
  CHECK(why.find("not a regular file") != std::string::npos);
  // It joins no store like that.
  CHECK(f.Open(IfMissing::kCreate).status().code() == StatusCode::kIoError);
  std::filesystem::remove_all(f.path);
  const auto missing = f.Open(IfMissing::kMiss);
  REQUIRE(missing.ok());
  CHECK_FALSE((*missing)->unreadable());
  CHECK((*missing)->absence().message() == "log directory " + f.path + " is not there");
}

TEST_CASE("a directory of another store, or in another place, is refused and left alone") {
  Fixture f;
  REQUIRE(f.Open(IfMissing::kCreate).ok());
  for (const IfMissing how : {IfMissing::kCreate, IfMissing::kMiss}) {
    const auto other = f.Open(how, StoreId{1, 2});
    REQUIRE_FALSE(other.ok());
    CHECK(other.status().code() == StatusCode::kInvalidArgument);
    CHECK(other.status().message().find("belongs to store") != std::string_view::npos);
    const auto moved = f.Open(how, kTestStore, 1);
    REQUIRE_FALSE(moved.ok());
    CHECK(moved.status().message().find("number 0 of this store, not number 1") !=
          std::string_view::npos);
  }
}

TEST_CASE("a directory that holds something else is refused") {
  Fixture f;
  std::filesystem::create_directory(f.path);
  WriteWhole(f.path + "/photos.tar", "x");
  for (const IfMissing how : {IfMissing::kCreate, IfMissing::kMiss}) {
    const auto dir = f.Open(how);
    REQUIRE_FALSE(dir.ok());
    CHECK(dir.status().message().find("photos.tar") != std::string_view::npos);
  }
}

TEST_CASE("any damage to a marker is found, an unknown version is refused by name") {
  Fixture f;
  REQUIRE(f.Open(IfMissing::kCreate).ok());
  const std::string good = ReadWhole(f.marker());
  for (size_t byte = 0; byte < good.size(); ++byte) {
    FlipBit(f.marker(), byte, byte % 8);
    CAPTURE(byte);
    CHECK(f.Open(IfMissing::kMiss).status().code() == StatusCode::kCorruption);
    WriteWhole(f.marker(), good);
  }
  WriteWhole(f.marker(), good.substr(0, 63));
  CHECK(f.Open(IfMissing::kMiss).status().code() == StatusCode::kCorruption);

  std::string later = good;
  later[offsetof(LogDirMarker, version)] = 2;
  const uint64_t checksum = XXH3_64bits(later.data(), offsetof(LogDirMarker, checksum));
  std::memcpy(later.data() + offsetof(LogDirMarker, checksum), &checksum, sizeof checksum);
  WriteWhole(f.marker(), later);
  const auto refused = f.Open(IfMissing::kMiss);
  CHECK(refused.status().code() == StatusCode::kNotSupported);
  CHECK(refused.status().message().find("version 2") != std::string_view::npos);
}

TEST_CASE("a half-made marker does not keep the directory from joining") {
  Fixture f;
  std::filesystem::create_directory(f.path);
  WriteWhole(f.marker() + ".new", "half");
  REQUIRE(f.Open(IfMissing::kCreate).ok());
  CHECK(f.Open(IfMissing::kMiss).ok());
}

TEST_CASE("a latched directory takes no writes and keeps the first reason") {
  Fixture f;
  auto dir = f.Open(IfMissing::kCreate);
  REQUIRE(dir.ok());
  (*dir)->Latch(LogDir::Failure::kWrite, Status::IoError("first"));
  (*dir)->Latch(LogDir::Failure::kSync, Status::IoError("second"));
  CHECK((*dir)->present());
  CHECK_FALSE((*dir)->writable());
  CHECK((*dir)->sync_failed());
  CHECK((*dir)->latch_status().message() == "first");
}

TEST_CASE("segment files are known by their names alone") {
  uint32_t id = 0;
  CHECK(ParseSegmentFileName("0000000042.segment", &id));
  CHECK(id == 42);
  CHECK(ParseSegmentFileName("4294967295.segment", &id));
  for (const char* name : {"42.segment", "0000000042.segments", "0000000042", "4294967296.segment",
                           "-000000042.segment", "000000004x.segment", ".segment", ""}) {
    CHECK_FALSE(ParseSegmentFileName(name, &id));
  }
}

}  // namespace
}  // namespace lamina
