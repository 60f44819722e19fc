// What tests of the journal share: a directory with a journal in it, puts of one page that is named
// by a number, and what a replay sees.
#ifndef LAMINA_TESTS_TENSORLOG_JOURNAL_FIXTURE_H_
#define LAMINA_TESTS_TENSORLOG_JOURNAL_FIXTURE_H_

#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensorlog/journal_reader.h"
#include "tensorlog/journal_writer.h"
#include "tests/tensorlog/tensorlog_test_util.h"

namespace lamina {

struct SeenPage {
  JournalPosition at;
  JournalRecordType type;
  PageKey key;
  JournalPage page;
  SlotRef from;
};

class Collector final : public JournalVisitor {
 public:
  void OnPut(JournalPosition at, const PutRecord& put) noexcept override {
    Add(at, JournalRecordType::kPut, put, {});
  }
  void OnMove(JournalPosition at, const MoveRecord& move) noexcept override {
    Add(at, JournalRecordType::kMove, move.put, move.from);
  }
  void OnSegmentStarted(JournalPosition, const SegmentInfo& segment) noexcept override {
    segments.push_back(segment);
  }
  std::vector<SeenPage> pages;
  std::vector<SegmentInfo> segments;
  std::vector<uint64_t> root_epochs;

 private:
  void Add(JournalPosition at, JournalRecordType type, const PutRecord& put,
           std::span<const SlotRef> from) {
    root_epochs.push_back(put.root_epoch);
    for (size_t i = 0; i < put.pages.size(); ++i) {
      pages.push_back({at, type, PageKey{put.anchor, put.fingerprints[put.first_page + i]},
                       put.pages[i], from.empty() ? SlotRef{} : from[i]});
    }
  }
};

struct JournalFixture {
  TemporaryDirectory dir;
  FailingFileSystem fs;
  JournalWriterOptions options{.directory = dir.path(), .store_id = kTestStore, .epoch = 1};

  std::unique_ptr<JournalWriter> Open(uint64_t epoch, uint64_t file_bytes = 64 * 4096) {
    options.epoch = epoch;
    options.file_bytes = file_bytes;
    auto writer = JournalWriter::Open(fs, options);
    REQUIRE(writer.ok());
    return std::move(*writer);
  }
  JournalReplay Replay(Collector& collector, JournalPosition from = {}) {
    auto replay = ReplayJournal(fs, dir.path(), kTestStore, from, collector);
    REQUIRE(replay.ok());
    return std::move(*replay);
  }
  std::string FileOf(uint64_t number) { return JournalPath(dir.path(), number); }
};

// A put of one page that is named by a number.
inline void AddOne(JournalRecords* records, uint64_t name) {
  const Fingerprint f = name + 1;
  const JournalPage page{.slot = {static_cast<uint32_t>(name % 100), static_cast<uint32_t>(name)},
                         .length = 65536,
                         .guard = static_cast<uint32_t>(name * 3),
                         .checksum = name * 7};
  records->AddPut({.root_name = {1, 2},
                   .root_epoch = 4,
                   .anchor = {name, 5},
                   .fingerprints = {&f, 1},
                   .first_page = 0,
                   .pages = {&page, 1}});
}

inline JournalWriter::Appended AppendOne(JournalWriter& writer, uint64_t name) {
  JournalRecords records;
  AddOne(&records, name);
  const auto guard = writer.Begin();
  const auto appended = writer.Append(guard, records);
  REQUIRE(appended.ok());
  return *appended;
}

inline std::set<uint64_t> Names(const Collector& collector) {
  std::set<uint64_t> names;
  for (const SeenPage& page : collector.pages) names.insert(page.key.fingerprint - 1);
  return names;
}

}  // namespace lamina

#endif  // LAMINA_TESTS_TENSORLOG_JOURNAL_FIXTURE_H_
