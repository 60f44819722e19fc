// A directory of a test's own, removed with all it holds.
#ifndef LAMINA_TESTS_BENCH_TEMPORARY_DIRECTORY_H_
#define LAMINA_TESTS_BENCH_TEMPORARY_DIRECTORY_H_

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace lamina::bench {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* const base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/lamina-bench-XXXXXX";
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace lamina::bench

#endif  // LAMINA_TESTS_BENCH_TEMPORARY_DIRECTORY_H_
