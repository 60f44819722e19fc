// Helpers for functions that return Status or Result (both are declared in lamina.h).
#ifndef LAMINA_ENGINE_BASE_STATUS_H_
#define LAMINA_ENGINE_BASE_STATUS_H_

#include "engine/lamina.h"

// Returns from the enclosing function when `expression` is an error.
#define LAMINA_RETURN_IF_ERROR(expression)          \
  do {                                              \
    ::lamina::Status lamina_status_ = (expression); \
    if (!lamina_status_.ok()) [[unlikely]]          \
      return lamina_status_;                        \
  } while (false)

#define LAMINA_CONCAT_INNER_(a, b) a##b
#define LAMINA_CONCAT_(a, b) LAMINA_CONCAT_INNER_(a, b)

// Declares or assigns `target` from a Result, or returns its error from the enclosing function.
#define LAMINA_ASSIGN_OR_RETURN(target, expression) \
  LAMINA_ASSIGN_OR_RETURN_(LAMINA_CONCAT_(lamina_result_, __LINE__), target, expression)
#define LAMINA_ASSIGN_OR_RETURN_(result, target, expression) \
  auto result = (expression);                                \
  if (!result.ok()) [[unlikely]]                             \
    return result.status();                                  \
  target = std::move(*result)

// States what only a bug can break. Stays on in release builds: use it where it costs nothing
// measurable, and assert() elsewhere.
#define LAMINA_CHECK(condition)                              \
  do {                                                       \
    if (!(condition)) [[unlikely]]                           \
      ::lamina::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

namespace lamina {

// Prints the failed condition and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_STATUS_H_
