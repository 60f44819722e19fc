// Short words for tests of the simulated disk.
#ifndef LAMINA_TESTS_IO_SIMULATED_TEST_UTIL_H_
#define LAMINA_TESTS_IO_SIMULATED_TEST_UTIL_H_

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/file_system.h"
#include "engine/io/simulated_file_system.h"
#include "tests/io/io_test_util.h"

namespace lamina {

inline constexpr FileOpen kSimulatedWrite = {.write = true, .create = true};

inline std::unique_ptr<File> OpenSimulated(FileSystem* fs, const std::string& path,
                                           const FileOpen& how = kSimulatedWrite) {
  auto file = fs->Open(path, how);
  INFO(file.status().ToString());
  REQUIRE(file.ok());
  return std::move(*file);
}

inline std::vector<std::byte> Filled(size_t bytes, char fill) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(fill));
}

// The whole file as text; "-" when there is none.
inline std::string ContentOf(FileSystem* fs, const std::string& path) {
  auto file = fs->Open(path, {});
  if (!file.ok()) return "-";
  std::string text(static_cast<size_t>(*(*file)->Size()), '\0');
  if (!(*file)->Read(0, std::as_writable_bytes(std::span(text))).ok()) return "?";
  return text;
}

// A file whose content and name are durable.
inline std::unique_ptr<File> MakeDurable(FileSystem* fs, const std::string& path,
                                         std::span<const std::byte> content) {
  auto file = OpenSimulated(fs, path);
  REQUIRE(file->Write(0, content).ok());
  REQUIRE(file->Sync().ok());
  REQUIRE(fs->SyncDirectory("/").ok());
  return file;
}

}  // namespace lamina

#endif  // LAMINA_TESTS_IO_SIMULATED_TEST_UTIL_H_
