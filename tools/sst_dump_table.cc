#include "tools/sst_dump_table.h"

#include <memory>
#include <string_view>
#include <utility>

#include "engine/index/filter.h"
#include "engine/index/table.h"
#include "engine/index/verify.h"
#include "tools/common_text.h"

namespace lamina::sst_dump {

using tools::HexOf32;
using tools::HexOf64;
using tools::Record;
using tools::Unit;

namespace {

// A key with these first bytes that no other key with them is below.
OwnedStemKey LowestKeyFrom(std::string_view bytes) {
  std::string padded(bytes);
  const size_t tail = padded.size() % kFingerprintBytes;
  if (tail != 0) padded.append(kFingerprintBytes - tail, '\0');
  if (padded.size() < kAnchorBytes + kFingerprintBytes)
    padded.resize(kAnchorBytes + kFingerprintBytes, '\0');
  // Not ParseKeyBytes: a fingerprint of 0 is no page's, but it is a place to start from.
  const auto word = [&](size_t at) {
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof value; ++i)
      value = value << 8 | static_cast<unsigned char>(padded[at + i]);
    return value;
  };
  OwnedStemKey key;
  key.anchor = {word(0), word(sizeof(uint64_t))};
  for (size_t at = kAnchorBytes; at < padded.size(); at += kFingerprintBytes)
    key.fingerprints.push_back(word(at));
  return key;
}

// What the file says of itself against what the manifest says of it.
void CompareMeta(FileSystem& fs, const std::string& path, const TableMeta& meta, Report& report) {
  const auto table = Table::Open(&fs, path, meta.number, nullptr, nullptr);
  if (!table.ok()) return report.Failed(path, table.status());
  if ((*table)->meta() == meta) return;
  const auto describe = [](const TableMeta& m) {
    return fmt::format("table {} of {} bytes, {} entries, {} to {}", m.number, m.file_bytes,
                       m.entry_count, KeyToString(m.smallest.view()),
                       KeyToString(m.largest.view()));
  };
  report.Damaged({path,
                  "properties",
                  {},
                  {},
                  {},
                  "differ from the manifest's",
                  describe(meta),
                  describe((*table)->meta())});
}

}  // namespace

std::string KeyHex(const StemKey& key) { return tools::HexOf(KeyBytes(key).view()); }

void AddEntry(Record* record, const StemKey& key, const Entry& entry) {
  record->Text("key", KeyHex(key))
      .Number("segment", entry.slot.segment)
      .Number("slot", entry.slot.slot)
      .Number("length", entry.length)
      .Text("guard", HexOf32(entry.guard))
      .Text("checksum", HexOf64(entry.checksum));
}

std::string EntryText(const StemKey& key, const Entry& entry) {
  return fmt::format("{}  segment {} slot {}  {} bytes  guard {}  checksum {}", KeyHex(key),
                     entry.slot.segment, entry.slot.slot, entry.length, HexOf32(entry.guard),
                     HexOf64(entry.checksum));
}

void TableProperties(FileSystem& fs, const std::string& path, Report& report) {
  const auto table = Table::Open(&fs, path, 0, nullptr, nullptr);
  if (!table.ok()) return report.Failed(path, table.status());
  const lamina::TableProperties& properties = (*table)->properties();
  const TableMeta& meta = properties.meta;
  const TableFooter& footer = (*table)->footer();
  const auto entries = static_cast<double>(meta.entry_count);
  const auto dropped = static_cast<double>(meta.dropped_entries);
  Record record("properties");
  record.Text("file", path)
      .Text("kind", "table")
      .Number("number", meta.number)
      .Number("format_version", footer.version)
      .Number("file_bytes", meta.file_bytes, Unit::kBytes)
      .Number("entries", meta.entry_count, Unit::kCount)
      .Number("pages", meta.page_count, Unit::kCount)
      .Number("stems", meta.stem_count, Unit::kCount)
      .Real("data_bytes_per_entry",
            static_cast<double>(meta.data_blocks * kTableBlockBytes) / entries)
      .Number("data_blocks", footer.data_blocks, Unit::kCount)
      .Number("index_blocks", footer.index_blocks, Unit::kCount)
      .Number("index_levels", uint64_t{footer.index_blocks == 0 ? 1u : 2u})
      .Number("top_index_bytes", meta.top_index_bytes, Unit::kBytes)
      .Number("filter_bytes", meta.filter_bytes, Unit::kBytes)
      .Real("filter_bits_per_key", meta.filter_bits_per_key)
      .Number("filter_probes", footer.filter_probes)
      .Real("expected_false_positive_rate", ExpectedFpr(meta.filter_bits_per_key))
      .Number("memory_bytes", meta.memory_bytes(), Unit::kBytes)
      .Number("dropped_entries", meta.dropped_entries, Unit::kCount)
      .Real("dead_share_at_creation", dropped / (dropped + entries))
      .Text("shape_at_creation", properties.shape)
      .Number("job", properties.job_id)
      .Text("store", HexOf64(properties.store_id))
      .Text("smallest_key", KeyHex(meta.smallest.view()))
      .Text("largest_key", KeyHex(meta.largest.view()));
  report.PrintTable(tools::Printable(path), record);
}

void TableScan(FileSystem& fs, const std::string& path, uint64_t* left, Report& report) {
  if (*left == 0) return;
  const auto table = Table::Open(&fs, path, 0, nullptr, nullptr);
  if (!table.ok()) return report.Failed(path, table.status());
  const DumpOptions& options = report.options();
  TableIterateOptions how;
  how.on_damage = [&](const Status& damage) { report.Failed(path, damage); };
  const auto entries = (*table)->NewIterator(how);
  if (options.from.empty()) {
    entries->SeekToFirst();
  } else {
    entries->Seek(LowestKeyFrom(options.from).view());
  }
  for (; entries->Valid() && *left > 0 && !report.done(); entries->Next(), --*left) {
    const StemKey key = entries->key();
    if (options.to && KeyBytes(key).view() >= *options.to) break;
    if (!report.json()) {
      report.out().Print("{}\n", EntryText(key, entries->entry()));
      continue;
    }
    Record record("entry");
    record.Text("file", path);
    AddEntry(&record, key, entries->entry());
    report.Print(record, {});
  }
  if (!entries->status().ok()) report.Failed(path, entries->status());
}

void TableVerify(FileSystem& fs, const std::string& path, const TableMeta* meta, Report& report) {
  report.StartFile();
  const uint64_t before = report.damages();
  const auto summary =
      VerifyTable(&fs, path, [&](const TableDamage& damage) { report.Damaged(DamageOf(damage)); });
  if (!summary.ok()) return report.Failed(path, summary.status());
  if (meta != nullptr && report.damages() == before) CompareMeta(fs, path, *meta, report);
  report.EndFile(path, "table", summary->file_bytes,
                 tools::Counted(summary->entries, "entry", "entries"),
                 Record("file")
                     .Number("data_blocks", summary->data_blocks)
                     .Number("entries", summary->entries));
}

}  // namespace lamina::sst_dump
