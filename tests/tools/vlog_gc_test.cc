// What vlog-gc says, to the letter, and what it finds and does. When a change of words is meant:
//   LAMINA_REWRITE_GOLDENS=1 tools_test "[golden]"
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>

#include "engine/store/policy_file.h"
#include "engine/store/store_impl.h"
#include "tests/store/simulated_store.h"
#include "tests/tools/vlog_gc_fixture.h"
#include "tools/vlog_gc_run.h"

namespace lamina::testing {
namespace {

using tools::ExitCode;
using Json = nlohmann::json;

// As the fixture opens it: with less capacity than what is there, opening would evict.
constexpr char kOptions[] = "--options=capacity_bytes=64M;min_free_bytes=0";

void CheckGolden(const GcStore& store, const std::string& name,
                 std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), store.directory());
  DumpResult result = Gc(arguments);
  result.out = Replaced(result.out, store.directory(), "DIR");
  result.err = Replaced(result.err, store.directory(), "DIR");
  const std::string text = "exit " + std::to_string(static_cast<int>(result.code)) +
                           "\n---- out\n" + result.out + "---- err\n" + result.err;
  const std::string path = std::string(LAMINA_TOOLS_GOLDENS) + "/vlog_gc_" + name;
  if (std::getenv("LAMINA_REWRITE_GOLDENS") != nullptr) {
    WriteFile(path, text);
    return;
  }
  INFO("golden " << path);
  CHECK(text == ReadFile(path));
}

std::vector<Json> Lines(const std::string& text) {
  std::vector<Json> lines;
  std::stringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

Json LineOf(const DumpResult& result, const std::string& type) {
  for (const Json& line : Lines(result.out))
    if (line["type"] == type) return line;
  FAIL("no line of type " << type << " in\n" << result.out << result.err);
  return {};
}

TEST_CASE("a store is shown, planned for and checked as it always was", "[golden]") {
  GcStore store(3, 20, 65536);
  store.Thin(3, 40);
  store.Close();
  CheckGolden(store, "dry_run.txt", {});
  CheckGolden(store, "dry_run_raw.txt", {"--raw"});
  CheckGolden(store, "dry_run_json.txt", {"--json"});
  CheckGolden(store, "dry_run_target.txt", {"--target-bytes=512K"});
  CheckGolden(store, "dry_run_segment.txt", {"--segment=2"});
  CheckGolden(store, "no_segment.txt", {"--segment=77"});
  CheckGolden(store, "verify.txt", {"--verify"});
  CheckGolden(store, "verify_json.txt", {"--verify", "--json"});
}

TEST_CASE("each kind of damage to the log is reported as it always was", "[golden]") {
  GcStore store(1, 40, 65536);
  const auto a = store.PlaceOf(0, 3).slot;
  const auto b = store.PlaceOf(0, 30).slot;
  store.Close();
  FlipByte(store.SegmentFile(a.segment), a.slot * 65536 + 1000);
  FlipByte(store.SegmentFile(b.segment), b.slot * 65536);
  CheckGolden(store, "verify_flipped.txt", {"--verify"});
  CheckGolden(store, "verify_flipped_json.txt", {"--verify", "--json"});
  CheckGolden(store, "verify_flipped_segment.txt", {"--verify", "--segment=2"});
  std::filesystem::resize_file(store.SegmentFile(3), 65536);
  std::filesystem::remove(store.SegmentFile(2));
  for (const auto& entry : std::filesystem::directory_iterator(store.directory())) {
    const std::string name = entry.path().filename();
    if (name.starts_with("0000000001-") && name.ends_with(".slots")) FlipByte(entry.path(), 200);
  }
  CheckGolden(store, "damage.txt", {});
  CheckGolden(store, "damage_verify.txt", {"--verify"});
}

TEST_CASE(
    "verify finds each of 200 flips and names segment, slot and page; the store repairs them") {
  const uint64_t seed = 99;
  INFO("seed " << seed);
  GcStore store(8, 64, 4096);
  std::mt19937_64 random(seed);
  std::set<std::pair<uint32_t, size_t>> flipped;
  while (flipped.size() < 200)
    flipped.emplace(static_cast<uint32_t>(random() % 8), static_cast<size_t>(random() % 64));
  std::set<std::string> expected;
  std::vector<std::pair<SlotRef, uint64_t>> flips;
  for (const auto& [p, page] : flipped) {
    const auto place = store.PlaceOf(p, page);
    expected.insert(std::to_string(place.slot.segment) + "/" + std::to_string(place.slot.slot) +
                    "/" + place.key);
    flips.emplace_back(place.slot, random() % 4096);
  }
  store.Close();
  for (const auto& [slot, byte] : flips)
    FlipByte(store.SegmentFile(slot.segment), slot.slot * 4096 + byte,
             static_cast<unsigned char>(1u << (byte % 8)));

  const DumpResult result = Gc({store.directory(), "--verify", "--json"});
  CHECK(result.code == ExitCode::kDamage);
  std::set<std::string> found;
  for (const Json& line : Lines(result.out)) {
    if (line["type"] != "damage") continue;
    found.insert(std::to_string(line["segment"].get<uint64_t>()) + "/" +
                 std::to_string(line["slot"].get<uint64_t>()) + "/" +
                 line["page"].get<std::string>());
    CHECK(line["root"] == "model");
    CHECK(line["expected"] != line["found"]);
    CHECK(line["offset"].get<uint64_t>() == line["slot"].get<uint64_t>() * 4096);
  }
  CHECK(found == expected);
  CHECK(LineOf(result, "total")["pages"] == 8 * 64 - 200);

  for (uint32_t p = 0; p < 8; ++p) {
    const GetOutcome got = GetPages(store.store(), store.path(p), 0, 64, 4096);
    CHECK(got.wrong == 0);
    for (size_t i = 0; i < 64; ++i)
      CHECK((got.states[i] == PageState::kMiss) == flipped.contains({p, i}));
    CHECK(CountOk(PutPages(store.store(), store.path(p), 0, 64, 4096)) == 64);
    CHECK(CountOk(GetPages(store.store(), store.path(p), 0, 64, 4096).states) == 64);
  }
  store.Close();
  const DumpResult repaired = Gc({store.directory(), "--verify", "--json"});
  CHECK(repaired.code == ExitCode::kClean);
  CHECK(LineOf(repaired, "total")["pages"] == 8 * 64);
}

TEST_CASE("verify names tags that no entry reaches, and does not mind entries without tags") {
  GcStore store(1, 20, 65536);
  TensorLog& log = store.store().impl()->log();
  const auto gone = store.PlaceOf(0, 5);
  REQUIRE(log.Free(gone.slot, gone.tag));
  const auto runs = log.TakeIn(2, 1);
  REQUIRE(runs.size() == 1);
  log.Publish(runs[0].slot(0), 0xABCDEF, 1, {1, 0});
  store.Close();
  const DumpResult result = Gc({store.directory(), "--verify", "--json"});
  CHECK(result.code == ExitCode::kClean);
  const Json line = LineOf(result, "unreached");
  CHECK(line["segment"] == 2);
  CHECK(line["slot"] == runs[0].first);
  CHECK(line["tag"] == "0000000000abcdef");
  CHECK(LineOf(result, "total")["tags_without_entry"] == 1);
  CHECK(LineOf(result, "total")["pages"] == 19);
}

TEST_CASE("a run does what the dry run said, and verify finds everything right behind it") {
  GcStore store(20, 64, 4096);
  const auto live = store.Thin(5, 30);
  store.Close();
  const uint64_t before = store.LogBytes();
  const Json plan = LineOf(Gc({store.directory(), "--json"}), "plan");
  CHECK(plan["bytes_to_free"].get<double>() >= 0.6 * static_cast<double>(before));
  CHECK(store.LogBytes() == before);
  const DumpResult run = Gc({store.directory(), "--run", "--json", kOptions});
  INFO(run.out << run.err);
  CHECK(run.code == ExitCode::kClean);
  const Json done = LineOf(run, "run");
  CHECK(done["pages_moved"] == plan["pages_to_move"]);
  CHECK(done["bytes_freed"] == plan["bytes_to_free"]);
  CHECK(before - store.LogBytes() == done["bytes_freed"]);
  const DumpResult verify = Gc({store.directory(), "--verify", "--json"});
  CHECK(verify.code == ExitCode::kClean);
  CHECK(LineOf(verify, "total")["tags_without_entry"] == 0);
  for (uint32_t p = 0; p < store.path_count(); ++p) {
    store.store();
    const GetOutcome got = GetPages(store.store(), store.path(p), 0, 64, 4096);
    CHECK(got.wrong == 0);
    for (size_t i = 0; i < 64; ++i)
      if (live[p][i]) CHECK(got.states[i] == PageState::kOk);
  }
}

TEST_CASE("a run erases what it frees where the store erases bytes, unless it is told not to") {
  const bool physical = GENERATE(false, true);
  GcStore store(6, 40, 65536, physical ? "erase=physical" : "");
  store.Thin(6, 30);
  store.Close();
  const auto erases = [&] {
    return LineOf(Dump({store.directory(), "--command=manifest", "--json"}),
                  "state")["erase_physical"];
  };
  CHECK(erases() == physical);
  CHECK(Gc({store.directory(), "--run", kOptions}).code == ExitCode::kClean);
  CHECK(erases() == physical);  // as the run opened the store
  const std::string logical = std::string(kOptions) + ";erase=logical";
  CHECK(Gc({store.directory(), "--run", logical}).code == ExitCode::kClean);
  CHECK(erases() == false);
}

TEST_CASE("a run that is stopped says so, and a target or a segment bounds it") {
  GcStore store(6, 40, 65536);
  store.Thin(6, 30);
  store.Close();
  const uint64_t before = store.LogBytes();
  const DumpResult stopped = Gc({store.directory(), "--run", "--json", kOptions}, true);
  CHECK(stopped.code == ExitCode::kTrouble);
  CHECK(LineOf(stopped, "run")["stopped"] == true);
  CHECK(store.LogBytes() == before);
  const DumpResult one = Gc({store.directory(), "--run", "--segment=2", kOptions});
  INFO(one.out << one.err);
  CHECK(one.code == ExitCode::kClean);
  CHECK_FALSE(std::filesystem::exists(store.SegmentFile(2)));
  CHECK(std::filesystem::exists(store.SegmentFile(3)));
  const DumpResult some = Gc({store.directory(), "--run", "--json", "--target-bytes=1M", kOptions});
  CHECK(some.code == ExitCode::kClean);
  const auto freed = LineOf(some, "run")["bytes_freed"].get<uint64_t>();
  CHECK(freed >= 1 << 20);
  CHECK(freed < 3 << 20);
  CHECK(Gc({store.directory(), "--run", "--segment=2"}).code == ExitCode::kTrouble);
  CHECK(Gc({store.directory(), "--verify"}).code == ExitCode::kClean);
}

TEST_CASE("a run counts pages whose bytes are wrong as damage, and frees them") {
  GcStore store(2, 40, 65536);
  store.Thin(7, 30);
  std::optional<SlotRef> hurt;
  for (size_t i = 0; i < 40 && !hurt; ++i) {
    const auto place = store.PlaceOf(0, i);
    const SegmentTable::ReadSection section(store.store().impl()->log().table());
    if (place.tag != 0 &&
        section.Find(place.slot.segment)->slot(place.slot.slot).state() == SlotState::kLive)
      hurt = place.slot;
  }
  REQUIRE(hurt);
  store.Close();
  FlipByte(store.SegmentFile(hurt->segment), hurt->slot * 65536 + 5);
  const DumpResult run = Gc({store.directory(), "--run", "--json", kOptions});
  INFO(run.out << run.err);
  CHECK(run.code == ExitCode::kDamage);
  CHECK(LineOf(run, "run")["pages_bad"] == 1);
  CHECK(Gc({store.directory(), "--verify"}).code == ExitCode::kClean);
}

TEST_CASE(
    "a run that had to keep a segment ends with trouble, and one that lost a page, with damage") {
  constexpr size_t kPages = 300;  // in two segments
  constexpr size_t kBytes = 4096;
  const bool device = GENERATE(false, true);
  SimulatedDisk disk(1);
  auto store = OpenSimulatedStore(disk.Restart());
  REQUIRE(store.ok());
  TestPath path = MakePath(**store, "model", Tokens(0, kPages));
  REQUIRE(CountOk(PutPages(**store, path, 0, kPages, kBytes)) == kPages);
  const auto& locations = path.path->impl()->locations;
  const SlotRef last = locations[kPages - 1].entry.slot;
  TensorLog& log = (*store)->impl()->log();
  for (size_t i = 0; i + 1 < kPages; ++i) {
    const Entry& entry = locations[i].entry;
    if (entry.slot.segment == last.segment)
      REQUIRE(log.Free(entry.slot, entry.tag(path.path->impl()->fingerprints[i])));
  }
  if (device) {
    SimulatedFaults faults;
    faults.read_error = 1;
    faults.only_in = ".segment";
    disk.SetFaults(faults);
  } else {
    const std::string file = log.log_dirs()[0]->SegmentPath(last.segment);
    REQUIRE(disk.MakeUnreadable(file, last.slot * kBytes, 512).ok());
  }

  vlog_gc::GcOptions options;
  options.json = true;
  options.segment = last.segment;
  const std::atomic<bool> stop{false};
  DumpResult result;
  {
    tools::Output out(&result.out);
    tools::Output err(&result.err);
    vlog_gc::Report report(options, stop, out, err);
    vlog_gc::CollectFrom(**store, report);
    result.code = report.exit_code();
  }
  INFO(result.out << result.err);
  const Json run = LineOf(result, "run");
  CHECK(run["segments_kept"] == (device ? 1 : 0));
  CHECK(run["segments_freed"] == (device ? 0 : 1));
  CHECK(run["pages_bad"] == (device ? 0 : 1));
  CHECK(result.code == (device ? ExitCode::kTrouble : ExitCode::kDamage));
  CHECK((result.err.find("could not be read, and was not moved") != std::string::npos) == device);
}

TEST_CASE("a run takes the memory that the store's slots need, and says so, unless it is told") {
  constexpr uint32_t kSegmentSlots = 65536;
  constexpr uint64_t kMemory = 16 << 20;  // that the slots alone would take
  constexpr size_t kPages = 300;
  SimulatedDisk disk(1);
  const auto open = [&](const std::string& options) {
    return OpenSimulatedStore(disk.Restart(), "capacity_bytes=64G;" + options);
  };
  auto store = open("memory_bytes=1G");
  REQUIRE(store.ok());
  for (int i = 0; i < 8; ++i) {
    const auto id = (*store)->impl()->log().AddEmptySegment(0, 4096, kSegmentSlots);
    REQUIRE(id.ok());
    REQUIRE((*store)->impl()->log().SetDraining(*id, false).ok());
  }
  TestPath path = MakePath(**store, "model", Tokens(0, kPages));
  REQUIRE(CountOk(PutPages(**store, path, 0, kPages, 4096)) == kPages);
  store->reset();
  REQUIRE_FALSE(open("memory_bytes=" + std::to_string(kMemory)).ok());

  const auto options_for = [&](const std::string& given, std::string* err) {
    vlog_gc::GcOptions options;
    options.directory = "/store";
    options.store_options = given;
    const std::atomic<bool> stop{false};
    std::string out_text;
    tools::Output out(&out_text);
    tools::Output err_output(err);
    vlog_gc::Report report(options, stop, out, err_output);
    const auto fs = disk.Attach();
    return vlog_gc::OptionsFor(*fs, report, kMemory);
  };
  std::string said;
  const auto raised = options_for("capacity_bytes=64G", &said);
  REQUIRE(raised.ok());
  CHECK(raised->memory_bytes > kMemory);
  CHECK(said.find("/store: memory_bytes=" + std::to_string(raised->memory_bytes)) !=
        std::string::npos);
  CHECK(raised->tuner == Options::Tuner::kOff);
  CHECK(raised->compaction == Options::Compaction::kAuto);
  // So it opens, and has memory for new segments: what is live moves, and the rest goes.
  store = open("memory_bytes=" + std::to_string(raised->memory_bytes));
  REQUIRE(store.ok());
  CollectReport report;
  REQUIRE((*store)->impl()->CollectGarbage({}, nullptr, &report).ok());
  CHECK(report.segments_freed == 8);
  CHECK(report.pages_moved == kPages);
  CHECK(report.problems.empty());

  // Records of the eviction policy, saved when it was closed, have room, too.
  constexpr uint64_t kRecords = 200000;
  std::vector<uint8_t> keys(32 * kRecords);
  std::mt19937 random(7);
  for (uint8_t& byte : keys) byte = static_cast<uint8_t>(random());
  const auto asked = (*store)->PathFromKeys("keys", keys);
  REQUIRE(asked.ok());
  REQUIRE((*store)->Probe(**asked, 0, kRecords, {}).ok());
  store->reset();
  std::string ignored;
  const auto with_records = options_for({}, &ignored);
  REQUIRE(with_records.ok());
  store = open("memory_bytes=" + std::to_string(with_records->memory_bytes));
  REQUIRE(store.ok());
  CHECK(StatOf((*store)->Explain(), "records") >= kRecords);
  const uint64_t least = kPolicyMemoryShare * kPolicyBytesPerRecord * kRecords;
  CHECK(with_records->memory_bytes > least + (256 << 20));

  std::string nothing;
  const auto told = options_for("memory_bytes=20M", &nothing);
  REQUIRE(told.ok());
  CHECK(told->memory_bytes == 20 << 20);
  CHECK(nothing.empty());
}

TEST_CASE("a log directory that cannot be read is named with the reason, whatever is asked for") {
  const TemporaryDirectory disks;
  const std::string ill = disks / "b";
  GcStore store(1, 20, 65536, "log_dirs=" + (disks / "a") + "," + ill);
  store.Close();
  const std::string marker = ill + "/LAMINA_LOG";
  const std::string bytes = ReadFile(marker);
  std::filesystem::remove(marker);
  std::filesystem::create_directory(marker);
  for (const char* command : {"--raw", "--verify", "--run"}) {
    std::vector<std::string> arguments = {store.directory(), command};
    if (command == std::string("--run")) arguments.emplace_back(kOptions);
    const DumpResult result = Gc(arguments);
    INFO(command << "\n" << result.out << result.err);
    CHECK(result.code == ExitCode::kTrouble);
    CHECK(result.err.find("log directory " + ill + " cannot be used: ") != std::string::npos);
    CHECK(result.err.find("not a regular file") != std::string::npos);
  }
  std::filesystem::remove(marker);
  WriteFile(marker, bytes);
  const DumpResult healed = Gc({store.directory(), "--verify", "--json"});
  CHECK(healed.code == ExitCode::kClean);
  CHECK(LineOf(healed, "total")["pages"] == 20);
}

TEST_CASE("every line of vlog-gc --json is an object with a type") {
  GcStore store(2, 20, 65536);
  store.Close();
  for (const char* command : {"--raw", "--verify", "--run"}) {
    const auto lines = Lines(Gc({store.directory(), command, "--json"}).out);
    CHECK_FALSE(lines.empty());
    for (const Json& line : lines) CHECK(line["type"].is_string());
  }
}

}  // namespace
}  // namespace lamina::testing
