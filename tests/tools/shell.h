// What the tests of tools as processes share: a shell to run them in, and a look at a directory
// that they must not touch.
#ifndef LAMINA_TESTS_TOOLS_SHELL_H_
#define LAMINA_TESTS_TOOLS_SHELL_H_

#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

namespace lamina::testing {

struct Shell {
  int code = -1;  // -1: it did not exit by itself
  std::string out;
};

// Runs the command, which has no single quotes, in bash; what it writes to standard error is not
// caught unless it redirects it.
inline Shell RunShell(const std::string& command) {
  Shell result;
  FILE* pipe = ::popen(("bash -c '" + command + "'").c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    result.out.append(buffer, n);
  const int status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

// Name, size and time of last change of a directory and of everything under it.
inline std::map<std::string, std::pair<uint64_t, std::filesystem::file_time_type>> Listing(
    const std::string& directory) {
  std::map<std::string, std::pair<uint64_t, std::filesystem::file_time_type>> listing;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    listing[entry.path().string()] = {entry.is_regular_file() ? entry.file_size() : 0,
                                      entry.last_write_time()};
  }
  listing["."] = {0, std::filesystem::last_write_time(directory)};
  return listing;
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_TOOLS_SHELL_H_
