#include "engine/index/data_block.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/index/model.h"

namespace lamina {
namespace {

using testing::BytesOf;
using testing::Flat;
using testing::Model;

struct Blocks {
  std::vector<std::array<std::byte, kTableBlockBytes>> blocks;
  std::vector<std::string> separators;
};

Blocks Build(const Model& model) {
  Blocks out;
  DataBlockBuilder builder(
      [&](std::span<std::byte, kTableBlockBytes> block, std::string_view separator) {
        out.blocks.emplace_back();
        std::copy(block.begin(), block.end(), out.blocks.back().begin());
        out.separators.emplace_back(separator);
        return Status::Ok();
      });
  for (const auto& [key, entries] : model) {
    for (const Entry& entry : entries) REQUIRE(builder.Add(ParseKeyBytes(key)->view(), entry).ok());
  }
  REQUIRE(builder.Finish().ok());
  return out;
}

Flat Decode(const Blocks& blocks) {
  Flat flat;
  for (const auto& block : blocks.blocks) {
    DataBlockCursor cursor;
    REQUIRE(cursor.Open(block));
    uint32_t entries = 0;
    for (; cursor.Next(); ++entries) flat.emplace_back(BytesOf(cursor.key()), cursor.entry());
    REQUIRE(std::string(cursor.error()).empty());
    REQUIRE(entries == cursor.entry_count());
  }
  return flat;
}

Model OnePath(size_t pages, const Entry& first) {
  Model model;
  OwnedStemKey key;
  key.anchor = {1, 2};
  Entry entry = first;
  for (size_t i = 0; i < pages; ++i, ++entry.slot.slot) {
    key.fingerprints.push_back(1000 + i);
    model[BytesOf(key.view())] = {entry};
  }
  return model;
}

TEST_CASE("what goes into data blocks comes out of them") {
  const uint64_t seed =
      GENERATE(uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{4}, uint64_t{5}, uint64_t{6});
  INFO("seed " << seed);
  const Model model = testing::RandomModel(seed, 200, 600);
  REQUIRE(Decode(Build(model)) == testing::Flatten(model));
}

TEST_CASE("extreme slots and lengths survive") {
  Model model;
  OwnedStemKey key;
  key.anchor = {~uint64_t{0}, ~uint64_t{0}};
  const uint32_t values[] = {0, 1, UINT32_MAX - 1, UINT32_MAX, 0x80000000u, 0x7FFFFFFFu};
  testing::Random random(1);
  for (uint64_t i = 0; i < 64; ++i) {
    key.fingerprints.push_back(~uint64_t{0} - i);
    for (int c = 0; c < 4; ++c)
      model[BytesOf(key.view())].push_back(
          {{values[random() % 6], values[random() % 6]}, values[random() % 6], 0, random()});
  }
  REQUIRE(Decode(Build(model)) == testing::Flatten(model));
}

TEST_CASE("the pages of one put take 20 bytes each after the first") {
  const Entry entry{{3, 70}, 65536, 1, 2};
  const auto used = [&](size_t pages) {
    const Blocks blocks = Build(OnePath(pages, entry));
    REQUIRE(blocks.blocks.size() == 1);
    DataBlockCursor cursor;
    REQUIRE(cursor.Open(blocks.blocks[0]));
    return cursor.entries_end();
  };
  CHECK(used(64) - used(2) == 62 * kRunEntryBytes);
  CHECK(used(2) - used(1) == 1 + kRunEntryBytes);
}

TEST_CASE("a flat key's fingerprint and guard take no bytes") {
  Model flat;
  Model other;
  for (uint64_t i = 1; i <= 50; ++i) {
    const Digest d{i << 40, i << 32};
    const Fingerprint f = FingerprintOf(d);
    const Fingerprint g = f + 1;
    flat[BytesOf({d, {&f, 1}})] = {{{3, 70}, 65536, GuardOf(d), i}};
    other[BytesOf({d, {&g, 1}})] = {{{3, 70}, 65536, GuardOf(d), i}};
  }
  const auto used = [](const Model& model) {
    DataBlockCursor cursor;
    const Blocks blocks = Build(model);
    REQUIRE(cursor.Open(blocks.blocks.at(0)));
    REQUIRE(Decode(blocks) == testing::Flatten(model));
    return cursor.entries_end();
  };
  CHECK(used(other) - used(flat) == 50 * (1 + kFingerprintBytes + 4));
}

TEST_CASE("stems that fit a block are not cut") {
  const Blocks blocks = Build(testing::FullStems(7, 300, 4096, 65536));
  for (const auto& block : blocks.blocks) {
    DataBlockCursor cursor;
    REQUIRE(cursor.Open(block));
    REQUIRE(cursor.entry_count() % kMaxStemPages == 0);
  }
  CHECK(blocks.blocks.size() == 100);
}

TEST_CASE("separators lie between the keys on their sides") {
  const Blocks blocks = Build(testing::RandomModel(8, 150, 500));
  REQUIRE(blocks.blocks.size() > 5);
  CHECK(blocks.separators[0].empty());
  std::string last;
  for (size_t i = 0; i < blocks.blocks.size(); ++i) {
    DataBlockCursor cursor;
    REQUIRE(cursor.Open(blocks.blocks[i]));
    REQUIRE(cursor.Next());
    const std::string first = BytesOf(cursor.key());
    REQUIRE(blocks.separators[i] <= first);
    if (i > 0) REQUIRE((blocks.separators[i] > last || last == first));
    do {
      last = BytesOf(cursor.key());
    } while (cursor.Next());
  }
}

TEST_CASE("a stem is found in a block without walking what is before it") {
  const Model model = testing::RandomModel(9, 100, 200);
  const Blocks blocks = Build(model);
  for (const auto& block : blocks.blocks) {
    DataBlockCursor all;
    REQUIRE(all.Open(block));
    while (all.Next()) {
      if (all.shared() != 0) continue;
      for (const uint64_t before : {uint64_t{0}, uint64_t{1}}) {
        DataBlockCursor cursor;
        REQUIRE(cursor.Open(block));
        const Digest target{all.anchor().high, all.anchor().low - before};
        REQUIRE(cursor.SeekStem(target));
        REQUIRE(cursor.Next());
        if (before == 0 || cursor.anchor() == all.anchor())
          REQUIRE(cursor.anchor() == all.anchor());
      }
    }
    DataBlockCursor cursor;
    REQUIRE(cursor.Open(block));
    CHECK_FALSE(cursor.SeekStem({~uint64_t{0}, ~uint64_t{0}}));
    CHECK(std::string(cursor.error()).empty());
  }
}

TEST_CASE("no content of a data block makes the cursor read outside it") {
  const Blocks blocks = Build(testing::RandomModel(10, 50, 200));
  testing::Random random(10);
  size_t refused = 0;
  for (int i = 0; i < 20000; ++i) {
    auto block = blocks.blocks[random() % blocks.blocks.size()];
    const size_t flips = 1 + random() % 4;
    for (size_t k = 0; k < flips; ++k) {
      // Half of them where structure is dense: the header, the first entries, the restarts.
      const size_t at = random() % 2 == 0   ? random() % kTableBlockBytes
                        : random() % 2 == 0 ? 20 + random() % 60
                                            : kTableBlockBytes - 1 - random() % 40;
      block[at] ^= static_cast<std::byte>(1 + random() % 255);
    }
    // On the heap, so that the sanitizer sees any byte read beyond it.
    const std::vector<std::byte> heap(block.begin(), block.end());
    const std::span<const std::byte, kTableBlockBytes> bytes(heap.data(), kTableBlockBytes);
    DataBlockCursor cursor;
    size_t steps = 0;
    if (cursor.Open(bytes)) {
      while (cursor.Next()) REQUIRE(++steps <= kTableBlockBytes);
    }
    if (*cursor.error() != '\0') ++refused;
    if (cursor.Open(bytes) && cursor.SeekStem(testing::RandomDigest(&random))) {
      while (cursor.Next()) {
      }
    }
  }
  CHECK(refused > 1000);
}

}  // namespace
}  // namespace lamina
