// The journal: what is appended comes back, whatever happens to the files in between.
#include <xxhash.h>

#include <catch2/catch.hpp>
#include <thread>

#include "tests/tensorlog/journal_fixture.h"

namespace lamina {
namespace {

// Fills a stem: pages [first, 64) of it.
void AddStem(JournalRecords* records, uint32_t first, bool move) {
  std::vector<Fingerprint> fingerprints;
  std::vector<JournalPage> pages;
  std::vector<SlotRef> from;
  for (uint32_t i = 0; i < kMaxStemPages; ++i) {
    fingerprints.push_back(UINT64_MAX - i);
    if (i < first) continue;
    pages.push_back({{UINT32_MAX, UINT32_MAX - i}, UINT32_MAX, UINT32_MAX - i, UINT64_MAX - i});
    from.push_back({UINT32_MAX, i});
  }
  const PutRecord put{.root_name = {UINT64_MAX, 1},
                      .root_epoch = UINT64_MAX,
                      .anchor = {2, UINT64_MAX},
                      .fingerprints = fingerprints,
                      .first_page = first,
                      .pages = pages};
  if (move) {
    records->AddMove({put, from});
  } else {
    records->AddPut(put);
  }
}

TEST_CASE("puts, moves and segments come back as they were appended") {
  JournalFixture f;
  auto writer = f.Open(5);
  JournalRecords records;
  records.AddSegmentStarted({.id = 3, .log_dir = 1, .slot_bytes = 65536, .slot_count = 4096});
  AddStem(&records, 0, false);
  AddStem(&records, 60, true);
  AddOne(&records, 17);
  const auto guard = writer->Begin();
  const auto appended = writer->Append(guard, records);
  REQUIRE(appended.ok());
  CHECK(appended->first == JournalPosition{5, 0});

  Collector seen;
  const JournalReplay replay = f.Replay(seen);
  CHECK(replay.records == 4);
  CHECK(replay.damaged_records == 0);
  CHECK(replay.max_epoch == 5);
  CHECK(replay.next == JournalPosition{5, appended->last.sequence + 1});
  REQUIRE(seen.segments.size() == 1);
  CHECK(seen.segments[0] == SegmentInfo{3, 1, 65536, 4096});
  REQUIRE(seen.pages.size() == 64 + 4 + 1);
  CHECK(seen.pages[0].key == PageKey{{2, UINT64_MAX}, UINT64_MAX});
  CHECK(seen.pages[63].key.fingerprint == UINT64_MAX - 63);
  CHECK(seen.pages[64].type == JournalRecordType::kMove);
  CHECK(seen.pages[64].from == SlotRef{UINT32_MAX, 60});
  CHECK(seen.pages[64].page.checksum == UINT64_MAX - 60);
  CHECK(seen.pages[68].page.slot == SlotRef{17, 17});
  CHECK(seen.root_epochs == std::vector<uint64_t>{UINT64_MAX, UINT64_MAX, 4});
}

TEST_CASE("a journal block has the bytes that its format says") {
  JournalFixture f;
  auto writer = f.Open(5);
  JournalRecords records;
  const std::array<Fingerprint, 2> fingerprints = {0x1111111111111111u, 0x2222222222222222u};
  const JournalPage page{{3, 9}, 65536, 0xAABBCCDDu, 0x0123456789ABCDEFu};
  const SlotRef from{1, 300};
  const PutRecord put{{0x10, 0x20}, 6, {0x30, 0x40}, fingerprints, 1, {&page, 1}};
  records.AddPut(put);
  CHECK(records.record(0).size() == 78);
  records.AddMove({put, {&from, 1}});
  records.AddSegmentStarted({.id = 3, .log_dir = 1, .slot_bytes = 65536, .slot_count = 4096});
  REQUIRE(writer->Append(writer->Begin(), records).ok());
  CHECK(Golden("journal_block.hex", ReadWhole(f.FileOf(0)).substr(0, 4096)) == "");
}

TEST_CASE("about 80 pages and more go into a block when puts share it") {
  JournalFixture f;
  auto writer = f.Open(1);
  JournalRecords records;
  for (int i = 0; i < 8; ++i) AddStem(&records, 32, false);
  const auto appended = writer->Append(writer->Begin(), records);
  REQUIRE(appended.ok());
  CHECK(appended->last.sequence - appended->first.sequence + 1 <= 8 * 32 / 64);
}

TEST_CASE("concurrent appends share blocks, and each is there when its call returns") {
  JournalFixture f;
  f.options.sync = GENERATE(false, true);
  auto writer = f.Open(1, 4096 * 64);
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kEach = 400;
  std::vector<std::thread> threads;
  std::array<std::vector<std::pair<uint64_t, JournalPosition>>, kThreads> where;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        JournalRecords records;
        AddOne(&records, t * kEach + i);
        const auto guard = writer->Begin();
        const auto appended = writer->Append(guard, records);
        if (!appended.ok() || appended->first < guard.position()) std::abort();
        where[t].push_back({t * kEach + i, appended->first});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto stats = writer->stats();
  CHECK(stats.appends == kThreads * kEach);
  CHECK(stats.records == kThreads * kEach);
  CHECK(stats.blocks <= stats.appends);
  if (f.options.sync) {
    CHECK(stats.syncs >= 1);
    CHECK(f.fs.failures.syncs <= stats.groups + stats.files);
  }
  Collector seen;
  const JournalReplay replay = f.Replay(seen);
  CHECK(replay.invalid_blocks == 0);
  CHECK(replay.blocks == stats.blocks);
  std::map<uint64_t, JournalPosition> found;
  for (const SeenPage& page : seen.pages) found[page.key.fingerprint - 1] = page.at;
  CHECK(found.size() == kThreads * kEach);
  for (const auto& thread : where) {
    for (const auto& [name, at] : thread) REQUIRE(found[name] == at);
  }
  CHECK(std::is_sorted(seen.pages.begin(), seen.pages.end(),
                       [](const auto& a, const auto& b) { return a.at < b.at; }));
}

TEST_CASE("an append of many blocks goes over files, 128 blocks at a time") {
  JournalFixture f;
  const uint64_t file_blocks = GENERATE(1u, 7u, 128u, 300u, 1024u);
  auto writer = f.Open(1, file_blocks * 4096);
  JournalRecords records;
  for (uint64_t name = 0; name < 12000; ++name) AddOne(&records, name);
  f.fs.failures.writes = 0;
  const auto appended = writer->Append(writer->Begin(), records);
  REQUIRE(appended.ok());
  const uint64_t blocks = appended->last.sequence + 1;
  CHECK(blocks > 200);
  CHECK(writer->stats().files == (blocks + file_blocks - 1) / file_blocks);
  CHECK(f.fs.failures.writes >= (blocks + 127) / 128);
  Collector seen;
  CHECK(f.Replay(seen).blocks == blocks);
  CHECK(Names(seen).size() == 12000);
}

TEST_CASE("replay starts at a position and goes through epochs in order") {
  JournalFixture f;
  std::vector<JournalPosition> at;
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    auto writer = f.Open(epoch, 4 * 4096);
    for (uint64_t i = 0; i < 10; ++i) at.push_back(AppendOne(*writer, epoch * 100 + i).first);
  }
  for (size_t from = 0; from < at.size(); ++from) {
    Collector seen;
    f.Replay(seen, at[from]);
    REQUIRE(seen.pages.size() == at.size() - from);
    for (size_t i = 0; i < seen.pages.size(); ++i) REQUIRE(seen.pages[i].at == at[from + i]);
  }
  Collector none;
  const JournalReplay replay = f.Replay(none, {9, 0});
  CHECK(none.pages.empty());
  CHECK(replay.max_epoch == 3);
  CHECK(replay.next == JournalPosition{9, 0});
}

TEST_CASE("the low water is the oldest guard that is held") {
  JournalFixture f;
  auto writer = f.Open(2);
  CHECK(writer->LowWater() == JournalPosition{2, 0});
  auto first = writer->Begin();
  AppendOne(*writer, 1);
  auto second = writer->Begin();
  AppendOne(*writer, 2);
  CHECK(writer->CurrentPosition() == JournalPosition{2, 2});
  CHECK(writer->LowWater() == JournalPosition{2, 0});
  first.Release();
  first.Release();
  CHECK(writer->LowWater() == JournalPosition{2, 1});
  {
    auto moved = std::move(second);
    CHECK_FALSE(second.held());
    CHECK(writer->LowWater() == JournalPosition{2, 1});
  }
  CHECK(writer->LowWater() == JournalPosition{2, 2});
}

TEST_CASE("files go when nothing at or above the position that is kept lies in them") {
  JournalFixture f;
  {
    auto old = f.Open(1, 4 * 4096);
    AppendOne(*old, 1);
  }
  auto writer = f.Open(2, 4 * 4096);
  for (uint64_t i = 0; i < 10; ++i) AppendOne(*writer, 100 + i);
  CHECK(writer->stats().files == 4);
  REQUIRE(writer->DeleteBelow({1, 50}).ok());
  CHECK(writer->stats().files == 4);
  REQUIRE(writer->DeleteBelow({2, 3}).ok());
  CHECK(writer->stats().files == 3);
  CHECK_FALSE(std::filesystem::exists(f.FileOf(0)));
  CHECK(std::filesystem::exists(f.FileOf(1)));
  REQUIRE(writer->DeleteBelow({2, 4}).ok());
  CHECK_FALSE(std::filesystem::exists(f.FileOf(1)));
  Collector seen;
  f.Replay(seen, {2, 4});
  CHECK(Names(seen) == std::set<uint64_t>{104, 105, 106, 107, 108, 109});
  REQUIRE(writer->DeleteBelow({2, 1000}).ok());
  CHECK(writer->stats().files == 1);
  AppendOne(*writer, 200);
  Collector last;
  f.Replay(last, {2, 10});
  CHECK(Names(last) == std::set<uint64_t>{200});
}

TEST_CASE("an ended journal takes the space of its blocks, which come back") {
  JournalFixture f;
  constexpr uint64_t kFileBytes = 64 * 4096;
  const auto writer = f.Open(1, kFileBytes);
  for (uint64_t name = 0; name < 70; ++name) AppendOne(*writer, name);
  CHECK(*f.fs.AllocatedBytes(f.FileOf(1)) == kFileBytes);
  REQUIRE(writer->End().ok());
  CHECK(*f.fs.AllocatedBytes(f.FileOf(0)) == kFileBytes);
  CHECK(*f.fs.AllocatedBytes(f.FileOf(1)) == 6 * 4096);
  CHECK(writer->stats().file_bytes == kFileBytes + 6 * 4096);
  Collector seen;
  f.Replay(seen);
  CHECK(Names(seen).size() == 70);
}

TEST_CASE("torn, lost and damaged blocks cost their records alone") {
  const uint64_t seed = GENERATE(1u, 2u, 3u, 4u, 5u, 6u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  JournalFixture f;
  uint64_t count = 0;
  {
    auto writer = f.Open(1, 512 * 4096);
    for (; count < 400; ++count) AppendOne(*writer, count);
  }
  std::set<uint64_t> expected;
  std::string bytes = ReadWhole(f.FileOf(0));
  for (uint64_t block = 0; block < count; ++block) {
    char* const at = bytes.data() + block * 4096;
    switch (random() % 5) {
      case 0: {  // sectors that never landed
        uint64_t kept = random() % 255;
        if (seed % 2 == 0) kept &= 0xFE;  // the header among them
        for (int sector = 0; sector < 8; ++sector) {
          if ((kept >> sector & 1) == 0) std::memset(at + sector * 512, 0, 512);
        }
        // A block is mostly zeros: one whose lost sectors were zeros is whole.
        const bool header_and_sum = (kept & 0x81) == 0x81;
        if (header_and_sum) expected.insert(block);
        break;
      }
      case 1:
        at[random() % 4096] ^= static_cast<char>(1 << random() % 8);
        break;
      default:
        expected.insert(block);
    }
  }
  WriteWhole(f.FileOf(0), bytes);
  Collector seen;
  const JournalReplay replay = f.Replay(seen);
  CHECK(Names(seen) == expected);
  CHECK(replay.damaged_records == 0);
}

TEST_CASE("128 blocks in a row may be missing before an acknowledged one; 256 end a file") {
  JournalFixture f;
  {
    auto writer = f.Open(1, 1024 * 4096);
    for (uint64_t i = 0; i < 600; ++i) AppendOne(*writer, i);
  }
  const std::string good = ReadWhole(f.FileOf(0));
  const auto lose = [&](uint64_t first, uint64_t count) {
    std::string bytes = good;
    std::memset(bytes.data() + first * 4096, 0, count * 4096);
    WriteWhole(f.FileOf(0), bytes);
    Collector seen;
    f.Replay(seen);
    return Names(seen).size();
  };
  CHECK(lose(100, 127) == 600 - 127);
  CHECK(lose(100, 255) == 600 - 255);
  CHECK(lose(0, 255) == 600 - 255);
  CHECK(lose(100, 256) == 100);
}

TEST_CASE("blocks of another store, file, place or epoch are not this journal's") {
  JournalFixture f;
  {
    auto writer = f.Open(1, 16 * 4096);
    for (uint64_t i = 0; i < 4; ++i) AppendOne(*writer, i);
  }
  {
    auto writer = f.Open(2, 16 * 4096);
    for (uint64_t i = 10; i < 14; ++i) AppendOne(*writer, i);
  }
  std::string first = ReadWhole(f.FileOf(0));
  const std::string second = ReadWhole(f.FileOf(1));
  // Block 1 over block 3 of the same file; a block of the other file at its own index.
  std::memcpy(first.data() + 3 * 4096, first.data() + 4096, 4096);
  std::memcpy(first.data() + 2 * 4096, second.data() + 2 * 4096, 4096);
  // One with this file's number but another epoch, right otherwise.
  std::byte* const block = reinterpret_cast<std::byte*>(first.data()) + 5 * 4096;
  std::memset(block, 0, 4096);
  SealJournalBlock(block, kTestStore, 7, 5, 0, 5, 0);
  WriteWhole(f.FileOf(0), first);
  Collector seen;
  f.Replay(seen);
  CHECK(Names(seen) == std::set<uint64_t>{0, 1, 10, 11, 12, 13});

  Collector other;
  const auto replay = ReplayJournal(f.fs, f.dir.path(), StoreId{1, 2}, {}, other);
  REQUIRE(replay.ok());
  CHECK(other.pages.empty());
}

TEST_CASE("an unknown version of the journal is refused by name") {
  JournalFixture f;
  { AppendOne(*f.Open(1), 1); }
  std::string bytes = ReadWhole(f.FileOf(0));
  bytes[offsetof(JournalBlockHeader, version)] = 2;
  const uint64_t checksum = XXH3_64bits(bytes.data(), 4088);
  std::memcpy(bytes.data() + 4088, &checksum, 8);
  WriteWhole(f.FileOf(0), bytes);
  Collector seen;
  const auto replay = ReplayJournal(f.fs, f.dir.path(), kTestStore, {}, seen);
  REQUIRE_FALSE(replay.ok());
  CHECK(replay.status().code() == StatusCode::kNotSupported);
  CHECK(replay.status().message().find("version 2") != std::string_view::npos);
}

TEST_CASE("hostile records in blocks with right checksums are counted, and do no harm") {
  const uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  JournalFixture f;
  JournalRecords honest;
  AddStem(&honest, 3, true);
  AddOne(&honest, 5);
  honest.AddSegmentStarted({.id = 1, .log_dir = 2, .slot_bytes = 3, .slot_count = 4});
  std::string bytes(2000 * 4096, '\0');
  for (uint32_t index = 0; index < 2000; ++index) {
    char* const block = bytes.data() + size_t{index} * 4096;
    char* at = block + sizeof(JournalBlockHeader);
    for (size_t i = 0; i < honest.count(); ++i) {
      at = std::copy(honest.record(i).begin(), honest.record(i).end(), at);
    }
    const size_t length =
        index % 3 == 0 ? kJournalRecordSpace : static_cast<size_t>(at - block) - 64;
    for (uint64_t n = random() % 20; n > 0; --n) {
      block[64 + random() % length] = static_cast<char>(random());
    }
    if (index % 7 == 0) {
      for (size_t i = 0; i < length; ++i) block[64 + i] = static_cast<char>(random());
    }
    SealJournalBlock(reinterpret_cast<std::byte*>(block), kTestStore, 1, index, 0, index,
                     static_cast<uint32_t>(index % 5 == 0 ? random() % length : length));
  }
  WriteWhole(f.FileOf(0), bytes);
  Collector seen;
  const JournalReplay replay = f.Replay(seen);
  CHECK(replay.blocks == 2000);
  CHECK(replay.damaged_records > 100);
  CHECK(replay.records > 100);
}

TEST_CASE("random bytes for files, or files cut anywhere, are read safely") {
  const uint64_t seed = GENERATE(11u, 12u);
  std::mt19937_64 random(seed);
  JournalFixture f;
  std::string bytes(300 * 4096 + 17, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  WriteWhole(f.FileOf(0), bytes);
  WriteWhole(f.FileOf(1), "");
  WriteWhole(f.FileOf(2), "short");
  WriteWhole(f.dir.path() + "/notes.txt", "x");
  {
    auto writer = f.Open(1);
    AppendOne(*writer, 1);
    AppendOne(*writer, 2);
  }
  std::filesystem::resize_file(f.FileOf(3), 4096 + 4095);
  Collector seen;
  f.Replay(seen);
  CHECK(Names(seen) == std::set<uint64_t>{1});
}

TEST_CASE("a sync makes what was appended durable once, and does nothing when nothing is new") {
  JournalFixture f;
  auto writer = f.Open(1, 2 * 4096);
  for (uint64_t i = 0; i < 5; ++i) AppendOne(*writer, i);
  f.fs.failures.syncs = 0;
  REQUIRE(writer->Sync().ok());
  CHECK(f.fs.failures.syncs == 3);
  REQUIRE(writer->Sync().ok());
  CHECK(f.fs.failures.syncs == 3);
}

TEST_CASE("the writer refuses file sizes that are not whole blocks") {
  JournalFixture f;
  for (const uint64_t bytes : {0u, 4095u, 4097u}) {
    f.options.file_bytes = bytes;
    CHECK(JournalWriter::Open(f.fs, f.options).status().code() == StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace lamina
