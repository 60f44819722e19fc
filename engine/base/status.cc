#include "engine/base/status.h"

#include <cstdio>
#include <cstdlib>

namespace lamina {

const char* StatusCodeName(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case StatusCode::kIoError:
      return "IO_ERROR";
    case StatusCode::kCorruption:
      return "CORRUPTION";
    case StatusCode::kNoSpace:
      return "NO_SPACE";
    case StatusCode::kBusy:
      return "BUSY";
    case StatusCode::kNotSupported:
      return "NOT_SUPPORTED";
    case StatusCode::kClosed:
      return "CLOSED";
    case StatusCode::kTimedOut:
      return "TIMED_OUT";
  }
  return "UNKNOWN";
}

std::string Status::ToString() const noexcept {
  if (ok()) return "OK";
  std::string text = StatusCodeName(code());
  text += ": ";
  text += message();
  return text;
}

void CheckFailed(const char* file, int line, const char* condition) noexcept {
  std::fprintf(stderr, "lamina: %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace lamina
