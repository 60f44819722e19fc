#include "engine/io/io_error.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <string>

namespace lamina {
namespace {

using Catch::Contains;

TEST_CASE("an error of a transfer names operation, length, offset, file and errno") {
  const Status status = TransferStatus(EIO, "read", "/d/000001.seg", 8192, 4096);
  CHECK(status.code() == StatusCode::kIoError);
  const std::string message(status.message());
  CHECK_THAT(message, Contains("cannot read 4096 bytes at offset 8192 of /d/000001.seg"));
  CHECK_THAT(message, Contains("Input/output error (EIO)"));
}

TEST_CASE("a device or a quota that is full is its own kind of error") {
  CHECK(ErrnoStatus(ENOSPC, "create", "/f").code() == StatusCode::kNoSpace);
  CHECK(ErrnoStatus(EDQUOT, "create", "/f").code() == StatusCode::kNoSpace);
  CHECK(ErrnoStatus(EOPNOTSUPP, "punch", "/f").code() == StatusCode::kNotSupported);
  CHECK(ErrnoStatus(EACCES, "create", "/f").code() == StatusCode::kIoError);
}

TEST_CASE("a sync that lacks space has lost what it was to sync, as any that fails") {
  const Status status = SyncStatus(ENOSPC, "sync", "/f");
  CHECK(status.code() == StatusCode::kIoError);
  CHECK_THAT(std::string(status.message()), Contains("cannot sync /f") && Contains("ENOSPC"));
  CHECK(SyncStatus(EDQUOT, "sync", "/f").code() == StatusCode::kIoError);
}

TEST_CASE("a read-only file system is named as such") {
  const std::string message(ErrnoStatus(EROFS, "create", "/f").message());
  CHECK_THAT(message, Contains("(EROFS)") && Contains("read-only"));
}

TEST_CASE("the errno table has each errno once, with its name and what to do") {
  std::set<int> seen;
  for (const ErrnoMeaning& meaning : ErrnoTable()) {
    INFO(meaning.name);
    CHECK(seen.insert(meaning.error).second);
    CHECK(std::string(meaning.name).front() == 'E');
    CHECK_FALSE(std::string(meaning.advice).empty());
    CHECK(&MeaningOf(meaning.error) == &meaning);
  }
  for (const int error : {EAGAIN, EINTR}) CHECK(MeaningOf(error).transient);
  for (const int error : {EIO, ENOSPC, EINVAL, EROFS}) CHECK_FALSE(MeaningOf(error).transient);
}

TEST_CASE("an errno outside the table is an I/O error with its number") {
  const Status status = ErrnoStatus(4000, "open", "/f");
  CHECK(status.code() == StatusCode::kIoError);
  CHECK_THAT(std::string(status.message()), Contains("errno 4000"));
}

TEST_CASE("the end of a file says what was expected and what was found") {
  const Status status = EndOfFileStatus("/f", 100, 50, 20);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK_THAT(std::string(status.message()),
             Contains("/f") && Contains("expected 50 bytes at offset 100, found 20"));
}

}  // namespace
}  // namespace lamina
