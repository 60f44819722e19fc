// What a reader does with damaged tables: it says so, and never yields an entry that was not
// written.
#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/index/table.h"
#include "tests/index/damage.h"

namespace lamina {
namespace {

using testing::BytesOf;
using testing::Flat;
using testing::Random;
using testing::Victim;

bool Mentions(const Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

Status OpenStatus(Victim* victim, uint64_t number = 5) {
  return Table::Open(&victim->fs, Victim::kPath, number, nullptr, nullptr).status();
}

// Walks past damage; what it yields, and how often it was told of damage.
std::pair<Flat, size_t> WalkPastDamage(const Table& table) {
  size_t damages = 0;
  TableIterateOptions options;
  options.on_damage = [&](const Status& status) {
    CHECK(status.code() == StatusCode::kCorruption);
    ++damages;
  };
  const auto iterator = table.NewIterator(options);
  iterator->SeekToFirst();
  Flat flat = testing::Drain(iterator.get());
  return {std::move(flat), damages};
}

TEST_CASE("a reader meets every flipped byte that it reads and yields nothing wrong") {
  const int levels = GENERATE(1, 2);
  Victim victim(levels);
  const Flat all = testing::Flatten(victim.model);
  constexpr uint64_t kSeed = 17;
  INFO("seed " << kSeed);
  Random random(kSeed);
  for (int i = 0; i < 500; ++i) {
    victim.Heal();
    const uint64_t at = victim.Flip(&random);
    INFO("flipped " << at);
    const bool in_data = at < victim.footer.data_blocks * kTableBlockBytes;
    const bool in_index = !in_data && at < victim.footer.top_index.offset;
    const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, nullptr);
    REQUIRE(table.ok() == (in_data || in_index));
    if (!table.ok()) {
      REQUIRE(table.status().code() == StatusCode::kCorruption);
      REQUIRE(Mentions(table.status(), Victim::kPath));
      continue;
    }
    const auto [yielded, damages] = WalkPastDamage(**table);
    REQUIRE(damages == (in_data ? 1u : 0u));
    REQUIRE(std::includes(all.begin(), all.end(), yielded.begin(), yielded.end(),
                          [](const auto& a, const auto& b) { return a.first < b.first; }));
    if (in_index) REQUIRE(yielded == all);
    size_t errors = 0;
    for (auto key = victim.model.begin(); key != victim.model.end();) {
      const OwnedStemKey path = *ParseKeyBytes(key->first);
      StemLookup lookup{path.anchor, path.fingerprints, 0,
                        static_cast<uint32_t>(path.fingerprints.size())};
      std::vector<FoundEntry> found;
      const Status status = (*table)->Find(&lookup, &found);
      const auto expected = testing::ExpectedFinds(victim.model, lookup);
      REQUIRE(found.size() <= expected.size());
      REQUIRE(std::equal(found.begin(), found.end(), expected.begin()));
      if (status.ok()) REQUIRE(found == expected);
      if (!status.ok()) {
        REQUIRE(status.code() == StatusCode::kCorruption);
        ++errors;
      }
      for (int skip = 0; skip < 40 && key != victim.model.end(); ++skip) ++key;
    }
    if (in_index) REQUIRE(errors > 0);
  }
}

TEST_CASE("without a handler a damaged block ends a walk with its place") {
  Victim victim(1);
  victim.bytes()[2 * kTableBlockBytes + 1000] ^= std::byte{4};
  const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, nullptr);
  REQUIRE(table.ok());
  for (const size_t readahead : {size_t{0}, size_t{1} << 20}) {
    const auto iterator = (*table)->NewIterator({.readahead_bytes = readahead});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    }
    REQUIRE(iterator->status().code() == StatusCode::kCorruption);
    CHECK(Mentions(iterator->status(), "t.sst: data block 2 at offset 8192, 4096 bytes: checksum"));
    iterator->SeekToFirst();
    CHECK(iterator->Valid());
    CHECK(iterator->status().ok());
  }
}

TEST_CASE("an error of the device ends a walk even past a handler for damage") {
  Victim victim(1);
  const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, nullptr);
  REQUIRE(table.ok());
  victim.fs.operations_before_failure = 1;
  const auto iterator =
      (*table)->NewIterator({.readahead_bytes = 4096, .on_damage = [](const Status&) { FAIL(); }});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
  }
  CHECK(iterator->status().code() == StatusCode::kIoError);
}

TEST_CASE("a table truncated anywhere, or empty, or with more at its end, is refused") {
  Victim victim(2);
  for (size_t size = 0; size < victim.pristine.size(); size += size < 40 ? 1 : 511) {
    victim.Heal();
    victim.bytes().resize(size);
    INFO(size << " bytes left");
    REQUIRE(OpenStatus(&victim).code() == StatusCode::kCorruption);
  }
  for (size_t block = 0; block * kTableBlockBytes < victim.pristine.size(); ++block) {
    victim.Heal();
    victim.bytes().resize(block * kTableBlockBytes);
    REQUIRE(OpenStatus(&victim).code() == StatusCode::kCorruption);
  }
  victim.Heal();
  victim.bytes().resize(victim.pristine.size() + kTableBlockBytes);
  CHECK(OpenStatus(&victim).code() == StatusCode::kCorruption);
}

TEST_CASE("a later format version is refused by its name") {
  Victim victim(1);
  const uint64_t footer = victim.pristine.size() - kTableBlockBytes;
  victim.Store(footer + offsetof(TableFooter, version), uint16_t{2});
  CHECK(OpenStatus(&victim).code() == StatusCode::kCorruption);  // the checksum speaks first
  victim.Reseal(footer, kTableBlockBytes);
  const Status status = OpenStatus(&victim);
  CHECK(status.code() == StatusCode::kNotSupported);
  CHECK(Mentions(status, "t.sst: table format version 2; this build reads version 1"));
}

TEST_CASE("a table is refused under another number") {
  Victim victim(1);
  CHECK(OpenStatus(&victim, 5).ok());
  const Status status = OpenStatus(&victim, 6);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(Mentions(status, "table number: expected 6, found 5"));
}

TEST_CASE("a block that lies in another's place is refused") {
  Victim victim(1);
  std::copy_n(victim.pristine.begin() + kTableBlockBytes, kTableBlockBytes,
              victim.bytes().begin() + 3 * kTableBlockBytes);
  const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, nullptr);
  REQUIRE(table.ok());
  const auto iterator = (*table)->NewIterator();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
  }
  CHECK(Mentions(iterator->status(), "block number: expected 3, found 1"));
}

TEST_CASE("a footer whose sizes are absurd is refused before anything is read by them") {
  Victim victim(2);
  const uint64_t footer = victim.pristine.size() - kTableBlockBytes;
  const size_t fields[] = {offsetof(TableFooter, file_bytes),    offsetof(TableFooter, data_blocks),
                           offsetof(TableFooter, index_blocks),  offsetof(TableFooter, top_index),
                           offsetof(TableFooter, top_index) + 8, offsetof(TableFooter, filter),
                           offsetof(TableFooter, filter) + 8,    offsetof(TableFooter, properties),
                           offsetof(TableFooter, properties) + 8};
  for (const size_t field : fields) {
    for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{4096}, uint64_t{1} << 40,
                                 ~uint64_t{0}, ~uint64_t{0} - 4095, uint64_t{1} << 52}) {
      victim.Heal();
      victim.Store(footer + field, value);
      if (victim.bytes() == victim.pristine) continue;
      victim.Reseal(footer, kTableBlockBytes);
      INFO("field at " << field << " is " << value);
      REQUIRE(OpenStatus(&victim).code() == StatusCode::kCorruption);
    }
  }
  victim.Heal();
  victim.Store(footer + offsetof(TableFooter, filter_probes), uint32_t{15});
  victim.Reseal(footer, kTableBlockBytes);
  CHECK(OpenStatus(&victim).code() == StatusCode::kCorruption);
}

TEST_CASE("a section whose payload is longer than it is refused") {
  Victim victim(1);
  for (const SectionRange range :
       {victim.footer.top_index, victim.footer.filter, victim.footer.properties}) {
    for (const uint64_t value : {uint64_t{0}, range.bytes, ~uint64_t{0}, ~uint64_t{0} - 31}) {
      victim.Heal();
      victim.Store(range.offset + offsetof(SectionHeader, payload_bytes), value);
      victim.Reseal(range.offset, range.bytes);
      REQUIRE(OpenStatus(&victim).code() == StatusCode::kCorruption);
    }
  }
}

TEST_CASE("an index block that points outside is corruption for the lookups that need it") {
  Victim victim(2);
  const uint64_t offset = victim.footer.data_blocks * kTableBlockBytes;
  const auto outside = GENERATE(uint32_t{1}, uint32_t{1000000}, UINT32_MAX);
  victim.Store(offset + offsetof(IndexBlockHeader, first_data_block), outside);
  victim.Reseal(offset, kTableBlockBytes);
  const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, nullptr);
  REQUIRE(table.ok());
  const OwnedStemKey path = *ParseKeyBytes(victim.model.begin()->first);
  StemLookup lookup{path.anchor, path.fingerprints, 0, 1};
  std::vector<FoundEntry> found;
  const Status status = (*table)->Find(&lookup, &found);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(Mentions(status, "index block " + std::to_string(victim.footer.data_blocks)));
}

TEST_CASE("keys out of order across blocks are corruption, with right checksums, too") {
  Victim victim(1);
  // The second block again in the third's place, under the third's number.
  constexpr uint64_t kOffset = 2 * kTableBlockBytes;
  std::copy_n(victim.pristine.begin(), kTableBlockBytes, victim.bytes().begin() + kOffset);
  victim.Store(kOffset + offsetof(DataBlockHeader, block), uint32_t{2});
  victim.Reseal(kOffset, kTableBlockBytes);
  const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, nullptr);
  REQUIRE(table.ok());
  const auto iterator = (*table)->NewIterator();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
  }
  CHECK(iterator->status().code() == StatusCode::kCorruption);
  CHECK(Mentions(iterator->status(), "data block 2 at offset 8192, 4096 bytes: key order"));
}

TEST_CASE("damage is counted") {
  Victim victim(1);
  victim.bytes()[kTableBlockBytes + 77] ^= std::byte{1};
  IndexCounters counters;
  const auto table = Table::Open(&victim.fs, Victim::kPath, 0, nullptr, &counters);
  REQUIRE(table.ok());
  const auto iterator = (*table)->NewIterator({.on_damage = [](const Status&) {}});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
  }
  CHECK(counters.corrupt_blocks == 1);
}

}  // namespace
}  // namespace lamina
