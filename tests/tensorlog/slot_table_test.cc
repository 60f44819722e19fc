// Saved slot tables: what comes back, and what damage costs.
#include "tensorlog/slot_table.h"

#include <xxhash.h>

#include <catch2/catch.hpp>

#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {
namespace {

constexpr JournalPosition kCheckpoint{3, 100};

struct Fixture {
  explicit Fixture(uint32_t slots) {
    auto opened = LogDir::Open(*fs, dir.File("log"), kTestStore, 0, LogDir::IfMissing::kCreate);
    REQUIRE(opened.ok());
    log_dir = std::move(*opened);
    info = {.id = 6, .log_dir = 0, .slot_bytes = 4096, .slot_count = slots};
  }
  // An absent segment will do: the table knows nothing of the file.
  std::unique_ptr<Segment> Empty() { return Segment::Open(*fs, *log_dir, info, false); }
  void Save(const Segment& segment, uint32_t cursor = 2) {
    REQUIRE(SaveSlotTable(*fs, path, kTestStore, 11, kCheckpoint, cursor, segment).ok());
  }
  SlotTableLoad Load(Segment& segment) {
    auto load = LoadSlotTable(*fs, path, kTestStore, segment);
    REQUIRE(load.ok());
    return std::move(*load);
  }

  TemporaryDirectory dir;
  std::unique_ptr<PosixFileSystem> fs = MakeFileSystem();
  std::unique_ptr<LogDir> log_dir;
  SegmentInfo info;
  std::string path = SlotTablePath(dir.path(), 6, 11);
};

void Fill(Segment& segment) {
  for (uint32_t i = 0; i < segment.slot_count(); ++i) {
    if (i % 3 == 0) continue;
    segment.Restore(i, i % 3 == 1 ? SlotState::kLive : SlotState::kCondemned, i % 2 == 0, 1000 + i,
                    i / 7, HeatValue{i, ~uint64_t{i}});
  }
}

bool SameSlot(const Slot& a, const Slot& b) {
  return a.tag() == b.tag() && a.state() == b.state() && a.unproven() == b.unproven() &&
         a.root() == b.root() && a.heat(0) == b.heat(0) && a.heat(1) == b.heat(1);
}

TEST_CASE("a slot table brings back tags, roots, states, heat and the cursor") {
  Fixture f(5000);
  const auto segment = f.Empty();
  Fill(*segment);
  f.Save(*segment, 4321);
  CHECK(std::filesystem::file_size(f.path) == SlotTableBytes(5000));
  const auto loaded = f.Empty();
  const SlotTableLoad load = f.Load(*loaded);
  CHECK(load.problem.ok());
  CHECK(load.slots_loaded == 3333);
  CHECK(load.slots_lost == 0);
  CHECK(load.generation == 11);
  CHECK(load.cursor == 4321);
  for (uint32_t i = 0; i < 5000; ++i) REQUIRE(SameSlot(segment->slot(i), loaded->slot(i)));
  CHECK(loaded->counts().live == segment->counts().live);
  CHECK(loaded->counts().condemned == segment->counts().condemned);
  CHECK_FALSE(loaded->dirty());
}

TEST_CASE("slots being written, and put at or above the checkpoint, are saved as free") {
  Fixture f(8);
  const auto segment = f.Empty();
  const auto put = [&](uint32_t i, JournalPosition position) {
    REQUIRE(segment->Take(i));
    segment->Publish(i, 50 + i, 1, position);
  };
  put(0, {3, 99});
  put(1, {3, 100});
  put(2, {4, 0});
  put(3, {2, 500});
  REQUIRE(segment->Take(4));
  f.Save(*segment);
  const auto loaded = f.Empty();
  CHECK(f.Load(*loaded).slots_loaded == 2);
  CHECK(loaded->slot(0).tag() == 50);
  CHECK(loaded->slot(3).tag() == 53);
  for (const uint32_t i : {1u, 2u, 4u, 5u}) CHECK(loaded->slot(i).state() == SlotState::kFree);
}

TEST_CASE("a slot table has the bytes that its format says") {
  Fixture f(8);
  const auto segment = f.Empty();
  Fill(*segment);
  f.Save(*segment);
  CHECK(Golden("slot_table.hex", ReadWhole(f.path)) == "");
}

TEST_CASE("a missing slot table means empty slots and is reported") {
  Fixture f(100);
  const auto segment = f.Empty();
  const SlotTableLoad load = f.Load(*segment);
  CHECK_FALSE(load.problem.ok());
  CHECK(load.slots_lost == 100);
  CHECK(segment->counts().free == 100);
}

TEST_CASE("a flipped bit anywhere is found; a part that is damaged costs its slots alone") {
  Fixture f(kSlotsPerPart + 10);
  const auto segment = f.Empty();
  Fill(*segment);
  f.Save(*segment);
  const std::string good = ReadWhole(f.path);
  const size_t second_part = sizeof(SlotTableHeader) + kSlotsPerPart * sizeof(SlotRecord) + 8;
  for (size_t byte = 0; byte < good.size();
       byte += byte < 200 || byte > second_part - 50 ? 1 : 997) {
    CAPTURE(byte);
    FlipBit(f.path, byte, byte % 8);
    const auto loaded = f.Empty();
    const SlotTableLoad load = f.Load(*loaded);
    REQUIRE(load.problem.code() == StatusCode::kCorruption);
    REQUIRE(load.problem.message().find("slot table " + f.path) != std::string_view::npos);
    const uint64_t expected_lost = byte < sizeof(SlotTableHeader) ? kSlotsPerPart + 10
                                   : byte < second_part           ? kSlotsPerPart
                                                                  : 10;
    REQUIRE(load.slots_lost == expected_lost);
    for (uint32_t i = 0; i < loaded->slot_count(); ++i) {
      const bool empty = loaded->slot(i).tag() == 0;
      REQUIRE((empty || SameSlot(loaded->slot(i), segment->slot(i))));
    }
    FlipBit(f.path, byte, byte % 8);
  }
}

TEST_CASE("a table that was cut short at any length loses the parts behind the cut") {
  Fixture f(3 * kSlotsPerPart);
  const auto segment = f.Empty();
  Fill(*segment);
  f.Save(*segment);
  const std::string good = ReadWhole(f.path);
  const size_t part = kSlotsPerPart * sizeof(SlotRecord) + 8;
  for (const size_t length : {size_t{0}, size_t{79}, size_t{80}, size_t{81}, 80 + part - 1,
                              80 + part, 80 + 2 * part + 5, good.size() - 1}) {
    CAPTURE(length);
    WriteWhole(f.path, good.substr(0, length));
    const auto loaded = f.Empty();
    const SlotTableLoad load = f.Load(*loaded);
    CHECK_FALSE(load.problem.ok());
    const size_t whole_parts = length < 80 ? 0 : (length - 80) / part;
    CHECK(load.slots_lost == (3 - whole_parts) * kSlotsPerPart);
  }
}

TEST_CASE("parts of another table, segment or place do not pass") {
  Fixture f(2 * kSlotsPerPart);
  const auto segment = f.Empty();
  Fill(*segment);
  f.Save(*segment);
  std::string bytes = ReadWhole(f.path);
  const size_t part = kSlotsPerPart * sizeof(SlotRecord) + 8;
  std::swap_ranges(bytes.begin() + 80, bytes.begin() + 80 + static_cast<std::ptrdiff_t>(part),
                   bytes.begin() + 80 + static_cast<std::ptrdiff_t>(part));
  WriteWhole(f.path, bytes);
  const auto swapped = f.Empty();
  CHECK(f.Load(*swapped).slots_lost == 2 * kSlotsPerPart);

  REQUIRE(SaveSlotTable(*f.fs, f.path, StoreId{1, 2}, 11, kCheckpoint, 0, *segment).ok());
  CHECK(f.Load(*f.Empty()).slots_lost == 2 * kSlotsPerPart);
  f.info.id = 7;
  f.Save(*f.Empty());
  f.info.id = 6;
  CHECK(f.Load(*f.Empty()).slots_lost == 2 * kSlotsPerPart);
}

TEST_CASE("an unknown version of a slot table is refused by name") {
  Fixture f(8);
  f.Save(*f.Empty());
  std::string bytes = ReadWhole(f.path);
  bytes[offsetof(SlotTableHeader, version)] = 9;
  const uint64_t checksum = XXH3_64bits(bytes.data(), offsetof(SlotTableHeader, checksum));
  std::memcpy(bytes.data() + offsetof(SlotTableHeader, checksum), &checksum, sizeof checksum);
  WriteWhole(f.path, bytes);
  const auto segment = f.Empty();
  const auto load = LoadSlotTable(*f.fs, f.path, kTestStore, *segment);
  REQUIRE_FALSE(load.ok());
  CHECK(load.status().code() == StatusCode::kNotSupported);
  CHECK(load.status().message().find("version 9") != std::string_view::npos);
}

TEST_CASE("hostile records with right checksums make empty slots, and nothing worse") {
  const uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Fixture f(64);
  f.Save(*f.Empty());
  std::string bytes = ReadWhole(f.path);
  for (size_t i = 80; i < bytes.size() - 8; ++i) bytes[i] = static_cast<char>(random());
  const uint64_t part_seed = 11 * 0x9E3779B97F4A7C15u + (uint64_t{6} << 32);
  const uint64_t checksum = XXH3_64bits_withSeed(bytes.data() + 80, 64 * 32, part_seed);
  std::memcpy(bytes.data() + bytes.size() - 8, &checksum, 8);
  WriteWhole(f.path, bytes);
  const auto segment = f.Empty();
  const SlotTableLoad load = f.Load(*segment);
  CHECK(load.slots_loaded + load.slots_lost == 64);
  CHECK(load.slots_lost > 32);
  CHECK_FALSE(load.problem.ok());
  CHECK(segment->counts().total() == 64);
}

TEST_CASE("slot tables are known by their names alone") {
  uint32_t segment = 0;
  uint64_t generation = 0;
  CHECK(ParseSlotTableFileName("0000000006-0000000011.slots", &segment, &generation));
  CHECK(segment == 6);
  CHECK(generation == 11);
  for (const char* name : {"6-11.slots", "0000000006.slots", "0000000006-0000000011.slot",
                           "-.slots", "0000000006-0000000011-0000000001.slots", ""}) {
    CHECK_FALSE(ParseSlotTableFileName(name, &segment, &generation));
  }
}

}  // namespace
}  // namespace lamina
