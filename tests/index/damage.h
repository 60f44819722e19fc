// Tables for damage tests, and ways to damage them.
#ifndef LAMINA_TESTS_INDEX_DAMAGE_H_
#define LAMINA_TESTS_INDEX_DAMAGE_H_

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/index/table_format.h"
#include "tests/index/memory_file_system.h"
#include "tests/index/model.h"

namespace lamina::testing {

// A table with every region (two levels: index blocks, too), and its bytes as written.
struct Victim {
  explicit Victim(int levels, uint64_t seed = 1) : model(RandomModel(seed, 120, 260)) {
    TableBuilderOptions options;
    options.number = 5;
    if (levels == 2) options.single_level_index_bytes = 0;
    meta = WriteTable(&fs, kPath, model, options);
    pristine = fs.bytes(kPath);
    std::memcpy(&footer, pristine.data() + pristine.size() - kTableBlockBytes, sizeof footer);
  }

  std::vector<std::byte>& bytes() { return fs.bytes(kPath); }
  void Heal() { bytes() = pristine; }

  // First byte and length of each region, of those that there are.
  [[nodiscard]] std::vector<std::pair<uint64_t, uint64_t>> Regions() const {
    std::vector<std::pair<uint64_t, uint64_t>> regions{
        {0, footer.data_blocks * kTableBlockBytes},
        {footer.top_index.offset, footer.top_index.bytes},
        {footer.filter.offset, footer.filter.bytes},
        {footer.properties.offset, footer.properties.bytes},
        {pristine.size() - kTableBlockBytes, kTableBlockBytes}};
    if (footer.index_blocks > 0)
      regions.emplace_back(footer.data_blocks * kTableBlockBytes,
                           footer.index_blocks * kTableBlockBytes);
    return regions;
  }

  // Flips bits of one byte of a random region, and returns where.
  uint64_t Flip(Random* random) {
    const auto regions = Regions();
    const auto [begin, length] = regions[(*random)() % regions.size()];
    const uint64_t at = begin + (*random)() % length;
    bytes()[at] ^= static_cast<std::byte>(1 + (*random)() % 255);
    return at;
  }

  // Makes the checksum of a block or section right again after a change to it.
  void Reseal(uint64_t offset, uint64_t length) {
    const std::span<std::byte> whole(bytes().data() + offset, length);
    const uint64_t sum = BlockChecksum(whole);
    std::memcpy(whole.data(), &sum, sizeof sum);
  }

  template <class T>
  void Store(uint64_t at, T value) {
    std::memcpy(bytes().data() + at, &value, sizeof value);
  }

  static constexpr char kPath[] = "t.sst";
  MemoryFileSystem fs;
  Model model;
  TableMeta meta;
  std::vector<std::byte> pristine;
  TableFooter footer;
};

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_INDEX_DAMAGE_H_
