// What the command-line tools share: exit codes, and an output that survives `| head`.
#ifndef LAMINA_TOOLS_COMMON_OUTPUT_H_
#define LAMINA_TOOLS_COMMON_OUTPUT_H_

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace lamina::tools {

// What every tool ends with. Damage outranks trouble: a run that met both ends with kDamage.
enum class ExitCode : int {
  kClean = 0,
  kDamage = 1,  // bytes on disk are not what was written
  kTrouble = 2  // wrong usage, or something could not be read or printed
};

// Buffered text to a file descriptor or a string. A reader that has gone away (`| head`) is no
// error: what is printed after that is dropped, and closed() tells long walks to stop early.
// IgnoreBrokenPipe must have been called, or the process dies at the first such write. Used by one
// thread.
class Output {
 public:
  // The descriptor stays the caller's.
  explicit Output(int fd) noexcept : fd_(fd) {}
  // Everything is appended to `sink`, which outlives this.
  explicit Output(std::string* sink) noexcept : sink_(sink) {}
  ~Output() { Flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void Write(std::string_view text);
  template <class... Args>
  void Print(fmt::format_string<Args...> format, Args&&... args) {
    Write(fmt::format(format, std::forward<Args>(args)...));
  }
  void Flush();

  // Nobody reads any more, or writing has failed.
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  // The errno of a write that failed for another reason than that; 0 otherwise.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  int fd_ = -1;
  std::string* sink_ = nullptr;
  std::string buffer_;
  bool closed_ = false;
  int error_ = 0;
};

// Call once at the start of main, before any output.
void IgnoreBrokenPipe() noexcept;

}  // namespace lamina::tools

#endif  // LAMINA_TOOLS_COMMON_OUTPUT_H_
