#include "tests/index/model.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

namespace lamina::testing {

std::string BytesOf(const StemKey& key) { return std::string(KeyBytes(key).view()); }

Flat Flatten(const Model& model) {
  Flat flat;
  for (const auto& [key, entries] : model) {
    for (const Entry& entry : entries) flat.emplace_back(key, entry);
  }
  return flat;
}

Flat Drain(EntryIterator* iterator) {
  Flat flat;
  for (; iterator->Valid(); iterator->Next())
    flat.emplace_back(BytesOf(iterator->key()), iterator->entry());
  const Status status = iterator->status();
  INFO(status.message());
  REQUIRE(status.ok());
  return flat;
}

Digest RandomDigest(Random* random) { return {(*random)(), (*random)()}; }

Entry RandomEntry(Random* random) {
  Random& r = *random;
  return {{static_cast<uint32_t>(r() % 1000), static_cast<uint32_t>(r())},
          static_cast<uint32_t>(r()),
          static_cast<uint32_t>(r()),
          r()};
}

Forest::Forest(uint64_t seed, size_t stems) {
  Random random(seed);
  for (size_t i = 0; i < stems; ++i) {
    OwnedStemKey path;
    path.anchor = RandomDigest(&random);
    const uint64_t kind = random() % 4;
    if (kind == 0) {  // a flat key
      path.fingerprints = {FingerprintOf(path.anchor)};
      paths_.push_back(path);
      continue;
    }
    const size_t depth = 1 + random() % kMaxStemPages;
    for (size_t d = 0; d < depth; ++d) path.fingerprints.push_back(random() | 1);
    paths_.push_back(path);
    const size_t branches = kind == 1 ? 0 : random() % (kind == 2 ? 4 : 40);
    for (size_t b = 0; b < branches; ++b) {
      OwnedStemKey branch = path;
      branch.fingerprints.resize(random() % (depth + 1));
      const size_t more = 1 + random() % 8;
      for (size_t d = 0; d < more && branch.fingerprints.size() < kMaxStemPages; ++d)
        branch.fingerprints.push_back(random() | 1);
      if (!branch.fingerprints.empty()) paths_.push_back(branch);
    }
  }
}

const OwnedStemKey& Forest::Path(Random* random) const {
  return paths_[(*random)() % paths_.size()];
}

Model RandomModel(uint64_t seed, size_t stems, size_t puts) {
  const Forest forest(seed, stems);
  Random random(seed + 1);
  Model model;
  for (size_t i = 0; i < puts; ++i) {
    const OwnedStemKey& path = forest.Path(&random);
    const size_t depth = path.fingerprints.size();
    const size_t first = random() % 3 == 0 ? random() % depth : 0;
    const size_t count = 1 + random() % (depth - first);
    Entry entry = RandomEntry(&random);
    entry.slot.slot %= 100000;
    entry.length = random() % 4 == 0 ? entry.length : 65536;
    const bool flat = depth == 1 && path.fingerprints[0] == FingerprintOf(path.anchor);
    for (size_t page = first; page < first + count; ++page) {
      entry.slot.slot += random() % 8 == 0 ? static_cast<uint32_t>(random() % 9) : 1;
      entry.guard = flat ? GuardOf(path.anchor) : static_cast<uint32_t>(random());
      entry.checksum = random();
      auto& candidates =
          model[BytesOf({path.anchor, std::span(path.fingerprints).first(page + 1)})];
      if (candidates.empty() || random() % 4 == 0) candidates.insert(candidates.begin(), entry);
    }
  }
  return model;
}

Model FullStems(uint64_t seed, size_t stems, uint32_t slots_per_segment, uint32_t length) {
  Random random(seed);
  Model model;
  uint32_t next_slot = 0;
  for (size_t i = 0; i < stems; ++i) {
    OwnedStemKey path;
    path.anchor = RandomDigest(&random);
    for (uint32_t page = 0; page < kMaxStemPages; ++page) {
      path.fingerprints.push_back(random() | 1);
      const Entry entry{{1 + next_slot / slots_per_segment, next_slot % slots_per_segment},
                        length,
                        static_cast<uint32_t>(random()),
                        random()};
      ++next_slot;
      model[BytesOf(path.view())] = {entry};
    }
  }
  return model;
}

Model FlatKeys(uint64_t seed, size_t pages, uint32_t length) {
  Random random(seed);
  Model model;
  for (size_t i = 0; i < pages; ++i) {
    const Digest d = RandomDigest(&random);
    const Fingerprint f = FingerprintOf(d);
    const auto slot = static_cast<uint32_t>(i);
    model[BytesOf({d, {&f, 1}})] = {
        Entry{{7 + slot / 16384, slot % 16384}, length, GuardOf(d), random()}};
  }
  return model;
}

TableMeta WriteTable(FileSystem* file_system, const std::string& path, const Model& model,
                     TableBuilderOptions options) {
  if (options.number == 0) options.number = 1;
  auto builder = TableBuilder::Create(file_system, path, std::move(options));
  INFO(builder.status().message());
  REQUIRE(builder.ok());
  for (const auto& [bytes, entries] : model) {
    const OwnedStemKey key = *ParseKeyBytes(bytes);
    for (const Entry& entry : entries) {
      const Status status = (*builder)->Add(key.view(), entry);
      INFO(status.message());
      REQUIRE(status.ok());
    }
  }
  auto meta = (*builder)->Finish();
  INFO(meta.status().message());
  REQUIRE(meta.ok());
  return *meta;
}

std::shared_ptr<Table> OpenTable(FileSystem* file_system, const std::string& path,
                                 BlockCache* cache, IndexCounters* counters) {
  auto table = Table::Open(file_system, path, 0, cache, counters);
  INFO(table.status().message());
  REQUIRE(table.ok());
  return *table;
}

std::vector<FoundEntry> ExpectedFinds(const Model& model, const StemLookup& lookup) {
  std::vector<FoundEntry> expected;
  for (uint32_t page = lookup.first; page < lookup.end; ++page) {
    const auto at = model.find(BytesOf(lookup.key(page)));
    if (at == model.end()) continue;
    for (const Entry& entry : at->second) expected.push_back({page, entry});
  }
  return expected;
}

}  // namespace lamina::testing
