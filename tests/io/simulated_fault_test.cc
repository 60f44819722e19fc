// Each fault of the simulated disk: it happens, it does what it says, and to whom it should.
#include <bit>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "engine/io/simulated_file_system.h"
#include "tests/io/simulated_test_util.h"

namespace lamina {
namespace {

using Catch::Contains;

struct Fixture {
  explicit Fixture(size_t bytes = 8192) : fs(disk.Restart()) {
    content = RandomBytes(bytes, 1);
    REQUIRE(fs->MakeDirectory("/data").ok());
    file = OpenSimulated(fs.get(), "/data/f");
    REQUIRE(file->Write(0, content).ok());
  }
  std::vector<std::byte> ReadAll() const {
    std::vector<std::byte> out(content.size());
    REQUIRE(file->Read(0, out).ok());
    return out;
  }
  static size_t BitsApart(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
    size_t bits = 0;
    for (size_t i = 0; i < a.size(); ++i)
      bits += static_cast<size_t>(std::popcount(static_cast<uint8_t>(a[i] ^ b[i])));
    return bits;
  }

  SimulatedDisk disk{5};
  std::unique_ptr<FileSystem> fs;
  std::vector<std::byte> content;
  std::unique_ptr<File> file;
};

TEST_CASE("a read error is EIO and leaves other bytes in the buffer than the file's") {
  Fixture fixture;
  fixture.disk.SetFaults({.read_error = 1});
  std::vector<std::byte> out(8192);
  CHECK_THAT(fixture.file->Read(0, out).ToString(), Contains("EIO"));
  CHECK(out != fixture.content);
  CHECK(fixture.disk.counts().faults == 1);
  fixture.disk.SetFaults({});
  CHECK(fixture.ReadAll() == fixture.content);
}

TEST_CASE("a write error is EIO and leaves each sector old or new") {
  Fixture fixture;
  fixture.disk.SetFaults({.write_error = 1});
  const auto update = RandomBytes(8192, 2);
  CHECK_THAT(fixture.file->Write(0, update).ToString(), Contains("EIO"));
  fixture.disk.SetFaults({});
  const auto now = fixture.ReadAll();
  size_t old_sectors = 0;
  size_t new_sectors = 0;
  for (size_t at = 0; at < now.size(); at += 512) {
    const auto is = [&](const std::vector<std::byte>& content) {
      return std::equal(now.begin() + static_cast<ptrdiff_t>(at),
                        now.begin() + static_cast<ptrdiff_t>(at) + 512,
                        content.begin() + static_cast<ptrdiff_t>(at));
    };
    if (is(fixture.content)) ++old_sectors;
    if (is(update)) ++new_sectors;
  }
  CHECK(old_sectors + new_sectors == 16);
  CHECK(old_sectors > 0);
  CHECK(new_sectors > 0);
}

TEST_CASE("what a failed sync covered is not made durable by the next one") {
  size_t lost = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimulatedDisk disk(seed);
    const auto fs = disk.Restart();
    const auto file = MakeDurable(fs.get(), "/f", Filled(512, 'a'));
    REQUIRE(file->Write(0, Filled(512, 'b')).ok());
    disk.SetFaults({.sync_error = 1});
    CHECK_THAT(file->Sync().ToString(), Contains("EIO"));
    disk.SetFaults({});
    CHECK(file->Sync().ok());
    CHECK(ContentOf(fs.get(), "/f") == std::string(512, 'b'));  // the cache still has it
    disk.Crash(SimulatedCrash::kPower);
    if (ContentOf(disk.Restart().get(), "/f") == std::string(512, 'a')) ++lost;
  }
  CHECK(lost > 5);
  CHECK(lost < 45);
}

TEST_CASE("failed syncs are counted by the end of the path, those that lost writes once more") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  const auto file = MakeDurable(fs.get(), "/1.segment", Filled(512, 'a'));
  const auto other = MakeDurable(fs.get(), "/journal", Filled(512, 'a'));
  const SimulatedFaults failing = {.sync_error = 1};
  REQUIRE(disk.FailedSyncs(".segment") == SimulatedFailedSyncs{});
  disk.SetFaults(failing);
  REQUIRE_FALSE(other->Sync().ok());
  CHECK(disk.FailedSyncs(".segment") == SimulatedFailedSyncs{});
  REQUIRE_FALSE(file->Sync().ok());  // with nothing to be lost
  CHECK(disk.FailedSyncs(".segment") == SimulatedFailedSyncs{.all = 1, .lossy = 0});
  disk.SetFaults({});
  REQUIRE(file->Write(0, Filled(512, 'b')).ok());
  disk.SetFaults(failing);
  REQUIRE_FALSE(file->Sync().ok());
  CHECK(disk.FailedSyncs(".segment") == SimulatedFailedSyncs{.all = 2, .lossy = 1});
  disk.SetFaults({});
  REQUIRE(file->Sync().ok());
  CHECK(disk.FailedSyncs(".segment") == SimulatedFailedSyncs{.all = 2, .lossy = 1});
}

TEST_CASE("EAGAIN is retried until it passes, and reported when it does not") {
  Fixture fixture;
  fixture.disk.SetFaults({.again = 0.5});
  CHECK(fixture.ReadAll() == fixture.content);
  CHECK(fixture.file->Write(0, fixture.content).ok());
  fixture.disk.SetFaults({.again = 1});
  CHECK_THAT(fixture.file->Write(0, fixture.content).ToString(), Contains("EAGAIN"));
}

TEST_CASE("short transfers take more I/Os and come back whole") {
  Fixture fixture;
  fixture.disk.SetFaults({.short_transfer = 1});
  const uint64_t reads = fixture.disk.counts().reads;
  CHECK(fixture.ReadAll() == fixture.content);
  CHECK(fixture.disk.counts().reads > reads + 1);
  const auto direct =
      OpenSimulated(fixture.fs.get(), "/direct", {.write = true, .create = true, .direct = true});
  AlignedBuffer memory(64 * 4096);
  const auto bytes = RandomBytes(memory.size(), 3);
  std::copy(bytes.begin(), bytes.end(), memory.span().begin());
  const uint64_t writes = fixture.disk.counts().writes;
  REQUIRE(direct->Write(0, memory.span()).ok());
  CHECK(fixture.disk.counts().writes > writes + 1);
  std::vector<std::byte> out(memory.size());
  REQUIRE(direct->Read(0, out).ok());
  CHECK(out == bytes);
}

TEST_CASE("a flipped bit is one bit of what is read, once") {
  Fixture fixture;
  fixture.disk.SetFaults({.flip_on_read = 1});
  CHECK(Fixture::BitsApart(fixture.ReadAll(), fixture.content) == 1);
  fixture.disk.SetFaults({});
  CHECK(fixture.ReadAll() == fixture.content);
}

TEST_CASE("a misdirected read gives the bytes of another place of the file") {
  Fixture fixture(64 << 10);
  fixture.disk.SetFaults({.misdirected_read = 1});
  std::vector<std::byte> out(4096);
  size_t elsewhere = 0;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(fixture.file->Read(0, out).ok());
    const auto found =
        std::search(fixture.content.begin(), fixture.content.end(), out.begin(), out.end());
    REQUIRE(found != fixture.content.end());
    if (found != fixture.content.begin()) ++elsewhere;
  }
  CHECK(elsewhere > 10);
}

TEST_CASE("a stale read gives the bytes from before the last overwrite") {
  Fixture fixture;
  REQUIRE(fixture.file->Write(0, RandomBytes(8192, 2)).ok());
  fixture.disk.SetFaults({.stale_read = 1});
  CHECK(fixture.ReadAll() == fixture.content);
  fixture.disk.SetFaults({});
  CHECK(fixture.ReadAll() == RandomBytes(8192, 2));
}

TEST_CASE("a lost write is reported as done and never happened") {
  Fixture fixture;
  fixture.disk.SetFaults({.lost_write = 1});
  CHECK(fixture.file->Write(0, RandomBytes(8192, 2)).ok());
  CHECK(fixture.ReadAll() == fixture.content);
}

TEST_CASE("a misdirected write is reported as done and lands elsewhere in the file") {
  Fixture fixture(64 << 10);
  fixture.disk.SetFaults({.misdirected_write = 1});
  const auto update = RandomBytes(4096, 2);
  CHECK(fixture.file->Write(0, update).ok());
  fixture.disk.SetFaults({});
  const auto now = fixture.ReadAll();
  const auto found = std::search(now.begin(), now.end(), update.begin(), update.end());
  CHECK(found != now.end());
  CHECK(found != now.begin());
}

TEST_CASE("a misdirected transfer may hit another file, but none that faults are kept from") {
  Fixture fixture(4096);
  const auto near = OpenSimulated(fixture.fs.get(), "/data/g");
  const auto far = OpenSimulated(fixture.fs.get(), "/far");
  const auto other = RandomBytes(4096, 7);
  REQUIRE(near->Write(0, other).ok());
  REQUIRE(far->Write(0, RandomBytes(4096, 8)).ok());
  std::vector<std::byte> out(4096);
  fixture.disk.SetFaults({.misdirected_read = 1, .only_in = "/data"});
  size_t elsewhere = 0;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(fixture.file->Read(0, out).ok());
    if (out == other) ++elsewhere;
    CHECK((out == other || out == fixture.content));
  }
  CHECK(elsewhere > 0);
  fixture.disk.SetFaults({.misdirected_write = 1, .only_in = "/data"});
  const auto update = RandomBytes(4096, 9);
  for (int i = 0; i < 100; ++i) REQUIRE(fixture.file->Write(0, update).ok());
  fixture.disk.SetFaults({});
  REQUIRE(near->Read(0, out).ok());
  CHECK(out == update);
  REQUIRE(far->Read(0, out).ok());
  CHECK(out == RandomBytes(4096, 8));
}

TEST_CASE("a change of names or sizes that fails has not happened") {
  Fixture fixture;
  fixture.disk.SetFaults({.change_error = 1});
  const auto fails = [](const Status& status) { CHECK_THAT(status.ToString(), Contains("EIO")); };
  fails(fixture.file->Truncate(0));
  fails(fixture.file->Allocate(65536));
  fails(fixture.file->PunchHole(0, 4096));
  fails(fixture.fs->Rename("/data/f", "/data/g"));
  fails(fixture.fs->Remove("/data/f"));
  fails(fixture.fs->MakeDirectory("/other"));
  fails(fixture.fs->Open("/data/new", kSimulatedWrite).status());
  fixture.disk.SetFaults({});
  CHECK(fixture.ReadAll() == fixture.content);
  CHECK(fixture.disk.Files() == std::vector<std::string>{"/data/f"});
}

TEST_CASE("a file that cannot be opened now is opened later") {
  Fixture fixture;
  fixture.disk.SetFaults({.open_error = 1});
  CHECK_THAT(fixture.fs->Open("/data/f", {}).status().ToString(), Contains("EMFILE"));
  fixture.disk.SetFaults({});
  CHECK(fixture.fs->Open("/data/f", {}).ok());
}

TEST_CASE("without space what has its blocks can be written, and nothing else") {
  Fixture fixture;
  fixture.disk.SetFaults({.no_space = 1});
  CHECK(fixture.file->Write(0, fixture.content).ok());
  CHECK(fixture.file->Write(8192, fixture.content).code() == StatusCode::kNoSpace);
  CHECK(fixture.file->Allocate(65536).code() == StatusCode::kNoSpace);
}

TEST_CASE("completions come delayed and reordered, and all of them come") {
  Fixture fixture;
  fixture.disk.SetFaults({.delay = 0.5, .reorder = true});
  const auto queue = fixture.fs->NewQueue(16);
  std::vector<std::byte> out(64);
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  for (uint64_t i = 0; i < 16; ++i) {
    requests.push_back(
        std::make_unique<OwnedRequest>(fixture.file.get(), /*write=*/false, i * 64, out));
    (*queue)->Submit(&requests.back()->request);
  }
  bool delayed = false;
  bool reordered = false;
  uint64_t highest = 0;
  for (size_t done = 0; done < 16;) {
    const IoRequest* const request = (*queue)->Poll();
    if (request == nullptr) {
      delayed = true;
      continue;
    }
    ++done;
    if (request->offset < highest) reordered = true;
    highest = std::max(highest, request->offset);
  }
  CHECK(delayed);
  CHECK(reordered);
}

TEST_CASE("a delay that never ends does not hang a wait") {
  Fixture fixture;
  fixture.disk.SetFaults({.delay = 1});
  const auto queue = fixture.fs->NewQueue(4);
  std::vector<std::byte> out(64);
  OwnedRequest owned(fixture.file.get(), /*write=*/false, 0, out);
  (*queue)->Submit(&owned.request);
  CHECK((*queue)->Poll() == nullptr);
  CHECK((*queue)->Wait() == &owned.request);
}

TEST_CASE("faults keep to the files that they are meant for") {
  Fixture fixture;
  const auto other = OpenSimulated(fixture.fs.get(), "/other");
  fixture.disk.SetFaults({.read_error = 1, .write_error = 1, .only_in = "data/"});
  std::vector<std::byte> out(10);
  CHECK(other->Write(0, out).ok());
  CHECK(other->Read(0, out).ok());
  CHECK_FALSE(fixture.file->Read(0, out).ok());
  CHECK_FALSE(fixture.file->Write(0, out).ok());
}

TEST_CASE("the n-th operation fails with the errno that was asked for, and no other") {
  Fixture fixture;
  fixture.disk.FailOperation(2, ENOSPC);
  CHECK(fixture.file->Write(0, fixture.content).ok());
  CHECK(fixture.file->Write(0, fixture.content).code() == StatusCode::kNoSpace);
  CHECK(fixture.file->Write(0, fixture.content).ok());
  fixture.disk.FailOperation(1, EIO, 2);
  CHECK_THAT(fixture.fs->Rename("/data/f", "/g").ToString(), Contains("EIO"));
  CHECK_THAT(fixture.fs->SyncDirectory("/").ToString(), Contains("EIO"));
  CHECK(*fixture.fs->Exists("/data/f"));
  CHECK(fixture.fs->Rename("/data/f", "/g").ok());
  fixture.disk.FailOperation(1, EIO);
  fixture.disk.FailOperation(0, EIO);
  CHECK(fixture.file->Sync().ok());
}

TEST_CASE("the n-th read fails, and no other") {
  Fixture fixture;
  fixture.disk.FailRead(2, EIO);
  std::vector<std::byte> out(10);
  CHECK(fixture.file->Read(0, out).ok());
  CHECK_FALSE(fixture.file->Read(0, out).ok());
  CHECK(fixture.file->Read(0, out).ok());
}

// ---- Decay

TEST_CASE("a bit that flips on the disk stays flipped, cached or not, before and after a sync") {
  const bool synced = GENERATE(false, true);
  const bool crash = GENERATE(false, true);
  Fixture fixture;
  if (synced) {
    REQUIRE(fixture.file->Sync().ok());
    REQUIRE(fixture.fs->SyncDirectory("/data").ok());
  }
  REQUIRE(fixture.disk.FlipBit("/data/f", 12345).ok());
  auto expected = fixture.content;
  expected[12345 / 8] ^= static_cast<std::byte>(1u << (12345 % 8));
  CHECK(fixture.ReadAll() == expected);
  if (!synced) {
    REQUIRE(fixture.file->Sync().ok());
    REQUIRE(fixture.fs->SyncDirectory("/data").ok());
  }
  if (crash) fixture.disk.Crash(SimulatedCrash::kPower);
  const auto fs = fixture.disk.Restart();
  std::vector<std::byte> out(8192);
  REQUIRE(OpenSimulated(fs.get(), "/data/f", {})->Read(0, out).ok());
  CHECK(out == expected);
}

TEST_CASE("bytes on the disk can be overwritten behind everybody's back") {
  Fixture fixture;
  REQUIRE(fixture.disk.Overwrite("/data/f", 4000, Filled(200, 'x')).ok());
  auto expected = fixture.content;
  std::fill(expected.begin() + 4000, expected.begin() + 4200, std::byte{'x'});
  CHECK(fixture.ReadAll() == expected);
  CHECK(fixture.disk.Overwrite("/data/f", 8100, Filled(200, 'x')).code() ==
        StatusCode::kCorruption);
  CHECK_THAT(fixture.disk.FlipBit("/none", 0).ToString(), Contains("ENOENT"));
}

TEST_CASE("an unreadable range gives EIO, its neighbours do not, and a write heals it") {
  Fixture fixture;
  REQUIRE(fixture.disk.MakeUnreadable("/data/f", 4096, 512).ok());
  std::vector<std::byte> out(512);
  CHECK_FALSE(fixture.file->Read(4096, out).ok());
  CHECK_FALSE(fixture.file->Read(3600, out).ok());
  CHECK(fixture.file->Read(3584, out).ok());
  CHECK(fixture.file->Read(4608, out).ok());
  CHECK(fixture.file->Write(4096, Filled(512, 'x')).ok());
  CHECK(fixture.file->Read(4096, out).ok());
}

TEST_CASE("a write that covers an unreadable sector in part fails, and changes nothing") {
  Fixture fixture;
  std::vector<std::byte> before(1024);
  REQUIRE(fixture.file->Read(3584, before).ok());
  REQUIRE(fixture.disk.MakeUnreadable("/data/f", 4096, 512).ok());
  CHECK_THAT(fixture.file->Write(4200, Filled(10, 'x')).ToString(), Contains("EIO"));
  CHECK_FALSE(fixture.file->Write(4000, Filled(200, 'x')).ok());
  CHECK_FALSE(fixture.file->Write(4200, Filled(1000, 'x')).ok());
  std::vector<std::byte> out(512);
  CHECK_FALSE(fixture.file->Read(4096, out).ok());
  REQUIRE(fixture.file->Read(3584, out).ok());
  CHECK(std::equal(out.begin(), out.end(), before.begin()));
}

TEST_CASE("a write that covers an unreadable sector whole heals it, however it is cut short") {
  Fixture fixture;
  SimulatedFaults faults;
  faults.short_transfer = 0.9;
  fixture.disk.SetFaults(faults);
  std::vector<std::byte> out(2048);
  for (char fill = 'a'; fill <= 'z'; ++fill) {
    REQUIRE(fixture.disk.MakeUnreadable("/data/f", 4608, 512).ok());
    REQUIRE(fixture.file->Write(4096, Filled(2048, fill)).ok());
    REQUIRE(fixture.file->Read(4096, out).ok());
    REQUIRE(out == Filled(2048, fill));
  }
}

}  // namespace
}  // namespace lamina
