// Without faults, the simulated disk does what file_system.h says.
#include "engine/io/simulated_file_system.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "engine/io/queue_pool.h"
#include "tests/io/simulated_test_util.h"

namespace lamina {
namespace {

using Catch::Contains;

TEST_CASE("simulated: what is written is read back, and the end of the file is known") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  const auto file = OpenSimulated(fs.get(), "/f");
  const auto bytes = RandomBytes(10000, 1);
  REQUIRE(file->Write(5000, bytes).ok());
  CHECK(*file->Size() == 15000);
  std::vector<std::byte> out(10000);
  REQUIRE(file->Read(5000, out).ok());
  CHECK(out == bytes);
  REQUIRE(file->Read(0, std::span(out).first(5000)).ok());
  CHECK(std::all_of(out.begin(), out.begin() + 5000, [](std::byte b) { return b == std::byte{}; }));
  const Status past = file->Read(14000, std::span(out).first(2000));
  CHECK(past.code() == StatusCode::kCorruption);
  CHECK_THAT(past.ToString(), Contains("expected 2000 bytes at offset 14000, found 1000"));
}

TEST_CASE("simulated: direct files read at any alignment and want it of everything else") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  const auto file = OpenSimulated(fs.get(), "/f", {.write = true, .create = true, .direct = true});
  CHECK(file->direct());
  CHECK(file->alignment().offset == 4096);
  AlignedBuffer memory(8192);
  CHECK(file->Write(4096, memory.span()).ok());
  CHECK_THAT(file->Write(1, memory.span().first(4096)).ToString(), Contains("EINVAL"));
  CHECK_FALSE(file->Write(0, memory.span().subspan(1, 4096)).ok());
  CHECK_FALSE(file->Write(0, memory.span().first(100)).ok());
  std::vector<std::byte> out(333);
  CHECK(file->Read(4099, out).ok());

  const auto queue = fs->NewQueue(4);
  OwnedRequest owned(file.get(), /*write=*/false, 1, memory.span().first(4096));
  (*queue)->Submit(&owned.request);
  REQUIRE((*queue)->Wait() == &owned.request);
  CHECK(owned.request.error == EINVAL);
}

TEST_CASE("simulated: direct I/O can be refused to all files") {
  SimulatedDisk disk(1, {.direct_refused = true});
  const auto fs = disk.Restart();
  const auto file = OpenSimulated(fs.get(), "/f", {.write = true, .create = true, .direct = true});
  CHECK_FALSE(file->direct());
  CHECK(file->Write(1, Filled(3, 'a')).ok());
}

TEST_CASE("simulated: a queue keeps to its depth and returns every request") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  const auto file = OpenSimulated(fs.get(), "/f");
  const auto queue = fs->NewQueue(3);
  CHECK((*queue)->depth() == 3);
  CHECK((*queue)->Wait() == nullptr);
  CHECK((*queue)->Poll() == nullptr);
  std::vector<std::byte> memory = RandomBytes(100 * 64, 1);
  std::vector<std::byte> out(memory.size());
  for (const bool write : {true, false}) {
    std::vector<std::unique_ptr<OwnedRequest>> requests;
    for (size_t i = 0; i < 100; ++i) {
      requests.push_back(std::make_unique<OwnedRequest>(
          file.get(), write, i * 64, std::span(write ? memory : out).subspan(i * 64, 64)));
      (*queue)->Submit(&requests.back()->request);
    }
    CHECK((*queue)->pending() == 100);
    size_t done = 0;
    while (const IoRequest* const request = (*queue)->Wait()) {
      CHECK(request->error == 0);
      ++done;
    }
    CHECK(done == 100);
  }
  CHECK(out == memory);
}

TEST_CASE("simulated: names behave as a directory's do") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  CHECK_THAT(fs->Open("/f", {}).status().ToString(), Contains("ENOENT"));
  CHECK_THAT(fs->Open("/d/f", kSimulatedWrite).status().ToString(), Contains("ENOENT"));
  REQUIRE(fs->MakeDirectory("/d").ok());
  REQUIRE(fs->MakeDirectory("/d").ok());
  REQUIRE(fs->MakeDirectory("/").ok());
  OpenSimulated(fs.get(), "/d/b");
  REQUIRE(OpenSimulated(fs.get(), "/d/a")->Write(0, Filled(1, 'a')).ok());
  CHECK_THAT(
      fs->Open("/d/a", {.write = true, .create = true, .exclusive = true}).status().ToString(),
      Contains("EEXIST"));
  CHECK_THAT(fs->Open("/d", {}).status().ToString(), Contains("EISDIR"));
  CHECK_THAT(fs->MakeDirectory("/d/a").ToString(), Contains("ENOTDIR"));
  CHECK(*fs->List("/d") == std::vector<std::string>{"a", "b"});
  CHECK(disk.Files() == std::vector<std::string>{"/d/a", "/d/b"});
  CHECK(fs->Rename("/d/a", "/d/b").ok());
  CHECK(ContentOf(fs.get(), "/d/b") == "a");
  CHECK_FALSE(*fs->Exists("/d/a"));
  CHECK_THAT(fs->Rename("/d/a", "/d/c").ToString(), Contains("ENOENT"));
  CHECK_THAT(fs->Remove("/d").ToString(), Contains("ENOTEMPTY"));
  CHECK(fs->Remove("/d/b").ok());
  CHECK(fs->Remove("/d").ok());
  CHECK_THAT(fs->Remove("/d").ToString(), Contains("ENOENT"));
  CHECK_FALSE(fs->List("/d").ok());
}

TEST_CASE("simulated: open truncates when told to, and read-only files cannot be written") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  REQUIRE(OpenSimulated(fs.get(), "/f")->Write(0, Filled(10, 'a')).ok());
  const auto read_only = OpenSimulated(fs.get(), "/f", {});
  CHECK_THAT(read_only->Write(0, Filled(1, 'b')).ToString(), Contains("EBADF"));
  CHECK_THAT(read_only->Truncate(0).ToString(), Contains("EBADF"));
  CHECK(ContentOf(fs.get(), "/f") == "aaaaaaaaaa");
  OpenSimulated(fs.get(), "/f", {.write = true, .truncate = true});
  CHECK(ContentOf(fs.get(), "/f") == "");
}

TEST_CASE("simulated: the device has room for so much, and gets it back") {
  SimulatedDisk disk(1, {.capacity_bytes = 16 * 4096});
  const auto fs = disk.Restart();
  auto file = OpenSimulated(fs.get(), "/f");
  REQUIRE(file->Allocate(10 * 4096).ok());
  CHECK(*file->Size() == 10 * 4096);
  CHECK(*fs->AllocatedBytes("/f") == 10 * 4096);
  CHECK(fs->Space("/")->free_bytes == 6 * 4096);
  const auto other = OpenSimulated(fs.get(), "/g");
  CHECK(other->Allocate(7 * 4096).code() == StatusCode::kNoSpace);
  CHECK(other->Write(0, Filled(7 * 4096, 'a')).code() == StatusCode::kNoSpace);
  CHECK(*other->Size() == 0);
  // What is allocated can be written.
  CHECK(file->Write(0, Filled(10 * 4096, 'b')).ok());
  REQUIRE(file->PunchHole(4096, 2 * 4096).ok());
  CHECK(*fs->AllocatedBytes("/f") == 8 * 4096);
  CHECK(ContentOf(fs.get(), "/f").substr(4095, 3) == std::string("b\0\0", 3));
  CHECK(other->Write(0, Filled(7 * 4096, 'a')).ok());
  // A removed file keeps its blocks while it is open.
  REQUIRE(fs->Remove("/f").ok());
  CHECK(fs->Space("/")->free_bytes == 4096);
  file.reset();
  CHECK(fs->Space("/")->free_bytes == 9 * 4096);
  disk.SetCapacity(7 * 4096);
  CHECK(fs->Space("/")->free_bytes == 0);
}

TEST_CASE("simulated: where holes cannot be punched it says so") {
  SimulatedDisk disk(1, {.punch_hole_refused = true});
  const auto fs = disk.Restart();
  CHECK(OpenSimulated(fs.get(), "/f")->PunchHole(0, 4096).code() == StatusCode::kNotSupported);
}

TEST_CASE("simulated: the lock keeps other processes out until its holder is gone") {
  SimulatedDisk disk(1);
  const auto first = disk.Restart();
  const auto second = disk.Attach();
  auto lock = first->Lock("/LOCK");
  REQUIRE(lock.ok());
  CHECK(second->Lock("/LOCK").status().code() == StatusCode::kBusy);
  CHECK_THAT(second->Lock("/LOCK").status().ToString(), Contains("process (1)"));
  CHECK_THAT(first->Lock("/LOCK").status().ToString(), Contains("this process"));
  lock->reset();
  const auto again = second->Lock("/LOCK");
  CHECK(again.ok());
  const auto third = disk.Restart();
  const auto after_restart = third->Lock("/LOCK");
  CHECK(after_restart.ok());
}

TEST_CASE("simulated: a second process sees what the first writes") {
  SimulatedDisk disk(1);
  const auto writer = disk.Restart();
  const auto reader = disk.Attach();
  REQUIRE(OpenSimulated(writer.get(), "/f")->Write(0, Filled(3, 'a')).ok());
  CHECK(ContentOf(reader.get(), "/f") == "aaa");
}

TEST_CASE("simulated: I/Os are counted") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  CHECK(disk.operations() == 0);
  const auto file = OpenSimulated(fs.get(), "/f");  // 1
  REQUIRE(file->Write(0, Filled(100, 'a')).ok());   // 2
  REQUIRE(file->Sync().ok());                       // 3
  REQUIRE(fs->Rename("/f", "/g").ok());             // 4
  REQUIRE(fs->SyncDirectory("/").ok());             // 5
  std::vector<std::byte> out(100);
  REQUIRE(file->Read(0, out).ok());
  CHECK(*fs->Exists("/g"));
  CHECK(disk.operations() == 5);
  const SimulatedCounts counts = disk.counts();
  CHECK(counts.writes == 1);
  CHECK(counts.written_bytes == 100);
  CHECK(counts.reads == 1);
  CHECK(counts.read_bytes == 100);
  CHECK(counts.syncs == 2);
  CHECK(counts.faults == 0);
}

TEST_CASE("simulated: many threads may drive one process") {
  SimulatedDisk disk(1);
  const auto fs = disk.Restart();
  const auto file = OpenSimulated(fs.get(), "/f");
  QueuePool pool(fs.get(), 4, 4);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t round = 0; round < 200; ++round) {
        auto bytes = RandomBytes(64, round);
        auto lease = pool.Acquire();
        if (!lease.ok()) std::abort();
        OwnedRequest owned(file.get(), /*write=*/true, t * 64, bytes);
        (*lease)->Submit(&owned.request);
        if ((*lease)->Wait() != &owned.request || owned.request.error != 0) ++wrong[t];
        std::vector<std::byte> out(64);
        if (!file->Read(t * 64, out).ok() || out != bytes) ++wrong[t];
        if (round % 50 == 0 && !file->Sync().ok()) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

}  // namespace
}  // namespace lamina
