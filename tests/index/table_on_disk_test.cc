// The same tables on a real file system, through direct I/O and the real queues.
#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "engine/index/block_fetch.h"
#include "engine/index/table.h"
#include "engine/index/verify.h"
#include "engine/io/posix_file_system.h"
#include "tests/index/model.h"

namespace lamina {
namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/lamina-index-XXXXXX";
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  ~TemporaryDirectory() {
    unlink(File("t.sst").c_str());
    rmdir(path_.c_str());
  }
  [[nodiscard]] std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST_CASE("a table on disk answers as std::map does, through any queue") {
  const auto io = GENERATE(Options::Io::kAuto, Options::Io::kThreads);
  PosixOptions posix;
  posix.io = io;
  auto fs = PosixFileSystem::Create(posix);
  REQUIRE(fs.ok());
  const TemporaryDirectory directory;
  const std::string path = directory.File("t.sst");
  const testing::Model model = testing::RandomModel(1, 300, 900);
  TableBuilderOptions options;
  options.single_level_index_bytes = 0;
  const TableMeta meta = testing::WriteTable(fs->get(), path, model, options);

  BlockCache cache(1 << 20);
  IndexCounters counters;
  const auto table = testing::OpenTable(fs->get(), path, &cache, &counters);
  CHECK(table->meta() == meta);
  auto queue = (*fs)->NewQueue(16);
  REQUIRE(queue.ok());

  std::vector<OwnedStemKey> paths;
  size_t i = 0;
  for (const auto& [bytes, entries] : model) {
    if (++i % 29 == 0) paths.push_back(*ParseKeyBytes(bytes));
  }
  std::vector<StemLookup> lookups;
  for (const OwnedStemKey& p : paths)
    lookups.push_back({p.anchor, p.fingerprints, 0, static_cast<uint32_t>(p.fingerprints.size())});
  BlockFetcher fetcher(&cache);
  for (StemLookup& lookup : lookups) fetcher.Add(table.get(), &lookup);
  const size_t read = fetcher.Run(queue->get());
  CHECK(read > 0);
  for (StemLookup& lookup : lookups) {
    std::vector<FoundEntry> found;
    REQUIRE(table->Find(&lookup, &found).ok());
    REQUIRE(found == testing::ExpectedFinds(model, lookup));
  }
  CHECK(counters.block_reads_true == read);

  const auto iterator = table->NewIterator();
  iterator->SeekToFirst();
  CHECK(testing::Drain(iterator.get()) == testing::Flatten(model));
  const auto summary =
      VerifyTable(fs->get(), path, [](const TableDamage& damage) { FAIL(damage.ToString()); });
  REQUIRE(summary.ok());
  CHECK(summary->entries == meta.entry_count);
}

TEST_CASE("a table is not written over a file that is there") {
  auto fs = PosixFileSystem::Create({});
  REQUIRE(fs.ok());
  const TemporaryDirectory directory;
  const std::string path = directory.File("t.sst");
  TableBuilderOptions options;
  options.number = 1;
  {
    auto first = TableBuilder::Create(fs->get(), path, options);
    REQUIRE(first.ok());
    CHECK_FALSE(TableBuilder::Create(fs->get(), path, options).ok());
    CHECK(*(*fs)->Exists(path));
  }
  CHECK_FALSE(*(*fs)->Exists(path));
}

}  // namespace
}  // namespace lamina
