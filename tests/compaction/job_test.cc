#include "compaction/job.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/compaction/table_fixture.h"

namespace lamina {
namespace {

using testing::KeyBefore;
using testing::MergeOf;
using testing::Record;
using testing::RecordMaker;
using testing::TableDirectory;
using testing::TestSlots;

constexpr uint64_t kEverything = UINT64_MAX / 4;

// Runs a job in steps of so many bytes and returns what its outputs hold.
std::vector<Record> RunToEnd(TableDirectory* directory, MergeJob* job,
                             uint64_t step_bytes = kEverything) {
  while (true) {
    const Result<bool> done = job->Step(step_bytes);
    INFO(done.status().ToString());
    REQUIRE(done.ok());
    if (*done) break;
  }
  Run run;
  run.tables = job->outputs();
  run.Summarize();
  if (!run.tables.empty()) {
    INFO(run.Check().ToString());
    CHECK(run.Check().ok());
    CHECK(run.entries == job->stats().entries_written);
    CHECK(run.bytes == job->stats().bytes_written);
  }
  return directory->ReadAll(run.tables);
}

// What a merge is to yield: per key, newest run first, entries whose slots bear their tags.
std::vector<Record> ModelMerge(const std::vector<std::vector<Record>>& newest_first,
                               const TestSlots* slots) {
  const auto less = [](const OwnedStemKey& a, const OwnedStemKey& b) {
    return Compare(a.view(), b.view()) < 0;
  };
  std::map<OwnedStemKey, std::vector<Entry>, decltype(less)> model(less);
  for (const std::vector<Record>& run : newest_first) {
    for (const Record& record : run) {
      std::vector<Entry>& kept = model[record.key];
      const bool alive = slots == nullptr || slots->Bears(record);
      if (alive && std::find(kept.begin(), kept.end(), record.entry) == kept.end()) {
        kept.push_back(record.entry);
      }
    }
  }
  std::vector<Record> merged;
  for (const auto& [key, entries] : model) {
    for (const Entry& entry : entries) merged.push_back({key, entry});
  }
  return merged;
}

uint64_t Seed() {
  const char* given = std::getenv("LAMINA_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

TEST_CASE("a merge yields what a map yields: newest first, live entries only, none twice") {
  const uint64_t seed = Seed();
  INFO("repeat with LAMINA_TEST_SEED=" << seed);
  for (uint64_t round = 0; round < 8; ++round) {
    RecordMaker maker(seed + round);
    TableDirectory directory;
    TestSlots slots;
    std::vector<std::vector<Record>> contents;  // oldest first at first
    std::vector<Run> runs;
    const size_t run_count = 1 + maker.random()() % 5;
    for (size_t r = 0; r < run_count; ++r) {
      std::vector<Record> records = maker.Pages(200 + maker.random()() % 2000);
      for (const Record& record : records) slots.Set(record);
      if (r > 0) {
        // Some pages again: rewritten to another slot, the old one freed or not, or as they were.
        for (const Record& old : contents.back()) {
          const uint64_t dice = maker.random()() % 8;
          if (dice > 2) continue;
          Record again = old;
          if (dice > 0) again.entry = maker.NewEntry();
          if (dice == 1) slots.Clear(old);
          slots.Set(again);
          records.push_back(again);
        }
        std::sort(records.begin(), records.end(), KeyBefore);
      }
      for (const Record& record : records) {
        if (maker.random()() % 10 == 0) slots.Clear(record);
      }
      runs.insert(runs.begin(), directory.WriteRun(static_cast<uint32_t>(run_count - r), r + 1,
                                                   records, 100 + maker.random()() % 1000));
      contents.push_back(std::move(records));
    }
    std::reverse(contents.begin(), contents.end());

    MergeJobOptions options = directory.JobOptions(&slots);
    options.table_bytes = uint64_t{8192} << (maker.random()() % 4);
    MergeJob job(MergeOf(runs), options);
    const std::vector<Record> merged = RunToEnd(&directory, &job, 1000 + maker.random()() % 100000);
    const std::vector<Record> expected = ModelMerge(contents, &slots);
    CHECK(merged.size() == expected.size());
    CHECK(merged == expected);
    const MergeJobStats& stats = job.stats();
    CHECK(stats.entries_read ==
          stats.entries_written + stats.entries_dead + stats.entries_duplicate);
    CHECK(stats.tables_written == job.outputs().size());
    CHECK(stats.bytes_read.size() == run_count);
    for (const auto& read : stats.bytes_read) {
      CHECK(read.bytes == runs[read.level - 1].bytes);
    }
  }
}

TEST_CASE("all entries of a page whose slots bear their tags are kept, newest first") {
  RecordMaker maker(1);
  TableDirectory directory;
  TestSlots slots;
  std::vector<Record> oldest = maker.Stem(3);
  std::vector<Record> middle = oldest;
  std::vector<Record> newest = oldest;
  for (Record& record : middle) record.entry = maker.NewEntry();
  for (Record& record : newest) record.entry = maker.NewEntry();
  for (size_t i = 0; i < 3; ++i) {
    if (i != 0) slots.Set(oldest[i]);
    if (i != 1) slots.Set(middle[i]);
    if (i != 2) slots.Set(newest[i]);
  }
  MergeJob job(MergeOf({directory.WriteRun(0, 3, newest), directory.WriteRun(1, 2, middle),
                        directory.WriteRun(2, 1, oldest)}),
               directory.JobOptions(&slots));
  CHECK(RunToEnd(&directory, &job) ==
        std::vector<Record>{newest[0], middle[0], newest[1], oldest[1], middle[2], oldest[2]});
  CHECK(job.stats().entries_dead == 3);
  CHECK(job.outputs()[0].page_count == 3);
  CHECK(job.outputs()[0].dropped_entries == 3);
}

TEST_CASE("without an oracle nothing is dropped but what is there twice") {
  RecordMaker maker(2);
  TableDirectory directory;
  const std::vector<Record> records = maker.Pages(100);
  std::vector<Record> newer = records;
  newer[5].entry = maker.NewEntry();
  MergeJob job(MergeOf({directory.WriteRun(0, 2, newer), directory.WriteRun(1, 1, records)}),
               directory.JobOptions(nullptr));
  CHECK(RunToEnd(&directory, &job) == ModelMerge({newer, records}, nullptr));
  CHECK(job.stats().entries_written == 101);
  CHECK(job.stats().entries_duplicate == 99);
}

TEST_CASE("when every entry is dead no table and no file is left") {
  RecordMaker maker(3);
  TableDirectory directory;
  const TestSlots slots;
  const Run run = directory.WriteRun(1, 1, maker.Pages(500));
  MergeJob job(MergeOf({run}), directory.JobOptions(&slots));
  CHECK(RunToEnd(&directory, &job).empty());
  CHECK(job.outputs().empty());
  CHECK(job.stats().entries_dead == 500);
  job.Commit();
  CHECK(directory.FileCount() == 1);  // the input
}

TEST_CASE("outputs are cut between stems") {
  RecordMaker maker(4);
  TableDirectory directory;
  const Run run = directory.WriteRun(1, 1, maker.Pages(4000));
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.table_bytes = 16384;
  MergeJob job(MergeOf({run}), options);
  CHECK(RunToEnd(&directory, &job).size() == 4000);
  REQUIRE(job.outputs().size() > 4);
  for (size_t i = 1; i < job.outputs().size(); ++i) {
    CHECK(job.outputs()[i - 1].largest.anchor < job.outputs()[i].smallest.anchor);
    CHECK(job.outputs()[i - 1].data_blocks * kTableBlockBytes >= 16384);
    CHECK(job.outputs()[i - 1].data_blocks * kTableBlockBytes <= 16384 + 2 * kTableBlockBytes);
  }
}

// Paths of so many pages below one anchor, with the first `common` pages in common, in key order;
// each page with two candidates, one a run.
std::pair<std::vector<Record>, std::vector<Record>> OneGreatStem(RecordMaker* maker, size_t paths,
                                                                 size_t pages, size_t common) {
  std::vector<Record> newer = maker->Stem(common);
  const OwnedStemKey prompt = newer.empty() ? OwnedStemKey() : newer.back().key;
  for (size_t i = 0; i < paths; ++i) {
    for (Record& record : maker->Stem(pages)) {
      record.key.anchor = prompt.anchor;
      record.key.fingerprints.insert(record.key.fingerprints.begin(), prompt.fingerprints.begin(),
                                     prompt.fingerprints.end());
      newer.push_back(std::move(record));
    }
  }
  std::sort(newer.begin(), newer.end(), KeyBefore);
  std::vector<Record> older = newer;
  for (Record& record : older) record.entry = maker->NewEntry();
  return {newer, older};
}

TEST_CASE("a stem too large for a table is cut where its paths fork, and never within a page") {
  for (const size_t common : {size_t{0}, size_t{20}, size_t{50}}) {
    CAPTURE(common);
    RecordMaker maker(5);
    TableDirectory directory;
    const auto [newer, older] = OneGreatStem(&maker, 1000, 5, common);
    MergeJobOptions options = directory.JobOptions(nullptr);
    options.table_bytes = 65536;
    MergeJob job(MergeOf({directory.WriteRun(0, 2, newer), directory.WriteRun(1, 1, older)}),
                 options);
    CHECK(RunToEnd(&directory, &job).size() == 2 * newer.size());
    REQUIRE(job.outputs().size() > 2);
    for (size_t i = 0; i < job.outputs().size(); ++i) {
      const TableMeta& table = job.outputs()[i];
      CHECK(table.data_blocks * kTableBlockBytes <= 2 * 65536);
      CHECK(table.entry_count == 2 * table.page_count);
      if (i == 0) continue;
      // What comes next is the first page of its own path.
      CHECK(table.data_blocks > 0);
      CHECK(table.smallest.fingerprints.size() == common + 1);
    }
  }
}

TEST_CASE("each output gets the filter bits that hold when it begins, and says where it is from") {
  RecordMaker maker(6);
  TableDirectory directory;
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.table_bytes = 16384;
  double bits = 4;
  options.filter_bits_per_key = [&] { return bits++; };
  options.shape = "lazy:10";
  options.job_id = 99;
  options.store_id = 5;
  size_t written = 0;
  options.before_write = [&](size_t bytes) { written += bytes; };
  MergeJob job(MergeOf({directory.WriteRun(1, 1, maker.Pages(3000))}), options);
  RunToEnd(&directory, &job);
  REQUIRE(job.outputs().size() >= 3);
  for (size_t i = 0; i < job.outputs().size(); ++i) {
    CHECK(job.outputs()[i].filter_bits_per_key == 4.0 + static_cast<double>(i));
  }
  const auto table = directory.Opener()(job.outputs()[1]);
  REQUIRE(table.ok());
  CHECK((*table)->properties().shape == "lazy:10");
  CHECK((*table)->properties().job_id == 99);
  CHECK((*table)->properties().store_id == 5);
  CHECK(written == job.stats().bytes_written);
}

TEST_CASE("a damaged block costs its own pages and is reported; the rest goes on") {
  RecordMaker maker(7);
  TableDirectory directory;
  const std::vector<Record> records = maker.Pages(2000);
  const std::vector<Record> others = maker.Pages(500);
  const Run run = directory.WriteRun(1, 1, records);
  const Run other = directory.WriteRun(0, 2, others);
  // The records of each block, by walking the intact table.
  const uint64_t bad_block = run.tables[0].data_blocks / 2;
  directory.FlipByte(run.tables[0].number, bad_block * kTableBlockBytes + 1000);
  std::vector<std::string> reports;
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.on_damage = [&](const Status& damage) {
    reports.emplace_back(damage.message());
    CHECK(damage.code() == StatusCode::kCorruption);
  };
  MergeJob job(MergeOf({other, run}), options);
  const std::vector<Record> merged = RunToEnd(&directory, &job);
  CHECK(job.stats().damaged_blocks == 1);
  REQUIRE(reports.size() == 1);
  CHECK_THAT(reports[0], Catch::Contains(directory.PathOf(run.tables[0].number)));
  CHECK_THAT(reports[0], Catch::Contains(std::to_string(bad_block * kTableBlockBytes)));

  const std::vector<Record> all = ModelMerge({others, records}, nullptr);
  std::vector<Record> lost;
  std::set_difference(all.begin(), all.end(), merged.begin(), merged.end(),
                      std::back_inserter(lost), KeyBefore);
  CHECK(merged.size() + lost.size() == all.size());
  CHECK(lost.size() > 0);
  CHECK(lost.size() < 3 * records.size() / run.tables[0].data_blocks);
  CHECK(std::includes(all.begin(), all.end(), merged.begin(), merged.end(), KeyBefore));
}

TEST_CASE("a table that cannot be opened for damage is left out, counted and reported") {
  RecordMaker maker(8);
  TableDirectory directory;
  const std::vector<Record> records = maker.Pages(900);
  const Run run = directory.WriteRun(1, 1, records, 300);
  directory.FlipByte(run.tables[1].number, run.tables[1].file_bytes - 100);
  int reports = 0;
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.on_damage = [&](const Status&) { ++reports; };
  MergeJob job(MergeOf({run}), options);
  CHECK(RunToEnd(&directory, &job).size() == 600);
  CHECK(job.stats().damaged_tables == 1);
  CHECK(job.stats().entries_lost == 300);
  CHECK(reports == 1);
}

TEST_CASE("an input that cannot be read ends the job and leaves no file behind") {
  RecordMaker maker(9);
  TableDirectory directory;
  const Run run = directory.WriteRun(1, 1, maker.Pages(3000), 1000);
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.table_bytes = 4096;
  int opened = 0;
  options.open_table = [&, open = options.open_table](const TableMeta& meta) {
    if (++opened == 3) return Result<std::shared_ptr<Table>>(Status::IoError("EIO"));
    return open(meta);
  };
  MergeJob job(MergeOf({run}), options);
  Result<bool> done = false;
  while (done.ok() && !*done) done = job.Step(10000);
  CHECK(done.status().code() == StatusCode::kIoError);
  CHECK(job.outputs().empty());
  CHECK(directory.FileCount() == 3);
}

TEST_CASE("an output that cannot be created ends the job and leaves no file behind") {
  RecordMaker maker(10);
  TableDirectory directory;
  const Run run = directory.WriteRun(1, 1, maker.Pages(3000));
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.table_bytes = 4096;
  int created = 0;
  options.new_table = [&, next = options.new_table] {
    MergeJobOptions::NewTable table = next();
    if (++created == 3) table.path = directory.path() + "/no/such/directory";
    return table;
  };
  MergeJob job(MergeOf({run}), options);
  CHECK_FALSE(job.Step(kEverything).ok());
  CHECK(created == 3);
  CHECK(directory.FileCount() == 1);
}

TEST_CASE("a job that is cancelled or dropped at any step leaves no file behind") {
  RecordMaker maker(11);
  TableDirectory directory;
  const Run run = directory.WriteRun(1, 1, maker.Pages(2000));
  MergeJobOptions options = directory.JobOptions(nullptr);
  options.table_bytes = 8192;
  bool finished = false;
  for (int steps = 0; !finished; ++steps) {
    for (const bool cancel : {true, false}) {
      {
        MergeJob job(MergeOf({run}), options);
        for (int i = 0; i < steps; ++i) {
          const Result<bool> done = job.Step(run.bytes / 6);
          REQUIRE(done.ok());
          finished |= *done;
        }
        if (steps > 3) CHECK(directory.FileCount() > 1);
        if (cancel) job.Cancel();
      }
      CHECK(directory.FileCount() == 1);
    }
    REQUIRE(steps < 20);
  }
}

TEST_CASE("committed outputs outlive their job") {
  RecordMaker maker(12);
  TableDirectory directory;
  const std::vector<Record> records = maker.Pages(100);
  const Run run = directory.WriteRun(1, 1, records);
  std::vector<TableMeta> outputs;
  {
    MergeJob job(MergeOf({run}), directory.JobOptions(nullptr));
    RunToEnd(&directory, &job);
    outputs = job.outputs();
    job.Commit();
  }
  CHECK(directory.ReadAll(outputs) == records);
}

TEST_CASE("steps are bounded, and jobs that take turns do not disturb each other") {
  RecordMaker maker(13);
  TableDirectory directory;
  const std::vector<Record> left = maker.Pages(3000);
  const std::vector<Record> right = maker.Pages(3000);
  const Run left_run = directory.WriteRun(1, 1, left);
  const Run right_run = directory.WriteRun(1, 2, right);
  MergeJob left_job(MergeOf({left_run}), directory.JobOptions(nullptr));
  MergeJob right_job(MergeOf({right_run}), directory.JobOptions(nullptr));
  int steps = 0;
  bool left_done = false;
  bool right_done = false;
  uint64_t read_before = 0;
  while (!left_done || !right_done) {
    left_done = *left_job.Step(left_run.bytes / 10);
    right_done = *right_job.Step(right_run.bytes / 10);
    const uint64_t read = left_job.stats().entries_read;
    CHECK(read - read_before <= 300);
    read_before = read;
    ++steps;
  }
  CHECK(steps >= 10);
  CHECK(steps <= 12);
  CHECK(RunToEnd(&directory, &left_job) == left);
  CHECK(RunToEnd(&directory, &right_job) == right);
}

TEST_CASE("a rewrite of some tables of a run leaves its other tables alone") {
  RecordMaker maker(14);
  TableDirectory directory;
  TestSlots slots;
  const std::vector<Record> records = maker.Pages(1200);
  for (size_t i = 0; i < records.size(); ++i) {
    if (i < 300 || i >= 900 || i % 3 == 0) slots.Set(records[i]);
  }
  TreeEdit first;
  first.add_runs.push_back(directory.WriteRun(1, 1, records, 300));
  const RunId id = first.add_runs[0].id;
  const TreePtr tree = *Tree().Apply(first);
  const DeadEntries dead = [&](const TableMeta& table) {
    const std::vector<Record> in_it = directory.ReadAll(std::span(&table, 1));
    return static_cast<uint64_t>(std::count_if(in_it.begin(), in_it.end(),
                                               [&](const Record& r) { return !slots.Bears(r); }));
  };
  const std::optional<Job> picked =
      PickGarbage(*tree, slots.size() / 2, dead, {.batch_entries = 100}, {});
  REQUIRE(picked);
  CHECK(picked->inputs[0].first_table == 1);
  CHECK(picked->inputs[0].table_count == 2);
  MergeJob job(*picked, directory.JobOptions(&slots));
  RunToEnd(&directory, &job);
  const TreePtr after = *tree->Apply(EditFor(*picked, 0, job.outputs()));
  const RunPtr run = after->FindRun(id);
  REQUIRE(run);
  CHECK(directory.ReadAll(run->tables) == ModelMerge({records}, &slots));
  CHECK(run->tables.front() == tree->FindRun(id)->tables.front());
  CHECK(run->tables.back() == tree->FindRun(id)->tables.back());
}

TEST_CASE("a walk over a run seeks into the right table") {
  RecordMaker maker(15);
  TableDirectory directory;
  const std::vector<Record> records = maker.Pages(500);
  const Run run = directory.WriteRun(1, 1, records, 64);
  RunIterator::Options how;
  how.open = directory.Opener();
  RunIterator iterator(run.tables, how);
  CHECK_FALSE(iterator.Valid());
  for (size_t i = 0; i < records.size(); i += 7) {
    iterator.Seek(records[i].key.view());
    REQUIRE(iterator.Valid());
    CHECK(OwnedStemKey(iterator.key()) == records[i].key);
    // Just behind a record lies the next one, in whichever table.
    OwnedStemKey behind = records[i].key;
    behind.fingerprints.back() += 1;
    iterator.Seek(behind.view());
    const auto next = std::find_if(records.begin(), records.end(), [&](const Record& r) {
      return Compare(r.key.view(), behind.view()) >= 0;
    });
    if (next == records.end()) {
      CHECK_FALSE(iterator.Valid());
    } else {
      CHECK(OwnedStemKey(iterator.key()) == next->key);
    }
    CHECK(iterator.status().ok());
  }
}

}  // namespace
}  // namespace lamina
