// A disk in memory for one input.
#ifndef LAMINA_TESTS_FUZZ_SCRATCH_DISK_H_
#define LAMINA_TESTS_FUZZ_SCRATCH_DISK_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/io/simulated_file_system.h"
#include "tests/fuzz/targets.h"

namespace lamina::fuzz {

class ScratchDisk {
 public:
  ScratchDisk() : disk_(1), fs_(disk_.Restart()) {}

  [[nodiscard]] FileSystem& fs() { return *fs_; }
  void MakeDirectory(const std::string& path) {
    Require(fs_->MakeDirectory(path).ok(), "a directory can be made");
  }
  void Put(const std::string& path, std::string_view bytes) {
    const auto file = fs_->Open(path, {.write = true, .create = true});
    Require(file.ok() && (*file)->Write(0, std::as_bytes(std::span(bytes))).ok(),
            "a file can be written");
  }
  [[nodiscard]] std::string Bytes(const std::string& path) {
    const auto file = fs_->Open(path, {});
    Require(file.ok(), "a file that was written is there");
    std::string bytes(*(*file)->Size(), '\0');
    Require((*file)->Read(0, std::as_writable_bytes(std::span(bytes))).ok(), "a file is readable");
    return bytes;
  }

 private:
  SimulatedDisk disk_;
  std::unique_ptr<FileSystem> fs_;
};

}  // namespace lamina::fuzz

#endif  // LAMINA_TESTS_FUZZ_SCRATCH_DISK_H_
