// The space that is held for when there is none.
#include "engine/io/ballast.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>

#include "engine/io/simulated_file_system.h"
#include "tests/io/simulated_test_util.h"

namespace lamina {
namespace {

struct Fixture {
  explicit Fixture(uint64_t min_free_bytes = 0) : min_free(min_free_bytes) {
    REQUIRE(fs->MakeDirectory("/store").ok());
  }
  uint64_t FreeBytes() const { return fs->Space("/store")->free_bytes; }
  bool Exists() const { return *fs->Exists("/store/BALLAST"); }

  const uint64_t min_free;
  SimulatedDisk disk{1, {.capacity_bytes = 4 * kBallastBytes}};
  std::unique_ptr<FileSystem> fs = disk.Restart();
  Ballast ballast{*fs, "/store", kBallastBytes, min_free};
};

TEST_CASE("a ballast takes its space when it is made and gives it back once") {
  Fixture f;
  const uint64_t before = f.FreeBytes();
  CHECK_FALSE(f.ballast.GiveUp());
  REQUIRE(f.ballast.Make().ok());
  REQUIRE(f.ballast.Make().ok());
  CHECK(f.ballast.held());
  CHECK(before - f.FreeBytes() == kBallastBytes);
  CHECK(f.ballast.GiveUp());
  CHECK_FALSE(f.ballast.GiveUp());
  CHECK(f.ballast.uses() == 1);
  CHECK(f.FreeBytes() == before);
  REQUIRE(f.ballast.Make().ok());
  CHECK(f.ballast.held());
}

TEST_CASE("a ballast is not made of space that is left to others") {
  Fixture f(3 * kBallastBytes + 4096);
  CHECK(f.ballast.Make().code() == StatusCode::kNoSpace);
  CHECK_FALSE(f.ballast.held());
  CHECK_FALSE(f.Exists());
}

TEST_CASE("a ballast that an earlier process left is found, and completed when it is not whole") {
  Fixture f;
  REQUIRE(f.ballast.Make().ok());
  Ballast whole(*f.fs, "/store", kBallastBytes, 3 * kBallastBytes);
  CHECK(whole.Make().ok());
  REQUIRE(OpenSimulated(f.fs.get(), "/store/BALLAST")->Truncate(4096).ok());
  Ballast part(*f.fs, "/store", kBallastBytes, 0);
  CHECK(part.Make().ok());
  CHECK(*f.fs->AllocatedBytes("/store/BALLAST") == kBallastBytes);
}

TEST_CASE("a failure at any operation of making a ballast leaves all of it or nothing") {
  for (uint64_t n = 1; n <= 3; ++n) {
    CAPTURE(n);
    Fixture f;
    f.disk.FailOperation(n, ENOSPC);
    const bool made = f.ballast.Make().ok();
    f.disk.FailOperation(0, 0);
    CHECK(f.ballast.held() == made);
    CHECK(f.Exists() == made);
    CHECK(f.ballast.Make().ok());
    CHECK(*f.fs->AllocatedBytes("/store/BALLAST") == kBallastBytes);
  }
}

TEST_CASE("a ballast on a real file system occupies blocks") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  Ballast ballast(*fs, directory.path(), kBallastBytes, 0);
  REQUIRE(ballast.Make().ok());
  CHECK(*fs->AllocatedBytes(directory.File(kBallastFileName)) >= kBallastBytes);
  CHECK(ballast.GiveUp());
  CHECK_FALSE(std::filesystem::exists(directory.File(kBallastFileName)));
}

}  // namespace
}  // namespace lamina
