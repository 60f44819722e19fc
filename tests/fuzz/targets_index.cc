// SSTables, and the parts of them.
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "engine/base/coding.h"
#include "engine/index/data_block.h"
#include "engine/index/filter.h"
#include "engine/index/index_block.h"
#include "engine/index/table.h"
#include "engine/index/table_format.h"
#include "engine/index/verify.h"
#include "tests/fuzz/inputs.h"
#include "tests/fuzz/scratch_disk.h"
#include "tests/fuzz/targets.h"

namespace lamina::fuzz {
namespace {

using Bytes = std::vector<std::byte>;

Bytes BytesOf(std::string_view input) {
  const auto* const data = reinterpret_cast<const std::byte*>(input.data());
  return {data, data + input.size()};
}

// One block of exactly the size, zero-filled or cut.
Bytes BlockOf(std::string_view input) {
  Bytes block = BytesOf(input.substr(0, kTableBlockBytes));
  block.resize(kTableBlockBytes);
  return block;
}

void Seal(std::span<std::byte> whole) {
  const uint64_t sum = BlockChecksum(whole);
  std::memcpy(whole.data(), &sum, sizeof sum);
}

// Every block's checksum, and those of the sections where the footer says that they are.
void SealTable(Bytes* file) {
  const size_t blocks = file->size() / kTableBlockBytes;
  if (blocks == 0) return;
  for (size_t i = 0; i < blocks; ++i)
    Seal(std::span(*file).subspan(i * kTableBlockBytes, kTableBlockBytes));
  TableFooter footer;
  std::memcpy(&footer, file->data() + (blocks - 1) * kTableBlockBytes, sizeof footer);
  for (const SectionRange& range : {footer.top_index, footer.filter, footer.properties}) {
    if (range.bytes < sizeof(SectionHeader) || range.bytes > file->size() ||
        range.offset > file->size() - range.bytes)
      continue;
    Seal(std::span(*file).subspan(range.offset, range.bytes));
  }
}

// Looks up what the table itself says that it holds.
void LookUp(const Table& table) {
  for (const OwnedStemKey& key : {table.meta().smallest, table.meta().largest}) {
    StemLookup lookup;
    lookup.anchor = key.anchor;
    lookup.fingerprints = key.fingerprints;
    lookup.end = static_cast<uint32_t>(key.fingerprints.size());
    std::vector<FoundEntry> found;
    (void)table.MayContain(key.view().page_key());
    std::vector<uint64_t> offsets;
    (void)table.BlocksFor(lookup, &offsets);
    (void)table.Find(&lookup, &found);
    for (const FoundEntry& one : found) Require(one.page < lookup.end, "found pages are asked for");
  }
}

}  // namespace

bool FuzzTable(std::string_view input) {
  const bool seal = TakeMode(&input);
  Bytes file = BytesOf(input);
  if (seal) SealTable(&file);
  ScratchDisk disk;
  disk.Put("/1.sst", {reinterpret_cast<const char*>(file.data()), file.size()});
  (void)VerifyTable(&disk.fs(), "/1.sst",
                    [](const TableDamage& damage) { (void)damage.ToString(); });
  const auto table = Table::Open(&disk.fs(), "/1.sst", kInputTable, nullptr, nullptr);
  if (!table.ok()) return false;
  LookUp(**table);
  TableIterateOptions options;
  options.on_damage = [](const Status&) {};
  const auto entries = (*table)->NewIterator(options);
  OwnedStemKey last;
  for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
    const StemKey key = entries->key();
    Require(!key.fingerprints.empty() && key.fingerprints.size() <= kMaxStemPages, "keys fit");
    if (!last.fingerprints.empty()) Require(Compare(last.view(), key) <= 0, "keys are in order");
    last = OwnedStemKey(key);
  }
  return true;
}

bool FuzzDataBlock(std::string_view input) {
  (void)TakeMode(&input);
  const Bytes block = BlockOf(input);
  DataBlockCursor cursor;
  const std::span<const std::byte, kTableBlockBytes> bytes(block);
  if (!cursor.Open(bytes)) return false;
  bool any = false;
  Digest middle;
  uint32_t entries = 0;
  while (cursor.Next()) {
    any = true;
    if (++entries == cursor.entry_count() / 2) middle = cursor.anchor();
    Require(cursor.key().fingerprints.size() <= kMaxStemPages, "keys fit");
    Require(cursor.position() <= cursor.entries_end(), "entries end where they end");
  }
  if (cursor.Open(bytes) && cursor.SeekStem(middle)) (void)cursor.Next();
  return any && *cursor.error() == '\0';
}

bool FuzzIndexBlock(std::string_view input) {
  (void)TakeMode(&input);
  const Bytes block = BlockOf(input);
  IndexBlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  const uint64_t end = header.first_data_block + header.count;
  if (end < header.first_data_block) return false;
  const auto parsed = IndexBlock::Parse(std::span<const std::byte, kTableBlockBytes>(block),
                                        header.first_data_block, end);
  if (!parsed.ok()) return false;
  for (size_t i = 0; i < parsed->size(); ++i) {
    const IndexPosition position = parsed->Find(parsed->separator(i));
    Require(position.child < end || parsed->size() == 0, "children are the block's");
  }
  (void)parsed->Find(input.substr(0, 40));
  return true;
}

// After the mode: how many children, 2 bytes, and whether there are two levels.
bool FuzzTopIndex(std::string_view input) {
  (void)TakeMode(&input);
  if (input.size() < 3) return false;
  const auto children = LoadFixed<uint16_t>(input.data());
  const uint64_t index_blocks = (input[2] & 1) != 0 ? children : 0;
  const std::string_view payload = input.substr(3);
  const auto parsed =
      TopIndex::Parse(payload, index_blocks == 0 ? children : 8 * children, index_blocks);
  if (!parsed.ok()) return false;
  for (size_t i = 0; i < parsed->size(); ++i) (void)parsed->Find(parsed->separator(i));
  (void)parsed->Find(payload.substr(0, 40));
  return true;
}

bool FuzzProperties(std::string_view input) {
  (void)TakeMode(&input);
  const auto parsed = ParseProperties(input);
  if (!parsed.ok()) return false;
  Require(PutProperties(*parsed) == input, "properties read back what they write");
  return true;
}

// After the mode: the number of probes.
bool FuzzFilter(std::string_view input) {
  (void)TakeMode(&input);
  if (input.empty()) return false;
  const uint32_t probes = 1 + static_cast<uint8_t>(input[0]) % kMaxFilterProbes;
  Bytes lines = BytesOf(input.substr(1));
  lines.resize(lines.size() / kFilterLineBytes * kFilterLineBytes);
  if (lines.empty()) return false;
  std::vector<uint64_t> hashes;
  for (uint64_t i = 0; i < 64; ++i) hashes.push_back(XXH3_64bits_withSeed(&i, sizeof i, i));
  const Filter as_found(lines, probes);
  for (const uint64_t hash : hashes) (void)as_found.MayContain(hash);
  BuildFilter(hashes, probes, lines);
  const Filter with_keys(lines, probes);
  for (const uint64_t hash : hashes) Require(with_keys.MayContain(hash), "a filter keeps its keys");
  return true;
}

}  // namespace lamina::fuzz
