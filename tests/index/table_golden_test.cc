// The table format, byte for byte. If a change of the format is meant, raise kTableVersion and
// rewrite the goldens: LAMINA_REWRITE_GOLDENS=1 index_test "[golden]"
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/index/table_builder.h"
#include "tests/index/memory_file_system.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::BytesOf;
using testing::Model;

// Lines of 32 bytes; runs of zero lines are left out.
std::string Dump(const std::vector<std::byte>& bytes) {
  constexpr size_t kLine = 32;
  std::string text = std::to_string(bytes.size()) + " bytes\n";
  char hex[32];
  for (size_t at = 0; at < bytes.size(); at += kLine) {
    bool zero = true;
    for (size_t i = at; i < at + kLine; ++i) zero &= bytes[i] == std::byte{0};
    if (zero) continue;
    std::snprintf(hex, sizeof hex, "%08zx:", at);
    text += hex;
    for (size_t i = at; i < at + kLine; ++i) {
      std::snprintf(hex, sizeof hex, "%s%02x", i % 8 == 0 ? " " : "",
                    static_cast<unsigned>(bytes[i]));
      text += hex;
    }
    text += '\n';
  }
  return text;
}

void CheckGolden(const std::string& name, const std::string& text) {
  const std::string path = std::string(LAMINA_INDEX_GOLDENS) + "/" + name;
  if (std::getenv("LAMINA_REWRITE_GOLDENS") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  std::stringstream golden;
  golden << std::ifstream(path).rdbuf();
  INFO("golden " << path);
  CHECK(golden.str() == text);
}

// Every kind of entry: a run, a branch, a missing ancestor, a second candidate, a flat key.
Model SmallModel() {
  Model model;
  const auto put = [&](Digest anchor, std::vector<Fingerprint> path, Entry entry) {
    model[BytesOf({anchor, path})].push_back(entry);
  };
  const Digest stem{0, 0xA};
  put(stem, {0x11}, {{2, 5}, 65536, 0xB1, 0xC1});
  put(stem, {0x11, 0x12}, {{2, 6}, 65536, 0xB2, 0xC2});
  put(stem, {0x11, 0x12, 0x13}, {{2, 7}, 65536, 0xB3, 0xC3});
  put(stem, {0x11, 0x12, 0x13}, {{1, 4}, 65536, 0xB3, 0xC3});
  put(stem, {0x11, 0x15, 0x16}, {{2, 3}, 1000, 0xB4, 0xC4});
  const Digest flat{0x0102030405060708, 0x090A0B0C0D0E0F10};
  put(flat, {flat.high}, {{300, 70000}, 65536, GuardOf(flat), 0xC5});
  return model;
}

TEST_CASE("a table of one level is written as it always was", "[golden]") {
  testing::MemoryFileSystem fs;
  TableBuilderOptions options;
  options.number = 7;
  options.store_id = 0x1111;
  options.job_id = 0x2222;
  options.shape = "T=4 K=3,1";
  testing::WriteTable(&fs, "t", SmallModel(), options);
  CheckGolden("table_one_level.txt", Dump(fs.bytes("t")));
}

TEST_CASE("a table of two levels without a filter is written as it always was", "[golden]") {
  testing::MemoryFileSystem fs;
  TableBuilderOptions options;
  options.number = 8;
  options.filter_bits_per_key = 0;
  options.single_level_index_bytes = 0;
  testing::WriteTable(&fs, "t", testing::FullStems(1, 7, 100, 4096), options);
  CheckGolden("table_two_levels.txt", Dump(fs.bytes("t")));
}

TEST_CASE("the example of the format page is what is written") {
  testing::MemoryFileSystem fs;
  Model model;
  const Digest stem{0, 0xA};
  const Fingerprint path[] = {0x11, 0x12, 0x13};
  for (uint32_t i = 0; i < 3; ++i)
    model[BytesOf({stem, std::span(path).first(i + 1)})] = {{{2, 5 + i}, 65536, i, i}};
  testing::WriteTable(&fs, "t", model, {.number = 7});
  const auto& bytes = fs.bytes("t");
  const auto byte = [&](size_t at) { return static_cast<unsigned>(bytes[at]); };
  CHECK(byte(8) == 7);
  CHECK(byte(22) == 3);
  CHECK(byte(24) == 1);
  CHECK(byte(26) == 120);
  CHECK(byte(40) == 0x5B);
  CHECK(byte(40 + 16) == 0x0A);
  CHECK(byte(57) == 1);
  CHECK(byte(58) == 0x11);
  CHECK(byte(78) == 0x0A);
  CHECK(byte(79) == 2);
  CHECK(byte(80) == 0x12);
  CHECK(byte(4094) == 0x28);
}

}  // namespace
}  // namespace lamina
