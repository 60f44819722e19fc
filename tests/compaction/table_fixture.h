// Runs of real tables in a directory of their own, and entries to fill them with.
#ifndef LAMINA_TESTS_COMPACTION_TABLE_FIXTURE_H_
#define LAMINA_TESTS_COMPACTION_TABLE_FIXTURE_H_

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "compaction/job.h"
#include "compaction/levels.h"
#include "compaction/picker.h"
#include "engine/index/table.h"
#include "engine/index/table_builder.h"
#include "engine/io/posix_file_system.h"

namespace lamina::testing {

struct Record {
  OwnedStemKey key;
  Entry entry;
  friend bool operator==(const Record&, const Record&) = default;
};

inline bool KeyBefore(const Record& a, const Record& b) {
  return Compare(a.key.view(), b.key.view()) < 0;
}

// Knows which slots bear which tags. Thread-safe.
class TestSlots final : public SlotOracle {
 public:
  [[nodiscard]] bool Bears(SlotRef slot, uint64_t tag) const noexcept override {
    const std::lock_guard lock(mutex_);
    return tags_.contains({slot, tag});
  }
  void Set(const Record& record) {
    const std::lock_guard lock(mutex_);
    tags_.insert({record.entry.slot, record.entry.tag(record.key.fingerprints.back())});
  }
  void Clear(const Record& record) {
    const std::lock_guard lock(mutex_);
    tags_.erase({record.entry.slot, record.entry.tag(record.key.fingerprints.back())});
  }
  [[nodiscard]] bool Bears(const Record& record) const {
    return Bears(record.entry.slot, record.entry.tag(record.key.fingerprints.back()));
  }
  [[nodiscard]] size_t size() const {
    const std::lock_guard lock(mutex_);
    return tags_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::pair<SlotRef, uint64_t>> tags_;
};

// Makes records of random pages: paths in stems of up to `stem_pages`, branching now and then.
class RecordMaker {
 public:
  explicit RecordMaker(uint64_t seed) : random_(seed) {}

  // The pages of one new path in one stem.
  std::vector<Record> Stem(size_t pages) {
    OwnedStemKey key;
    key.anchor = {random_(), random_()};
    std::vector<Record> records;
    for (size_t i = 0; i < pages; ++i) {
      key.fingerprints.push_back(random_() | 1);
      records.push_back({key, NewEntry()});
    }
    return records;
  }
  // So many pages in stems of random lengths, in key order.
  std::vector<Record> Pages(size_t count) {
    std::vector<Record> records;
    while (records.size() < count) {
      const size_t pages = std::min<size_t>(1 + random_() % 16, count - records.size());
      for (Record& record : Stem(pages)) records.push_back(std::move(record));
    }
    std::sort(records.begin(), records.end(), KeyBefore);
    return records;
  }
  // A slot that was never given before.
  Entry NewEntry() {
    ++last_slot_;
    return {.slot = {static_cast<uint32_t>(1 + last_slot_ / 1000),
                     static_cast<uint32_t>(last_slot_ % 1000)},
            .length = static_cast<uint32_t>(1 + random_() % 65536),
            .guard = static_cast<uint32_t>(random_()),
            .checksum = random_()};
  }
  std::mt19937_64& random() { return random_; }

 private:
  std::mt19937_64 random_;
  uint64_t last_slot_ = 0;
};

// A directory for tables, removed in the end. Numbers tables; thread-safe in that.
class TableDirectory {
 public:
  TableDirectory() {
    const char* base = std::getenv("TMPDIR");
    std::string name = std::string(base != nullptr ? base : "/tmp") + "/lamina-compaction-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    on_disk_ = true;
    Result<std::unique_ptr<PosixFileSystem>> files =
        PosixFileSystem::Create({.io = Options::Io::kThreads, .io_threads = 1});
    REQUIRE(files.ok());
    file_system_ = *std::move(files);
  }
  // In a file system of the test's own.
  explicit TableDirectory(std::unique_ptr<FileSystem> file_system)
      : path_("/tables"), file_system_(std::move(file_system)) {
    REQUIRE(file_system_->MakeDirectory(path_).ok());
  }
  ~TableDirectory() {
    if (on_disk_) std::filesystem::remove_all(path_);
  }
  TableDirectory(const TableDirectory&) = delete;
  TableDirectory& operator=(const TableDirectory&) = delete;

  [[nodiscard]] FileSystem* file_system() const { return file_system_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string PathOf(uint64_t number) const {
    return path_ + "/" + std::to_string(number) + ".sst";
  }
  [[nodiscard]] uint64_t NextNumber() { return ++last_number_; }
  // Paths of all files.
  [[nodiscard]] std::set<std::string> Files() const {
    const Result<std::vector<std::string>> names = file_system_->List(path_);
    REQUIRE(names.ok());
    std::set<std::string> paths;
    for (const std::string& name : *names) paths.insert(path_ + "/" + name);
    return paths;
  }
  [[nodiscard]] size_t FileCount() const { return Files().size(); }

  // Options that fit this directory; tests change what they are about.
  [[nodiscard]] MergeJobOptions JobOptions(const SlotOracle* slots) {
    MergeJobOptions options;
    options.file_system = file_system();
    options.directory = path_;
    options.new_table = [this] {
      const uint64_t number = NextNumber();
      return MergeJobOptions::NewTable{number, PathOf(number)};
    };
    options.open_table = Opener();
    options.slots = slots;
    options.filter_bits_per_key = [] { return 10.0; };
    return options;
  }
  [[nodiscard]] TableOpener Opener() {
    return [this](const TableMeta& meta) {
      return Table::Open(file_system(), PathOf(meta.number), meta.number, nullptr, nullptr);
    };
  }

  // Writes records, which are in key order, into tables of so many records each.
  Run WriteRun(uint32_t level, uint64_t flush, std::span<const Record> records,
               size_t records_per_table = SIZE_MAX) {
    Run run;
    run.id = NextNumber();
    run.level = level;
    run.oldest_flush = run.newest_flush = flush;
    while (!records.empty()) {
      const size_t count = std::min(records.size(), records_per_table);
      run.tables.push_back(WriteTable(records.first(count)));
      records = records.subspan(count);
    }
    run.Summarize();
    return run;
  }
  TableMeta WriteTable(std::span<const Record> records) {
    const uint64_t number = NextNumber();
    TableBuilderOptions options;
    options.number = number;
    auto builder = TableBuilder::Create(file_system(), PathOf(number), options);
    REQUIRE(builder.ok());
    for (const Record& record : records) {
      REQUIRE((*builder)->Add(record.key.view(), record.entry).ok());
    }
    Result<TableMeta> meta = (*builder)->Finish();
    REQUIRE(meta.ok());
    return *meta;
  }

  // Everything in some tables, in order.
  std::vector<Record> ReadAll(std::span<const TableMeta> tables) {
    RunIterator::Options how;
    how.open = Opener();
    RunIterator iterator(tables, how);
    std::vector<Record> records;
    for (iterator.SeekToFirst(); iterator.Valid(); iterator.Next()) {
      records.push_back({OwnedStemKey(iterator.key()), iterator.entry()});
    }
    INFO(iterator.status().ToString());
    REQUIRE(iterator.status().ok());
    return records;
  }

  // Changes one byte of a table's file.
  void FlipByte(uint64_t number, uint64_t offset) {
    std::fstream file(PathOf(number), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    REQUIRE(byte >= 0);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 0x40));
  }

 private:
  std::string path_;
  bool on_disk_ = false;
  std::unique_ptr<FileSystem> file_system_;
  std::atomic<uint64_t> last_number_{0};
};

// A merge of these runs, newest first, into a level.
inline Job MergeOf(const std::vector<Run>& newest_first, uint32_t target_level = 1) {
  Job job;
  job.target_level = target_level;
  for (const Run& run : newest_first) {
    job.inputs.push_back({std::make_shared<const Run>(run), 0, run.tables.size()});
  }
  return job;
}

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_COMPACTION_TABLE_FIXTURE_H_
