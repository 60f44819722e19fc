// A std::map that says what an index must contain, seeded data for it, and tables made of it.
#ifndef LAMINA_TESTS_INDEX_MODEL_H_
#define LAMINA_TESTS_INDEX_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/index/iterator.h"
#include "engine/index/stem_key.h"
#include "engine/index/table.h"
#include "engine/index/table_builder.h"
#include "engine/io/file_system.h"

namespace lamina::testing {

using Random = std::mt19937_64;

// Keys as bytes, which sort as keys do; a key's candidates newest first.
using Model = std::map<std::string, std::vector<Entry>>;
using Flat = std::vector<std::pair<std::string, Entry>>;

std::string BytesOf(const StemKey& key);
Flat Flatten(const Model& model);
// Everything from where the iterator is; requires an Ok status at the end.
Flat Drain(EntryIterator* iterator);

Digest RandomDigest(Random* random);
Entry RandomEntry(Random* random);

// Paths of up to kMaxStemPages pages in random trees: some stems are one chain, some branch, some
// are single pages (flat keys among them).
class Forest {
 public:
  Forest(uint64_t seed, size_t stems);
  // A path of a random stem: its whole length, from the first page on.
  [[nodiscard]] const OwnedStemKey& Path(Random* random) const;
  [[nodiscard]] const std::vector<OwnedStemKey>& paths() const { return paths_; }

 private:
  std::vector<OwnedStemKey> paths_;
};

// Puts of random ranges of the forest's paths: neighbouring slots, now and then a second candidate
// for a page, now and then pages whose ancestors are missing.
Model RandomModel(uint64_t seed, size_t stems, size_t puts);

// `stems` stems of 64 pages, each from one put: consecutive slots of `slots_per_segment`.
Model FullStems(uint64_t seed, size_t stems, uint32_t slots_per_segment, uint32_t length);
// Single pages under flat keys in consecutive slots in random key order.
Model FlatKeys(uint64_t seed, size_t pages, uint32_t length);

// Writes a table; any failure ends the test.
TableMeta WriteTable(FileSystem* file_system, const std::string& path, const Model& model,
                     TableBuilderOptions options);
std::shared_ptr<Table> OpenTable(FileSystem* file_system, const std::string& path,
                                 BlockCache* cache = nullptr, IndexCounters* counters = nullptr);

// What a lookup along a path must find.
std::vector<FoundEntry> ExpectedFinds(const Model& model, const StemLookup& lookup);

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_INDEX_MODEL_H_
