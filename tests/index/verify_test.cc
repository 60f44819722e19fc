#include "engine/index/verify.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/base/coding.h"
#include "engine/index/filter.h"
#include "tests/index/damage.h"

namespace lamina {
namespace {

using testing::Random;
using testing::Victim;

struct Outcome {
  Status status;
  TableVerifySummary summary;
  std::vector<TableDamage> damages;
};

Outcome Verify(FileSystem* fs, const std::string& path) {
  Outcome outcome;
  const auto summary =
      VerifyTable(fs, path, [&](const TableDamage& d) { outcome.damages.push_back(d); });
  outcome.status = summary.status();
  if (summary.ok()) {
    outcome.summary = *summary;
    REQUIRE(summary->damages == outcome.damages.size());
  }
  return outcome;
}

bool Covers(const TableDamage& damage, uint64_t at) {
  return damage.offset <= at && at < damage.offset + damage.length;
}

TEST_CASE("verify finds nothing wrong with a whole table, and reads all of it") {
  const int levels = GENERATE(1, 2);
  Victim victim(levels);
  const Outcome outcome = Verify(&victim.fs, Victim::kPath);
  REQUIRE(outcome.status.ok());
  for (const TableDamage& damage : outcome.damages) FAIL(damage.ToString());
  CHECK(outcome.summary.entries == victim.meta.entry_count);
  CHECK(outcome.summary.data_blocks == victim.meta.data_blocks);
  CHECK(outcome.summary.file_bytes == victim.meta.file_bytes);
}

TEST_CASE("verify finds each of 1,000 flipped bytes, and says where") {
  const int levels = GENERATE(1, 2);
  constexpr uint64_t kSeed = 23;
  INFO("seed " << kSeed);
  Victim victim(levels);
  Random random(kSeed);
  for (int i = 0; i < 500; ++i) {
    victim.Heal();
    const uint64_t at = victim.Flip(&random);
    INFO("flipped " << at);
    const Outcome outcome = Verify(&victim.fs, Victim::kPath);
    REQUIRE(outcome.status.ok());
    REQUIRE(outcome.summary.damages == 1);
    REQUIRE(Covers(outcome.damages[0], at));
    REQUIRE(outcome.damages[0].block == outcome.damages[0].offset / kTableBlockBytes);
    REQUIRE(outcome.damages[0].file == Victim::kPath);
    REQUIRE_FALSE(outcome.damages[0].expected.empty());
    REQUIRE(outcome.damages[0].expected != outcome.damages[0].found);
  }
}

TEST_CASE("verify goes on past damage and reports all of it") {
  Victim victim(2);
  const auto regions = victim.Regions();
  std::vector<uint64_t> flipped;
  for (const auto& [begin, length] : regions) {
    if (begin == victim.pristine.size() - kTableBlockBytes) continue;
    flipped.push_back(begin + length / 2);
  }
  flipped.push_back(kTableBlockBytes + 50);
  for (const uint64_t at : flipped) victim.bytes()[at] ^= std::byte{1};
  SECTION("with a footer") {}
  SECTION("without one") {
    flipped.push_back(victim.pristine.size() - 100);
    victim.bytes()[flipped.back()] ^= std::byte{1};
  }
  const Outcome outcome = Verify(&victim.fs, Victim::kPath);
  REQUIRE(outcome.status.ok());
  for (const uint64_t at : flipped) {
    INFO(at);
    CHECK(std::any_of(outcome.damages.begin(), outcome.damages.end(),
                      [&](const TableDamage& d) { return Covers(d, at); }));
  }
  CHECK(outcome.summary.data_blocks >= victim.meta.data_blocks - 2);
}

TEST_CASE("a damaged footer is one damage; everything else is still checked by itself") {
  Victim victim(2);
  const uint64_t footer = victim.pristine.size() - kTableBlockBytes;
  victim.bytes()[footer + 26] ^= std::byte{1};  // the magic
  Outcome outcome = Verify(&victim.fs, Victim::kPath);
  REQUIRE(outcome.damages.size() == 1);
  CHECK(outcome.damages[0].region == "footer");
  CHECK(outcome.damages[0].what == "magic");
  CHECK(outcome.summary.entries == victim.meta.entry_count);
  victim.bytes()[3 * kTableBlockBytes + 100] ^= std::byte{1};
  outcome = Verify(&victim.fs, Victim::kPath);
  CHECK(outcome.damages.size() == 2);
}

TEST_CASE("verify reports truncation anywhere, an empty file and bytes at the end") {
  Victim victim(1);
  for (size_t size = 0; size < victim.pristine.size(); size += 1777) {
    victim.Heal();
    victim.bytes().resize(size);
    INFO(size << " bytes left");
    const Outcome outcome = Verify(&victim.fs, Victim::kPath);
    REQUIRE(outcome.status.ok());
    REQUIRE(outcome.summary.damages > 0);
  }
  victim.Heal();
  victim.bytes().resize(victim.pristine.size() + 1);
  CHECK(Verify(&victim.fs, Victim::kPath).summary.damages > 0);
}

TEST_CASE("a later version is refused, not reported as damage") {
  Victim victim(1);
  const uint64_t footer = victim.pristine.size() - kTableBlockBytes;
  victim.Store(footer + offsetof(TableFooter, version), uint16_t{9});
  victim.Reseal(footer, kTableBlockBytes);
  const Outcome outcome = Verify(&victim.fs, Victim::kPath);
  CHECK(outcome.status.code() == StatusCode::kNotSupported);
  CHECK(outcome.damages.empty());
}

TEST_CASE("what right checksums cannot show, verify checks by itself") {
  Victim victim(2);
  const auto reports = [&](const std::string& what) {
    const Outcome outcome = Verify(&victim.fs, Victim::kPath);
    REQUIRE(outcome.status.ok());
    for (const TableDamage& d : outcome.damages) UNSCOPED_INFO(d.ToString());
    return std::any_of(outcome.damages.begin(), outcome.damages.end(),
                       [&](const TableDamage& d) { return d.what == what; });
  };
  const auto patch_block = [&](uint64_t offset, size_t field, auto value) {
    victim.Store(offset + field, value);
    victim.Reseal(offset, kTableBlockBytes);
  };
  SECTION("keys out of order") {
    constexpr uint64_t kOffset = 2 * kTableBlockBytes;
    std::copy_n(victim.pristine.begin(), kTableBlockBytes, victim.bytes().begin() + kOffset);
    patch_block(kOffset, offsetof(DataBlockHeader, block), uint32_t{2});
    CHECK(reports("key order"));
    CHECK(reports("separator in the index"));
  }
  SECTION("the entry count of a block") {
    const uint64_t offset = kTableBlockBytes;
    const auto count = LoadFixed<uint16_t>(victim.pristine.data() + offset +
                                           offsetof(DataBlockHeader, entry_count));
    patch_block(offset, offsetof(DataBlockHeader, entry_count), static_cast<uint16_t>(count + 1));
    CHECK(reports("entry count"));
  }
  SECTION("restart offsets") {
    // Of a block with several restarts, the last: to the middle of an entry.
    uint64_t offset = 0;
    while (LoadFixed<uint16_t>(victim.pristine.data() + offset +
                               offsetof(DataBlockHeader, restart_count)) < 2)
      offset += kTableBlockBytes;
    const auto last = LoadFixed<uint16_t>(victim.pristine.data() + offset + kTableBlockBytes - 2);
    patch_block(offset, kTableBlockBytes - 2, static_cast<uint16_t>(last + 1));
    CHECK(reports("restart offsets"));
  }
  SECTION("an index block that points outside") {
    const uint64_t offset = victim.footer.data_blocks * kTableBlockBytes;
    patch_block(offset, offsetof(IndexBlockHeader, first_data_block), uint32_t{1} << 20);
    CHECK(reports("structure"));
  }
  SECTION("a filter that denies a page") {
    const SectionRange filter = victim.footer.filter;
    for (uint64_t i = 0; i < victim.meta.filter_bytes; ++i)
      victim.bytes()[filter.offset + sizeof(SectionHeader) + i] = std::byte{0};
    victim.Reseal(filter.offset, filter.bytes);
    CHECK(reports("filter"));
  }
  SECTION("counts in the properties") {
    const SectionRange properties = victim.footer.properties;
    const uint64_t entry_count = properties.offset + sizeof(SectionHeader) + 16;
    victim.Store(entry_count, victim.meta.entry_count + 1);
    victim.Reseal(properties.offset, properties.bytes);
    CHECK(reports("entry count"));
  }
  SECTION("the filter's size in the properties") {
    const SectionRange properties = victim.footer.properties;
    const uint64_t filter_bytes = properties.offset + sizeof(SectionHeader) + 56;
    REQUIRE(LoadFixed<uint64_t>(victim.bytes().data() + filter_bytes) == victim.meta.filter_bytes);
    victim.Store(filter_bytes, victim.meta.filter_bytes - kFilterLineBytes);
    victim.Reseal(properties.offset, properties.bytes);
    CHECK(reports("filter bytes"));
  }
}

TEST_CASE("a file made of sections that claim all the rest is read a few times, not once a block") {
  testing::MemoryFileSystem fs;
  constexpr uint64_t kBlocks = 1000;
  std::vector<std::byte> bytes(kBlocks * kTableBlockBytes);
  for (uint64_t block = 0; block < kBlocks; ++block) {
    SectionHeader header{};
    header.kind = static_cast<uint16_t>(BlockKind::kFilter);
    header.payload_bytes = (kBlocks - 1 - block) * kTableBlockBytes - sizeof header;
    std::memcpy(bytes.data() + block * kTableBlockBytes, &header, sizeof header);
  }
  const uint64_t size = bytes.size();
  fs.Put("crafted.sst", std::move(bytes));
  const Outcome outcome = Verify(&fs, "crafted.sst");
  REQUIRE(outcome.status.ok());
  CHECK(outcome.summary.damages == kBlocks);
  CHECK(fs.counts.read_bytes < 5 * size);
}

TEST_CASE("an error of the device is an error of verify") {
  Victim victim(1);
  victim.fs.operations_before_failure = 3;
  CHECK(Verify(&victim.fs, Victim::kPath).status.code() == StatusCode::kIoError);
  CHECK(Verify(&victim.fs, "missing").status.code() == StatusCode::kIoError);
}

TEST_CASE("a damage prints on one line with all that is known") {
  TableDamage damage{"f.sst", "data block", 3, 12288, 4096, "checksum", "0x1", "0x2"};
  CHECK(damage.ToString() ==
        "f.sst: data block 3 at offset 12288, 4096 bytes: checksum: expected 0x1, found 0x2");
}

}  // namespace
}  // namespace lamina
