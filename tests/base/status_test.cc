#include "engine/base/status.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>

namespace lamina {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Status::InvalidArgument("odd");
  return n / 2;
}

Status Quarter(int n, int* out) {
  LAMINA_ASSIGN_OR_RETURN(const int half, Half(n));
  LAMINA_ASSIGN_OR_RETURN(*out, Half(half));
  return Status::Ok();
}

Status FailsIf(bool fail, bool* went_on) {
  LAMINA_RETURN_IF_ERROR(fail ? Status::IoError("failed") : Status::Ok());
  *went_on = true;
  return Status::Ok();
}

TEST_CASE("a status is success or a code with a message, and copies as a value") {
  CHECK(Status().ok());
  CHECK(Status().ToString() == "OK");
  CHECK(Status().message().empty());
  Status error = Status::NoSpace("the disk is full");
  Status copy = error;
  error = Status::Ok();
  CHECK(error.ok());
  CHECK(copy.code() == StatusCode::kNoSpace);
  CHECK(copy.ToString() == "NO_SPACE: the disk is full");
}

TEST_CASE("each status code has a name of its own") {
  CHECK(Status::InvalidArgument("m").ToString() == "INVALID_ARGUMENT: m");
  CHECK(Status::IoError("m").ToString() == "IO_ERROR: m");
  CHECK(Status::Corruption("m").ToString() == "CORRUPTION: m");
  CHECK(Status::Busy("m").ToString() == "BUSY: m");
  CHECK(Status::NotSupported("m").ToString() == "NOT_SUPPORTED: m");
  CHECK(Status::Closed("m").ToString() == "CLOSED: m");
  CHECK(Status::TimedOut("m").ToString() == "TIMED_OUT: m");
}

TEST_CASE("an error leaves the function that asks for a result") {
  int quarter = 0;
  CHECK(Quarter(8, &quarter).ok());
  CHECK(quarter == 2);
  CHECK(Quarter(6, &quarter).code() == StatusCode::kInvalidArgument);
  CHECK(Quarter(7, &quarter).message() == "odd");
  CHECK(quarter == 2);
}

TEST_CASE("an error leaves the function that asks for a status") {
  bool went_on = false;
  CHECK_FALSE(FailsIf(true, &went_on).ok());
  CHECK_FALSE(went_on);
  CHECK(FailsIf(false, &went_on).ok());
  CHECK(went_on);
}

TEST_CASE("a result moves what it holds") {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  REQUIRE(result.ok());
  const std::unique_ptr<int> value = std::move(*result);
  CHECK(*value == 7);
}

}  // namespace
}  // namespace lamina
