// The files of a closed store, kept in memory, so that each of many kinds of damage starts from a
// fresh copy.
#ifndef LAMINA_TESTS_STORE_DISK_IMAGE_H_
#define LAMINA_TESTS_STORE_DISK_IMAGE_H_

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/store/simulated_store.h"

namespace lamina::testing {

// A file's size and what of it is not zero, which is little of a segment.
struct FileImage {
  static constexpr size_t kBlock = 4096;
  uint64_t size = 0;
  std::map<uint64_t, std::string> blocks;  // by offset; the last one may be short

  static FileImage Of(const std::string& bytes) {
    FileImage image;
    image.size = bytes.size();
    for (uint64_t at = 0; at < bytes.size(); at += kBlock) {
      std::string block = bytes.substr(at, kBlock);
      if (block.find_first_not_of('\0') != std::string::npos) image.blocks[at] = std::move(block);
    }
    return image;
  }

  void Truncate(uint64_t bytes) {
    size = bytes;
    blocks.erase(blocks.lower_bound(bytes), blocks.end());
    if (!blocks.empty() && blocks.rbegin()->first + kBlock > bytes)
      blocks.rbegin()->second.resize(
          std::min<uint64_t>(blocks.rbegin()->second.size(), bytes - blocks.rbegin()->first));
  }

  void Flip(uint64_t bit) {
    const uint64_t at = bit / 8 / kBlock * kBlock;
    std::string& block = blocks[at];
    if (block.empty()) block.resize(std::min<uint64_t>(kBlock, size - at));
    block[bit / 8 - at] = static_cast<char>(block[bit / 8 - at] ^ (1 << (bit % 8)));
  }
};

struct DiskImage {
  std::map<std::string, FileImage> files;

  static DiskImage Of(SimulatedDisk& disk) {
    DiskImage image;
    const auto fs = disk.Restart();
    for (const std::string& path : disk.Files())
      image.files[path] = FileImage::Of(SimulatedBytes(*fs, path));
    return image;
  }

  // Onto a disk that has nothing.
  void WriteTo(FileSystem& fs) const {
    const auto must = [](bool ok) {
      if (!ok) throw std::runtime_error("the copy of a store could not be written");
    };
    must(fs.MakeDirectory("/store").ok() && fs.MakeDirectory("/store/log").ok());
    for (const auto& [path, image] : files) {
      auto file = fs.Open(path, {.write = true, .create = true});
      must(file.ok() && (*file)->Truncate(image.size).ok());
      for (const auto& [at, bytes] : image.blocks)
        must((*file)->Write(at, std::as_bytes(std::span(bytes))).ok());
    }
  }
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_STORE_DISK_IMAGE_H_
