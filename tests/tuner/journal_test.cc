#include "tuner/journal.h"

#include <xxhash.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "engine/base/coding.h"
#include "tests/tuner/random_seed.h"
#include "tuner/journal_format.h"

namespace lamina::tuner {
namespace {

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Candidate SomeCandidate(std::mt19937_64* random, uint32_t level_count) {
  std::uniform_real_distribution<double> value(0, 1);
  uint64_t state = (*random)();
  Candidate candidate;
  candidate.shape = RandomShape(&state, {.filter_bits = (*random)()});
  candidate.prediction.level_count = level_count;
  for (uint32_t i = 0; i < level_count; ++i) {
    candidate.prediction.levels[i] = {.entries = value(*random), .runs = value(*random)};
  }
  candidate.prediction.copies = value(*random);
  candidate.prediction.index_s = value(*random);
  candidate.regret_s = value(*random);
  return candidate;
}

DecisionRecord SomeRecord(uint64_t seed, uint32_t level_count = 5) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> value(0, 1);
  DecisionRecord record;
  record.applied = seed % 2 == 0;
  record.trigger = Trigger::kMix;
  record.mix_distance = value(random);
  record.counters = {.puts_written = random(), .long_scan_entries = random()};
  record.mix.puts = value(random);
  record.facts.entries = value(random);
  record.device.read_latency_s = value(random);
  record.current = SomeCandidate(&random, level_count);
  record.present = SomeCandidate(&random, level_count).prediction;
  for (size_t i = 0; i < DecisionRecord::kMaxCandidates; ++i) {
    record.candidates.push_back(SomeCandidate(&random, level_count));
  }
  record.transition.entries = value(random);
  record.inputs.operations = value(random);
  record.outcome = {.verdict = Verdict::kAccumulating, .gain_s = value(random), .eager = true};
  record.measured.measured_s = value(random);
  return record;
}

// A file as a store keeps it.
class File {
 public:
  void Apply(const Journal::Write& write) {
    if (bytes_.size() < write.file_offset + write.block.size()) {
      bytes_.resize(write.file_offset + write.block.size(), '\0');
    }
    bytes_.replace(write.file_offset, write.block.size(), write.block);
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

TEST_CASE("a record reads back as it was written, every field of it") {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    DecisionRecord record = SomeRecord(seed, static_cast<uint32_t>(seed % (kMaxLevels + 1)));
    record.sequence = seed;
    const std::string block = EncodeBlock(record);
    CHECK(block.size() == kJournalBlockBytes);
    const Result<DecisionRecord> back = DecodeBlock(BytesOf(block));
    REQUIRE(back.ok());
    CHECK(*back == record);
  }
}

TEST_CASE("the largest record fits into its block") {
  DecisionRecord record = SomeRecord(1, kMaxLevels);
  record.sequence = UINT64_MAX;
  const std::string block = EncodeBlock(record);
  CHECK(LoadFixed<uint32_t>(block.data() + offsetof(BlockHeader, payload_bytes)) <=
        kJournalPayloadMax);
  CHECK(DecodeBlock(BytesOf(block)).ok());
}

TEST_CASE("a journal keeps its last records over a restart, and goes on counting") {
  Journal journal(8);
  CHECK(journal.last() == nullptr);
  CHECK(journal.file_bytes() == 8 * kJournalBlockBytes);
  File file;
  for (uint64_t i = 1; i <= 20; ++i) file.Apply(journal.Append(SomeRecord(i)));
  CHECK(file.bytes().size() == journal.file_bytes());
  CHECK(journal.records().size() == 8);

  Journal again(8);
  const Journal::LoadReport report = again.Load(BytesOf(file.bytes()));
  CHECK(report.records == 8);
  CHECK(report.damaged_blocks == 0);
  CHECK(again.records() == journal.records());
  REQUIRE(again.last() != nullptr);
  CHECK(again.last()->sequence == 20);
  const Journal::Write next = again.Append(SomeRecord(21));
  CHECK(again.last()->sequence == 21);
  CHECK(next.file_offset == 20 % 8 * kJournalBlockBytes);
}

TEST_CASE("a smaller journal keeps the newest of a larger one's file") {
  Journal journal(8);
  File file;
  for (uint64_t i = 1; i <= 8; ++i) file.Apply(journal.Append(SomeRecord(i)));
  Journal smaller(3);
  CHECK(smaller.Load(BytesOf(file.bytes())).records == 3);
  CHECK(smaller.records().front().sequence == 6);
  CHECK(smaller.last()->sequence == 8);
}

TEST_CASE("no flipped bit of a block goes unnoticed") {
  LAMINA_TUNER_SEED(seed, 19);
  std::mt19937_64 random(seed);
  DecisionRecord record = SomeRecord(3);
  record.sequence = 3;
  std::string block = EncodeBlock(record);
  for (int i = 0; i < 4000; ++i) {
    const size_t at = i < 400 ? static_cast<size_t>(i) : random() % block.size();
    const auto bit = static_cast<char>(1 << (random() % 8));
    block[at] = static_cast<char>(block[at] ^ bit);
    CHECK_FALSE(DecodeBlock(BytesOf(block)).ok());
    block[at] = static_cast<char>(block[at] ^ bit);
  }
  CHECK(DecodeBlock(BytesOf(block)).ok());
}

TEST_CASE("a torn, a foreign or an empty block costs itself and nothing else") {
  Journal journal(8);
  File file;
  for (uint64_t i = 1; i <= 5; ++i) file.Apply(journal.Append(SomeRecord(i)));
  file.bytes().resize(7 * kJournalBlockBytes, '\0');
  // The second half of the third block was not written.
  std::memset(file.bytes().data() + 2 * kJournalBlockBytes + 512, 0, kJournalBlockBytes - 512);
  file.bytes()[6 * kJournalBlockBytes + 100] = 'x';
  Journal again(8);
  const Journal::LoadReport report = again.Load(BytesOf(file.bytes()));
  CHECK(report.records == 4);
  CHECK(report.damaged_blocks == 2);
  CHECK(report.empty_blocks == 1);
  CHECK(again.last()->sequence == 5);
}

TEST_CASE("any bytes are a legal journal, most of them an empty one") {
  LAMINA_TUNER_SEED(seed, 20);
  std::mt19937_64 random(seed);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{8191}, size_t{8192}, size_t{50000}}) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    Journal journal(8);
    CHECK(journal.Load(BytesOf(bytes)).records == 0);
    CHECK(journal.Append(SomeRecord(1)).file_offset == 0);
  }
}

// A block whose checksum is right although its bytes are not what this version writes.
std::string Forged(std::string block, const std::function<void(std::string*)>& change) {
  change(&block);
  StoreFixed(block.data() + kJournalChecksumOffset,
             uint64_t{XXH3_64bits(block.data(), kJournalChecksumOffset)});
  return block;
}

TEST_CASE("a block with a right checksum and wrong fields is damaged, a later version is foreign") {
  DecisionRecord record = SomeRecord(4);
  record.sequence = 4;
  const std::string block = EncodeBlock(record);
  const auto code = [&](const std::function<void(std::string*)>& change) {
    return DecodeBlock(BytesOf(Forged(block, change))).status().code();
  };
  CHECK(code([](std::string*) {}) == StatusCode::kOk);
  CHECK(code([](std::string* b) { StoreFixed(b->data() + 4, kJournalVersion + 1); }) ==
        StatusCode::kNotSupported);
  CHECK(code([](std::string* b) { StoreFixed(b->data() + 8, uint64_t{5}); }) ==
        StatusCode::kCorruption);
  CHECK(code([](std::string* b) { StoreFixed(b->data() + 16, uint32_t{100}); }) ==
        StatusCode::kCorruption);
  CHECK(code([](std::string* b) { StoreFixed(b->data() + 16, uint32_t{8192}); }) ==
        StatusCode::kCorruption);
  // The trigger, after sequence and `applied`.
  CHECK(code([](std::string* b) { (*b)[sizeof(BlockHeader) + 9] = 77; }) ==
        StatusCode::kCorruption);
  // Every byte of the payload set to 255: counts, enums and shapes out of range, or another double.
  for (size_t at = sizeof(BlockHeader); at < 3000; ++at) {
    (void)code([at](std::string* b) { (*b)[at] = static_cast<char>(255); });
  }
}

TEST_CASE("only what happened is news") {
  Journal journal(8);
  DecisionRecord record = SomeRecord(1);
  record.trigger = Trigger::kNone;
  record.outcome.verdict = Verdict::kKeep;
  CHECK(journal.IsNews(record));
  (void)journal.Append(record);
  CHECK_FALSE(journal.IsNews(record));
  record.outcome.verdict = Verdict::kAccumulating;
  CHECK(journal.IsNews(record));
  (void)journal.Append(record);
  CHECK_FALSE(journal.IsNews(record));
  record.trigger = Trigger::kMix;
  CHECK(journal.IsNews(record));
  record.trigger = Trigger::kNone;
  record.outcome.verdict = Verdict::kSwitch;
  CHECK(journal.IsNews(record));
  (void)journal.Append(record);
  CHECK(journal.IsNews(record));
}

TEST_CASE("what happened after a decision is kept with it, and written when it has doubled") {
  Journal journal(8);
  DecisionRecord window = SomeRecord(1);
  window.trigger = Trigger::kNone;
  window.outcome.verdict = Verdict::kKeep;
  window.counters = {.puts_written = 10000};
  std::string file(journal.file_bytes(), '\0');
  size_t writes = 0;
  const auto note = [&](double lookup_s, double put_s) {
    window.measured = {
        .predicted_s = 1, .measured_s = lookup_s, .put_predicted_s = 2, .put_measured_s = put_s};
    for (const Journal::Write& write : journal.Note(window)) {
      file.replace(write.file_offset, write.block.size(), write.block);
      ++writes;
    }
  };
  note(9, 9);
  REQUIRE(journal.records().size() == 1);
  for (int i = 0; i < 100; ++i) note(i % 2, 4 * (i % 2));
  REQUIRE(journal.records().size() == 1);
  CHECK(writes == 1 + 7);  // itself; after 1, 2, 4, ... 64 windows
  const auto reloaded = [&] {
    Journal other(8);
    CHECK(other.Load(BytesOf(file)).damaged_blocks == 0);
    return other.records();
  };
  CHECK(reloaded().front().after.windows == 64);
  // The next news ends it.
  window.outcome.verdict = Verdict::kAccumulating;
  note(0.5, 2);
  const auto records = reloaded();
  REQUIRE(records.size() == 2);
  CHECK(records[0].after.windows == 101);
  CHECK(records[0].after.operations == 1010000);
  CHECK(records[0].after.mean.measured_s == Approx(0.5));
  CHECK(records[0].after.mean.put_measured_s == Approx(2));
  CHECK(records[0].after.mean.put_predicted_s == Approx(2));
  CHECK(records[1].after.windows == 0);
  CHECK_FALSE(journal.Finish());
  note(1, 1);
  CHECK_FALSE(journal.Finish());
  note(1, 1);
  note(1, 1);
  CHECK(journal.Finish());
}

TEST_CASE("the journal prints valid JSON, newest first, and numbers that read back exactly") {
  Journal journal(8);
  for (uint64_t i = 1; i <= 3; ++i) (void)journal.Append(SomeRecord(i));
  const nlohmann::json all = nlohmann::json::parse(journal.ToJson());
  REQUIRE(all["decisions"].size() == 3);
  CHECK(all["decisions"][0]["sequence"] == 3);
  CHECK(all["decisions"][2]["sequence"] == 1);
  CHECK(all["decisions"][0]["inputs"]["operations"].get<double>() ==
        journal.last()->inputs.operations);
  CHECK(all["decisions"][0]["outcome"]["verdict"] == "accumulating");
  CHECK(all["decisions"][0]["trigger"] == "mix");
  CHECK(all["decisions"][0]["reason"].get<std::string>().find("regret") != std::string::npos);
  CHECK(nlohmann::json::parse(journal.ToJson(1))["decisions"].size() == 1);
  CHECK(nlohmann::json::parse(Journal().ToJson())["decisions"].empty());

  DecisionRecord odd = SomeRecord(9);
  odd.inputs.best_s = std::numeric_limits<double>::quiet_NaN();
  odd.outcome.waiting_s = std::numeric_limits<double>::infinity();
  CHECK(nlohmann::json::parse(ToJson(odd))["inputs"]["best_s"].is_null());
}

}  // namespace
}  // namespace lamina::tuner
