// Inputs that parse, made by the engine itself: what the corpus consists of.
#include "tests/fuzz/inputs.h"

#include <cstring>

#include "engine/base/coding.h"
#include "engine/index/table_builder.h"
#include "engine/store/manifest.h"
#include "tensorlog/eviction/policy.h"
#include "tensorlog/journal_writer.h"
#include "tensorlog/slot_table.h"
#include "tests/fuzz/scratch_disk.h"
#include "tests/fuzz/targets.h"
#include "tuner/journal.h"

namespace lamina::fuzz {
namespace {

using Inputs = std::vector<std::string>;

// With checksums as they are, and with checksums made right.
constexpr char kAsIs[] = {0};
constexpr char kSealed[] = {1};

std::string As(const char (&mode)[1], std::string_view bytes) {
  std::string input(mode, 1);
  input += bytes;
  return input;
}

uint64_t Mixed(uint64_t n) { return (n + 1) * 0x9E3779B97F4A7C15u; }

// Stems of one, few and many pages, some of them twice, with slots in and out of order.
std::string TableOf(ScratchDisk& disk, uint64_t stems, double filter_bits, size_t index_bytes) {
  TableBuilderOptions options;
  options.number = kInputTable;
  options.filter_bits_per_key = filter_bits;
  options.shape = "T=10 K=1";
  options.single_level_index_bytes = index_bytes;
  const std::string path = "/" + std::to_string(stems) + ".sst";
  auto builder = TableBuilder::Create(&disk.fs(), path, options);
  Require(builder.ok(), "a table can be begun");
  for (uint64_t stem = 0; stem < stems; ++stem) {
    std::vector<Fingerprint> fingerprints;
    const uint64_t pages = stem % 5 == 0 ? 64 : 1 + stem % 7;
    for (uint64_t page = 0; page < pages; ++page) {
      fingerprints.push_back(Mixed(stem * 100 + page));
      const StemKey key = {{stem << 32, Mixed(stem)}, fingerprints};
      Entry entry = {{static_cast<uint32_t>(1 + stem / 8), static_cast<uint32_t>(page)},
                     static_cast<uint32_t>(stem % 3 == 0 ? 65536 : 4096 + page),
                     static_cast<uint32_t>(Mixed(page)),
                     Mixed(stem + page)};
      Require((*builder)->Add(key, entry).ok(), "an entry fits");
      if (page % 9 != 4) continue;
      entry.slot.segment += 3;
      Require((*builder)->Add(key, entry).ok(), "an older entry fits");
    }
  }
  Require((*builder)->Finish().ok(), "a table can be finished");
  return disk.Bytes(path);
}

std::string SectionOf(const std::string& table, SectionRange TableFooter::*which) {
  TableFooter footer;
  std::memcpy(&footer, table.data() + table.size() - kTableBlockBytes, sizeof footer);
  const SectionRange range = footer.*which;
  SectionHeader header;
  std::memcpy(&header, table.data() + range.offset, sizeof header);
  return table.substr(range.offset + sizeof header, header.payload_bytes);
}

void AddTables(std::map<std::string, Inputs>* all) {
  ScratchDisk disk;
  const std::string small = TableOf(disk, 3, 0, 1 << 20);
  const std::string filtered = TableOf(disk, 9, 9.5, 1 << 20);
  const std::string two_levels = TableOf(disk, 12, 4, 0);
  (*all)["table"] = {As(kAsIs, small), As(kSealed, filtered), As(kSealed, two_levels)};
  TableFooter footer;
  std::memcpy(&footer, two_levels.data() + two_levels.size() - kTableBlockBytes, sizeof footer);
  (*all)["data_block"] = {As(kAsIs, small.substr(0, kTableBlockBytes)),
                          As(kAsIs, two_levels.substr(kTableBlockBytes, kTableBlockBytes))};
  (*all)["index_block"] = {
      As(kAsIs, two_levels.substr(footer.data_blocks * kTableBlockBytes, kTableBlockBytes))};
  (*all)["properties"] = {As(kAsIs, SectionOf(small, &TableFooter::properties)),
                          As(kAsIs, SectionOf(filtered, &TableFooter::properties))};
  (*all)["filter"] = {As(kAsIs, '\x05' + SectionOf(filtered, &TableFooter::filter).substr(0, 640))};
  const auto top = [](const std::string& table, uint64_t children, char levels) {
    std::string input;
    PutFixed(&input, static_cast<uint16_t>(children));
    return As(kAsIs, input + levels + SectionOf(table, &TableFooter::top_index));
  };
  TableFooter single;
  std::memcpy(&single, filtered.data() + filtered.size() - kTableBlockBytes, sizeof single);
  (*all)["top_index"] = {top(filtered, single.data_blocks, 0)};
}

std::string JournalBytes(bool moves) {
  ScratchDisk disk;
  disk.MakeDirectory("/j");
  JournalWriterOptions options;
  options.directory = "/j";
  options.store_id = kInputStoreId;
  options.epoch = 3;
  options.file_bytes = 4 * kJournalBlockBytes;
  auto writer = JournalWriter::Open(disk.fs(), options);
  Require(writer.ok(), "a journal can be opened");
  for (uint32_t put = 0; put < 3; ++put) {
    std::vector<Fingerprint> fingerprints;
    std::vector<JournalPage> pages;
    std::vector<SlotRef> from;
    for (uint32_t i = 0; i < 4 + 20 * put; ++i) fingerprints.push_back(Mixed(i));
    for (uint32_t i = put; i < fingerprints.size(); ++i) {
      pages.push_back({{1 + put, i}, 4096 * (i + 1), i, Mixed(i)});
      from.push_back({9, i});
    }
    MoveRecord record;
    record.put.root_name = {1, 2};
    record.put.root_epoch = put;
    record.put.anchor = {3, put};
    record.put.fingerprints = fingerprints;
    record.put.first_page = put;
    record.put.pages = pages;
    record.from = from;
    JournalRecords records;
    if (moves && put == 1) {
      records.AddMove(record);
    } else {
      records.AddPut(record.put);
    }
    records.AddSegmentStarted(kInputSegment);
    Require((*writer)->Append((*writer)->Begin(), records).ok(), "a record can be appended");
  }
  return disk.Bytes(JournalPath("/j", kInputJournalFile));
}

std::string SlotTableBytesOf(bool empty) {
  ScratchDisk disk;
  disk.MakeDirectory("/s");
  const auto dir = LogDir::Open(disk.fs(), "/log", kInputStoreId, 0, LogDir::IfMissing::kMiss);
  const auto segment = Segment::Open(disk.fs(), **dir, kInputSegment, true);
  for (uint32_t i = 0; !empty && i < kInputSlots; i += 2) {
    segment->Restore(i, i % 4 == 0 ? SlotState::kLive : SlotState::kCondemned, i % 8 == 0, Mixed(i),
                     1, {i, Mixed(i)});
  }
  Require(SaveSlotTable(disk.fs(), "/s/table", kInputStoreId, 5, {3, 4}, 7, *segment).ok(),
          "a slot table can be saved");
  return disk.Bytes("/s/table");
}

std::string MarkerBytes() {
  ScratchDisk disk;
  Require(LogDir::Open(disk.fs(), "/log", kInputStoreId, 0, LogDir::IfMissing::kCreate).ok(),
          "a log directory can be made");
  return disk.Bytes(std::string("/log/") + kLogDirMarkerName);
}

std::string PolicyBytes(PolicyKind kind) {
  PolicyOptions options;
  options.kind = kind;
  options.capacity_pages = 10;
  options.record_bytes = 1 << 16;
  const auto policy = MakePolicy(options);
  for (uint64_t request = 0; request < 12; ++request) {
    std::vector<RequestPage> pages(1 + request % 4);
    for (uint64_t i = 0; i < pages.size(); ++i) pages[i].key = Mixed(request % 5 * 10 + i);
    policy->OnRequest({}, pages);
  }
  std::string state(1, static_cast<char>(kind));
  policy->Save(&state);
  return state;
}

ManifestState StateOf() {
  ManifestState state;
  state.creation.secret.fill(0x5A);
  state.next_segment_id = 3;
  state.roots[{1, 2}] = {{1, 2}, "model", 1, 4};
  state.log_dirs[0] = "log";
  state.segments[1] = {kInputSegment, 5};
  state.checkpoint = {3, 4};
  state.shape = "T=10 K=1";
  state.policy_state = "0000000012.policy";
  state.write_level = WriteLevel{-5, 1700000000};
  state.erase_physical = true;
  return state;
}

void AddManifests(std::map<std::string, Inputs>* all) {
  ScratchDisk disk;
  disk.MakeDirectory("/store");
  auto manifest = Manifest::Start(disk.fs(), "/store", kInputStoreId, StateOf());
  Require(manifest.ok(), "a manifest can be begun");
  ManifestEdit edit;
  edit.next_run_id = 2;
  edit.next_flush = 2;
  edit.checkpoint = JournalPosition{3, 9};
  edit.slot_tables = {{1, 6}};
  Run& run = edit.tree.add_runs.emplace_back();
  run.id = run.oldest_flush = run.newest_flush = 1;
  TableMeta& table = run.tables.emplace_back();
  table.number = table.entry_count = table.page_count = table.stem_count = table.data_blocks = 1;
  table.file_bytes = 5 * kTableBlockBytes;
  table.smallest.anchor = table.largest.anchor = {7, 8};
  table.smallest.fingerprints = table.largest.fingerprints = {9};
  run.Summarize();
  Require((*manifest)->Commit(edit).ok(), "an edit can be committed");
  ManifestEdit last;
  last.clean_close = true;
  last.drop_segments = {1};
  Require((*manifest)->Commit(last).ok(), "an edit can be committed");
  const std::string name = ManifestFileName((*manifest)->file_number());
  const std::string bytes = disk.Bytes("/store/" + name);
  (*all)["manifest"] = {As(kAsIs, bytes), As(kSealed, bytes)};
  (*all)["current"] = {As(kAsIs, disk.Bytes("/store/CURRENT"))};
  std::string encoded;
  edit.slot_tables.clear();
  edit.EncodeTo(&encoded);
  std::string snapshot;
  StateOf().Snapshot().EncodeTo(&snapshot);
  (*all)["manifest_edit"] = {As(kAsIs, encoded), As(kAsIs, snapshot)};
}

std::string TunerBytes() {
  tuner::Journal journal;
  std::string file;
  for (int i = 0; i < 2; ++i) {
    tuner::DecisionRecord record;
    record.trigger = tuner::Trigger::kMix;
    tuner::Candidate candidate;
    candidate.shape.size_ratio = 4;
    candidate.shape.last_runs = 1;
    candidate.shape.memtable_bytes = 1 << 20;
    candidate.shape.upper_runs.fill(3);
    record.current = candidate;
    record.candidates.assign(1 + static_cast<size_t>(i), candidate);
    file += journal.Append(record).block;
  }
  return file;
}

}  // namespace

std::map<std::string, Inputs> RealInputs() {
  std::map<std::string, Inputs> all;
  AddTables(&all);
  all["journal"] = {As(kAsIs, JournalBytes(false)), As(kSealed, JournalBytes(true))};
  all["slot_table"] = {As(kAsIs, SlotTableBytesOf(true)), As(kSealed, SlotTableBytesOf(false))};
  all["log_dir_marker"] = {As(kAsIs, MarkerBytes()), As(kSealed, MarkerBytes())};
  for (const auto kind : {PolicyKind::kPrhd, PolicyKind::kLru, PolicyKind::kS3Fifo})
    all["policy"].push_back(As(kSealed, PolicyBytes(kind)));
  AddManifests(&all);
  all["tuner_journal"] = {As(kAsIs, TunerBytes()), As(kSealed, TunerBytes())};
  for (const char* name : {"MANIFEST-000012", "0000000003.journal", "0000000001-0000000005.slots",
                           "0000000012.policy"})
    all["file_names"].push_back(As(kAsIs, name));
  for (const char* text :
       {"capacity_bytes=3G;log_dirs=/a, /b;;durability=batch;filter_bits=2.5;io=threads",
        " memory_bytes = 64M ; eviction=s3fifo;erase=physical;compaction=lazy;size_ratio=4",
        "filter_bits=auto;require_io_uring=true;checkpoint_seconds=0"})
    all["options"].push_back(As(kAsIs, text));
  for (const char* text : {"", "target_bytes=12G", "target_bytes=1;;"})
    all["collect_options"].push_back(As(kAsIs, text));
  return all;
}

}  // namespace lamina::fuzz
