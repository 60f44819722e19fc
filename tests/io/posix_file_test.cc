#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "engine/io/posix_file_system.h"
#include "tests/io/io_test_util.h"
#include "tests/io/seccomp.h"

namespace lamina {
namespace {

using Catch::Contains;

constexpr FileOpen kCreate = {.write = true, .create = true};
constexpr FileOpen kCreateDirect = {.write = true, .create = true, .direct = true};

std::unique_ptr<File> MustOpen(FileSystem* fs, const std::string& path, const FileOpen& how) {
  auto file = fs->Open(path, how);
  INFO(file.status().ToString());
  REQUIRE(file.ok());
  return std::move(*file);
}

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

TEST_CASE("what is written is read back, buffered and direct, at any alignment") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const bool direct = GENERATE(false, true);
  const auto file = MustOpen(fs.get(), directory.File("f"), direct ? kCreateDirect : kCreate);
  constexpr size_t kBytes = (3 << 20) + 8192;
  AlignedBuffer data(kBytes);
  const std::vector<std::byte> random = RandomBytes(kBytes, 1);
  std::copy(random.begin(), random.end(), data.span().begin());
  REQUIRE(file->Write(0, data.span()).ok());

  for (const auto& [offset, bytes] : std::vector<std::pair<uint64_t, size_t>>{{0, kBytes},
                                                                              {4096, 4096},
                                                                              {1, 1},
                                                                              {4095, 2},
                                                                              {511, 3 << 20},
                                                                              {kBytes - 1, 1},
                                                                              {5, (1 << 20)}}) {
    CAPTURE(direct, offset, bytes);
    std::vector<std::byte> out(bytes);
    REQUIRE(file->Read(offset, out).ok());
    CHECK(std::memcmp(out.data(), random.data() + offset, bytes) == 0);
  }
  CHECK(file->Read(0, {}).ok());
}

TEST_CASE("a read past the end is corruption that says how much there was") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const bool direct = GENERATE(false, true);
  const auto file = MustOpen(fs.get(), directory.File("f"), direct ? kCreateDirect : kCreate);
  REQUIRE(file->Truncate(5000).ok());
  std::vector<std::byte> out(6000);
  const Status status = file->Read(100, out);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK_THAT(std::string(status.message()),
             Contains("expected 6000 bytes at offset 100, found 4900"));
  // The last bytes of a direct file lie in a part of a sector.
  out.resize(1000);
  CHECK(file->Read(4000, out).ok());
  CHECK_FALSE(file->Read(5000, out).ok());
  CHECK_FALSE(file->Read(1 << 20, out).ok());
}

TEST_CASE("a direct file says how it is aligned and refuses a write that is not") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const auto file = MustOpen(fs.get(), directory.File("f"), kCreateDirect);
  if (!file->direct()) {
    WARN("no direct I/O here: " << fs->Fallbacks());
    return;
  }
  CHECK(fs->Fallbacks().empty());
  const Alignment alignment = file->alignment();
  for (const uint32_t unit : {alignment.memory, alignment.offset}) {
    CHECK(unit >= 1);
    CHECK(unit <= 65536);
    CHECK((unit & (unit - 1)) == 0);
  }
  AlignedBuffer data(8192);
  const Status status = file->Write(1, data.span().first(4096));
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(status.message()), Contains(directory.File("f")) && Contains("offset 1"));
  CHECK_FALSE(file->Write(0, data.span().first(100)).ok());
  CHECK(file->Write(alignment.offset, data.span().first(alignment.offset)).ok());
}

TEST_CASE("a buffered file needs no alignment") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const auto file = MustOpen(fs.get(), directory.File("f"), kCreate);
  CHECK_FALSE(file->direct());
  CHECK(file->alignment().memory == 1);
  CHECK(file->alignment().offset == 1);
  CHECK(file->Write(3, RandomBytes(5, 1)).ok());
  CHECK(*file->Size() == 8);
}

TEST_CASE("files are readable by their owner alone") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  MustOpen(fs.get(), directory.File("f"), kCreate);
  CHECK(ModeOf(directory.File("f")) == 0600);
  REQUIRE(fs->MakeDirectory(directory.File("d")).ok());
  CHECK(ModeOf(directory.File("d")) == 0700);
  const auto lock = fs->Lock(directory.File("LOCK"));
  CHECK(ModeOf(directory.File("LOCK")) == 0600);
}

TEST_CASE("open does what its flags say") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const std::string path = directory.File("f");
  CHECK_THAT(fs->Open(path, {}).status().ToString(), Contains(path) && Contains("ENOENT"));
  REQUIRE(MustOpen(fs.get(), path, kCreate)->Write(0, RandomBytes(10, 1)).ok());
  const auto again = fs->Open(path, {.write = true, .create = true, .exclusive = true});
  CHECK_THAT(again.status().ToString(), Contains("EEXIST"));
  CHECK(*MustOpen(fs.get(), path, kCreate)->Size() == 10);
  const auto read_only = MustOpen(fs.get(), path, {});
  CHECK_THAT(read_only->Write(0, RandomBytes(1, 1)).ToString(), Contains("EBADF"));
  CHECK(*MustOpen(fs.get(), path, {.write = true, .truncate = true})->Size() == 0);
}

TEST_CASE("what is not a regular file is refused, and a FIFO does not hang the open") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  REQUIRE(::mkfifo(directory.File("fifo").c_str(), 0600) == 0);
  CHECK_THAT(fs->Open(directory.File("fifo"), {}).status().ToString(),
             Contains("not a regular file"));
  CHECK_THAT(fs->Open(directory.path(), {}).status().ToString(), Contains("not a regular file"));
}

TEST_CASE("allocate reserves blocks and sets the size; punching gives blocks back as zeros") {
  const TemporaryDirectory directory;
  const auto fs = MakeFileSystem(Options::Io::kThreads);
  const std::string path = directory.File("f");
  const auto file = MustOpen(fs.get(), path, kCreate);
  REQUIRE(file->Allocate(1 << 20).ok());
  CHECK(*file->Size() == 1 << 20);
  CHECK(*fs->AllocatedBytes(path) >= 1 << 20);
  REQUIRE(file->Write(0, RandomBytes(1 << 20, 1)).ok());
  REQUIRE(file->PunchHole(65536, 65536).ok());
  CHECK(*fs->AllocatedBytes(path) <= (1 << 20) - 65536 + 4096);
  std::vector<std::byte> out(65536);
  REQUIRE(file->Read(65536, out).ok());
  CHECK(std::all_of(out.begin(), out.end(), [](std::byte b) { return b == std::byte{0}; }));
  REQUIRE(file->Allocate(4096).ok());
  CHECK(*file->Size() == 4096);
  REQUIRE(file->Sync().ok());
}

// ---- What a file system may refuse

TEST_CASE("where O_DIRECT is refused the file is buffered, and it is said so") {
  const TemporaryDirectory directory;
  const std::string path = directory.File("f");
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_fcntl, EINVAL, 2, O_DIRECT);
          const auto fs = MakeFileSystem(Options::Io::kThreads);
          auto file =
              fs->Open(path, {.write = true, .create = true, .exclusive = true, .direct = true});
          if (!file.ok()) return file.status().ToString();
          if ((*file)->direct() || (*file)->alignment().offset != 1) return "still direct";
          if (!(*file)->Write(1, RandomBytes(3, 1)).ok()) return "cannot write";
          const std::string said = fs->Fallbacks();
          if (said.find("O_DIRECT was refused: 1 time (" + path) == std::string::npos) return said;
          return said.find("EINVAL") == std::string::npos ? said : "";
        }) == "");
}

TEST_CASE("where blocks cannot be reserved the size is set, and it is said so") {
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_fallocate, EOPNOTSUPP);
          const auto fs = MakeFileSystem(Options::Io::kThreads);
          auto file = fs->Open(directory.File("f"), kCreate);
          if (!file.ok()) return file.status().ToString();
          const Status allocated = (*file)->Allocate(1 << 20);
          if (!allocated.ok()) return allocated.ToString();
          if (*(*file)->Size() != 1 << 20) return "the size is not set";
          if (fs->Fallbacks().find("without reserving blocks") == std::string::npos)
            return "not said: " + fs->Fallbacks();
          const Status punched = (*file)->PunchHole(0, 4096);
          return punched.code() == StatusCode::kNotSupported ? "" : punched.ToString();
        }) == "");
}

TEST_CASE("a full device is told apart from a failing one") {
  const TemporaryDirectory directory;
  for (const int error : {ENOSPC, EDQUOT, EIO}) {
    CAPTURE(error);
    const StatusCode expected = error == EIO ? StatusCode::kIoError : StatusCode::kNoSpace;
    CHECK(RunInChild([&]() -> std::string {
            RefuseSystemCall(__NR_fallocate, error);
            RefuseSystemCall(__NR_pwritev, error);
            const auto fs = MakeFileSystem(Options::Io::kThreads);
            auto file = fs->Open(directory.File("f"), kCreate);
            if (!file.ok()) return file.status().ToString();
            const Status allocated = (*file)->Allocate(1 << 20);
            if (allocated.code() != expected) return allocated.ToString();
            const Status written = (*file)->Write(0, RandomBytes(10, 1));
            return written.code() == expected ? "" : written.ToString();
          }) == "");
  }
}

TEST_CASE("a failed sync is an error that names the file") {
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_fdatasync, EIO);
          const auto fs = MakeFileSystem(Options::Io::kThreads);
          auto file = fs->Open(directory.File("f"), kCreate);
          if (!file.ok()) return file.status().ToString();
          const std::string said = (*file)->Sync().ToString();
          const bool named = said.find("cannot sync " + directory.File("f")) != std::string::npos;
          return named ? "" : said;
        }) == "");
}

TEST_CASE("a read-only file system is said to be one when a file is created") {
  const TemporaryDirectory directory;
  CHECK(RunInChild([&]() -> std::string {
          RefuseSystemCall(__NR_openat, EROFS, 2, O_CREAT);
          const auto fs = MakeFileSystem(Options::Io::kThreads);
          const std::string said = fs->Open(directory.File("f"), kCreate).status().ToString();
          return said.find("mounted read-only") != std::string::npos ? "" : said;
        }) == "");
}

}  // namespace
}  // namespace lamina
