// What sst-dump prints, to the letter. When a change is meant:
//   LAMINA_REWRITE_GOLDENS=1 tools_test "[golden]"
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "tests/tools/sst_dump_fixture.h"
#include "tuner/controller.h"
#include "tuner/journal.h"
#include "tuner/journal_format.h"

namespace lamina::testing {
namespace {

using tools::ExitCode;

void CheckGolden(const std::string& name, const DumpResult& result) {
  const std::string text = "exit " + std::to_string(static_cast<int>(result.code)) +
                           "\n---- out\n" + result.out + "---- err\n" + result.err;
  const std::string path = std::string(LAMINA_TOOLS_GOLDENS) + "/" + name;
  if (std::getenv("LAMINA_REWRITE_GOLDENS") != nullptr) {
    WriteFile(path, text);
    return;
  }
  INFO("golden " << path);
  CHECK(text == ReadFile(path));
}

TEST_CASE("a whole store is shown as it always was", "[golden]") {
  const SmallStore store;
  const std::string& dir = store.directory();
  const std::string old_table = store.File(SmallStore::kOldTable);
  const std::string new_table = store.File(SmallStore::kNewTable);
  const std::string slots = store.File(SmallStore::kSlots);
  const std::string journal = store.File(SmallStore::kJournal);
  const std::string manifest = store.File(SmallStore::kManifest);
  const struct {
    const char* golden;
    std::vector<std::string> arguments;
  } runs[] = {
      {"store_properties.txt", {dir}},
      {"store_properties_raw.txt", {dir, "--raw"}},
      {"store_properties_json.txt", {dir, "--json"}},
      {"store_verify.txt", {dir, "--command=verify"}},
      {"store_verify_json.txt", {dir, "--command=verify", "--json"}},
      {"store_manifest.txt", {dir, "--command=manifest"}},
      {"store_manifest_json.txt", {dir, "--command=manifest", "--json"}},
      {"store_tree.txt", {dir, "--command=tree", "-v"}},
      {"store_tree_json.txt", {dir, "--command=tree", "--json", "-v"}},
      {"store_tuner.txt", {dir, "--command=tuner"}},
      {"store_scan.txt", {dir, "--command=scan", "--limit=8"}},
      {"table_layout.txt", {old_table, "--command=layout"}},
      {"table_layout_entries.txt", {new_table, "--command=layout", "-v"}},
      {"table_layout_json.txt", {new_table, "--command=layout", "--json", "-v"}},
      {"table_scan.txt", {new_table, "--command=scan"}},
      {"table_scan_json.txt", {new_table, "--command=scan", "--json"}},
      {"slots_properties.txt", {slots}},
      {"slots_layout.txt", {slots, "--command=layout"}},
      {"slots_scan.txt", {slots, "--command=scan"}},
      {"journal_properties.txt", {journal}},
      {"journal_layout.txt", {journal, "--command=layout"}},
      {"journal_scan.txt", {journal, "--command=scan"}},
      {"journal_scan_json.txt", {journal, "--command=scan", "--json"}},
      {"manifest_properties.txt", {manifest}},
      {"manifest_layout.txt", {manifest, "--command=layout"}},
  };
  for (const auto& run : runs) CheckGolden(run.golden, store.Run(run.arguments));
}

// Decisions made by the tuner itself, on a tree that is given: a shape for writes meets reads.
std::string TunerJournalBytes() {
  tuner::TreeShape shape = tuner::TieringShape(8);
  shape.memtable_bytes = uint64_t{3} << 20;
  tuner::ControllerOptions options;
  options.space.min_memtable_bytes = options.space.max_memtable_bytes = shape.memtable_bytes;
  options.space.max_size_ratio = 12;
  options.space.max_filter_bits_per_key = 2;
  tuner::Controller controller(options, shape);
  tuner::Controller::Input input;
  tuner::LevelState upper;
  upper.runs.assign(3, {.entries = 10000, .filter_bits_per_key = 5});
  tuner::LevelState last;
  last.runs.assign(4, {.entries = 80000, .filter_bits_per_key = 2});
  input.tree.levels = {upper, last};
  input.costs.facts.entries = 350000;
  input.costs.facts.memtable_entry_bytes = 312;
  tuner::Journal journal(3);
  std::string bytes(3 * tuner::kJournalBlockBytes, '\0');
  for (int window = 0; window < 3; ++window) {
    const uint64_t puts = window == 0 ? 9000 : 400;
    input.counters = {.puts_written = puts,
                      .lookups_missing = (10000 - puts) / 2,
                      .lookups_existing = (10000 - puts) / 2};
    input.measured_lookup_s = window == 0 ? 0.0006 : 0.02;
    input.measured_put_s = window == 0 ? 0.0008 : 0;
    const auto record = controller.Step(input);
    REQUIRE(record);
    for (const tuner::Journal::Write& write : journal.Note(*record))
      bytes.replace(write.file_offset, write.block.size(), write.block);
  }
  if (const auto write = journal.Finish())
    bytes.replace(write->file_offset, write->block.size(), write->block);
  return bytes;
}

TEST_CASE("decisions of the tuner are shown as they always were", "[golden]") {
  SmallStore store;
  const std::string path = store.File("TUNER-JOURNAL");
  WriteFile(path, TunerJournalBytes());
  CheckGolden("tuner_decisions.txt", store.Run({path, "--command=tuner"}));
}

TEST_CASE("each kind of damage is reported as it always was", "[golden]") {
  SmallStore store;
  const std::string table = store.File(SmallStore::kOldTable);
  const std::string whole = ReadFile(table);
  const auto verify = [&](const std::string& golden, const std::string& path) {
    CheckGolden(golden, store.Run({path, "--command=verify"}));
  };
  const uint64_t footer = whole.size() - kTableBlockBytes;

  FlipByte(table, footer + offsetof(TableFooter, magic));
  verify("damage_bad_magic.txt", table);
  WriteFile(table, whole.substr(0, whole.size() - 5000));
  verify("damage_truncated.txt", table);
  WriteFile(table, whole);
  FlipByte(table, kTableBlockBytes + 100);
  verify("damage_flipped.txt", table);
  CheckGolden("damage_flipped_scan.txt",
              store.Run({table, "--command=scan", "--from=0000000000000004ff"}));
  CheckGolden("damage_flipped_layout.txt", store.Run({table, "--command=layout"}));
  WriteFile(table, "");
  verify("damage_empty.txt", table);

  // Block 0 once more in the place of block 1, with everything but the order right.
  std::string swapped = whole;
  swapped.replace(kTableBlockBytes, kTableBlockBytes, whole, 0, kTableBlockBytes);
  SealBlock(std::as_writable_bytes(std::span(swapped).subspan(kTableBlockBytes, kTableBlockBytes)),
            2, kTableBlockBytes, BlockKind::kData);
  WriteFile(table, swapped);
  verify("damage_out_of_order.txt", table);

  std::string later = whole;
  const uint16_t version = kTableVersion + 1;
  std::memcpy(later.data() + footer + offsetof(TableFooter, version), &version, sizeof version);
  const auto block = std::as_bytes(std::span(later).subspan(footer));
  const uint64_t sum = BlockChecksum(block);
  std::memcpy(later.data() + footer, &sum, sizeof sum);
  WriteFile(table, later);
  verify("damage_later_version.txt", table);

  WriteFile(table, whole);
  FlipByte(store.File(SmallStore::kManifest), 300);
  FlipByte(store.File(SmallStore::kSlots), 100);
  FlipByte(store.File(SmallStore::kJournal), 70);
  FlipByte(table, 50);
  std::filesystem::remove(store.File(SmallStore::kNewTable));
  WriteFile(store.File("notes.txt"), "what is this");
  verify("damage_store.txt", store.directory());
  CheckGolden("damage_store_json.txt",
              store.Run({store.directory(), "--command=verify", "--json"}));
}

TEST_CASE("every line of --json is an object with a type") {
  const SmallStore store;
  for (const char* command : {"properties", "layout", "scan", "verify", "manifest", "tree"}) {
    INFO(command);
    std::stringstream lines(
        store.Run({store.directory(), std::string("--command=") + command, "--json"}).out);
    size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      const auto json = nlohmann::json::parse(line);
      REQUIRE(json.is_object());
      REQUIRE(json["type"].is_string());
    }
    CHECK(count > 0);
  }
}

TEST_CASE("the store's secret is never shown") {
  const SmallStore store;
  for (const char* json : {"--json", "--raw"}) {
    const DumpResult result = store.Run({store.directory(), "--command=manifest", json});
    CHECK(result.out.find("000102030405") == std::string::npos);
    CHECK(result.out.find(std::string("\x01\x02\x03\x04", 4)) == std::string::npos);
  }
}

TEST_CASE("scan starts and ends at whole keys, fronts of keys, and pasted keys") {
  SmallStore store;
  const auto scan = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {store.File(SmallStore::kNewTable), "--command=scan"});
    const DumpResult result = store.Run(more);
    REQUIRE(result.code == ExitCode::kClean);
    return result.out;
  };
  const std::string all = scan({});
  std::vector<std::string> lines;
  std::stringstream in(all);
  for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
  REQUIRE(lines.size() == 6);
  const auto key = [&](size_t i) { return lines[i].substr(0, lines[i].find(' ')); };
  const auto from_on = [&](size_t i) {
    std::string rest;
    for (; i < lines.size(); ++i) rest += lines[i];
    return rest;
  };
  CHECK(scan({"--from", key(2)}) == from_on(2));
  CHECK(scan({"--from", key(2) + "00"}) == from_on(3));
  CHECK(scan({"--from", key(3).substr(0, 16)}) == from_on(3));
  CHECK(scan({"--from", key(1).insert(32, "|")}) == from_on(1));
  CHECK(scan({"--to", key(2)}) == lines[0] + lines[1]);
  CHECK(scan({"--from", key(1), "--to", key(2)}) == lines[1]);
  CHECK(scan({"--from", "ff"}).empty());
  CHECK(scan({"--limit", "1"}) == lines[0]);
  CHECK(scan({"--limit", "0"}).empty());
}

}  // namespace
}  // namespace lamina::testing
