// verify finds what is wrong, in whatever file, and nothing where nothing is.
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/store/view.h"
#include "tensorlog/journal_format.h"
#include "tensorlog/slot_table.h"
#include "tests/tools/sst_dump_fixture.h"

namespace lamina::testing {
namespace {

using tools::ExitCode;

// First bytes and lengths of the regions of a table.
std::vector<std::pair<uint64_t, uint64_t>> RegionsOf(const std::string& table) {
  TableFooter footer;
  std::memcpy(&footer, table.data() + table.size() - kTableBlockBytes, sizeof footer);
  return {{0, footer.data_blocks * kTableBlockBytes},
          {footer.data_blocks * kTableBlockBytes, footer.index_blocks * kTableBlockBytes},
          {footer.top_index.offset, footer.top_index.bytes},
          {footer.filter.offset, footer.filter.bytes},
          {footer.properties.offset, footer.properties.bytes},
          {table.size() - kTableBlockBytes, kTableBlockBytes}};
}

TEST_CASE("verify finds each of 1,000 flipped bytes of a table, says where, and exits 1") {
  constexpr uint64_t kSeed = 41;
  INFO("seed " << kSeed);
  SmallStore store;
  const std::string path = store.File("table");
  TableBuilderOptions how;
  how.number = 8;
  how.single_level_index_bytes = 0;
  WriteSmallTable(store.fs(), path, how, 20, 64);
  const auto regions = RegionsOf(ReadFile(path));
  REQUIRE(Dump({path, "--command=verify"}).code == ExitCode::kClean);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 1000; ++i) {
    const auto [begin, length] = regions[random() % regions.size()];
    REQUIRE(length > 0);
    const uint64_t at = begin + random() % length;
    const auto bits = static_cast<unsigned char>(1 + random() % 255);
    INFO("flip " << i << ": bits " << int{bits} << " at " << at);
    FlipByte(path, at, bits);
    const DumpResult result = Dump({path, "--command=verify", "--json"});
    FlipByte(path, at, bits);
    REQUIRE(result.code == ExitCode::kDamage);
    const auto damage = nlohmann::json::parse(result.out.substr(0, result.out.find('\n')));
    REQUIRE(damage["type"] == "damage");
    REQUIRE(damage["offset"].get<uint64_t>() <= at);
    REQUIRE(at < damage["offset"].get<uint64_t>() + damage["length"].get<uint64_t>());
  }
  CHECK(Dump({path, "--command=verify"}).code == ExitCode::kClean);
}

TEST_CASE("a table that was cut off anywhere is damaged") {
  SmallStore store;
  const std::string path = store.File(SmallStore::kNewTable);
  const std::string whole = ReadFile(path);
  for (size_t size = 0; size < whole.size(); size += 1333) {
    WriteFile(path, whole.substr(0, size));
    INFO(size << " bytes left");
    REQUIRE(Dump({path, "--command=verify"}).code == ExitCode::kDamage);
  }
}

TEST_CASE("a flipped byte anywhere in a slot table or a manifest is found") {
  constexpr uint64_t kSeed = 42;
  INFO("seed " << kSeed);
  SmallStore store;
  std::mt19937_64 random(kSeed);
  for (const char* name : {SmallStore::kSlots, SmallStore::kManifest}) {
    const std::string path = store.File(name);
    const uint64_t size = ReadFile(path).size();
    for (int i = 0; i < 100; ++i) {
      const uint64_t at = random() % size;
      INFO(name << ", byte " << at);
      FlipByte(path, at);
      REQUIRE(Dump({path, "--command=verify"}).code == ExitCode::kDamage);
      REQUIRE(Dump({store.directory(), "--command=verify"}).code == ExitCode::kDamage);
      FlipByte(path, at);
    }
    CHECK(Dump({path, "--command=verify"}).code == ExitCode::kClean);
  }
}

TEST_CASE("an edit of the manifest that was cut off is no damage") {
  SmallStore store;
  const std::string path = store.File(SmallStore::kManifest);
  const std::string whole = ReadFile(path);
  const auto check = [&](const std::string& bytes) {
    WriteFile(path, bytes);
    const DumpResult result = Dump({path, "--command=verify"});
    INFO(result.out << result.err);
    CHECK(result.code == ExitCode::kClean);
    CHECK(result.out.find("that was cut off") != std::string::npos);
  };
  check(whole.substr(0, whole.size() - 8));
  check(whole.substr(0, whole.size() - 21));
  // Its space was made, its bytes never came.
  check(whole + std::string(40, '\0'));
}

TEST_CASE("a torn tail of a journal is counted apart; changed bytes are damage") {
  SmallStore store;
  const std::string path = store.File(SmallStore::kJournal);
  const std::string whole = ReadFile(path);
  REQUIRE(whole.size() == 16 * kJournalBlockBytes);
  const auto torn = [&](const DumpResult& result) {
    const std::string total = result.out.substr(result.out.rfind("{\"type\":\"total\""));
    return nlohmann::json::parse(total)["torn_journal_blocks"].get<uint64_t>();
  };
  SECTION("the second half of the last block never arrived") {
    std::string cut = whole;
    cut.replace(2 * kJournalBlockBytes + 2048, 2048, 2048, '\0');
    WriteFile(path, cut);
    const DumpResult result = Dump({store.directory(), "--command=verify", "--json"});
    CHECK(result.code == ExitCode::kClean);
    CHECK(torn(result) == 1);
  }
  SECTION("a block before one that arrived did not") {
    std::string cut = whole;
    cut.replace(kJournalBlockBytes, kJournalBlockBytes, kJournalBlockBytes, '\0');
    WriteFile(path, cut);
    const DumpResult result = Dump({path, "--command=verify", "--json"});
    CHECK(result.code == ExitCode::kClean);
    CHECK(torn(result) == 1);
  }
  SECTION("a byte of a record has changed") {
    FlipByte(path, kJournalBlockBytes + 80);
    const DumpResult result = Dump({path, "--command=verify", "--json"});
    CHECK(result.code == ExitCode::kDamage);
    CHECK(torn(result) == 0);
  }
  SECTION("a byte of the first block's magic has changed") {
    FlipByte(path, 0);
    CHECK(Dump({path, "--command=verify"}).code == ExitCode::kDamage);
  }
  SECTION("a byte far behind the last block is not zero") {
    std::string longer = whole + std::string(300 * kJournalBlockBytes, '\0');
    longer[250 * kJournalBlockBytes + 5] = 1;
    WriteFile(path, longer);
    CHECK(Dump({path, "--command=verify"}).code == ExitCode::kDamage);
  }
  SECTION("the file is another store's") {
    std::string other = whole;
    for (uint32_t block = 0; block < 3; ++block) {
      SealJournalBlock(reinterpret_cast<std::byte*>(other.data()) + block * kJournalBlockBytes,
                       {5, 6}, 1, block, 0, block, 0);
    }
    WriteFile(path, other);
    CHECK(Dump({path, "--command=verify"}).code == ExitCode::kClean);
    CHECK(Dump({store.directory(), "--command=verify"}).code == ExitCode::kDamage);
  }
}

TEST_CASE("a log directory that cannot be read is trouble with its reason, and no damage") {
  SmallStore store;
  std::filesystem::remove(store.File("log/LAMINA_LOG"));
  std::filesystem::create_directory(store.File("log/LAMINA_LOG"));
  const DumpResult result = store.Run({store.directory(), "--command=verify"});
  INFO(result.out << result.err);
  CHECK(result.code == ExitCode::kTrouble);
  CHECK(result.err.find("log directory DIR/log cannot be used: ") != std::string::npos);
  CHECK(result.err.find("not a regular file") != std::string::npos);
}

TEST_CASE("what the manifest names and is not there, or is another, is damage") {
  SmallStore store;
  const auto verify = [&] { return store.Run({store.directory(), "--command=verify"}); };
  REQUIRE(verify().code == ExitCode::kClean);
  const auto says = [&](const std::string& text) {
    const DumpResult result = verify();
    INFO(result.out << result.err);
    CHECK(result.code == ExitCode::kDamage);
    CHECK(result.out.find(text) != std::string::npos);
  };
  const std::string table = store.File(SmallStore::kOldTable);
  SECTION("a table") {
    std::filesystem::remove(table);
    says("DIR/0000000002.sst: file: missing");
  }
  SECTION("a slot table") {
    std::filesystem::remove(store.File(SmallStore::kSlots));
    says("DIR/0000000001-0000000004.slots: file: missing");
  }
  SECTION("a segment") {
    std::filesystem::remove(store.File("log/0000000001.segment"));
    says("DIR/log/0000000001.segment: file: missing");
  }
  SECTION("a segment that is too short") {
    std::filesystem::resize_file(store.File("log/0000000001.segment"), 8192);
    says("DIR/log/0000000001.segment: file at offset 8192");
  }
  SECTION("a log directory") {
    std::filesystem::remove_all(store.File("log"));
    says("/not-there/log: file: log directory missing");
  }
  SECTION("a table under the name of another") {
    std::filesystem::copy_file(store.File(SmallStore::kNewTable), table,
                               std::filesystem::copy_options::overwrite_existing);
    says("0000000002.sst");
  }
  SECTION("a whole table of that number with other content") {
    std::filesystem::remove(table);
    TableBuilderOptions how;
    how.number = 2;
    WriteSmallTable(store.fs(), table, how, 1, 1);
    says("DIR/0000000002.sst: properties: differ from the manifest's");
  }
  SECTION("CURRENT") {
    std::filesystem::remove(store.File("CURRENT"));
    says("DIR/CURRENT: file: missing");
  }
  SECTION("what CURRENT says") {
    FlipByte(store.File("CURRENT"), 12);
    says("DIR/CURRENT: file: expected a manifest's name");
  }
  SECTION("the manifest; the rest is checked all the same") {
    std::filesystem::remove(store.File(SmallStore::kManifest));
    says("DIR/MANIFEST-000010: file: missing");
    says("whole    DIR/0000000002.sst");
  }
}

TEST_CASE("a store that was moved is still whole") {
  const SmallStore store;
  const std::string moved = store.directory() + "-moved";
  std::filesystem::rename(store.directory(), moved);
  const DumpResult result = Dump({moved, "--command=verify"});
  INFO(result.out << result.err);
  CHECK(result.code == ExitCode::kClean);
}

TEST_CASE("files that the manifest does not name are named, and are no damage") {
  SmallStore store;
  WriteFile(store.File("0000000009.sst"), "a table that is being written");
  WriteFile(store.File("strange"), "?");
  const DumpResult result = store.Run({store.directory(), "--command=verify"});
  CHECK(result.code == ExitCode::kClean);
  CHECK(result.err.find("DIR/0000000009.sst: the manifest does not name it") != std::string::npos);
  CHECK(result.err.find("DIR/strange: is not recognised") != std::string::npos);
}

TEST_CASE("files are recognised by content, whatever they are called") {
  SmallStore store;
  for (const char* name : {SmallStore::kOldTable, SmallStore::kSlots, SmallStore::kJournal}) {
    const std::string renamed = store.File(std::string("renamed"));
    std::filesystem::copy_file(store.File(name), renamed,
                               std::filesystem::copy_options::overwrite_existing);
    INFO(name);
    CHECK(Dump({renamed, "--command=verify"}).code == ExitCode::kClean);
    CHECK(Dump({renamed, "--command=scan", "--limit=1"}).out.size() > 20);
  }
}

}  // namespace
}  // namespace lamina::testing
